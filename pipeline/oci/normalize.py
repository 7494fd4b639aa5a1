"""Normalize images exported by the engine, so that the same content gives the same bytes.

The engine's exports contain times: of directories in layers, of snapshots in configs. After a restart it also
compresses the layers of a base again, with other bytes than in the base's registry. So two builds of a commit
differ, and so do two exports of a build. This module rewrites exported OCI archives into an OCI layout whose
layers, configs, manifests and index depend only on the files, the settings and a given time
(SOURCE_DATE_EPOCH, see https://reproducible-builds.org/specs/source-date-epoch/). The layers of a base in a
registry are the registry's; those of another base are rewritten, and its files keep their times. Everything
added gets the given time.

This file runs as a program in a container of the engine and needs only the standard library:

- `normalize.py image LAYOUT TERMS.json IMAGE.tar[=BASE] …` writes a layout, and prints the digests of its
  programs as JSON. BASE is a JSON document that describes a base in a registry, whose layers are listed as
  they are and not written to the layout; or the normalized layout of a base that is in no registry.
- `normalize.py base LAYOUT BASE.tar` writes the normalized layout of a base; the engine caches it.
- `normalize.py blobs DIRECTORY BASE.json BASE.tar` writes the layers of a base in a registry that the
  engine's export has unchanged, and prints the digests of the others.
- `normalize.py compare BASE-LAYOUT IMAGE.tar` prints `same` if an image starts with a base.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

MADE_BY = "rust-multiarch: "
"""The start of what the history says of layers that this project adds."""

_SYNTHESISED = "buildkit.exporter.image.v0"
"""The comment of history entries that the engine generates, with the current time."""

_ATTRIBUTE = "SCHILY.xattr."
"""The prefix of extended attributes, such as capabilities, in PAX headers."""

GZIP = b"\x1f\x8b"
"""The first bytes of a gzip file."""

LEVEL = 4
"""The level of gzip: programs take 45 % of the time of level 6, and 2 % more bytes (28 MB of services)."""

PIECE = 1 << 20
"""The size in bytes of the pieces that files are copied in."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Terms:
    """The settings of a normalized image.

    Attributes:
        epoch: seconds since 1970, UTC: the time in layers, configs and annotations.
        index: annotations of the index.
        manifests: annotations of each manifest, by platform (`linux/arm64`).
        config: fields added to the `config` section of every image's config, for example `StopSignal`;
            tables are merged with those of the base.
        always_index: make an index even for a single image, instead of a plain manifest.
        programs: absolute paths of the programs whose digests are printed, by platform.
        layers: descriptions of the layers above the base, for the history.
    """

    epoch: int = 0
    index: Mapping[str, str] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    always_index: bool = False
    programs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    layers: Sequence[str] = ()

    def as_json(self) -> str:
        """Return the terms as JSON, for `terms`."""
        return json.dumps(asdict(self))


def terms(document: str) -> Terms:
    """Parse terms from the JSON of `Terms.as_json`."""
    return Terms(**json.loads(document))


@dataclass(frozen=True)
class KnownBase:
    """A platform of a base in a registry.

    Attributes:
        name: its full name.
        layers: the descriptors of its layers.
        diff_ids: the digests of its uncompressed layers.
        history: the history in its config; may be empty.
    """

    name: str
    layers: Sequence[Document]
    diff_ids: Sequence[str]
    history: Sequence[Document] = ()

    @classmethod
    def parse(cls, document: str) -> KnownBase:
        """Parse the document of `oci.base.RegistryBase.as_json`."""
        return cls(**json.loads(document))

    def past(self, epoch: int) -> list[Document]:
        """Return its history, with an entry for every layer."""
        if len(filling(self.history)) == len(self.layers):
            return list(self.history)
        return [step(f"a layer of {self.name}", epoch) for _ in self.layers]


class BlobWriter(io.RawIOBase):
    """A file that counts and hashes the bytes written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any) -> int:
        """Write some bytes."""
        self._file.write(content)
        self._hash.update(content)
        self.size += len(content)
        return len(content)

    @property
    def digest(self) -> str:
        """Return the digest of the bytes written so far."""
        return f"sha256:{self._hash.hexdigest()}"


class LayoutWriter:
    """A writer of an OCI image layout in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def write(self, media_type: str, fill: Callable[[BlobWriter], object]) -> Document:
        """Store a blob that `fill` writes in pieces, and return its descriptor."""
        with tempfile.NamedTemporaryFile(dir=self.path / "blobs", delete=False) as file:
            try:
                blob = BlobWriter(file.file)
                fill(blob)
                file.close()
                Path(file.name).chmod(0o644)
                Path(file.name).replace(self.path / "blobs" / blob.digest.replace(":", "/"))
            except BaseException:
                Path(file.name).unlink()
                raise
        return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}

    def add(self, media_type: str, content: bytes) -> Document:
        """Store a blob and return its descriptor."""
        return self.write(media_type, lambda blob: blob.write(content))

    def add_json(self, media_type: str, document: Document) -> Document:
        """Store a document as compact JSON, keeping the order of keys, and return its descriptor."""
        return self.add(media_type, json.dumps(document, separators=(",", ":")).encode())

    def finish(self, top: Document) -> None:
        """Write index.json, which refers to the index or the only manifest."""
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}
        (self.path / "index.json").write_text(json.dumps(document, separators=(",", ":")))


class ImageReader:
    """A reader of an image in an OCI archive or layout."""

    def __init__(self, open_file: Callable[[str], IO[bytes]]) -> None:
        self._open = open_file

    @classmethod
    def archived(cls, path: Path, opened: ExitStack) -> ImageReader:
        """Open the image of an OCI archive, until `opened` is closed."""
        tar = opened.enter_context(tarfile.open(path))  # noqa: SIM115  closed by the stack

        def open_file(name: str) -> IO[bytes]:
            stream = tar.extractfile(name)
            assert stream is not None, f"{name} is not a file"
            return stream

        return cls(open_file)

    @classmethod
    def laid_out(cls, path: Path) -> ImageReader:
        """Open the image of an OCI layout."""
        return cls(lambda name: (path / name).open("rb"))

    def open(self, digest: str) -> IO[bytes]:
        """Open a blob, which may be too large for memory."""
        return self._open(f"blobs/{digest.replace(':', '/')}")

    def document(self, digest: str) -> Any:
        """Read a JSON blob."""
        with self.open(digest) as stream:
            return json.load(stream)

    def manifest(self) -> Document:
        """Read the manifest of the image, which has one platform."""
        with self._open("index.json") as stream:
            entries = json.load(stream)["manifests"]
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


def normalize_layer(layer: IO[bytes], out: IO[bytes], epoch: int | None = None) -> None:
    """Write a normalized layer as an uncompressed tar: sorted, without user names.

    The contents stay on disk: at most one piece of a file is in memory.

    Args:
        layer: the engine's tar, compressed with gzip or not.
        out: the file to write to, in order.
        epoch: the time of all files, in seconds since 1970; None keeps the times.
    """
    with (
        _seekable(layer) as plain,
        tarfile.open(fileobj=plain, mode="r:") as before,
        tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=PIECE) as after,
    ):
        after.copybufsize = PIECE  # type: ignore[attr-defined]
        contents = {}
        members = {}
        for member in before:
            name = member.name.removeprefix("./").strip("/")
            if name in ("", "."):
                continue
            if member.isreg():
                contents[name] = copy.copy(member)
                # A sparse file of GNU tar becomes a regular file; PAX has no type for it.
                member.type = tarfile.REGTYPE
            members[name] = member
        for name, member in _links_to_the_first(members, contents):
            member.name = name
            member.mtime = int(member.mtime) if epoch is None else epoch
            member.uname = member.gname = ""
            member.pax_headers = {k: v for k, v in member.pax_headers.items() if k.startswith(_ATTRIBUTE)}
            after.addfile(member, before.extractfile(contents[name]) if member.isreg() else None)


@contextmanager
def _seekable(layer: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a layer's uncompressed tar, unpacked to a temporary file if it is compressed."""
    compressed = layer.read(len(GZIP)) == GZIP
    layer.seek(0)
    if not compressed:
        yield layer
        return
    with tempfile.TemporaryFile() as file, gzip.open(layer) as stream:
        shutil.copyfileobj(stream, file, PIECE)
        file.seek(0)
        yield file


def _links_to_the_first(
    members: dict[str, tarfile.TarInfo], contents: dict[str, tarfile.TarInfo]
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


class LayerWriter(io.RawIOBase):
    """A file that compresses what is written to it, without a name or time in gzip's header."""

    def __init__(self, out: BlobWriter) -> None:
        super().__init__()
        self._out = out
        self._deflate = zlib.compressobj(LEVEL, wbits=zlib.MAX_WBITS + 16)
        self._hash = hashlib.sha256()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any) -> int:
        """Compress and write some bytes."""
        self._hash.update(content)
        self._out.write(self._deflate.compress(content))
        return len(content)

    def finish(self) -> str:
        """Write what is left, and return the layer's diff ID, the digest of its uncompressed tar."""
        self._out.write(self._deflate.flush())
        return f"sha256:{self._hash.hexdigest()}"


def normalized_config(
    config: Document,
    diff_ids: Sequence[str],
    epoch: int,
    added: Mapping[str, Any] | None = None,
    history: Sequence[Document] = (),
) -> Document:
    """Return a config with the given time, layers and history.

    Args:
        config: the config exported by the engine.
        diff_ids: the diff IDs of its layers.
        epoch: the time, in seconds since 1970.
        added: see `Terms.config`.
        history: the new history.
    """
    new = copy.deepcopy(config)
    if added:
        before = new.get("config") or {}
        tables = {name: {**(before.get(name) or {}), **v} for name, v in added.items() if isinstance(v, dict)}
        new["config"] = {**before, **added, **tables}
    new["created"] = timestamp(epoch)
    new["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    new["history"] = list(history)
    return new


def filling(history: Iterable[Document]) -> list[Document]:
    """Return the entries of a history that have a layer."""
    return [entry for entry in history if not entry.get("empty_layer")]


def step(what: str, epoch: int) -> Document:
    """Return an entry of a history."""
    return {"created": timestamp(epoch), "created_by": what}


def history_of(config: Document, below: Sequence[Document], terms: Terms) -> list[Document]:
    """Return the history of an image: its base's, then an entry that says what made each other layer.

    Args:
        config: the config exported by the engine, whose generated entries have the current time.
        below: the history of its base, with an entry for each of the base's layers.
        terms: the time, and the descriptions of the layers that are always added.
    """
    own = filling(config.get("history", ()))[len(filling(below)) :]
    named = [*terms.layers, *["a layer of a custom container"] * len(own)]
    steps = [
        step(f"{MADE_BY}{what}", terms.epoch) if entry.get("comment") == _SYNTHESISED else entry
        for entry, what in zip(own, named, strict=False)
    ]
    return [*below, *steps]


def normalize(
    image: ImageReader, base: ImageReader | KnownBase | None, terms: Terms, layout: LayoutWriter
) -> tuple[Document, Document]:
    """Write the normalized layers and config of a platform to a layout.

    Args:
        image: the image exported by the engine, alone, since exports with other images may have other layers.
        base: the base with its first layers, in a registry or normalized; or None.
        terms: the time and the additions to the config.
        layout: the layout to write to.

    Returns:
        Its manifest, not written yet, and the platform for its entry in an index.
    """
    config = image.config()
    layers: list[Document] = []
    diff_ids: list[str] = []
    below: list[Document] = []
    if isinstance(base, KnownBase):
        layers, diff_ids, below = list(base.layers), list(base.diff_ids), base.past(terms.epoch)
    elif base is not None:
        below = [step("a layer of the base", terms.epoch) for _ in base.manifest()["layers"]]
        for descriptor in base.manifest()["layers"]:
            with base.open(descriptor["digest"]) as blob:
                layers.append(layout.write(descriptor["mediaType"], partial(shutil.copyfileobj, blob)))
        diff_ids += base.config()["rootfs"]["diff_ids"]
    for descriptor in image.manifest()["layers"][len(layers) :]:
        with image.open(descriptor["digest"]) as blob:
            _add_layer(blob, terms.epoch, layout, layers, diff_ids)
    past = history_of(config, below, terms)
    new = normalized_config(config, diff_ids, terms.epoch, terms.config, past)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.add_json(CONFIG, new),
        "layers": layers,
    }
    return manifest, platform(config)


def normalize_base(image: ImageReader, layout: LayoutWriter) -> None:
    """Write a base with normalized layers, keeping the times of its files."""
    layers: list[Document] = []
    diff_ids: list[str] = []
    for descriptor in image.manifest()["layers"]:
        with image.open(descriptor["digest"]) as blob:
            _add_layer(blob, None, layout, layers, diff_ids)
    config = normalized_config(image.config(), diff_ids, 0)
    manifest = {"schemaVersion": 2, "config": layout.add_json(CONFIG, config), "layers": layers}
    layout.finish(layout.add_json(MANIFEST, manifest))


def write_unchanged(base: KnownBase, export: ImageReader, directory: Path) -> list[str]:
    """Write the layers of a base that the engine's export has unchanged; return the digests of the others."""
    exported = {descriptor["digest"] for descriptor in export.manifest()["layers"]}
    missing = []
    for digest in dict.fromkeys(descriptor["digest"] for descriptor in base.layers):
        if digest not in exported:
            missing.append(digest)
            continue
        with export.open(digest) as blob, (directory / digest.partition(":")[2]).open("wb") as file:
            writer = BlobWriter(file)
            shutil.copyfileobj(blob, cast(IO[bytes], writer), PIECE)
        if writer.digest != digest:
            sys.exit(f"the engine exported {writer.digest} as {digest}")
    return missing


def starts_with(image: ImageReader, base: ImageReader) -> bool:
    """Return True if the first layers of an exported image are those of a normalized base."""
    expected: list[str] = base.config()["rootfs"]["diff_ids"]
    layers = image.manifest()["layers"][: len(expected)]
    return [_diff_id(image, layer["digest"]) for layer in layers] == expected


def _diff_id(image: ImageReader, digest: str) -> str:
    """Return the diff ID of an exported layer after its normalization."""
    with image.open(digest) as layer, Path(os.devnull).open("wb") as nowhere:
        tar = BlobWriter(nowhere)
        normalize_layer(layer, cast(IO[bytes], tar))
        return tar.digest


def _add_layer(
    layer: IO[bytes], epoch: int | None, layout: LayoutWriter, layers: list[Document], diff_ids: list[str]
) -> None:
    def fill(blob: BlobWriter) -> None:
        out = LayerWriter(blob)
        normalize_layer(layer, cast(IO[bytes], out), epoch)
        diff_ids.append(out.finish())

    layers.append(layout.write(LAYER, fill))


def normalize_index(
    images: Iterable[tuple[ImageReader, ImageReader | KnownBase | None]], terms: Terms, layout: LayoutWriter
) -> dict[str, dict[str, str]]:
    """Write normalized images, each with its base, and their index.

    A single image gets no index by default, since some services for one platform do not accept an index.

    Returns:
        For each platform the digests of the programs in `terms` that its layers have, by path. A base in a
        registry is not searched: its digest proves the programs in it.
    """

    def normalized(
        pair: tuple[ImageReader, ImageReader | KnownBase | None],
    ) -> tuple[Document, Document, str, dict[str, str]]:
        image, base = pair
        manifest, described = normalize(image, base, terms, layout)
        name = "/".join(described[key] for key in ("os", "architecture", "variant") if key in described)
        below = len(base.layers) if isinstance(base, KnownBase) else 0
        written = ImageReader.laid_out(layout.path)
        programs = program_digests(written, manifest["layers"][below:], terms.programs.get(name, ()))
        return manifest, described, name, programs

    # Most time is spent on hashing and compressing, which release Python's global lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(normalized, images))
    entries = []
    for manifest, described, name, _ in made:
        if annotations := terms.manifests.get(name):
            manifest["annotations"] = dict(sorted(annotations.items()))
        entries.append(layout.add_json(MANIFEST, manifest) | {"platform": described})
    top = entries[0]
    if len(entries) > 1 or terms.always_index:
        index: Document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        if terms.index:
            index["annotations"] = dict(sorted(terms.index.items()))
        top = layout.add_json(INDEX, index)
    layout.finish(top)
    return {name: programs for _, _, name, programs in made}


def program_digests(image: ImageReader, layers: Sequence[Document], paths: Iterable[str]) -> dict[str, str]:
    """Return the digests of files in an image by path, each from the topmost layer with it.

    A digest is "" for a file that a layer removes; files that no layer has are left out.
    """
    wanted = {path: [path.strip("/")] for path in paths}  # the names of each, following hard links
    digests = {}
    for layer in reversed(layers):
        names = {followed[-1] for followed in wanted.values()}
        while names:
            found, names = _in_layer(image, layer["digest"], names), set()
            for path, followed in list(wanted.items()):
                kind, value = found.get(followed[-1], ("", ""))
                if kind == "link" and value not in followed:
                    followed.append(value)
                    names.add(value)
                elif kind:
                    del wanted[path]
                    if kind == "file":
                        digests[path] = value
    return digests


def _in_layer(image: ImageReader, digest: str, paths: Set[str]) -> dict[str, tuple[str, str]]:
    """Return what a layer has at some paths, in one pass, since a layer may have many programs.

    Each is `link` and the file it is a hard link to, or `file` and its digest, which is "" if the layer
    removes the file.
    """
    removing: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth, part in enumerate(parts):
            for whiteout in (f".wh.{part}", ".wh..wh..opq"):
                removing.setdefault("/".join([*parts[:depth], whiteout]), set()).add(path)
    removed, found = {}, {}
    with image.open(digest) as layer, tarfile.open(fileobj=layer, mode="r|gz") as tar:
        for member in tar:
            # Files of the layer itself stay; they may come after the whiteout.
            removed.update(dict.fromkeys(removing.get(member.name, ()), ("file", "")))
            if member.name in paths and member.islnk():
                found[member.name] = "link", member.linkname
            if member.name in paths and member.isreg():
                stream: Any = tar.extractfile(member)
                found[member.name] = "file", f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    return {**removed, **found}


def _base(path: str) -> ImageReader | KnownBase | None:
    """Open a base: a document, a layout, or none."""
    if path.endswith(".json"):
        return KnownBase.parse(Path(path).read_text())
    return ImageReader.laid_out(Path(path)) if path else None


def main(arguments: Sequence[str]) -> None:
    """Run the command line described in the module's docstring."""
    what, path, *rest = arguments
    with ExitStack() as opened:
        if what == "compare":
            image = ImageReader.archived(Path(rest[0]), opened)
            print("same" if starts_with(image, ImageReader.laid_out(Path(path))) else "different")
            return
        if what == "blobs":
            known, export = (
                KnownBase.parse(Path(rest[0]).read_text()),
                ImageReader.archived(Path(rest[1]), opened),
            )
            Path(path).mkdir()
            print("\n".join(write_unchanged(known, export, Path(path))))
            return
        layout = LayoutWriter(Path(path))
        if what == "base":
            normalize_base(ImageReader.archived(Path(rest[0]), opened), layout)
            return
        images = []
        for pair in rest[1:]:
            file, _, base = pair.partition("=")
            images.append((ImageReader.archived(Path(file), opened), _base(base)))
        print(json.dumps(normalize_index(images, terms(Path(rest[0]).read_text()), layout)))


if __name__ == "__main__":
    main(sys.argv[1:])
