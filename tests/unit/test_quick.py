"""Test the table of end-to-end tests that `make test` leaves out."""

import ast
from pathlib import Path

import pytest
import quick

E2E = Path(__file__).parents[1] / "e2e"


NAMES = [(file, test) for file, tests in quick.LATER.items() for test in tests]


@pytest.mark.parametrize(("file", "test"), NAMES)
def test_what_is_left_out_is_there_and_has_a_reason(file: str, test: str) -> None:
    tree = ast.parse((E2E / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tests = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
    assert test == "*" or test.partition("[")[0] in tests
    assert len(quick.LATER[file][test]) > 20


def test_a_file_a_test_and_one_of_its_cases_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "LATER", {"a.py": {"*": ""}, "b.py": {"one": "", "two[x]": ""}})
    left_out = ["a.py::any", "a.py::any[linux/amd64]", "b.py::one", "b.py::one[x/y]", "b.py::two[x]"]
    assert all(quick.left_out(f"tests/e2e/{name}") for name in left_out)
    assert not any(quick.left_out(f"tests/e2e/{name}") for name in ("b.py::two", "b.py::two[y]", "c.py::one"))
