"""Handle a large file in a process of its own, and print its peak memory in kB.

`python large.py WHAT FOLDER MEGABYTES`; see `WHAT`.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import anyio

from pipeline.attestation import referrers
from pipeline.oci import normalize
from pipeline.oci.layout import Layout
from pipeline.registry import archive, credentials, dial, pushing
from pipeline.registry.address import Destination, parse_source

MEGABYTE = 1 << 20


def sparse(folder: Path, megabytes: int) -> Path:
    """Make a file with no blocks on disk."""
    path = folder / "program"
    with path.open("wb") as file:
        file.truncate(megabytes * MEGABYTE)
    return path


def exported(folder: Path, program: Path) -> Path:
    """Make an image with one large file, as the engine exports it."""
    layout = normalize.LayoutWriter(folder / "exported")

    def fill(blob: normalize.BlobWriter) -> None:
        with (
            gzip.open(blob, "wb", compresslevel=1) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=MEGABYTE) as tar,
        ):
            tar.copybufsize = MEGABYTE  # type: ignore[attr-defined]
            tar.add(program, "usr/local/bin/app")

    layer = layout.write(normalize.LAYER, fill)
    config = layout.add_json(normalize.CONFIG, {"os": "linux", "architecture": "amd64", "config": {}})
    manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
    layout.finish(layout.add_json(normalize.MANIFEST, manifest))
    path = folder / "exported.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(layout.path, "")
    return path


def normalizing(folder: Path, megabytes: int) -> None:
    """Normalize an image, and once more as a base."""
    image = exported(folder, sparse(folder, megabytes))
    (folder / "terms").write_text(normalize.Terms().as_json())
    normalize.main(["base", str(folder / "base"), str(image)])
    normalize.main(["compare", str(folder / "base"), str(image)])
    normalize.main(["image", str(folder / "image"), str(folder / "terms"), f"{image}={folder / 'base'}"])


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry that takes everything, hashes it, and forgets it, but for manifests."""

    protocol_version = "HTTP/1.1"
    manifests: ClassVar[dict[str, tuple[bytes, str]]] = {}
    blob = Path()

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def reply(self, status: int, body: bytes = b"", kind: str = "", **headers: str) -> None:
        """Send a response."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def received(self) -> tuple[bytes, str]:
        """Return the start of the body, and its digest."""
        left, start, found = int(self.headers["Content-Length"]), b"", hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, MEGABYTE))
            start, left = start or piece, left - len(piece)
            found.update(piece)
        return start, f"sha256:{found.hexdigest()}"

    def do_HEAD(self) -> None:
        """Have no blob but the one to download."""
        self.reply(200 if self.blob.name and self.blob.name in self.path else 404)

    def do_POST(self) -> None:
        """Begin an upload."""
        self.reply(202, Location="/v2/upload")

    def do_PUT(self) -> None:
        """Take a blob or a manifest."""
        start, digest = self.received()
        if "/manifests/" in self.path:
            self.manifests[self.path.rpartition("/")[2]] = (start, self.headers["Content-Type"])
            self.reply(201, **{"OCI-Subject": json.loads(start).get("subject", {}).get("digest", "")})
        else:
            wanted = self.path.partition("digest=")[2].replace("%3A", ":")
            self.reply(201 if digest == wanted else 400)

    def do_GET(self) -> None:
        """Give a manifest, or the blob."""
        name = self.path.rpartition("/")[2]
        if self.blob.name and name == self.blob.name:
            self.send_response(200)
            self.send_header("Content-Length", str(self.blob.stat().st_size))
            self.end_headers()
            with self.blob.open("rb") as file:
                while piece := file.read(MEGABYTE):
                    self.wfile.write(piece)
        elif name in self.manifests:
            body, kind = self.manifests[name]
            self.reply(200, body, kind)
        else:
            self.reply(404)


@contextmanager
def serving() -> Iterator[str]:
    """Run the registry, and yield its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def pushing_(folder: Path, megabytes: int) -> None:
    """Push an image with a large layer, and debug symbols of the same size."""
    program = sparse(folder, megabytes)
    layout = normalize.LayoutWriter(folder / "image")
    with program.open("rb") as file:
        layer = layout.write(normalize.LAYER, lambda blob: normalize.shutil.copyfileobj(file, blob, MEGABYTE))
    config = layout.add_json(normalize.CONFIG, {"os": "linux", "architecture": "amd64"})
    manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
    layout.finish(layout.add_json(normalize.MANIFEST, manifest))

    async def run(host: str) -> None:
        image = await Layout.open(folder / "image")
        symbols = referrers.of_symbols(image.root, {"app.debug": program}, {})
        async with dial.registries(credentials.from_secrets({})) as registries:
            to = [Destination(host, "me/app", ("1",))]
            await pushing.push(image, to, registries, artifacts=[symbols])

    with serving() as host:
        anyio.run(run, host)


def caching(folder: Path, megabytes: int) -> None:
    """Push and pull an archive of compiled state."""
    program = sparse(folder, megabytes)

    async def run(host: str) -> None:
        address = parse_source(f"{host}/me/app:buildcache")
        async with dial.registries(credentials.from_secrets({})) as registries:
            await archive.push(program, address, registries)
            layer = (await archive.Archive.of(program)).layer
            Registry.blob = program.rename(folder / layer.digest)
            assert await archive.pull(address, folder / "pulled", registries)

    with serving() as host:
        anyio.run(run, host)


WHAT = {"normalize": normalizing, "push": pushing_, "cache": caching}


def peak() -> int:
    """Return the peak memory of this process in kB, not of the one that started it (as getrusage does)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    WHAT[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    print(peak())
