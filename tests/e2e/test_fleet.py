"""Two engines and one that is not there: platforms are spread, what the missing one had moves on."""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from test_composition import source  # noqa: F401
from test_publish import MANIFEST, get

from bench import elsewhere
from pipeline import errors, fleet
from pipeline.attestation import sbom


@pytest.fixture
def second(engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of another engine, in a network namespace of its own."""
    with elsewhere.machine(tmp_path_factory.mktemp("second"), ["linux/arm64"], 1) as machine:
        yield machine.address


def publish(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = fleet.by_itself("publish", str(directory), "--platform", "linux/amd64,linux/arm64", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def check(done: subprocess.CompletedProcess[str], loopback: str, repository: str) -> None:
    assert done.returncode == 0, done.stderr
    index, digest = get(loopback, f"{repository}/manifests/x")
    assert done.stdout == f"{loopback}/{repository}:x@{digest}\n"
    platforms = [entry["platform"]["architecture"] for entry in index["manifests"]]
    assert platforms == ["amd64", "arm64"]
    assert get(loopback, f"{repository}/tags/list")[0]["tags"] == ["x"], "the parts have no tags"


def test_the_work_of_an_engine_that_is_not_there_moves_on(engine, loopback: str, source: Path) -> None:  # noqa: F811
    own = engine.environment[fleet.RUNNER]
    done = publish(
        source, "--tag", f"{loopback}/compose/lost:x", "--engine", "tcp://127.0.0.1:9", "--engine", own
    )
    check(done, loopback, "compose/lost")
    assert "tcp://127.0.0.1:9 is lost; linux/amd64 goes to another engine" in done.stderr
    assert f"linux/amd64 on {own}" in done.stderr


def test_two_engines_share_the_platforms(engine, loopback: str, second: str, source: Path) -> None:  # noqa: F811
    own = engine.environment[fleet.RUNNER]
    done = publish(source, "--tag", f"{loopback}/compose/two:x", "--engine", own, "--engine", second)
    check(done, loopback, "compose/two")
    assert f"linux/amd64 on {own}" in done.stderr
    assert f"linux/arm64 on {second}" in done.stderr


def test_what_several_engines_attach(engine, loopback: str, source: Path, tmp_path: Path) -> None:  # noqa: F811
    """Each platform's bill comes with it; the index is signed, with a key that is no engine's business."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    attached = ["--sbom", "--sign-key", str(tmp_path / "key.pem")]
    engines = ["--engine", "tcp://127.0.0.1:9", "--engine", engine.environment[fleet.RUNNER]]
    # A repository of this run alone: signatures of the same images by the keys of other runs stay.
    repository = f"compose/{uuid.uuid4().hex}"
    done = publish(source, "--tag", f"{loopback}/{repository}:x", *engines, *attached)
    assert done.returncode == 0, done.stderr
    index, digest = get(loopback, f"{repository}/manifests/x")
    for one in (digest, *(entry["digest"] for entry in index["manifests"])):
        signature, _ = get(loopback, f"{repository}/manifests/{one.replace(':', '-')}.sig", MANIFEST)
        (layer,) = signature["layers"]
        payload, _ = get(loopback, f"{repository}/blobs/{layer['digest']}")
        assert payload["critical"]["image"]["docker-manifest-digest"] == one
        raw = urllib.request.urlopen(f"http://{loopback}/v2/{repository}/blobs/{layer['digest']}").read()
        signed = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
        key.public_key().verify(signed, raw, ec.ECDSA(hashes.SHA256()))
    for entry in index["manifests"]:
        kinds, _ = get(loopback, f"{repository}/manifests/{entry['digest'].replace(':', '-')}")
        assert sbom.MEDIA_TYPE in [each["artifactType"] for each in kinds["manifests"]]


def test_no_engine_is_left(engine, loopback: str, source: Path) -> None:  # noqa: F811
    nobody = ["--engine", "tcp://127.0.0.1:9", "--engine", "tcp://127.0.0.1:10"]
    done = publish(source, "--tag", f"{loopback}/compose/none:x", *nobody[:2])
    assert done.returncode == errors.NoEngineLeft.exit_code, done.stderr
    assert "nothing listens at tcp://127.0.0.1:9" in done.stderr
    done = publish(source, "--tag", f"{loopback}/compose/none:x", *nobody)
    assert done.returncode == errors.NoEngineLeft.exit_code, done.stderr
    assert "linux/amd64, linux/arm64" in done.stderr


def test_an_error_of_the_project_is_one_everywhere(engine, loopback: str, tmp_path: Path) -> None:
    own = engine.environment[fleet.RUNNER]
    engines = ["--engine", own, "--engine", "tcp://127.0.0.1:9"]
    done = publish(tmp_path, "--tag", f"{loopback}/compose/bad:x", *engines)
    assert done.returncode == errors.NotACargoProject.exit_code, done.stderr
    assert sys.executable in done.stderr
