"""Build independent registries, clients of OCI images and services of Sigstore from Go modules."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import registry
from engine.locks import exclusive
from engine.paths import default_root

CLIENTS = {
    "cosign": "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3",
    "cosign2": "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.0",
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.20.6",
    "oras": "oras.land/oras/cmd/oras@v1.3.6",
    "fulcio": "github.com/sigstore/fulcio@v1.8.8",
    "rekor": "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v2.3.0",
    "tesseract": "github.com/transparency-dev/tesseract/cmd/tesseract/posix@v0.1.1",
}


def client(name: str) -> str:
    """Return the path of a program of `CLIENTS`."""
    module, _, version = CLIENTS[name].partition("@")
    return _built(module.rpartition("/")[2], version, ["go", "install", CLIENTS[name]], Path.home())


def own(name: str) -> str:
    """Return the path of a program of these tests, whose source is in the directory of its name."""
    directory = Path(__file__).with_name(name)
    sources = b"".join((directory / file).read_bytes() for file in ("main.go", "go.mod", "go.sum"))
    version = hashlib.sha256(sources).hexdigest()[:16]
    return _built(name, version, ["go", "install", "."], directory)


def _built(name: str, version: str, command: list[str], directory: Path) -> str:
    if not shutil.which("go"):
        pytest.skip(f"{name} is built with Go, which is not installed")
    home = default_root() / "tools" / f"{name}-{version}"
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home / "lock"):
        if not (home / name).exists():
            env = {**os.environ, "GOBIN": str(home), "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
            done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"{name} cannot be built here: {done.stderr[-300:]}")
    return str(home / name)


@contextmanager
def referrers_registry(kind: str, directory: Path) -> Iterator[str]:
    """Run a registry with the referrers API, in memory, and yield its address; see registries/main.go."""
    program = own("registries")
    address = registry.address_of(registry.free_port())
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([program, kind, address], stdout=log, stderr=log)
    try:
        assert registry._wait_answering(int(address.rpartition(":")[2]), 10)
        yield address
    finally:
        process.terminate()
        process.wait(10)
