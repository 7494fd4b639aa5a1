"""Test the effect of install.sh on its directory, with fake programs."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tools import requirements

SCRIPT = Path(__file__).parents[2] / "install.sh"
ROOT = SCRIPT.parent
HERE = f"file://{ROOT}"
OURS = (".rust-multiarch",)
BEFORE_THE_MARKER = ("pyvenv.cfg", "bin/rust-multiarch")

# As `python3 -m venv --clear DIRECTORY`: empties it, and makes a Python in it.
PYTHON = """#!/bin/sh
rm -rf "$4" && mkdir -p "$4/bin" && printf '#!/bin/sh\\n' > "$4/bin/python" && chmod +x "$4/bin/python"
exit "${VENV_ENDS:-0}"
"""

# As `curl -fsSL -o FILE URL`: copies what $DOWNLOADS has under the URL's last part.
CURL = """#!/bin/sh
echo "$4" >> "$DOWNLOADS/asked"
cp "$DOWNLOADS/${4##*/}" "$3"
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Write the programs that the script finds on PATH."""
    directory = tmp_path / "programs"
    directory.mkdir()
    (dagger,) = re.findall(r"^dagger=(.+)$", SCRIPT.read_text(), re.MULTILINE)
    texts = {"python3": PYTHON, "dagger": f"#!/bin/sh\necho 'dagger v{dagger} (x)'\n", "curl": CURL}
    for name, text in texts.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


def install(programs: Path, target: Path, **more: str) -> subprocess.CompletedProcess[str]:
    downloads = programs.parent / "downloads"
    if not downloads.exists():
        downloads.mkdir()
        (downloads / "requirements-cli.txt").write_bytes((ROOT / "requirements-cli.txt").read_bytes())
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "DOWNLOADS": str(downloads), **more}
    return subprocess.run(["sh", str(SCRIPT), str(target)], env=env, capture_output=True, text=True)


def fill(target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("mine")


@pytest.mark.parametrize("names", [("thesis.tex",), (".hidden",), ("bin/rust-multiarch",), ("pyvenv.cfg",)])
def test_a_directory_with_something_else_in_it_is_left_alone(
    programs: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Regression: everything in a home directory was deleted."""
    target = tmp_path / "there"
    fill(target, names)
    done = install(programs, target)
    assert done.returncode == 1
    assert f"{target} is not empty" in done.stderr
    assert [(target / name).read_text() for name in names] == ["mine"] * len(names)


@pytest.mark.parametrize("names", [None, (), OURS, BEFORE_THE_MARKER])
def test_a_new_directory_and_an_earlier_installation_are_installed_into(
    programs: Path, tmp_path: Path, names: tuple[str, ...] | None
) -> None:
    target = tmp_path / "with space/there"
    if names is not None:
        target.mkdir(parents=True)
        fill(target, names)
    done = install(programs, target)
    assert done.returncode == 0, done.stderr
    assert f"is in {target}/bin" in done.stdout
    assert (target / ".rust-multiarch").is_file()


def test_an_older_installation_is_replaced(programs: Path, tmp_path: Path) -> None:
    """Regression: it was kept, and the script reported the new version."""
    target = tmp_path / "there"
    assert install(programs, target).returncode == 0
    command = target / "bin/rust-multiarch"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert install(programs, target).returncode == 0
    assert command.exists(), "the same version is kept"
    assert install(programs, target, RUST_MULTIARCH_INSTALL_FROM=HERE).returncode == 0
    assert not command.exists(), "another source is installed"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    (target / ".rust-multiarch").write_text("0.0.9 from elsewhere\n")
    assert install(programs, target, RUST_MULTIARCH_INSTALL_FROM=HERE).returncode == 0
    assert not command.exists(), "another version is replaced"


def test_half_an_installation_is_gone_on_with(programs: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    assert install(programs, target, VENV_ENDS="3").returncode == 3
    assert install(programs, target).returncode == 0


def test_the_digests_are_those_of_the_files() -> None:
    text = SCRIPT.read_text()
    packages = (ROOT / "requirements-cli.txt").read_bytes()
    assert f"\nrequirements={hashlib.sha256(packages).hexdigest()}\n" in text
    assert requirements.with_digest(text, packages) == text
    assert requirements.with_digest(text, b"other") != text


def test_a_script_that_was_cut_off_does_nothing(programs: Path, tmp_path: Path) -> None:
    """`curl | sh` runs whatever arrived."""
    text = SCRIPT.read_text()
    ends = [*range(0, len(text) - 3, 97), *range(len(text) - 40, len(text) - 2)]
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home)}
    for end in ends:
        subprocess.run(["sh", "-s"], input=text[:end], env=env, capture_output=True, text=True)
        assert list(home.iterdir()) == [], text[end - 20 : end]


def test_the_packages_are_those_of_the_release(programs: Path, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "requirements-cli.txt").write_text("evil==1.0 --hash=sha256:00\n")
    used = tmp_path / "used"
    (programs / "python3").write_text(PYTHON.replace("#!/bin/sh\\n", f"#!/bin/sh\\necho x >{used}\\n"))
    done = install(programs, tmp_path / "there")
    assert done.returncode == 1 and "requirements-cli.txt has the digest" in done.stderr
    assert not used.exists(), "pip was not run"
    (asked,) = (downloads / "asked").read_text().splitlines()
    assert asked.startswith("https://raw.githubusercontent.com/rust-multiarch/rust-multiarch/v")


def test_the_archive_of_dagger_is_verified_before_it_is_unpacked(programs: Path, tmp_path: Path) -> None:
    (programs / "dagger").write_text("#!/bin/sh\necho 'dagger v0.0.1 (x)'\n")
    (programs / "uname").write_text('#!/bin/sh\n[ "$1" = -m ] && echo x86_64 || echo Linux\n')
    (programs / "uname").chmod(0o755)
    target, downloads = tmp_path / "there", tmp_path / "downloads"
    assert "could not be downloaded" in install(programs, target).stderr
    (version,) = re.findall(r"^dagger=(.+)$", SCRIPT.read_text(), re.MULTILINE)
    archive = downloads / f"dagger_v{version}_linux_amd64.tar.gz"
    (tmp_path / "dagger").write_text("#!/bin/sh\n")
    subprocess.run(["tar", "-czf", archive, "-C", tmp_path, "dagger"], check=True)
    done = install(programs, target)
    assert done.returncode == 1 and "has the digest" in done.stderr
    assert not (target / "bin/dagger").exists()
    script = tmp_path / "install.sh"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    script.write_text(
        re.sub(r"^(dagger_linux_amd64=)\w+", rf"\g<1>{digest}", SCRIPT.read_text(), flags=re.MULTILINE)
    )
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "DOWNLOADS": str(downloads)}
    subprocess.run(["sh", script, target], env=env, check=True, capture_output=True)
    assert (target / "bin/dagger").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize("source", ["elsewhere", "git+https://example.com/x", "https://example.com/x.tar.gz"])
def test_a_source_without_a_list_of_packages(programs: Path, tmp_path: Path, source: str) -> None:
    done = install(programs, tmp_path / "there", RUST_MULTIARCH_INSTALL_FROM=source)
    assert done.returncode == 1 and f"RUST_MULTIARCH_INSTALL_FROM is {source}" in done.stderr


def test_every_step_is_said_and_how_to_use_the_command(programs: Path, tmp_path: Path) -> None:
    target = tmp_path / "there"
    said = install(programs, target).stdout
    assert "installing rust-multiarch" in said and f"into {target}" in said
    for step in ("1/3", "2/3", "3/3"):
        assert step in said
    assert f'run: export PATH="{target}/bin:$PATH"' in said
    on_path = install(programs, target, PATH=f"{programs}:{os.environ['PATH']}:{target}/bin").stdout
    assert "export PATH" not in on_path
    (target / ".rust-multiarch").write_text("0.0.9 from elsewhere\n")
    assert f"replacing 0.0.9 from elsewhere in {target}" in install(programs, target).stdout


def test_the_command_is_installed_without_a_dagger(programs: Path, tmp_path: Path) -> None:
    """Regression: a failed download of `dagger` ended the installation without a word."""
    (programs / "dagger").write_text("#!/bin/sh\nexit 1\n")
    (programs / "curl").write_text("#!/bin/sh\nexit 22\n")
    (programs / "curl").chmod(0o755)
    done = install(programs, tmp_path / "there", RUST_MULTIARCH_INSTALL_FROM=HERE)
    assert done.returncode == 0, done.stderr
    assert "warning: dagger v" in done.stderr and "works without it" in done.stderr
    assert "is in" in done.stdout
