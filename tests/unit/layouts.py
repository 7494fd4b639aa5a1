"""Small OCI layouts, made in a directory: what a push needs, without a build."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.content import INDEX, MANIFEST, Descriptor, compact, digest_of

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PLATFORMS = ("linux/amd64", "linux/arm64")


def store(path: Path, content: bytes, media_type: str, platform: str = "") -> Descriptor:
    """Content in a layout, and what names it."""
    digest = digest_of(content)
    file = path / "blobs" / digest.replace(":", "/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return Descriptor(media_type, digest, len(content), platform)


def image(path: Path, platform: str, layers: list[bytes]) -> Descriptor:
    """One platform's image in a layout."""
    os, architecture = platform.split("/")
    diffs = [digest_of(layer) for layer in layers]
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
        "layers": [store(path, layer, LAYER).as_json() for layer in layers],
    }
    return store(path, compact(manifest), MANIFEST, platform)


def index(path: Path, entries: list[Descriptor], annotations: dict[str, str] | None = None) -> Descriptor:
    """An index in a layout."""
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [entry.as_json() for entry in entries],
        **({"annotations": annotations} if annotations else {}),
    }
    return store(path, compact(document), INDEX)


def layout(path: Path, root: Descriptor) -> Path:
    """The directory, finished: its index.json names one image."""
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = {"schemaVersion": 2, "manifests": [root.as_json()]}
    (path / "index.json").write_text(json.dumps(entries))
    return path


def sample(path: Path, salt: str = "", size: int = 300_000) -> Path:
    """An index of two platforms that share one layer of `size` bytes, and have a small one each."""
    base = (f"base{salt}".encode() * size)[:size]
    images = [image(path, name, [base, f"program of {name}{salt}".encode()]) for name in PLATFORMS]
    return layout(path, index(path, images, {"org.opencontainers.image.title": "sample"}))
