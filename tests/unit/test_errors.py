import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import errors
from pipeline.errors import RustMultiarchError

TREE = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, RustMultiarchError) and error.__module__ == errors.__name__
]
OWN = [error for error in TREE if "exit_code" in vars(error)]


def test_exit_codes_are_distinct_and_leave_room_for_the_shell() -> None:
    codes = [error.exit_code for error in OWN]
    assert len(set(codes)) == len(codes)
    assert all(1 <= code < 125 for code in codes)
    assert errors.UsageError.exit_code == 2, "as of other command lines"


@pytest.mark.parametrize("error", OWN, ids=lambda error: error.__name__)
def test_every_error_is_in_the_table_of_exit_codes(error) -> None:
    page = (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text()
    assert f"| {error.exit_code} | `{error.__name__}` |" in page


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_every_error_is_described(error) -> None:
    assert error.__doc__


def test_message() -> None:
    error = errors.LinkError("no library", where="cargo build", fix="install it", output="ld: no\n")
    assert str(error) == "LinkError: no library\n  where: cargo build\n  next:  install it"
    assert error.render() == f"ld: no\n{error}"


def test_message_without_the_rest() -> None:
    assert errors.LinkError("no library").render() == "LinkError: no library"


AS_IN_AN_ENGINE = """
import json
import dagger.mod.cli
from pipeline import RustMultiarch, errors
error = errors.LinkError("no library", output="ld: no")
assert isinstance(error, dagger.QueryError) and isinstance(error, dagger.mod._exceptions.FunctionError)
print(json.dumps(error.error.extensions))
"""


def test_an_engine_reports_the_exit_code_and_the_output() -> None:
    """The error looks like an exec error, so `dagger call` exits with its code."""
    done = subprocess.run([sys.executable, "-c", AS_IN_AN_ENGINE], capture_output=True, text=True, check=True)
    extensions = json.loads(done.stdout)
    assert extensions["_type"] == "EXEC_ERROR"
    assert extensions["exitCode"] == errors.LinkError.exit_code
    assert extensions["stderr"] == "ld: no"
    assert extensions["cmd"] == []


def test_all_that_a_command_printed() -> None:
    for stdout, stderr, text in (("a", "b", "a\nb"), ("", "b", "b"), ("a", "", "a")):
        failed: Any = SimpleNamespace(stdout=stdout, stderr=stderr)
        assert errors.printed(failed) == text
