"""Normalize images exported by the engine, so that the same content gives the same bytes.

The engine's exports contain times: of directories in layers, of snapshots in configs. After a restart it also
compresses the layers of a base again, with other bytes than in the base's registry. So two builds of a commit
differ, and so do two exports of a build. This module rewrites exported OCI archives into an OCI layout whose
layers, configs, manifests and index depend only on the files, the settings and a given time
(SOURCE_DATE_EPOCH, see https://reproducible-builds.org/specs/source-date-epoch/). Files of the base keep
their times; everything added gets the given time.

This file runs as a program in a container of the engine and needs only the standard library: `python
normalize.py base LAYOUT BASE.tar` once for each base, cached by the engine, then `python normalize.py image
LAYOUT TERMS.json IMAGE.tar[=BASE LAYOUT] …`. `python normalize.py compare BASE-LAYOUT IMAGE.tar` prints
`same` if an image starts with a base.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

_SYNTHESISED = "buildkit.exporter.image.v0"
"""The comment of history entries that the engine generates, with the current time."""

_ATTRIBUTE = "SCHILY.xattr."
"""The prefix of extended attributes, such as capabilities, in PAX headers."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Terms:
    """The settings of a normalized image.

    Attributes:
        epoch: seconds since 1970, UTC: the time in layers, configs and annotations.
        index: annotations of the index.
        manifests: annotations of each manifest, by platform (`linux/arm64`).
        config: fields added to the `config` section of every image's config, for example `StopSignal`.
        always_index: make an index even for a single image, instead of a plain manifest.
    """

    epoch: int = 0
    index: Mapping[str, str] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    always_index: bool = False

    def as_json(self) -> str:
        """Return the terms as JSON, for `terms`."""
        return json.dumps(asdict(self))


def terms(document: str) -> Terms:
    """Parse terms from the JSON of `Terms.as_json`."""
    return Terms(**json.loads(document))


class LayoutWriter:
    """A writer of an OCI image layout in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, media_type: str, content: bytes) -> Document:
        """Store a blob and return its descriptor."""
        hexadecimal = hashlib.sha256(content).hexdigest()
        (self.path / "blobs/sha256" / hexadecimal).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{hexadecimal}", "size": len(content)}

    def add_json(self, media_type: str, document: Document) -> Document:
        """Store a document as compact JSON, keeping the order of keys, and return its descriptor."""
        return self.add(media_type, json.dumps(document, separators=(",", ":")).encode())

    def finish(self, top: Document) -> None:
        """Write index.json, which refers to the index or the only manifest."""
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}
        (self.path / "index.json").write_text(json.dumps(document, separators=(",", ":")))


class ImageReader:
    """A reader of an image in an OCI archive or layout."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read

    @classmethod
    def archived(cls, path: Path, opened: ExitStack) -> ImageReader:
        """Open the image of an OCI archive, until `opened` is closed."""
        tar = opened.enter_context(tarfile.open(path))  # noqa: SIM115  closed by the stack

        def read(name: str) -> bytes:
            stream = tar.extractfile(name)
            assert stream is not None, f"{name} is not a file"
            return stream.read()

        return cls(read)

    @classmethod
    def laid_out(cls, path: Path) -> ImageReader:
        """Open the image of an OCI layout."""
        return cls(lambda name: (path / name).read_bytes())

    def blob(self, digest: str) -> bytes:
        """Read a blob."""
        return self._read(f"blobs/{digest.replace(':', '/')}")

    def document(self, digest: str) -> Any:
        """Read a JSON blob."""
        return json.loads(self.blob(digest))

    def manifest(self) -> Document:
        """Read the manifest of the image, which has one platform."""
        entries = json.loads(self._read("index.json"))["manifests"]
        while "index" in entries[0]["mediaType"]:
            entries = self.document(entries[0]["digest"])["manifests"]
        (entry,) = entries
        return dict(self.document(entry["digest"]))

    def config(self) -> Document:
        """Read the image's config."""
        return dict(self.document(self.manifest()["config"]["digest"]))


def timestamp(epoch: int) -> str:
    """Format seconds since 1970 as RFC 3339 in UTC, for example 1970-01-01T00:00:00Z."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def platform(config: Mapping[str, Any]) -> Document:
    """Return the platform for an index entry, from an image's config."""
    return {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}


def normalized_layer(layer: IO[bytes], epoch: int | None = None) -> bytes:
    """Return a normalized layer as an uncompressed tar: sorted, without user names.

    Args:
        layer: the engine's tar, compressed or not.
        epoch: the time of all files, in seconds since 1970; None keeps the times.
    """
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=layer, mode="r:*") as before,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        contents = {}
        members = {}
        for member in before:
            name = member.name.removeprefix("./").strip("/")
            if name in ("", "."):
                continue
            if member.isreg():
                stream = before.extractfile(member)
                contents[name] = stream.read() if stream else b""
                # A sparse file of GNU tar becomes a regular file; PAX has no type for it.
                member.type, member.size = tarfile.REGTYPE, len(contents[name])
            members[name] = member
        for name, member in _links_to_the_first(members, contents):
            member.name = name
            member.mtime = int(member.mtime) if epoch is None else epoch
            member.uname = member.gname = ""
            member.pax_headers = {k: v for k, v in member.pax_headers.items() if k.startswith(_ATTRIBUTE)}
            after.addfile(member, io.BytesIO(contents[name]) if member.isreg() else None)
    return out.getvalue()


def _links_to_the_first(
    members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]
) -> list[tuple[str, tarfile.TarInfo]]:
    """Return the sorted members; in each group of hard links, the first name has the file."""
    groups: dict[str, list[str]] = {}
    for name, member in members.items():
        if member.islnk():
            groups.setdefault(_linked(members, name), []).append(name)
    for file, links in groups.items():
        whole = members.get(file)
        if whole is None or whole.islnk():  # a file of a lower layer, or a cycle of links
            for name in links:
                members[name] = link = copy.copy(members[name])
                link.linkname, link.size = file, 0
            continue
        first, *others = sorted([file, *links])
        if file in contents:  # other members, such as symbolic links, have hard links but no content
            contents[first] = contents.pop(file)
        members[first] = copy.copy(whole)
        for name in others:
            members[name] = link = copy.copy(whole)
            link.type, link.linkname, link.size = tarfile.LNKTYPE, first, 0
    return sorted(members.items())


def _linked(members: Mapping[str, tarfile.TarInfo], name: str) -> str:
    """Return the target of a hard link, following links to links."""
    seen = set()
    while name in members and members[name].islnk() and name not in seen:
        seen.add(name)
        name = members[name].linkname.removeprefix("./").strip("/")
    return name


def compressed(content: bytes) -> bytes:
    """Compress with gzip, without a name or time in the header."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def normalized_config(
    config: Document, diff_ids: Sequence[str], epoch: int, added: Mapping[str, str] | None = None
) -> Document:
    """Return a config with the given time and layers, and a history without the engine's times.

    Args:
        config: the config exported by the engine.
        diff_ids: the diff IDs of its layers.
        epoch: the time, in seconds since 1970.
        added: see `Terms.config`.
    """
    new = copy.deepcopy(config)
    if added:
        new["config"] = {**(new.get("config") or {}), **added}
    new["created"] = timestamp(epoch)
    new["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    new["history"] = [_history(entry, epoch) for entry in config.get("history", ())]
    return new


def _history(entry: Document, epoch: int) -> Document:
    if entry.get("comment") != _SYNTHESISED:
        return entry
    made = {"created": timestamp(epoch), "created_by": "rust-multiarch"}
    return made | {"empty_layer": True} if entry.get("empty_layer") else made


def normalize(
    image: ImageReader, base: ImageReader | None, terms: Terms, layout: LayoutWriter
) -> tuple[Document, Document]:
    """Write the normalized layers and config of a platform to a layout.

    Args:
        image: the image exported by the engine, alone, since exports with other images may have other layers.
        base: the normalized base with its first layers, or None.
        terms: the time and the additions to the config.
        layout: the layout to write to.

    Returns:
        Its manifest, not written yet, and the platform for its entry in an index.
    """
    config = image.config()
    layers: list[Document] = []
    diff_ids: list[str] = []
    if base is not None:
        for descriptor in base.manifest()["layers"]:
            layers.append(layout.add(descriptor["mediaType"], base.blob(descriptor["digest"])))
        diff_ids += base.config()["rootfs"]["diff_ids"]
    for descriptor in image.manifest()["layers"][len(layers) :]:
        _add_layer(image.blob(descriptor["digest"]), terms.epoch, layout, layers, diff_ids)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.add_json(CONFIG, normalized_config(config, diff_ids, terms.epoch, terms.config)),
        "layers": layers,
    }
    return manifest, platform(config)


def normalize_base(image: ImageReader, layout: LayoutWriter) -> None:
    """Write a base with normalized layers, keeping the times of its files."""
    layers: list[Document] = []
    diff_ids: list[str] = []
    for descriptor in image.manifest()["layers"]:
        _add_layer(image.blob(descriptor["digest"]), None, layout, layers, diff_ids)
    config = normalized_config(image.config(), diff_ids, 0)
    manifest = {"schemaVersion": 2, "config": layout.add_json(CONFIG, config), "layers": layers}
    layout.finish(layout.add_json(MANIFEST, manifest))


def starts_with(image: ImageReader, base: ImageReader) -> bool:
    """Return True if the first layers of an exported image are those of a normalized base."""
    expected: list[str] = base.config()["rootfs"]["diff_ids"]
    layers = image.manifest()["layers"][: len(expected)]
    blobs = (image.blob(layer["digest"]) for layer in layers)
    return [diff_id(normalized_layer(io.BytesIO(blob))) for blob in blobs] == expected


def diff_id(tar: bytes) -> str:
    """Return a layer's diff ID, the digest of its uncompressed tar."""
    return f"sha256:{hashlib.sha256(tar).hexdigest()}"


def _add_layer(
    content: bytes, epoch: int | None, layout: LayoutWriter, layers: list[Document], diff_ids: list[str]
) -> None:
    tar = normalized_layer(io.BytesIO(content), epoch)
    layers.append(layout.add(LAYER, compressed(tar)))
    diff_ids.append(diff_id(tar))


def normalize_index(
    images: Iterable[tuple[ImageReader, ImageReader | None]], terms: Terms, layout: LayoutWriter
) -> str:
    """Write normalized images, each with its base, and their index; return the digest of the root.

    A single image gets no index by default, since some services for one platform do not accept an index.
    """
    # Most time is spent on hashing and compressing, which release Python's global lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        normalized = list(pool.map(lambda pair: normalize(pair[0], pair[1], terms, layout), images))
    entries = []
    for manifest, described in normalized:
        name = "/".join(described[key] for key in ("os", "architecture", "variant") if key in described)
        if annotations := terms.manifests.get(name):
            manifest["annotations"] = dict(sorted(annotations.items()))
        entries.append(layout.add_json(MANIFEST, manifest) | {"platform": described})
    if len(entries) == 1 and not terms.always_index:
        layout.finish(entries[0])
        return str(entries[0]["digest"])
    index: Document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    if terms.index:
        index["annotations"] = dict(sorted(terms.index.items()))
    descriptor = layout.add_json(INDEX, index)
    layout.finish(descriptor)
    return str(descriptor["digest"])


def main(arguments: Sequence[str]) -> None:
    """Run the command line described in the module's docstring."""
    what, path, *rest = arguments
    with ExitStack() as opened:
        if what == "compare":
            image = ImageReader.archived(Path(rest[0]), opened)
            print("same" if starts_with(image, ImageReader.laid_out(Path(path))) else "different")
            return
        layout = LayoutWriter(Path(path))
        if what == "base":
            normalize_base(ImageReader.archived(Path(rest[0]), opened), layout)
            return
        images = []
        for pair in rest[1:]:
            file, _, base = pair.partition("=")
            pair_of = (
                ImageReader.archived(Path(file), opened),
                ImageReader.laid_out(Path(base)) if base else None,
            )
            images.append(pair_of)
        print(normalize_index(images, terms(Path(rest[0]).read_text()), layout))


if __name__ == "__main__":
    main(sys.argv[1:])
