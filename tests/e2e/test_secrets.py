"""Publish with every kind of secret, and check that none is left anywhere."""

import contextlib
import gzip
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import crates
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from test_cli import PROGRAM

from engine import registry
from engine.choice import Choice
from engine.paths import Paths
from pipeline import errors

INDEX = "sparse+https://corp.invalid/index/"
CORP = f'[registries.corp]\nindex = "{INDEX}"\n'


class Canaries(dict[str, str]):
    """Unique secrets by the variable they are in."""

    def found(self, content: bytes) -> list[str]:
        """Return the variables whose secret is in some bytes."""
        return [name for name, secret in self.items() if secret.encode() in content]


@pytest.fixture
def canaries() -> Canaries:
    names = ("REGISTRY_PASSWORD", "KEY_PASSWORD", "CORP_TOKEN", "GIT_TOKEN", "WRONG_PASSWORD", "BUILD_SECRET")
    return Canaries({name: f"canary{secrets.token_hex(8)}" for name in names})


@pytest.fixture
def key(canaries: Canaries, tmp_path: Path) -> Path:
    """Make an encrypted key, whose lines are also searched for."""
    encryption = BestAvailableEncryption(canaries["KEY_PASSWORD"].encode())
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()
    for number, line in enumerate(pem.splitlines()[1:-1]):
        canaries[f"KEY_LINE_{number}"] = line
    (tmp_path / "key.pem").write_text(pem)
    return tmp_path / "key.pem"


@pytest.fixture
def private(canaries: Canaries, loopback: str) -> Iterator[registry.Throwaway]:
    with registry.throwaway(users={"me": canaries["REGISTRY_PASSWORD"]}) as made:
        yield made


def blobs(folder: Path) -> Iterator[bytes]:
    """Yield everything that a registry has stored, unpacked."""
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            yield gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def kept_by(engine: Paths) -> Iterator[tuple[Path, bytes]]:
    """Yield everything that an engine keeps of its sessions: cache keys, calls, their spans and its log."""
    # The engine removes files meanwhile, which `os.walk` passes over.
    for folder, below, files in os.walk(engine.root / "engine"):
        if folder.endswith("snapshots/snapshots"):
            below.clear()
        for name in files:
            if ".db" in name or name.endswith(".log"):
                path = Path(folder, name)
                # The engine removes the database of a session that ended.
                with contextlib.suppress(FileNotFoundError):
                    yield path, path.read_bytes()


def test_no_secret_is_anywhere(
    engine: Choice, private: registry.Throwaway, canaries: Canaries, key: Path, tmp_path: Path
) -> None:
    name = f"secret-{secrets.token_hex(4)}"
    project = tmp_path / "project"
    for path, text in {**crates.hello_files(name), ".cargo/config.toml": CORP}.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    archive = tmp_path / "state.tar.zst"
    opened = ["--registry-token", f"corp@{INDEX}=CORP_TOKEN", "--git-token", "git.invalid=GIT_TOKEN"]
    opened += ["--build-secret", "BUILD_SECRET=env:BUILD_SECRET"]
    common = ["--platform", "linux/amd64", *opened]
    publish = ["publish", *common, "--tag", f"{private.address}/e2e/secret:1", "--username", "me", "--json"]
    signed = ["--sbom", "--provenance", "--symbols", "--sign-key", key, "--sign-password", "KEY_PASSWORD"]
    said = {}
    for case, words, code in (
        ("plan", ["plan", *common, "--json"], 0),
        ("publish", [*publish, "--password", "REGISTRY_PASSWORD", *signed, "--cache-to", archive], 0),
        ("refused", [*publish, "--password", "WRONG_PASSWORD"], errors.RegistryDenied.exit_code),
        ("wrong key", [*publish, "--password", "REGISTRY_PASSWORD", *signed[:-1], "WRONG_PASSWORD"], None),
    ):
        done = subprocess.run(
            [PROGRAM, *map(str, words), "--progress", "raw"],
            cwd=project, env={**os.environ, **canaries}, capture_output=True,
        )  # fmt: skip
        assert (done.returncode == code) if code is not None else done.returncode, (
            case,
            done.stderr.decode(),
        )
        said[case] = done.stdout + done.stderr
    assert json.loads(said["publish"][: said["publish"].index(b"\n}") + 2])["digest"].startswith("sha256:")

    for case, text in said.items():
        assert canaries.found(text) == [], case
    stored = list(blobs(private.storage))
    assert any(b"slsa" in blob for blob in stored) and any(name.encode() in blob for blob in stored)
    assert [canaries.found(blob) for blob in stored if canaries.found(blob)] == []
    state = subprocess.run(["zstd", "-dc", archive], capture_output=True, check=True).stdout
    assert name.encode() in state and canaries.found(state) == []
    kept = {path: canaries.found(content) for path, content in kept_by(Paths.default())}
    assert any(path.name.startswith("dagql-cache") for path in kept)
    assert {path: found for path, found in kept.items() if found} == {}
