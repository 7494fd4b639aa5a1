"""Make small OCI layouts in a directory, for pushes without a build."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

from pipeline.oci.layout import INDEX, MANIFEST, Descriptor, compact, digest_of

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PLATFORMS = ("linux/amd64", "linux/arm64")


def store(path: Path, content: bytes, media_type: str, platform: str = "") -> Descriptor:
    """Store content in a layout; return its descriptor."""
    digest = digest_of(content)
    file = path / "blobs" / digest.replace(":", "/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return Descriptor(media_type, digest, len(content), platform)


def tarball(content: bytes) -> bytes:
    """Return a tar archive of one file."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        entry = tarfile.TarInfo("app")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()


def packed(content: bytes) -> bytes:
    """Return a layer of one file, a little larger than the file: it is not compressed."""
    return gzip.compress(tarball(content), compresslevel=0, mtime=0)


def image(path: Path, platform: str, files: list[bytes]) -> Descriptor:
    """Add one platform's image to a layout, with a layer for each of these files."""
    os, architecture = platform.split("/")
    diffs = [digest_of(tarball(file)) for file in files]
    config = {
        "architecture": architecture,
        "config": {"Entrypoint": ["/app"]},
        "os": os,
        "rootfs": {"type": "layers", "diff_ids": diffs},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": store(path, compact(config), CONFIG).as_json(),
        "layers": [store(path, packed(file), LAYER).as_json() for file in files],
    }
    return store(path, compact(manifest), MANIFEST, platform)


def index(path: Path, entries: list[Descriptor], annotations: dict[str, str] | None = None) -> Descriptor:
    """Add an index to a layout."""
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [entry.as_json() for entry in entries],
        **({"annotations": annotations} if annotations else {}),
    }
    return store(path, compact(document), INDEX)


def layout(path: Path, root: Descriptor) -> Path:
    """Finish a layout: write its index.json with one image."""
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = {"schemaVersion": 2, "manifests": [root.as_json()]}
    (path / "index.json").write_text(json.dumps(entries))
    return path


def sample(path: Path, salt: str = "", size: int = 300_000) -> Path:
    """Make an index of two platforms, which share a layer of `size` bytes and have a small one each."""
    base = (f"base{salt}".encode() * size)[:size]
    images = [image(path, name, [base, f"program of {name}{salt}".encode()]) for name in PLATFORMS]
    return layout(path, index(path, images, {"org.opencontainers.image.title": "sample"}))


def largest(path: Path) -> Path:
    """Return the largest blob of a layout."""
    return max((path / "blobs/sha256").iterdir(), key=lambda blob: blob.stat().st_size)
