"""Test how the first example finds the programs that it calls."""

from __future__ import annotations

import runpy
import subprocess
import time
from pathlib import Path

import pytest

from engine import build, choice
from pipeline.errors import EngineError

EXAMPLE = Path(__file__).parents[2] / "examples/first_run.py"


def test_without_a_dagger_command_it_says_what_to_do(tmp_path: Path) -> None:
    dagger = runpy.run_path(str(EXAMPLE))["dagger"]
    with pytest.raises(EngineError, match="no `dagger` command") as raised:
        dagger({"PATH": str(tmp_path)})
    assert build.version() in raised.value.fix
    assert dagger({"PATH": str(tmp_path), choice.CLI: "/there/dagger"}) == "/there/dagger"
    (tmp_path / "dagger").touch(mode=0o755)
    assert dagger({"PATH": str(tmp_path), choice.CLI: "/there/dagger"}) == "dagger"


def test_the_sample_is_told_its_commit() -> None:
    example = runpy.run_path(str(EXAMPLE))
    told = example["build_words"]("linux/amd64", "0123abc")
    assert told[told.index("--build-arg") + 1] == "GIT_COMMIT_SHA=0123abc"
    assert "--build-arg" not in example["build_words"]("linux/amd64", ""), "outside of a checkout"


def test_a_variant_comes_from_where_the_image_is() -> None:
    words = runpy.run_path(str(EXAMPLE))["variant_words"]
    assert words("linux/arm64", "host/app:dev@sha256:0")[-3:] == [
        "from",
        "--address",
        "host/app:dev@sha256:0",
    ]
    assert words("linux/arm64", "/tmp/app.oci.tar")[-3:] == ["import", "--source", "/tmp/app.oci.tar"]


PUBLISHED = "host/app:dev@sha256:0"


@pytest.mark.parametrize(("seconds", "said"), [(12.4, "took   12 s"), (125.0, "took   2 min 5 s")])
def test_the_closing_lines(seconds: float, said: str) -> None:
    summary = runpy.run_path(str(EXAMPLE))["summary"]
    platforms = "linux/amd64,linux/arm64"
    lines = summary(platforms, "0123456789abcdef", PUBLISHED, PUBLISHED, seconds).splitlines()
    assert lines[:3] == [
        "built  sample_app at commit 0123456789ab for linux/amd64, linux/arm64",
        f"where  {PUBLISHED}",
        said,
    ]
    assert lines[3].startswith("next   ") and lines[3].endswith("rust-multiarch plan sample_app")


@pytest.mark.parametrize(
    ("published", "said"),
    [
        (PUBLISHED, f"pushed {PUBLISHED}, a registry that ended; "),
        ("", "pushed nowhere: registry:2 did not "),
    ],
)
def test_the_closing_lines_of_an_archive(published: str, said: str) -> None:
    summary = runpy.run_path(str(EXAMPLE))["summary"]
    lines = summary("linux/amd64", "", "/tmp/app.oci.tar", published, 1.0).splitlines()
    assert lines[1].startswith(said) and "REGISTRY=host/namespace" in lines[1]
    assert lines[2] == "where  /tmp/app.oci.tar"


def test_a_service_that_ends_does_not_respond() -> None:
    responds = runpy.run_path(str(EXAMPLE))["responds"]
    ended = subprocess.Popen(["false"])
    ended.wait()
    begun = time.monotonic()
    assert not responds("http://127.0.0.1:9/v2/", ended)
    assert time.monotonic() - begun < 5
