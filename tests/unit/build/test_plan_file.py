import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from test_build import plan

from pipeline.build import auditable, plan_file, scripts
from pipeline.native import debian
from pipeline.project.packages import Local
from pipeline.targets import BY_PLATFORM

PACKAGES = (Local("app", ".", True), Local("core", "crates/core", False))


def rows(text: str, kind: str) -> list[list[str]]:
    found = [line.split("\t") for line in text.splitlines()]
    return [fields for word, *fields in found if word == kind]


def test_what_a_compile_is_told() -> None:
    planned = plan(arguments=("--config", "a=1"))
    request = replace(planned.request, build_args=(("STAMP", "1"),))
    text = plan_file.compiling(replace(planned, request=request), PACKAGES)
    assert rows(text, "package") == [["app", ".", "runs"], ["core", "crates/core", "plain"]]
    assert rows(text, "variable") == [["STAMP"]]
    assert rows(text, "argument") == [["--config"], ["a=1"]]
    assert rows(text, "binary") == [["app"], ["two"]]
    assert [row[1] for row in rows(text, "target")] == ["x86_64-linux-gnu", "aarch64-linux-gnu"]
    assert rows(text, "sections") == [[auditable.FOLDER]]
    assert rows(text, "libraries") == [[debian.SONAMES]]
    assert rows(text, "place") == [["."]]
    below = replace(planned, request=replace(request, directory="services/api/"))
    assert rows(plan_file.compiling(below, PACKAGES), "place") == [["services/api"]]
    assert ["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"] in rows(text, "linker")
    scripts = replace(planned, programs=(("RUSTC_WRAPPER", "tools/wrap.sh"),))
    assert rows(plan_file.compiling(scripts, PACKAGES), "program") == [["RUSTC_WRAPPER", "tools/wrap.sh"]]
    (words,) = [[word for (word,) in rows(text, "word")]]
    assert words == list(planned.commands[0])
    assert text.count("\ncommand\n") == len(planned.commands) == 1


def test_what_a_check_is_told() -> None:
    here = plan_file.checking(plan(), PACKAGES, ["cargo", "test"])
    assert (rows(here, "word"), rows(here, "target")) == ([["cargo"], ["test"]], [])
    there = plan_file.checking(plan(), PACKAGES, ["cargo", "test"], BY_PLATFORM["linux/arm64"])
    assert rows(there, "target") == [["aarch64-unknown-linux-gnu", "aarch64-linux-gnu", "arm64"]]


@pytest.mark.parametrize("word", ["a b", "tab\there", "line\nbreak", r"back\slash\n", "", "%s", "-n", "é"])
def test_words_arrive_as_they_are(word: str) -> None:
    script = f"printf -v word '%b' {shlex.quote(plan_file.escaped(word))}; printf %s \"$word\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == word
    assert not set("\t\n") & set(plan_file.escaped(word))


def test_the_programs_pass_shellcheck() -> None:
    folder = Path(scripts.__file__).parent
    programs = sorted(folder.glob("*.sh"))
    assert {"state.sh", "compile.sh", "check.sh", "unpack.sh", "pack.sh"} <= {path.name for path in programs}
    for path in programs:
        subprocess.run(["bash", "-n", str(path)], check=True)
        assert scripts.command(path.name, "x") == ["bash", f"{scripts.FOLDER}/{path.name}", "x"]
