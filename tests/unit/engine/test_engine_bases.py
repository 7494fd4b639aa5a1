import subprocess
from pathlib import Path

import pytest

from engine import bases, recipes
from engine.apt import Release, Source
from engine.making import Maker
from engine.recipes import BASES, PYTHON, Job, debian, rust
from pipeline.errors import BaseImageUnavailable
from pipeline.releases import DEFAULT, RELEASES, base_for
from pipeline.releases import PYTHON as PYTHON_IMAGE
from pipeline.targets import TARGETS, Target, parse, select

STORE = Path("/store")
DEBIAN, RUST = debian(DEFAULT), rust(DEFAULT)
BOOKWORM = RELEASES["bookworm"]


def made(*arguments: object) -> list[tuple[str, str]]:
    """Return images and platforms of the jobs, in order."""
    return [(job.base.image, job.target.platform) for job in bases.jobs_for(*arguments)]  # type: ignore[arg-type]


def test_each_parent_is_made_once() -> None:
    amd64, arm64 = parse("linux/amd64"), parse("linux/arm64")
    jobs = [Job(base, amd64, STORE) for base in (DEBIAN, RUST, PYTHON)] + [Job(RUST, arm64, STORE)]
    parents = [Job(DEBIAN, target, STORE) for target in (amd64, arm64)]
    assert bases.parents_of(jobs) == {parent.directory: parent for parent in parents}
    assert bases.parents_of(jobs[:1]) == {}


def test_the_images_of_a_release() -> None:
    amd64, arm64 = select(["linux/amd64", "linux/arm64"])
    python = f"docker.io/library/{PYTHON_IMAGE}"
    assert made([arm64, amd64], [], amd64, STORE) == [
        (DEBIAN.image, "linux/amd64"), (python, "linux/amd64"), (RUST.image, "linux/amd64"),
        (DEBIAN.image, "linux/arm64"),
    ]  # fmt: skip


def test_another_release_is_made_besides_the_default() -> None:
    (amd64,) = select(["linux/amd64"])
    both = made([amd64], [], amd64, STORE, [DEFAULT, BOOKWORM])
    assert both[:3] == made([amd64], [], amd64, STORE)
    assert both[3:] == [(debian(BOOKWORM).image, "linux/amd64"), (rust(BOOKWORM).image, "linux/amd64")]


def test_the_stand_in_is_from_a_later_release_if_debian_has_no_port() -> None:
    amd64, riscv64 = select(["linux/amd64", "linux/riscv64"])
    later = f"docker.io/library/{base_for(BOOKWORM.base, riscv64)}"
    assert later == DEBIAN.image
    jobs = made([riscv64], [], amd64, STORE, [BOOKWORM])
    assert (later, "linux/riscv64") in jobs and (later, "linux/amd64") in jobs
    assert (debian(BOOKWORM).image, "linux/riscv64") not in jobs
    with pytest.raises(BaseImageUnavailable, match="Debian bookworm has no riscv64 port"):
        made([], [riscv64], amd64, STORE, [BOOKWORM])


def test_a_builder_of_another_platform_gets_its_parent_image() -> None:
    amd64, arm64 = select(["linux/amd64", "linux/arm64"])
    assert set(made([], [arm64, amd64], amd64, STORE)) == {
        (DEBIAN.image, "linux/amd64"), (DEBIAN.image, "linux/arm64"), (PYTHON.image, "linux/amd64"),
        (RUST.image, "linux/arm64"), (RUST.image, "linux/amd64"),
    }  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
def test_every_platform_has_a_runtime_stand_in(target: Target) -> None:
    for release in RELEASES.values():
        jobs = made([target], [], parse("linux/amd64"), STORE, [DEFAULT, release])
        image = f"docker.io/library/{base_for(release.base, target)}"
        assert ((image, target.platform) in jobs) == (target.port is not None)


def test_the_key_depends_on_the_suite() -> None:
    assert len({base.key() for base in BASES}) == len(BASES) == 2 * len(RELEASES) + 1
    names = {Job(debian(release), TARGETS[0], STORE).name for release in RELEASES.values()}
    assert len(names) == len(RELEASES)


def test_an_image_is_skipped_if_the_mirror_is_inconsistent() -> None:
    said: list[str] = []
    maker = Maker(STORE, [Release(Source("http://mirror", "trixie", ("main",)), "")], said.append)
    assert maker.can_make(Job(DEBIAN, recipes.host(), STORE))
    assert said == []
    (other, *_) = (target for target in TARGETS if target != recipes.host())
    assert not maker.can_make(Job(DEBIAN, other, STORE))
    assert f"debian:trixie-slim for {other.platform} is not made" in said[0]


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
