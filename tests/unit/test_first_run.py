"""Test how the first example finds the programs that it calls."""

from __future__ import annotations

import runpy
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


@pytest.mark.parametrize(("seconds", "said"), [(12.4, "took   12 s"), (125.0, "took   2 min 5 s")])
def test_the_closing_lines(seconds: float, said: str) -> None:
    summary = runpy.run_path(str(EXAMPLE))["summary"]
    lines = summary(
        "linux/amd64,linux/arm64", "0123456789abcdef", "host/app:dev@sha256:0", seconds
    ).splitlines()
    assert lines[:3] == [
        "built  sample_app at commit 0123456789ab for linux/amd64, linux/arm64",
        "where  host/app:dev@sha256:0",
        said,
    ]
    assert lines[3].startswith("next   ") and lines[3].endswith("rust-multiarch plan sample_app")
