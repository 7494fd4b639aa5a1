import subprocess
from pathlib import Path

import pytest

from engine import bases, recipes
from engine.apt import Release, Source
from engine.making import Maker
from engine.recipes import BASES, DEBIAN, LATER, PYTHON, RUST, Base, Job, system
from pipeline.oci import runtime
from pipeline.targets import TARGETS, Target, parse, select
from pipeline.toolchain.versions import BASE

STORE = Path("/store")


def test_each_parent_is_made_once() -> None:
    amd64, arm64 = parse("linux/amd64"), parse("linux/arm64")
    jobs = [Job(base, amd64, STORE) for base in (DEBIAN, RUST, PYTHON)] + [Job(RUST, arm64, STORE)]
    parents = [Job(DEBIAN, target, STORE) for target in (amd64, arm64)]
    assert bases.parents_of(jobs) == {parent.directory: parent for parent in parents}
    assert bases.parents_of(jobs[:1]) == {}


def test_the_stand_in_is_from_a_later_release_if_debian_has_no_port() -> None:
    amd64, riscv64 = select(["linux/amd64", "linux/riscv64"])
    made = [(job.base.image, job.target) for job in bases.jobs_for([riscv64], [], amd64, STORE)]
    later = f"docker.io/library/{runtime.base_for(BASE, riscv64)}"
    assert later == LATER.image
    assert made == [
        (DEBIAN.image, amd64), (later, riscv64), (later, amd64), (RUST.image, amd64), (PYTHON.image, amd64)
    ]  # fmt: skip


def test_a_builder_of_another_platform_gets_its_parent_image() -> None:
    amd64, arm64 = select(["linux/amd64", "linux/arm64"])
    made = bases.jobs_for([], [arm64, amd64], amd64, STORE)
    assert {(job.base.recipe, job.target.arch) for job in made} == {
        ("debian", "amd64"), ("debian", "arm64"), ("rust", "arm64"), ("rust", "amd64"), ("python", "amd64")
    }  # fmt: skip
    assert len(made) == 5


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
def test_every_platform_has_a_runtime_stand_in(target: Target) -> None:
    base = system(target)
    assert base.has(target)
    assert base.image == f"docker.io/library/{runtime.base_for(BASE, target)}"
    assert runtime.base_for("my/base:1", target) == "my/base:1"


def test_the_key_depends_on_the_suite() -> None:
    keys = {base.key() for base in BASES}
    assert len(keys) == len(BASES)
    assert isinstance(LATER, Base) and LATER.key() != DEBIAN.key()


def test_an_optional_image_is_skipped_if_the_mirror_is_inconsistent() -> None:
    said: list[str] = []
    releases = [Release(Source("http://mirror", suite, ("main",)), "") for suite in ("bookworm", "trixie")]
    of = {release.source.suite: Maker(STORE, [release], said.append) for release in releases}
    arm64, riscv64 = select(["linux/arm64", "linux/riscv64"])
    assert of["bookworm"].can_make(Job(DEBIAN, arm64, STORE))
    assert of["trixie"].can_make(Job(LATER, recipes.host(), STORE))
    assert said == []
    assert not of["trixie"].can_make(Job(LATER, riscv64, STORE))
    assert "debian:trixie-slim for linux/riscv64 is not made" in said[0]


@pytest.mark.parametrize(
    ("found", "code"), [("1.96.0", 0), ("1.96.1", 0), ("1.100.0", 0), ("1.95.9", 3), ("1.9.0", 3)]
)
def test_a_newer_rust_of_debian_takes_the_place_of_the_promised_one(found: str, code: int) -> None:
    """Debian keeps only the newest Rust: a recipe that requires 1.96.0 fails after an update."""
    program = Path(recipes.__file__).parent / "rootfs/rust/check-version"
    done = subprocess.run([program, found, "1.96.0"], capture_output=True, text=True)
    assert done.returncode == code
    assert (found == "1.96.0") == (done.stderr == "")
    assert found in done.stderr or not done.stderr
