"""Provide the Dockerfiles' base images if Docker Hub cannot be reached: stand-ins in the local registry.

BuildKit does not use the machine's certificates, so its Rust image has an additional layer with them.
Dagger's engine adds them to every command, which costs nothing on a machine without additional certificates;
so here its images get the same layer instead. BuildKit's Rust image also exists for foreign platforms, since
an emulated build runs the compiler there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.place import Place
from engine import apt, oci, registry
from engine.log import Log
from engine.making import Maker
from engine.recipes import PYTHON, Job, debian, host, rust
from pipeline.releases import DEFAULT
from pipeline.targets import Target, parse, select

CORNER = "bench"
DEBIAN, RUST = debian(DEFAULT), rust(DEFAULT)
BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
LOCAL = Path("usr/local/share/ca-certificates")


def mirror(address: str) -> str:
    """Return the address of BuildKit's mirror of Docker Hub."""
    return f"{address}/{CORNER}"


def store(place: Place, storage: Path, platforms: Sequence[str], emulated: Sequence[str], log: Log) -> None:
    """Put the images into the registry to publish to.

    Args:
        place: directory to make them in.
        storage: the registry's storage.
        platforms: platforms of the runtime images, which the engine made before.
        emulated: foreign platforms to run the compiler on.
    """
    own = place.engine.bases
    systems = [Job(DEBIAN, target, own).image for target in _with_host(platforms)]
    oci.store(storage, f"{CORNER}/{DEBIAN.name}", DEBIAN.tag, systems)
    builders = [_trusting(place, Job(RUST, host(), own))]
    builders += [_trusting(place, _foreign(place, parse(platform), log)) for platform in emulated]
    oci.store(storage, f"{CORNER}/{RUST.name}", RUST.tag, builders)


def trust(place: Place) -> None:
    """Add this machine's root certificates to the stand-ins that the engine runs commands in."""
    storage = registry.stand_ins_storage(place.engine.root)
    for base in (RUST, PYTHON):
        oci.store(storage, base.name, base.tag, [_trusting(place, Job(base, host(), place.engine.bases))])


def _with_host(platforms: Sequence[str]) -> list[Target]:
    return list(dict.fromkeys([host(), *select(list(platforms))]))


def _foreign(place: Place, target: Target, log: Log) -> Job:
    """Build the Rust image of another platform; its packages are set up under QEMU, which takes minutes."""
    job = Job(RUST, target, place.images)
    below = Job(DEBIAN, target, place.images)
    if not below.directory.exists():
        below.directory.symlink_to(Job(DEBIAN, target, place.engine.bases).directory)
    if not job.made:
        maker = Maker(place.images, [apt.release(source) for source in apt.sources(DEFAULT.name)], log)
        with maker.lower(below) as lower:
            maker.make(job, lower)
    return job


def _trusting(place: Place, job: Job) -> oci.Image:
    """Add a layer with this machine's root certificates to an image."""
    final = place.images / f"trusting-{job.directory.name}"
    if not final.exists():
        with tempfile.TemporaryDirectory(dir=place.images) as name:
            work = Path(name)
            tree, image = work / "tree", work / "image"
            image.mkdir()
            for path in (BUNDLE, *_local()):
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(f"/{path}", tree / path)
            diff_id = oci.write_layer(tree, work / "layer", epoch=0)
            oci.write_image(image, job.image.config, work / "layer", diff_id, job.image)
            image.rename(final)
    return oci.Image(final)


def _local() -> list[Path]:
    return [path.relative_to("/") for path in sorted(Path("/", LOCAL).glob("*.crt"))]
