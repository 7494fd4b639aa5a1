"""Write OCI layers and images as files, and into the storage of a registry."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Image:
    """A platform's image: a directory with `manifest.json` and the blobs, named by digest."""

    directory: Path

    @property
    def manifest(self) -> bytes:
        """Return the bytes of the manifest."""
        return (self.directory / "manifest.json").read_bytes()

    @property
    def digest(self) -> str:
        """Return the digest of the manifest."""
        return _sha256(self.manifest)

    @property
    def config(self) -> dict[str, Any]:
        """Return the image's configuration."""
        content: dict[str, Any] = json.loads(self.blob(json.loads(self.manifest)["config"]).read_bytes())
        return content

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Return the descriptors of the layers, lowest first."""
        found: list[dict[str, Any]] = json.loads(self.manifest)["layers"]
        return found

    @property
    def blobs(self) -> list[dict[str, Any]]:
        """Return the descriptors of the layers and the configuration."""
        return [*self.layers, json.loads(self.manifest)["config"]]

    def blob(self, descriptor: dict[str, Any]) -> Path:
        """Return the file of a blob."""
        return self.directory / str(descriptor["digest"]).partition(":")[2]

    def descriptor(self) -> dict[str, Any]:
        """Return this image's entry in an index."""
        config = self.config
        platform = {key: config[key] for key in ("os", "architecture", "variant") if key in config}
        size = len(self.manifest)
        return {"mediaType": MANIFEST, "digest": self.digest, "size": size, "platform": platform}


class LayerFile:
    """A file object that hashes a tar stream and compresses it with pigz, which uses all cores."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = hashlib.sha256()
        with path.open("wb") as output:
            command = ["pigz", "--fast", "--no-name", "--no-time"]
            self._pigz = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output)

    def write(self, data: bytes) -> int:
        """Write a part of the tar stream."""
        assert self._pigz.stdin
        self._hash.update(data)
        return self._pigz.stdin.write(data)

    def close(self) -> str:
        """Close the file and return the digest of the uncompressed stream."""
        assert self._pigz.stdin
        self._pigz.stdin.close()
        if self._pigz.wait():
            raise OSError(f"pigz cannot write {self.path}")
        return f"sha256:{self._hash.hexdigest()}"


def write_layer(tree: Path, path: Path, epoch: int, lower: Path | None = None) -> str:
    """Write a layer from a file tree and return its diff ID.

    The output is reproducible: entries are sorted and no time is later than `epoch`.

    Args:
        lower: the lower tree, if `tree` is the upper directory of an overlay mount.
    """
    layer = LayerFile(path)
    with tarfile.open(fileobj=cast(IO[bytes], layer), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        links: dict[tuple[int, int], str] = {}
        for file in _walk(tree):
            _add(tar, tree, file, links, epoch)
            if lower and _opaque(file) and (lower / file.relative_to(tree)).is_dir():
                tar.addfile(_entry(f"{file.relative_to(tree)}/.wh..wh..opq", epoch))
    return layer.close()


def _walk(top: Path) -> Iterator[Path]:
    for path in sorted(top.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _add(tar: tarfile.TarFile, tree: Path, file: Path, links: dict[tuple[int, int], str], epoch: int) -> None:
    name = str(file.relative_to(tree))
    status = file.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        # Translate a deleted file from overlay mounts to layers.
        tar.addfile(_entry(str(Path(name).with_name(f".wh.{file.name}")), epoch))
        return
    if stat.S_ISSOCK(status.st_mode) or stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        # Containers get their own devices.
        return
    entry = tar.gettarinfo(str(file), name)
    # tarfile also tracks hard links by device and inode, but not reset between files of equal names.
    key = (status.st_dev, status.st_ino)
    if stat.S_ISREG(status.st_mode) and key in links:
        entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, links[key], 0
    elif stat.S_ISREG(status.st_mode):
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", status.st_size
        links[key] = name
    entry.mtime, entry.uname, entry.gname = min(int(status.st_mtime), epoch), "", ""
    if entry.isreg():
        with file.open("rb") as content:
            tar.addfile(entry, content)
        return
    tar.addfile(entry)


def _entry(name: str, epoch: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mtime = epoch
    return entry


def _opaque(directory: Path) -> bool:
    try:
        return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def write_image(
    directory: Path, config: dict[str, Any], layer: Path, diff_id: str, parent: Image | None = None
) -> Image:
    """Write an image directory: the parent's layers, a new layer, configuration and manifest."""
    layers = list(parent.layers) if parent else []
    diff_ids = list(parent.config["rootfs"]["diff_ids"]) if parent else []
    if parent:
        for descriptor in layers:
            name = parent.blob(descriptor).name
            os.link(parent.blob(descriptor), directory / name)
    layers.append(_store(directory, layer, LAYER))
    config["rootfs"] = {"type": "layers", "diff_ids": [*diff_ids, diff_id]}
    file = directory / "config"
    file.write_text(json.dumps(config, sort_keys=True))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _store(directory, file, CONFIG),
        "layers": layers,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, sort_keys=True))
    return Image(directory)


def _store(directory: Path, file: Path, media_type: str) -> dict[str, Any]:
    """Rename a file to its digest and return its descriptor."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    size = file.stat().st_size
    shutil.move(file, directory / digest)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def index(images: Iterable[Image]) -> bytes:
    """Return an index of these images."""
    manifests = [image.descriptor() for image in images]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()


def store(storage: Path, name: str, tag: str, images: list[Image]) -> bool:
    """Write an index and its images to the storage of a docker-registry; return False if it has them.

    The layout is that of its file system driver (distribution 2.8, registry/storage/paths.go). The tag is set
    last, and every file is complete when it appears, so the registry may run meanwhile.

    Args:
        storage: its `rootdirectory`.
        name: the repository, such as `library/debian`.
        tag: the tag.
        images: one image for each platform.
    """
    top = storage / "docker/registry/v2"
    repository, content = top / "repositories" / name, index(images)
    digest = _sha256(content)
    current = repository / "_manifests/tags" / tag / "current/link"
    stored = current.exists() and current.read_text() == digest
    if not stored:
        _store_images(top, repository, images)
        _blob(top, digest, content)
        _link(repository / "_manifests/revisions", digest)
    # A module's function reads the manifests through the engine, which can ask only for blobs.
    for known in (digest, *(image.digest for image in images)):
        _link(repository / "_layers", known)
    if not stored:
        _link(repository / "_manifests/tags" / tag / "index", digest)
        _put(current, digest.encode())
    return not stored


def _store_images(top: Path, repository: Path, images: Iterable[Image]) -> None:
    for image in images:
        for descriptor in image.blobs:
            _blob(top, descriptor["digest"], image.blob(descriptor))
            _link(repository / "_layers", descriptor["digest"])
        _blob(top, image.digest, image.manifest)
        _link(repository / "_manifests/revisions", image.digest)


def _blob(top: Path, digest: str, content: bytes | Path) -> None:
    """Store a blob unless it is there: a file as another name of it, since it never changes."""
    hexadecimal = digest.partition(":")[2]
    path = top / "blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"
    if not path.exists():
        _put(path, content)


def _link(folder: Path, digest: str) -> None:
    _put(folder / digest.replace(":", "/") / "link", digest.encode())


def _put(path: Path, content: bytes | Path) -> None:
    """Write a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    if isinstance(content, bytes):
        new.write_bytes(content)
    else:
        try:
            os.link(content, new)
        except OSError:  # another file system
            shutil.copyfile(content, new)
    new.replace(path)
