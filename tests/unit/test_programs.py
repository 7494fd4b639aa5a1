"""Test the shell programs of the package that run in containers, as they are."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import programs


def stubs(folder: Path, **texts: str) -> dict[str, str]:
    """Make programs that replace real ones; return the environment that finds them."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_program_is_run_by_its_shell_with_its_arguments() -> None:
    shell, option, text, name, *arguments = programs.command("native/preflight.sh", "a b", "")
    assert (shell, option, name, arguments) == ("bash", "-c", "native/preflight.sh", ["a b", ""])
    assert text == programs.text("native/preflight.sh")
    assert programs.command("native/debian.sh")[0] == "sh"
    assert programs.counted(["a", "b c"]) == ["2", "a", "b c"]


@pytest.mark.parametrize("path", sorted(programs.PIPELINE.rglob("*.sh")), ids=lambda path: path.name)
def test_each_program_has_a_shell(path: Path) -> None:
    assert path.read_text().splitlines()[0] in ("#!/bin/sh", "#!/bin/bash")


def test_no_module_joins_shell_text() -> None:
    for path in programs.PIPELINE.rglob("*.py"):
        for option in ('"-c"', '"-ec"'):
            assert option not in path.read_text() or path.name == "programs.py", path


def test_empty_files_are_made_for_names_of_any_kind(tmp_path: Path) -> None:
    names = ["src/main.rs", "-a b/-x.rs", "é.rs"]
    (tmp_path / "names").write_text("".join(f"{name}\n" for name in names))
    (tmp_path / "top").mkdir()
    command = ["sh", programs.PIPELINE / "project/skeleton.sh", tmp_path / "top", tmp_path / "names"]
    subprocess.run(command, check=True)
    assert all((tmp_path / "top" / name).read_bytes() == b"" for name in names)


def test_the_preflight_asks_for_each_target(tmp_path: Path) -> None:
    env = stubs(tmp_path, cargo='printf "<%s>" "$@"; echo', rustc='[ "$1" != --print ] || echo "$2 $4"')
    words = [*programs.counted(["cargo", "metadata", "a b"])]
    for triple in ("t1", "t2"):
        words += [triple, *programs.counted(["cargo", "tree", triple])]
    command = ["bash", programs.PIPELINE / "native/preflight.sh", "== next", "== part", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    wanted = []
    for triple in ("t1", "t2"):
        wanted += ["== next", f"<tree><{triple}>"]
        for what in ("cfg", "target-cpus", "target-features"):
            wanted += ["== part", f"{what} {triple}"]
    assert done.stdout.splitlines() == wanted
    failing = stubs(tmp_path, cargo="exit 3")
    assert subprocess.run(command, env=failing, capture_output=True).returncode == 3


def test_packages_are_installed_as_given(tmp_path: Path) -> None:
    env = stubs(tmp_path, apt_get='echo "$@"', rm='echo rm "$1" "${2%/*}"', rustup='echo "$@"')
    for program, wanted in (
        ("packages", "update -q\ninstall -y --no-install-recommends a b\nrm -rf /var/lib/apt/lists\n"),
        ("targets", f"{tmp_path}/rustup\ntarget add a b\n"),
    ):
        command = ["sh", programs.PIPELINE / f"toolchain/{program}.sh", "a", "b"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert done.stdout == wanted
    without_rustup = ["/bin/sh", programs.PIPELINE / "toolchain/targets.sh", "a"]
    subprocess.run(without_rustup, env={"PATH": "/nowhere"}, check=True)


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs Debian's dpkg-deb")
@pytest.mark.parametrize("base", ["", "status", "status.d"])
def test_packages_of_a_runtime_are_unpacked_and_recorded(tmp_path: Path, base: str) -> None:
    made = tmp_path / "made"
    for path in ("DEBIAN/control", "usr/lib/libx.so.1", "usr/share/man/x.1", "usr/share/doc/x/copyright"):
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text("")
    (made / "usr/share/doc/x/changelog").touch()
    control = "Package: libx1\nVersion: 1\nArchitecture: all\nMaintainer: me\nDescription: x\n"
    (made / "DEBIAN/control").write_text(control)
    subprocess.run(["dpkg-deb", "--build", made, tmp_path / "x.deb"], check=True, stdout=subprocess.DEVNULL)
    state = tmp_path / "base"
    state.mkdir()
    if base == "status":
        (state / "status").write_text("Package: tzdata\nStatus: install ok installed\n")
    elif base:
        (state / base).mkdir()
        (state / base / "tzdata").write_text("Package: tzdata\n")
        (state / base / "tzdata.md5sums").write_text("0  usr/share\n")
    apt = f"""for word do case $word in
        Dir::State::status=*) cp "${{word#*=}}" {tmp_path}/known ;;
        Dir::Cache::archives=*) cp {tmp_path}/x.deb "${{word#*=}}/x.deb" ;;
        esac; done; echo "$APT_CONFIG $*" >{tmp_path}/asked"""
    env = stubs(tmp_path / "bin", apt_get=apt)
    program, root = programs.PIPELINE / "native/debian.sh", tmp_path / "out"
    command = ["sh", program, "runtime", state, root, "arm64", "libx1", "libz1"]
    subprocess.run(command, env=env, check=True)
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("/opt/rust-multiarch/apt/arm64/apt.conf -y") and asked.endswith("libx1 libz1\n")
    assert ("tzdata" in (tmp_path / "known").read_text()) == bool(base)
    assert (tmp_path / "known").read_text().count("Status: install ok installed") == bool(base)
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {"usr/lib/libx.so.1", "usr/share/doc/x/copyright", "var/lib/dpkg/status.d/libx1"}
    assert (root / "lib").is_symlink() != bool(base), "the base has its own link"
    recorded = root / "var/lib/dpkg/status.d/libx1"
    assert recorded.read_text() == control
