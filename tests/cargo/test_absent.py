"""Test builds of a part of a repository: they print what a complete checkout prints, or fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import cargo_driver as driver
import pytest
from cargo_driver import Done, Volume
from cargo_project import manifest
from test_inputs import LOCK, STAMP, compiled, write

from pipeline.git import absent

SERVICE: Mapping[str, str] = {
    "services/api/Cargo.toml": manifest("app"),
    "services/api/Cargo.lock": LOCK,
    "services/api/src/main.rs": 'fn main() { println!("{}", env!("SAID")) }\n',
}
REST: Mapping[str, str] = {
    "VERSION": "7",
    "empty": "",
    "docs/a b.md": "text",
    "docs/line\nbreak.md": "text",
    "docs/deep/er/tab\t.md": "text",
    "schema/-dash.sql": "text",
    "tools/run.sh": "true",
}
TOP = 'std::path::Path::new("..").join("..")'
FALLS_BACK = f'std::fs::read_to_string({TOP}.join("VERSION")).unwrap_or("unknown".into())'
LISTED = f"""{{
    let mut found: Vec<String> = std::fs::read_dir({TOP}.join("docs")).map(|them|
        them.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()).unwrap_or_default();
    found.sort();
    format!("{{found:?}}")
}}"""


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "part"


def repository(folder: Path, script: str, rest: Mapping[str, str] = REST) -> Path:
    """Write a repository with a service; its build script passes an expression's value to the program."""
    write(folder, {**SERVICE, **rest, "services/api/build.rs": STAMP % script})
    (folder / "tools/run.sh").chmod(0o755)
    (folder / "link").symlink_to("docs")
    return folder


def build(volume: Volume, part: Path, whole: Path) -> Done:
    """Build the service of a repository without the rest of it."""
    subprocess.run(["rm", "-rf", str(part)], check=True)
    subprocess.run(["cp", "-a", str(whole / "services/api"), str(part)], check=True)
    paths = [
        str(path.relative_to(whole))
        for path in sorted(whole.rglob("*"))
        if (path.is_file() or path.is_symlink()) and not path.is_relative_to(whole / "services/api")
    ]
    source = part.parent / "source"
    subprocess.run(["rm", "-rf", str(source)], check=True)
    (source / "services").mkdir(parents=True)
    part.rename(source / "services/api")
    return run(volume, source, absent.listed(whole, paths))


def run(volume: Volume, source: Path, listed: bytes) -> Done:
    return volume.build(source, driver.plan(absent=listed), place="services/api")


def prints(whole: Path) -> str:
    """Return what the program of a complete checkout prints."""
    environment = {**driver.ENVIRONMENT, "CARGO_TARGET_DIR": f"{whole}-target"}
    done = subprocess.run(
        ["cargo", "run", "--quiet", "--locked"],
        cwd=whole / "services/api",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def later(script: str) -> object:
    return pytest.param(script, marks=pytest.mark.later)


@pytest.mark.parametrize(
    "script",
    [
        f'{TOP}.join("VERSION").exists()',
        later(f'{TOP}.join("docs").is_dir()'),
        f'{TOP}.join("link").is_symlink()',
        later(f'std::fs::read_dir({TOP}.join("link")).unwrap().count()'),
        LISTED,
        later(f'std::fs::read_to_string({TOP}.join("empty")).map(|it| it.len()).unwrap_or(9)'),
        f'std::fs::metadata({TOP}.join("tools/run.sh")).map(|it| std::os::unix::fs::PermissionsExt::mode('
        "&it.permissions()) & 0o111).unwrap_or(9)",
    ],
)
def test_names_and_modes_are_those_of_a_complete_checkout(
    volume: Volume, part: Path, tmp_path: Path, script: str
) -> None:
    whole = repository(tmp_path / "whole", script)
    build(volume, part, whole).check()
    assert volume.prints() == prints(whole)
    assert not (volume.state / "src/docs").exists(), "stand-ins exist only while cargo runs"
    assert compiled(build(volume, part, whole).check()) == set()


@pytest.mark.parametrize(
    "script",
    [
        FALLS_BACK,
        f'std::fs::read({TOP}.join("link").join("a b.md")).map(|it| it.len()).unwrap_or(0)',
        later(f'std::fs::copy({TOP}.join("VERSION"), "/dev/null").is_ok()'),
        later(f'std::process::Command::new("cat").arg({TOP}.join("VERSION")).status().is_ok()'),
        f'std::process::Command::new("grep").arg("-r").arg("7").arg({TOP}.join("docs")).status().is_ok()',
    ],
)
def test_a_build_that_reads_more_than_was_uploaded_fails(
    volume: Volume, part: Path, tmp_path: Path, script: str
) -> None:
    whole = repository(tmp_path / "whole", script)
    for _ in range(2):  # a build after a failed one is no success
        done = build(volume, part, whole)
        assert done.status == 1
        assert "error: the build read files that were not uploaded: " in done.stderr


def test_a_failed_build_names_the_files_it_read(volume: Volume, part: Path, tmp_path: Path) -> None:
    script = f'std::fs::read_to_string({TOP}.join("VERSION")).unwrap().parse::<u32>().unwrap()'
    done = build(volume, part, repository(tmp_path / "whole", script))
    assert done.status == 1 and "error: the build read files that were not uploaded: VERSION\n" in done.stderr


def test_a_macro_that_includes_a_file(volume: Volume, part: Path, tmp_path: Path) -> None:
    whole = repository(tmp_path / "whole", '"x"')
    code = (
        'macro_rules! up { () => { ".." } }\n'
        'fn main() { print!("{}", include_str!(concat!(up!(), "/", up!(), "/", up!(), "/VERSION"))) }\n'
    )
    (whole / "services/api/src/main.rs").write_text(code)
    assert prints(whole) == "7"
    assert "not uploaded: VERSION" in build(volume, part, whole).stderr


@pytest.mark.later
def test_the_complete_checkout_after_a_part_of_it(volume: Volume, part: Path, tmp_path: Path) -> None:
    whole = repository(tmp_path / "whole", FALLS_BACK)
    assert build(volume, part, whole).status == 1
    run(volume, whole, absent.listed(whole, [])).check()
    assert volume.prints() == prints(whole) == "7\n"
    assert build(volume, part, whole).status == 1


def test_new_and_removed_names(volume: Volume, part: Path, tmp_path: Path) -> None:
    for rest in (REST, {**REST, "docs/more.md": ""}, {"VERSION": "7", "tools/run.sh": ""}):
        whole = repository(tmp_path / "whole", LISTED, rest)
        build(volume, part, whole).check()
        assert volume.prints() == prints(whole)
    (whole / "VERSION").write_text("another content is no other name")
    assert compiled(build(volume, part, whole).check()) == set()


def test_what_a_build_writes_beside_the_packages(volume: Volume, part: Path, tmp_path: Path) -> None:
    """A file that is tracked and written again by the build: nothing is read that was not uploaded."""
    script = f'std::fs::write({TOP}.join("VERSION"), "8").is_ok()'
    whole = repository(tmp_path / "whole", script)
    for _ in range(2):
        build(volume, part, whole).check()
        assert volume.prints() == "true\n"
    assert (volume.state / "src/VERSION").read_text() == "8"


@pytest.mark.later
def test_a_killed_build_leaves_no_stand_ins(volume: Volume, part: Path, tmp_path: Path) -> None:
    seconds = 'if std::env::var("WAIT").is_ok() { 60 } else { 0 }'
    waits = f"{{ std::thread::sleep(std::time::Duration::from_secs({seconds})); 1 }}"
    whole = repository(tmp_path / "whole", waits)
    build(volume, part, whole).check()
    source = tmp_path / "source"
    listed = absent.listed(whole, ["VERSION"])
    waiting = driver.plan(absent=listed, variables={"WAIT": "1"})
    assert volume.build(source, waiting, killed_after=3, place="services/api").status != 0
    assert (volume.state / "src/VERSION").exists()
    build(volume, part, whole).check()
    assert not (volume.state / "src/VERSION").exists()


def test_tests_that_read_more_than_was_uploaded_fail(volume: Volume, tmp_path: Path) -> None:
    whole = repository(tmp_path / "whole", '"x"')
    code = f"#[test]\nfn reads() {{ let _ = {FALLS_BACK}; }}\nfn main() {{}}\n"
    (whole / "services/api/src/main.rs").write_text(code)
    source = tmp_path / "source"
    (source / "services").mkdir(parents=True)
    subprocess.run(["cp", "-a", str(whole / "services/api"), str(source / "services/api")], check=True)
    built = driver.plan(absent=absent.listed(whole, ["VERSION"]))
    done = volume.check(source, built, ["cargo", "test", "--locked"], place="services/api")
    assert done.status == 1 and "not uploaded: VERSION" in done.stderr


def test_a_file_system_without_access_times(volume: Volume, part: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    # `cat` reads the probe.
    (tools / "cat").write_text('#!/bin/sh\ncase $1 in */probe) echo read ;; *) exec /bin/cat "$@" ;; esac\n')
    (tools / "cat").chmod(0o755)
    whole = repository(tmp_path / "whole", '"x"')
    build(volume, part, whole).check()
    blind = driver.plan(absent=absent.listed(whole, ["VERSION"]))
    path = f"{tools}:{os.environ['PATH']}"
    done = volume.build(tmp_path / "source", blind, tools=path, place="services/api")
    assert done.status == 1 and "does not record access times" in done.stderr


def test_a_source_that_is_not_the_users(volume: Volume, tmp_path: Path) -> None:
    """An engine keeps its copy of a file that changed without a new size or time stamp."""
    whole = repository(tmp_path / "whole", '"x"')
    tracked = ["VERSION", "services/api/src/main.rs", "link", "gone"]
    os.utime(whole / "docs/line\nbreak.md", (0, 0))
    digests = absent.digests(whole, tracked, ["docs"])
    assert (
        b"\3other\3docs/line\nbreak.md\0" in digests and b"\3link" not in digests and b"gone" not in digests
    )
    built = driver.plan(digests=digests)
    volume.build(whole, built, place="services/api").check()
    (whole / "docs/line\nbreak.md").write_text("TEXT")
    (whole / "tools/run.sh").write_text("not in the list")
    done = volume.build(whole, built, place="services/api")
    differ = "error: files in the engine differ from those on disk: "
    assert done.status == 1 and f"{differ}docs/line?break.md\n" in done.stderr
    (whole / "docs/line\nbreak.md").unlink()
    volume.build(whole, built, place="services/api").check()
    (whole / "VERSION").unlink()
    done = volume.build(whole, built, place="services/api")
    assert done.status == 1 and f"{differ}VERSION\n" in done.stderr
