"""Hostile text: what registries, cargo, git and file names say reaches terminals and logs of CI systems."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import PublishError
from pipeline.printable import printable, say
from pipeline.progress.view import Lines, Silence
from pipeline.registry import dial

CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CLIPBOARD, r"\x1b]52;c;cm0gLXJmIH4=\x07"),
        ("a\rb", r"a\rb"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("a\x9b2Jb", r"a\x9b2Jb"),
        ("abc\u202ecba", r"abc\u202ecba"),
        ("\x00\x7f\ud800", r"\x00\x7f\ud800"),
        ("größe 日本 →", "größe 日本 →"),
        ("::set-output name=x::y", r"\::set-output name=x::y"),
        ("a\n  ::add-mask::x", "a\n  \\::add-mask::x"),
        ("##vso[task.setvariable variable=x]y", r"\##vso[task.setvariable variable=x]y"),
        ("##[error]x", r"\##[error]x"),
        ("##teamcity[x]", r"\##teamcity[x]"),
        ("std::io and ## a heading", "std::io and ## a heading"),
    ],
    ids=ascii,
)
def test_text_is_shown_and_does_nothing(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_errors_text_is_shown_and_does_nothing() -> None:
    error = PublishError(CLIPBOARD, where=CLIPBOARD, fix=CLIPBOARD, output=f"{CLIPBOARD}\n::stop-commands::x")
    assert "\x1b" not in error.render() and "\n::" not in error.render()


@pytest.mark.parametrize("painter", [Lines, Silence])
def test_lines_of_progress_are_shown_and_do_nothing(painter: type[Lines] | type[Silence]) -> None:
    out = io.StringIO()
    painter(out).note(CLIPBOARD)
    assert out.getvalue() == printable(CLIPBOARD) + "\n"


def test_what_a_registry_says_is_shown_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    dial.say(CLIPBOARD)
    assert capsys.readouterr().err == printable(CLIPBOARD) + "\n"


def test_the_module_prints_by_one_function() -> None:
    """Names of files and crates went to the log as they were."""
    root = Path(__file__).parents[2] / "pipeline"
    own = {"oci/normalize.py", "printable.py", "cli/watching.py", "progress/view.py"}
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
        assert not prints or name in own, name


def test_what_is_said_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b]52;c;x\x07b")
    assert capsys.readouterr().err == "a\\x1b]52;c;x\\x07b\n"


def test_the_doctor_shows_names_of_directories_as_text(tmp_path: Path) -> None:
    project = tmp_path / "a\x1b]52;c;x\x07b"
    project.mkdir()
    shown = CliRunner().invoke(app, ["doctor", str(project)]).output
    assert "\x1b]52" not in shown and "\\x1b]52;c;x\\x07b" in shown
