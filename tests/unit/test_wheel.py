"""Test that the wheel is complete: the installed command line runs and has the engine's files."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ("pipeline", "engine")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_every_file_of_the_repository_is_in_it(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", *DATA], cwd=ROOT, check=True, capture_output=True, text=True)
    with zipfile.ZipFile(wheel) as archive:
        missing = set(listed.stdout.split()) - set(archive.namelist())
    assert not missing
    assert {"engine/rootfs/rust/rustup", "engine/overlay/otel-go/pending.go"} <= set(listed.stdout.split())


def test_it_runs_where_nothing_of_the_checkout_is(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    site = next(place.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies are those of this environment; its own editable link to the checkout is not followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    start = "import sys, engine, pipeline; print(engine.__file__, pipeline.__file__); "
    start += "sys.argv[0] = 'rust-multiarch'; from pipeline.cli import main; main()"
    python = place / "bin" / "python"
    done = subprocess.run([python, "-I", "-c", start, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "publish" in done.stdout
    assert all(path.startswith(str(site)) for path in done.stdout.splitlines()[0].split())
    (metadata,) = site.glob("*.dist-info/entry_points.txt")
    assert "rust-multiarch = pipeline.cli:main" in metadata.read_text()
