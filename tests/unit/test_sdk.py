"""Test what is changed in Dagger's SDK."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import dagger
import pytest
from dagger.client import _core

from pipeline import sdk


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The steps that the SDK made a converter for."""
    made: list[object] = []
    original = _core.make_converter

    def make(step: _core.Context) -> object:
        made.append(step)
        return original(step)

    monkeypatch.setattr(_core, "make_converter", make)
    yield made


def queried() -> _core.Context:
    """A query with a list, an enumeration, an input and a default among its arguments."""
    container = dagger.Client().container(platform=dagger.Platform("linux/arm64"))
    container = container.with_exec(["true"], expect=dagger.ReturnType.ANY, use_entrypoint=False)
    container = container.with_exposed_port(80, protocol=dagger.NetworkProtocol.UDP)
    return container.as_service(args=["a", "b"])._ctx


ARGUMENTS = [
    {"platform": "linux/arm64"},
    {"args": ["true"], "expect": "ANY"},
    {"port": 80, "protocol": "UDP"},
    {"args": ["a", "b"]},
]


@pytest.mark.parametrize("shared", [False, True])
def test_arguments_are_converted_once(made: list[object], shared: bool) -> None:
    if shared:
        sdk.share_converters()
        sdk.share_converters()
    steps = [step.args for step in queried().selections]
    assert steps[-4:] == ARGUMENTS
    assert len(made) == 1 if shared else len(made) >= len(ARGUMENTS)


def test_answers(made: list[object]) -> None:
    sdk.share_converters()
    step = queried()
    assert step.converter.structure("sha256:0", str) == "sha256:0"
    assert step.converter.structure("UDP", dagger.NetworkProtocol) is dagger.NetworkProtocol.UDP
    assert step.converter.structure(["a"], list[str]) == ["a"]
    variable = step.converter.structure([{"_name": "A"}], list[dagger.EnvVariable])[0]
    assert type(variable) is dagger.EnvVariable and variable._ctx is step


def test_an_sdk_without_this_function_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_core, "make_converter")
    sdk.share_converters()
    assert not hasattr(_core, "make_converter")


CHECKED = """
import os, sys
from pipeline import sdk
if sys.argv[1] == "prepared":
    sdk.prepare()
import dagger
try:
    dagger.Client().container().with_workdir(1)
except TypeError:
    print("checked", os.environ.get("PYTHONOPTIMIZE"))
else:
    print("not checked", os.environ.get("PYTHONOPTIMIZE"))
"""


@pytest.mark.parametrize(
    ("argument", "variable", "said"),
    [
        ("as it is", None, "checked None"),
        ("prepared", None, "not checked None"),
        ("prepared", "", "not checked "),
    ],
)
def test_a_client_does_without_the_checks_of_types(argument: str, variable: str | None, said: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}
    environment |= {} if variable is None else {"PYTHONOPTIMIZE": variable}
    command = [sys.executable, "-c", CHECKED, argument]
    assert subprocess.check_output(command, env=environment, text=True).rstrip("\n") == said
