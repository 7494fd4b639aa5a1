"""Test modules that use this one: `tests/consumer` on the real engine, with its bindings."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from crates import FEATURES, LOCK, MAIN, MANIFEST
from test_publish import MANIFEST as MANIFEST_TYPE
from test_publish import get

from pipeline import errors

SECONDS = 900
CONSUMER = ROOT / "tests/consumer"
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project on disk, for `dagger call`."""
    path = tmp_path_factory.mktemp("hello")
    (path / "src").mkdir()
    (path / "Cargo.toml").write_text(MANIFEST.format(name="hello") + FEATURES)
    (path / "Cargo.lock").write_text(LOCK.format(name="hello"))
    (path / "src/main.rs").write_text(MAIN)
    return path


@pytest.fixture(scope="module")
def call(engine, loopback: str, source: Path) -> Call:
    """Run `dagger call` of one of the consumer's functions."""

    def run(function: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        dagger = os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger")
        command = [dagger, "call", "-m", str(CONSUMER), function, "--source", str(source), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == code, done.stderr
        return done

    return run


def at(loopback: str, repository: str) -> tuple[str, ...]:
    return ("--address", f"{loopback}/compose/{repository}:x", "--registry", f"tcp://{loopback}")


def variants(loopback: str, repository: str) -> dict[str, tuple[dict, list[dict]]]:
    """Return config and layers of every variant, by architecture."""
    index, _ = get(loopback, f"compose/{repository}/manifests/x")
    found = {}
    for entry in index["manifests"]:
        manifest, _ = get(loopback, f"compose/{repository}/manifests/{entry['digest']}", MANIFEST_TYPE)
        config, _ = get(loopback, f"compose/{repository}/blobs/{manifest['config']['digest']}")
        found[entry["platform"]["architecture"]] = config, manifest["layers"]
    return found


def files(loopback: str, repository: str, layer: dict) -> dict[str, bytes]:
    """Return the regular files of a layer."""
    url = f"http://{loopback}/v2/compose/{repository}/blobs/{layer['digest']}"
    with urllib.request.urlopen(url) as answer, tarfile.open(fileobj=io.BytesIO(answer.read())) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def test_a_variant_taken_changed_and_handed_back(call: Call, loopback: str) -> None:
    printed = call("ship", *at(loopback, "ship")).stdout.strip()
    assert re.fullmatch(rf"{loopback}/compose/ship:x@sha256:[0-9a-f]{{64}}", printed)
    found = variants(loopback, "ship")
    assert list(found) == ["amd64", "arm64"]
    for architecture, (config, layers) in found.items():
        assert config["config"]["Labels"]["made.by"] == "consumer"
        assert config["config"]["Entrypoint"] == ["/usr/local/bin/hello"]
        assert len(layers) == len(config["rootfs"]["diff_ids"]) == 4, "base, system, programs, the new file"
        assert files(loopback, "ship", layers[-1]) == {"etc/motd": f"for linux/{architecture}\n".encode()}


def test_what_is_handed_back_is_checked_again(call: Call) -> None:
    done = call("spoiled", code=errors.VerificationError.exit_code)
    assert "linux/arm64: hello needs libc.so.6" in done.stderr
    assert "linux/amd64" not in done.stderr.split("VerificationError", 1)[1].split("next:")[0]


def test_a_variant_of_another_platform_is_refused(call: Call) -> None:
    done = call("swapped", code=errors.UnusableContainer.exit_code)
    assert "has the platform linux/amd64 instead of linux/arm64" in done.stderr


def test_a_runtime_of_ones_own_for_each_platform(call: Call, loopback: str) -> None:
    call("on-own-runtime", *at(loopback, "runtime"))
    for architecture, (config, layers) in variants(loopback, "runtime").items():
        assert "COMPANY=ours" in config["config"]["Env"]
        assert "org.opencontainers.image.base.name" not in config["config"]["Labels"]
        company = [files(loopback, "runtime", layer).get("etc/company") for layer in layers[1:]]
        assert f"linux/{architecture}\n".encode() in company


def test_a_builder_of_ones_own(call: Call) -> None:
    printed = call("in-own-builder").stdout.splitlines()
    assert "commit=from-the-builder" in printed and "arch=x86_64" in printed


def test_a_builder_that_cannot_build(call: Call) -> None:
    done = call("in-a-poor-builder", code=errors.UnusableContainer.exit_code)
    assert "no cargo on PATH, no rustc on PATH" in done.stderr


def test_as_a_toolchain(engine, source: Path) -> None:
    """`tests/toolchain` has this module as its toolchain, and its functions without any code."""
    dagger = os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger")
    command = [dagger, "call", "-m", str(ROOT / "tests/toolchain"), "rust-multiarch", "--source", str(source)]
    command += ["--platforms", "linux/amd64", "build", "name"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout.strip()) == (0, "hello"), done.stderr
