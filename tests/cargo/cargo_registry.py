"""Serve a cargo registry on the loopback interface, and run fetch.sh with a project that needs its crates."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cargo_driver as driver
from cargo_project import manifest

NAME = "corp"
CONFIGURATION = ".cargo/config.toml"
TIME = 1153704088
"""The time of the files in crates that cargo packs."""


@dataclass
class Registry:
    """A sparse registry: paths and their content, the tokens that requests had, and one that it requires."""

    files: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0
    token: str = ""

    @property
    def index(self) -> str:
        return f"sparse+http://127.0.0.1:{self.port}/index/"

    def configure(self) -> None:
        document = {"dl": f"http://127.0.0.1:{self.port}/dl/{{crate}}", "auth-required": bool(self.token)}
        self.files["/index/config.json"] = json.dumps(document).encode()

    def add(self, name: str, code: str) -> str:
        """Add version 0.1.0 of a crate, and return its checksum."""
        return self.add_files(name, {"Cargo.toml": manifest(name), "src/lib.rs": code})

    def add_files(self, name: str, files: Mapping[str, str], needs: Sequence[str] = ()) -> str:
        """Add version 0.1.0 of a crate that needs other crates of the registry, and return its checksum."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for path, text in files.items():
                info = tarfile.TarInfo(f"{name}-0.1.0/{path}")
                info.size, info.mtime = len(text), TIME
                tar.addfile(info, io.BytesIO(text.encode()))
        archive = packed.getvalue()
        checksum = hashlib.sha256(archive).hexdigest()
        entry = {
            "name": name,
            "vers": "0.1.0",
            "deps": [
                {"name": need, "req": "^0.1", "features": [], "optional": False, "default_features": True}
                | {"target": None, "kind": "normal"}
                for need in needs
            ],
            "cksum": checksum,
            "features": {},
            "yanked": False,
        }
        self.files[f"/dl/{name}"] = archive
        self.files[f"/index/{name[:2]}/{name[2:4]}/{name}"] = json.dumps(entry).encode() + b"\n"
        return checksum

    def downloads(self) -> list[str]:
        return [path for path, _ in self.seen if path.startswith("/dl/")]


@contextmanager
def served(token: str = "") -> Iterator[Registry]:
    """Serve an empty registry."""
    registry = Registry(token=token)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.headers.get("Authorization", "")
            registry.seen.append((self.path, sent))
            content = registry.files.get(self.path)
            denied = registry.token and sent != registry.token
            self.send_response(401 if denied else 404 if content is None else 200)
            self.end_headers()
            if content is not None and not denied:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.port = server.server_port
    registry.configure()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()


def project(registry: Registry, checksums: Mapping[str, str], main: str = "fn main() {}\n") -> dict[str, str]:
    """Return the files of a program that depends on crates of a registry."""
    needed = "".join(f'{name} = {{ version = "0.1.0", registry = "{NAME}" }}\n' for name in checksums)
    lock = 'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\ndependencies = [\n'
    lock += "".join(f' "{name}",\n' for name in checksums) + "]\n"
    for name, checksum in checksums.items():
        lock += f'\n[[package]]\nname = "{name}"\nversion = "0.1.0"\nsource = "{registry.index}"\n'
        lock += f'checksum = "{checksum}"\n'
    return {
        "Cargo.toml": manifest("app", f"[dependencies]\n{needed}"),
        "Cargo.lock": lock,
        "src/main.rs": main,
        CONFIGURATION: f'[registries.{NAME}]\nindex = "{registry.index}"\n',
    }


@dataclass(frozen=True)
class Fetched:
    """The result of a fetch: cargo's home, and what the command printed."""

    home: Path
    done: subprocess.CompletedProcess[str]

    def archive(self, name: str) -> Path:
        (found,) = self.home.glob(f"registry/cache/*/{name}-0.1.0.crate")
        return found

    def code(self, name: str) -> Path:
        (found,) = self.home.glob(f"registry/src/*/{name}-0.1.0/src/lib.rs")
        return found


def environment(home: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in driver.ENVIRONMENT.items() if name != "CARGO_HOME"}
    # Without CARGO_HOME, rustup needs its own home to find cargo.
    return {**kept, "CARGO_HOME": str(home), **variables}


def fetch(
    source: Path,
    home: Path,
    volume: Path,
    archive: str = "",
    variables: Mapping[str, str] | None = None,
    configuration: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Fetched:
    """Run fetch.sh with an empty home, and with this configuration or the project's."""
    configured = home.with_name(f"{home.name}-configuration")
    configured.mkdir(parents=True, exist_ok=True)
    files = {name: (source / name).read_text() for name in [CONFIGURATION] if (source / name).exists()}
    for name, text in (files if configuration is None else configuration).items():
        (configured / name).parent.mkdir(parents=True, exist_ok=True)
        (configured / name).write_text(text)
    places = [str(volume), str(source), "Cargo.lock", str(configured), archive]
    done = subprocess.run(
        ["bash", str(driver.HERE / "fetch.sh"), *places, "cargo", "fetch", "--locked", *arguments],
        cwd=source, env=environment(home, **(variables or {})), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Fetched(home, done)
