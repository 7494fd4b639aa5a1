"""Sealing: an image as the engine exports it, made into the same bytes for the same content.

The engine stamps what it exports: layers carry the time their directories were made, configs the time their
snapshots were; and once it was restarted it makes the layers of a base anew, with other bytes than the base
has in its registry. Two builds of one commit then differ, and so do two exports of one build. This module
rewrites exported OCI archives into an OCI layout in which layers, configs, manifests and the index depend on
nothing but the files, the settings and one given time (SOURCE_DATE_EPOCH, as
https://reproducible-builds.org/specs/source-date-epoch/ defines it). Files of the base keep their own times;
everything added to it gets the given one.

It needs the standard library only, because it runs as a program in a container of the engine:
`python seal.py base LAYOUT BASE.tar` once for each base, which takes seconds and stays in the engine's cache,
then `python seal.py image LAYOUT TERMS.json IMAGE.tar[=BASE LAYOUT] …`; `python seal.py compare BASE-LAYOUT
IMAGE.tar` tells whether an image starts with a base.
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
"""The comment of history entries that the engine makes up, with its own clock, where none is known."""

_ATTRIBUTE = "SCHILY.xattr."
"""The prefix of extended attributes, such as a program's capabilities, among a tar's records."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Terms:
    """What a sealed image is given besides its content.

    Attributes:
        epoch: seconds since 1970, UTC: the time in layers, configs and annotations.
        index: annotations of the index.
        manifests: annotations of each manifest, by platform (`linux/arm64`).
        config: fields that are added to the settings in every image's config, for example `StopSignal`.
        always_index: make an index also for one image, which otherwise gets a plain manifest.
    """

    epoch: int = 0
    index: Mapping[str, str] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    always_index: bool = False

    def as_json(self) -> str:
        """The terms as the document that `terms` reads."""
        return json.dumps(asdict(self))


def terms(document: str) -> Terms:
    """The terms that `Terms.as_json` wrote."""
    return Terms(**json.loads(document))


class LayoutWriter:
    """An OCI image layout being written to a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, media_type: str, content: bytes) -> Document:
        """Store a blob; its descriptor."""
        hexadecimal = hashlib.sha256(content).hexdigest()
        (self.path / "blobs/sha256" / hexadecimal).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{hexadecimal}", "size": len(content)}

    def add_json(self, media_type: str, document: Document) -> Document:
        """Store a document, its keys in the order given and no space between; its descriptor."""
        return self.add(media_type, json.dumps(document, separators=(",", ":")).encode())

    def finish(self, top: Document) -> None:
        """Write index.json, which names the one index or manifest."""
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}
        (self.path / "index.json").write_text(json.dumps(document, separators=(",", ":")))


class ImageReader:
    """An image in an OCI archive or layout, read blob by blob."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read

    @classmethod
    def archived(cls, path: Path, opened: ExitStack) -> ImageReader:
        """The image of an OCI archive, which can be read until `opened` is closed."""
        tar = opened.enter_context(tarfile.open(path))  # noqa: SIM115  closed by the stack

        def read(name: str) -> bytes:
            stream = tar.extractfile(name)
            assert stream is not None, f"{name} is no file"
            return stream.read()

        return cls(read)

    @classmethod
    def laid_out(cls, path: Path) -> ImageReader:
        """The image of an OCI layout."""
        return cls(lambda name: (path / name).read_bytes())

    def blob(self, digest: str) -> bytes:
        """The content of a blob."""
        return self._read(f"blobs/{digest.replace(':', '/')}")

    def document(self, digest: str) -> Any:
        """A blob that is JSON."""
        return json.loads(self.blob(digest))

    def manifest(self) -> Document:
        """The manifest of the image, which is one platform's."""
        entries = json.loads(self._read("index.json"))["manifests"]
        while "index" in entries[0]["mediaType"]:
            entries = self.document(entries[0]["digest"])["manifests"]
        (entry,) = entries
        return dict(self.document(entry["digest"]))

    def config(self) -> Document:
        """The image's config."""
        return dict(self.document(self.manifest()["config"]["digest"]))


def timestamp(epoch: int) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, for example 1970-01-01T00:00:00Z."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def platform(config: Mapping[str, Any]) -> Document:
    """The platform of an index entry, as an image's config states it."""
    return {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}


def sealed_layer(layer: IO[bytes], epoch: int | None = None) -> bytes:
    """A layer as an uncompressed tar that depends on its files alone: sorted, without user names.

    Args:
        layer: the tar as the engine made it, compressed or not.
        epoch: seconds since 1970 that every time is set to; each keeps its own if None.
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
                # Read, a sparse file of GNU tar's is one like others; PAX has no type for it.
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
    """The members by name, each group of hard links with its file under the first of its names."""
    groups: dict[str, list[str]] = {}
    for name, member in members.items():
        if member.islnk():
            groups.setdefault(_linked(members, name), []).append(name)
    for file, links in groups.items():
        whole = members.get(file)
        if whole is None or whole.islnk():  # a file of a lower layer, or links that lead in a circle
            for name in links:
                members[name] = link = copy.copy(members[name])
                link.linkname, link.size = file, 0
            continue
        first, *others = sorted([file, *links])
        if file in contents:  # what is no file, such as a symbolic link, has names too, and no content
            contents[first] = contents.pop(file)
        members[first] = copy.copy(whole)
        for name in others:
            members[name] = link = copy.copy(whole)
            link.type, link.linkname, link.size = tarfile.LNKTYPE, first, 0
    return sorted(members.items())


def _linked(members: Mapping[str, tarfile.TarInfo], name: str) -> str:
    """Return the name of what a hard link is another name of, through links to links."""
    seen = set()
    while name in members and members[name].islnk() and name not in seen:
        seen.add(name)
        name = members[name].linkname.removeprefix("./").strip("/")
    return name


def compressed(content: bytes) -> bytes:
    """Gzip without a name or a time in it."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def sealed_config(
    config: Document, diff_ids: Sequence[str], epoch: int, added: Mapping[str, str] | None = None
) -> Document:
    """An image's config with one time, the layers it has now, and a history without the engine's clock.

    Args:
        config: as the engine exported it.
        diff_ids: what its layers are called.
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


def seal(
    image: ImageReader, base: ImageReader | None, terms: Terms, layout: LayoutWriter
) -> tuple[Document, Document]:
    """Write one platform's sealed layers and config to a layout.

    Args:
        image: as the engine exported it, alone: exported with others it may get other layers.
        base: the sealed image that its first layers come from, or None.
        terms: the time, and what is added to the config.
        layout: where to write.

    Returns:
        Its manifest, not written yet, and the platform of its entry in an index.
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
        "config": layout.add_json(CONFIG, sealed_config(config, diff_ids, terms.epoch, terms.config)),
        "layers": layers,
    }
    return manifest, platform(config)


def seal_base(image: ImageReader, layout: LayoutWriter) -> None:
    """Write a base with layers that depend on its files alone, whose times it keeps."""
    layers: list[Document] = []
    diff_ids: list[str] = []
    for descriptor in image.manifest()["layers"]:
        _add_layer(image.blob(descriptor["digest"]), None, layout, layers, diff_ids)
    config = sealed_config(image.config(), diff_ids, 0)
    manifest = {"schemaVersion": 2, "config": layout.add_json(CONFIG, config), "layers": layers}
    layout.finish(layout.add_json(MANIFEST, manifest))


def starts_with(image: ImageReader, base: ImageReader) -> bool:
    """Whether the first layers of an image, as the engine exported it, are those of a sealed base."""
    expected: list[str] = base.config()["rootfs"]["diff_ids"]
    layers = image.manifest()["layers"][: len(expected)]
    blobs = (image.blob(layer["digest"]) for layer in layers)
    return [diff_id(sealed_layer(io.BytesIO(blob))) for blob in blobs] == expected


def diff_id(tar: bytes) -> str:
    """What a config calls a layer: the digest of its uncompressed tar."""
    return f"sha256:{hashlib.sha256(tar).hexdigest()}"


def _add_layer(
    content: bytes, epoch: int | None, layout: LayoutWriter, layers: list[Document], diff_ids: list[str]
) -> None:
    tar = sealed_layer(io.BytesIO(content), epoch)
    layers.append(layout.add(LAYER, compressed(tar)))
    diff_ids.append(diff_id(tar))


def seal_index(
    images: Iterable[tuple[ImageReader, ImageReader | None]], terms: Terms, layout: LayoutWriter
) -> str:
    """Write sealed images, each with its base, and the index of them; the digest of the layout's image.

    One image alone is not put into an index: services that deploy one platform refuse an index.
    """
    # Hashing and compressing, which is what takes time, hold no lock of Python's.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sealed = list(pool.map(lambda pair: seal(pair[0], pair[1], terms, layout), images))
    entries = []
    for manifest, described in sealed:
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
    """Seal as the command line of this program asks, which the module's docstring shows."""
    what, path, *rest = arguments
    with ExitStack() as opened:
        if what == "compare":
            image = ImageReader.archived(Path(rest[0]), opened)
            print("same" if starts_with(image, ImageReader.laid_out(Path(path))) else "different")
            return
        layout = LayoutWriter(Path(path))
        if what == "base":
            seal_base(ImageReader.archived(Path(rest[0]), opened), layout)
            return
        images = []
        for pair in rest[1:]:
            file, _, base = pair.partition("=")
            pair_of = (
                ImageReader.archived(Path(file), opened),
                ImageReader.laid_out(Path(base)) if base else None,
            )
            images.append(pair_of)
        print(seal_index(images, terms(Path(rest[0]).read_text()), layout))


if __name__ == "__main__":
    main(sys.argv[1:])
