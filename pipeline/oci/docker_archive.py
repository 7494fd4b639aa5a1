"""Write a platform of a normalized image as a Docker archive, for `docker load` and `podman load`.

OCI archives are loaded only by Docker 25 and later, and without a name. The format is defined in
https://github.com/moby/docker-image-spec (v1.2, "Combined Image JSON + Filesystem Changeset Format"). Layers
and config are the normalized ones, so a loaded image has the same ID as the pushed one.

This file runs as a program in a container of the engine and needs only the standard library:
`python docker_archive.py LAYOUT ARCHIVE PLATFORM [NAME …]`.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def tagged(name: str) -> str:
    """Return a name with a tag, since the archive has no default tag: `me/app` is `me/app:latest`."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def write(layout: Path, archive: Path, platform: str, names: Sequence[str]) -> None:
    """Write a platform of a layout's image as a Docker archive, reproducibly.

    Args:
        layout: an OCI layout with an index of images, or with one image.
        archive: the file to write.
        platform: the OCI platform, for example linux/arm64.
        names: the names of the loaded image; may be empty.

    Raises:
        StopIteration: the layout has no such platform.
    """
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    while len(entries) == 1 and "index" in entries[0]["mediaType"]:
        entries = _document(layout, entries[0])["manifests"]
    entry = next(entry for entry in entries if _platform(entry["platform"]) == platform)
    manifest = _document(layout, entry)
    files = {f"{_hexadecimal(manifest['config'])}.json": _blob(layout, manifest["config"])}
    layers = []
    for layer in manifest["layers"]:
        layers.append(f"{_hexadecimal(layer)}.tar.gz")
        files[layers[-1]] = _blob(layout, layer)
    described = {"Config": next(iter(files)), "RepoTags": [*map(tagged, names)], "Layers": layers}
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        content = json.dumps([described]).encode()
        member = tarfile.TarInfo("manifest.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        for name, path in files.items():
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            with path.open("rb") as stream:
                tar.addfile(member, stream)


def _platform(described: dict[str, str]) -> str:
    return "/".join(described[key] for key in ("os", "architecture", "variant") if described.get(key))


def _hexadecimal(descriptor: dict[str, Any]) -> str:
    return str(descriptor["digest"]).rpartition(":")[2]


def _blob(layout: Path, descriptor: dict[str, Any]) -> Path:
    return layout / "blobs/sha256" / _hexadecimal(descriptor)


def _document(layout: Path, descriptor: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(_blob(layout, descriptor).read_text()))


if __name__ == "__main__":
    _, _layout, _archive, _of, *_names = sys.argv
    write(Path(_layout), Path(_archive), _of, _names)
