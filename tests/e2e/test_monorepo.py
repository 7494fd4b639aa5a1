"""Test builds of a service in a large repository: what is uploaded, and that the rest is not missed."""

import os
import re
import subprocess
from pathlib import Path

import dagger
import pytest
from crates import LOCK, MANIFEST
from repositories import git, repository
from test_cli import run

from engine import registry
from pipeline.cli import session as cli_session
from pipeline.cli import source
from pipeline.cli.source import Upload
from pipeline.config.settings import Settings
from pipeline.releases import DEFAULT, RUST
from pipeline.toolchain.builder import rust_image

pytestmark = pytest.mark.anyio

MEGABYTE = 1_000_000
SERVICE, REST = 5 * MEGABYTE, 2_000 * MEGABYTE
BUILD = """
fn main() {
    let top = std::path::PathBuf::from("../".repeat(2));
    let listed = std::fs::read_dir(top.join("docs")).map(|them| them.count()).unwrap_or(0);
    let read = match std::env::var("READ") {
        Ok(name) => std::fs::read_to_string(top.join(name)).unwrap_or("fallback".into()),
        Err(_) => "unread".into(),
    };
    println!("cargo:rustc-env=SAID={listed} {read}");
}
"""


@pytest.fixture
def monorepo(tmp_path: Path) -> Path:
    """Make a repository of 2 GB, in which a service has 5 MB."""
    made = repository(tmp_path / "monorepo")
    service = made / "services/api"
    (service / "src").mkdir(parents=True)
    (service / "Cargo.toml").write_text(MANIFEST.format(name="api"))
    (service / "Cargo.lock").write_text(LOCK.format(name="api"))
    (service / "build.rs").write_text(BUILD)
    (service / "src/main.rs").write_text('fn main() { println!("{}", env!("SAID")) }\n')
    (service / "data.bin").write_bytes(os.urandom(SERVICE))
    (made / "docs").mkdir()
    for name in ("a.md", "b.md", "film.mp4"):
        (made / "docs" / name).touch()
    (made / "VERSION").write_text("7")
    git(made, "add", ".")
    # Its size is on disk, and git has not stored it.
    os.truncate(made / "docs/film.mp4", REST)
    return made


@pytest.fixture
def upload(monorepo: Path) -> Upload:
    return source.upload(source.find(monorepo / "services/api"), Settings())


async def test_the_service_is_uploaded_and_nothing_else(session: dagger.Client, upload: Upload) -> None:
    uploaded = cli_session.directory(upload)
    measuring = (
        session.container().from_(rust_image(RUST, DEFAULT)).with_mounted_directory("/source", uploaded)
    )
    measured = await measuring.with_exec(["du", "--apparent-size", "-sb", "/source"]).stdout()
    size = int(measured.split()[0])
    assert SERVICE < size < SERVICE + MEGABYTE


def test_files_that_were_not_uploaded_are_there_by_name_and_never_by_content(
    engine: object, monorepo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def binary(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        common = ("binary", "--platform", "linux/amd64", "--output", tmp_path / "out")
        return run(*common, "services/api", *words, cwd=monorepo, code=code)

    def prints() -> str:
        return subprocess.run(
            [tmp_path / "out/linux-amd64/api"], capture_output=True, text=True, check=True
        ).stdout

    binary()
    assert prints() == "3 unread\n"
    refused = binary("--build-arg", "READ=VERSION", code=37)
    assert "not uploaded: VERSION" in refused.stderr and "--whole-repository" in refused.stderr
    os.truncate(monorepo / "docs/film.mp4", 0)
    monkeypatch.setenv("READ", "VERSION")
    binary("--build-arg", "READ", "--whole-repository")
    assert prints() == "3 7\n"


def into_stand_ins(repository: str) -> None:
    """Give the engine, under the name at Docker Hub, what was pushed to the registry of this machine."""
    source, target = registry.storage(), registry.stand_ins_storage()
    paths = [*(source / REPOSITORIES / repository).rglob("link"), *(source / BLOBS).rglob("data")]
    for path in paths:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            os.link(path, place)


REPOSITORIES, BLOBS = "docker/registry/v2/repositories", "docker/registry/v2/blobs"
NEWER = f"1.{int(RUST.partition('.')[2]) + 1}"
RUSTC = f"""#!/bin/sh
case "$*" in
--version | -vV | "-v -V") rustc-{RUST} "$@" | sed 's/{re.escape(RUST)}\\.[0-9]*/{NEWER}.0/' ;;
*) exec rustc-{RUST} "$@" ;;
esac
"""


async def test_the_rust_that_a_package_declares(
    session: dagger.Client, loopback: str, monorepo: Path, tmp_path: Path
) -> None:
    manifest = monorepo / "services/api/Cargo.toml"
    manifest.write_text(manifest.read_text().replace("edition", f'rust-version = "{NEWER}"\nedition'))
    command = ("binary", "--platform", "linux/amd64", "--output", tmp_path / "out", "services/api")
    default = session.container().from_(rust_image(RUST, DEFAULT))
    rustc = (await default.with_exec(["sh", "-c", "realpath $(command -v rustc)"]).stdout()).strip()
    other = default.with_exec(["mv", rustc, f"{Path(rustc).parent}/rustc-{RUST}"])
    other = other.with_new_file(rustc, RUSTC, permissions=0o755).with_env_variable(
        "RUST_VERSION", f"{NEWER}.0"
    )
    await other.publish(f"{loopback}/library/{rust_image(NEWER, DEFAULT)}")
    into_stand_ins("library/rust")
    done = run(*command, cwd=monorepo)
    assert f"warning: api 0.1.0 needs Rust {NEWER}, which is used instead of {RUST}" in done.stderr
    (monorepo / "rust-toolchain.toml").write_text(f'[toolchain]\nchannel = "{RUST}"\n')
    refused = run(*command, cwd=monorepo, code=36)
    assert f"write {NEWER} into rust-toolchain.toml" in refused.stderr
    (monorepo / "rust-toolchain.toml").write_text(f'[toolchain]\nchannel = "{NEWER}"\n')
    run(*command, cwd=monorepo)


def test_a_file_that_changed_without_a_new_time_stamp(engine: object, monorepo: Path, tmp_path: Path) -> None:
    """The engine does not upload it again, and a build of the old content would look like one of the new."""
    main, program = monorepo / "services/api/src/main.rs", tmp_path / "out/linux-amd64/api"
    command = ("binary", "--platform", "linux/amd64", "--output", tmp_path / "out", "services/api")
    for number in (1, 2):
        main.write_text(f'fn main() {{ println!("{number}") }}\n')
        os.utime(main, (1e9, 1e9))
        done = run(*command, cwd=monorepo, code=0 if number == 1 else 37)
    assert "differ from those on disk: services/api/src/main.rs" in done.stderr and "`touch`" in done.stderr
    main.touch()
    run(*command, cwd=monorepo)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "2\n"
