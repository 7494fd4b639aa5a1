"""Run Debian's docker-registry on the loopback interface: one to publish to, one with the stand-in images.

Every user of this machine may push to the first. The second is read-only, and its storage belongs to root:
the engine uses it as a mirror of Docker Hub, so nobody else can change the base images of its builds. Its
port is privileged, so no other user can take the port while the registry is down.

A running registry is found by the configuration file among its arguments; see `engine.process`.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.locks import exclusive
from engine.paths import Paths, default_root
from engine.process import disown, find, send, wait_gone
from pipeline.errors import BaseImageUnavailable, PrerequisitesMissing

PACKAGES = ("docker-registry",)
HOST = "127.0.0.1"
PORT = 5000
PRIVILEGED = range(500, 1024)
"""The ports for the stand-ins; by default, Linux lets only root listen at ports below 1024."""

START_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Throwaway:
    """A registry that runs during a `with` block."""

    address: str
    storage: Path
    certificate: Path | None = None


def address_of(port: int) -> str:
    """Return the registry's name in image references."""
    return f"{HOST}:{port}"


def storage(port: int, *, cache: Path | None = None) -> Path:
    """Return the storage of the registry to publish to."""
    return _home(cache) / str(port)


def stand_ins_storage(cache: Path | None = None) -> Path:
    """Return the directory of the stand-ins' registry, which `oci.store` writes to."""
    return _home(cache) / "stand-ins"


def stand_ins_port(*, cache: Path | None = None) -> int:
    """Return the port of the stand-ins' registry: the last one, unless another program has taken it.

    Raises:
        BaseImageUnavailable: no port is free.
    """
    return _kept_port(_home(cache), "stand-ins", privileged_port)


def publishing_port(*, cache: Path | None = None) -> int:
    """Return the port of the registry to publish to: the last one, else 5000, else a free one."""
    home = _home(cache)
    return _kept_port(home, "publishing", lambda: PORT if _usable(home, PORT) else free_port())


def _kept_port(home: Path, name: str, choose: Callable[[], int]) -> int:
    """Return the port in a file; choose another one if the file is missing, or a program uses the port."""
    kept = home / f"{name}.port"
    with suppress(OSError, ValueError):
        port = int(kept.read_text())
        if _usable(home, port):
            return port
    port = choose()
    kept.write_text(str(port))
    return port


def _usable(home: Path, port: int) -> bool:
    return bool(find([str(_config_path(home, port))])) or not _listening(port)


def ensure_stand_ins(*, cache: Path | None = None) -> str:
    """Start the read-only registry of the stand-ins; see `ensure`."""
    port = stand_ins_port(cache=cache)
    content = stand_ins_storage(cache)
    content.mkdir(exist_ok=True)
    content.chmod(0o700)
    settings = _config(address_of(port), content)
    settings["storage"]["delete"]["enabled"] = False
    settings["storage"]["maintenance"]["readonly"] = {"enabled": True}
    return _ensure(port, settings, cache)


def ensure(port: int, *, cache: Path | None = None) -> str:
    """Start the registry to publish to, unless it is running, and return its address.

    Raises:
        BaseImageUnavailable: another program uses the port, or the registry does not start.
        PrerequisitesMissing: docker-registry is not installed.
    """
    return _ensure(port, _config(address_of(port), storage(port, cache=cache)), cache)


def _ensure(port: int, settings: Mapping[str, Any], cache: Path | None) -> str:
    home = _home(cache)
    config = _config_path(home, port)
    with exclusive(home / "lock"):
        if find([str(config)]) and _wait_answering(port, START_SECONDS):
            return address_of(port)
        _end(config)
        if _listening(port):
            raise BaseImageUnavailable(
                f"port {port} is in use by {_listener(port)}, which is not this project's registry",
                where=address_of(port),
                fix="stop that process, or run `rust-multiarch engine stop`; a start takes another port",
            )
        config.write_text(json.dumps(settings, indent=1))
        _start(config, port, home / f"{port}.log")
    return address_of(port)


def stop(port: int, *, cache: Path | None = None) -> bool:
    """Stop the registry of this cache directory and keep its images; return False if it was not running."""
    home = _home(cache)
    with exclusive(home / "lock"):
        return _end(_config_path(home, port))


def running(port: int, *, cache: Path | None = None) -> bool:
    """Return True if the registry of this cache directory runs and responds."""
    return bool(find([str(_config_path(_home(cache), port))])) and _answers(port)


@contextmanager
def throwaway(
    *,
    users: Mapping[str, str] | None = None,
    tls: bool = False,
    directory: Path | None = None,
    auth: Mapping[str, Any] | None = None,
) -> Iterator[Throwaway]:
    """Run a registry on a free port, and delete it with its content at the end of the block.

    Args:
        users: names and passwords; if given, every request needs credentials.
        tls: serve HTTPS with a new certificate, signed by `Throwaway.certificate`.
        directory: the parent of its files; the system's temporary directory by default.
        auth: another `auth` section of the registry's configuration.
    """
    base = Path(tempfile.mkdtemp(prefix="registry-", dir=directory))
    try:
        port = free_port()
        config = base / "config.json"
        settings = _config(address_of(port), base / "storage")
        if users:
            (base / "htpasswd").write_text(_htpasswd(users))
            settings["auth"] = {"htpasswd": {"realm": "throwaway", "path": str(base / "htpasswd")}}
        if auth:
            settings["auth"] = dict(auth)
        certificate = _certificate(base) if tls else None
        if certificate:
            settings["http"]["tls"] = {"certificate": str(certificate), "key": str(base / "key.pem")}
        config.write_text(json.dumps(settings))
        try:
            _start(config, port, base / "log")
            yield Throwaway(address_of(port), base / "storage", certificate)
        finally:
            _end(config)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _home(cache: Path | None) -> Path:
    home = Paths(cache or default_root()).registry
    home.mkdir(parents=True, exist_ok=True)
    return home


def _config_path(home: Path, port: int) -> Path:
    return home / f"{port}.json"


def _config(address: str, storage: Path) -> dict[str, Any]:
    """Return the registry's configuration, in JSON since that is valid YAML.

    It has no `debug` section, which would open a second port.
    """
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": address, "secret": os.urandom(16).hex()},
    }


def _start(config: Path, port: int, log: Path) -> None:
    """Start a registry in a new session and wait until it responds."""
    # The registry lets REGISTRY_* variables override its configuration.
    env = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with log.open("w") as output:
        try:
            child = subprocess.Popen(
                ["docker-registry", "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=env,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise PrerequisitesMissing(
                "docker-registry is not installed", fix=f"Run: apt-get install {' '.join(PACKAGES)}"
            ) from None
    if not _wait_answering(port, START_SECONDS, child):
        _end(config)
        raise BaseImageUnavailable(
            "the local registry does not start",
            where=str(log),
            fix="See the output above.",
            output=log.read_text(errors="replace"),
        )
    disown(child)


def _end(config: Path) -> bool:
    found = find([str(config)])
    send(found, signal.SIGTERM)
    if not wait_gone([str(config)], STOP_SECONDS):
        send(find([str(config)]), signal.SIGKILL)
        wait_gone([str(config)], STOP_SECONDS)
    for process in found:
        # If this process started the registry, it remains a zombie until it is waited for.
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    return bool(found)


def _wait_answering(port: int, seconds: float, child: subprocess.Popen[bytes] | None = None) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child and child.poll() is not None:
            return False
        if _answers(port):
            return True
        time.sleep(0.05)
    return False


def _listening(port: int) -> bool:
    """Return True if a process listens at the port."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((HOST, port)) == 0


def _answers(port: int) -> bool:
    """Return True if an HTTP server responds at the port; a TLS registry responds with an error."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/v2/")
        connection.getresponse().read()
    except http.client.HTTPException:
        return True
    except OSError as error:
        return isinstance(error, TimeoutError)
    finally:
        connection.close()
    return True


def _listener(port: int) -> str:
    """Describe the process that listens at the port."""
    inode = next(
        (row[9] for row in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
         if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port),
        "",
    )  # fmt: skip
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if inode and str(entry.readlink()) == f"socket:[{inode}]":
                pid = entry.parts[2]
                return f"process {pid} ({Path('/proc', pid, 'comm').read_text().strip()})"
    return "another process"


def free_port() -> int:
    """Return a free port on the loopback address."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def privileged_port() -> int:
    """Return a free port for the stand-ins.

    Raises:
        BaseImageUnavailable: every such port is in use.
    """
    for port in PRIVILEGED:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise BaseImageUnavailable(
        f"no port from {PRIVILEGED.start} to {PRIVILEGED.stop - 1} is free for the base images",
        where=HOST,
        fix="run as root, and stop a process that listens at one of these ports",
    )


def _htpasswd(users: Mapping[str, str]) -> str:
    # Only tests use passwords, so bcrypt is a development dependency.
    import bcrypt

    rounds = 4
    return "".join(
        f"{name}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(rounds)).decode()}\n"
        for name, word in users.items()
    )


def _certificate(directory: Path) -> Path:
    path = directory / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(path)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return path
