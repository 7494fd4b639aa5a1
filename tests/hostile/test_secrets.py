"""Secrets of the compile: they are in no plan, no provenance and no log, and a token is no build argument."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.attestation import provenance
from pipeline.build import compile as build
from pipeline.cli import access
from pipeline.config import request
from pipeline.config.credentials import Access, BuildSecret
from pipeline.config.settings import Settings, disclosed
from pipeline.errors import InvalidArgument, RustMultiarchError


def built(*arguments: str) -> request.BuildRequest:
    return request.build_request(Settings(build_args=list(arguments)), None, Access(), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "TOKEN",
        "API_TOKEN",
        "token",
        "NPM_TOKEN_2",
        "DB_PASSWORD",
        "PASSWD",
        "MY_SECRET",
        "SECRETS",
        "AWS_SECRET_ACCESS_KEY",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
        "GOOGLE_CREDENTIALS",
    ],
)
def test_a_credential_is_no_build_argument(name: str) -> None:
    with pytest.raises(InvalidArgument, match="name of a secret") as raised:
        built("A=1", f"{name}=s3cret")
    assert "s3cret" not in str(raised.value)
    assert f"--build-secret {name}=env:VARIABLE" in raised.value.fix


@pytest.mark.parametrize("name", ["BUILD_NUMBER", "TOKENIZER", "KEY", "KEYBOARD", "SECRETARY", "RUSTFLAGS"])
def test_other_names_are_taken(name: str) -> None:
    assert (name, "1") in built(f"{name}=1").build_args


def test_values_of_build_arguments_are_shown_nowhere() -> None:
    settings = Settings(build_args=["A=v4lue", "B=x=v4lue"], runtime_env=["C=1"])
    assert "v4lue" not in json.dumps(provenance.parameters(settings))
    assert disclosed("build_args", settings.build_args) == ["A", "B"]
    assert disclosed("runtime_env", settings.runtime_env) == ["C=1"]


@pytest.mark.parametrize("item", ["API=s3cret", "API=file:s3cret", "API=env:", "s3cret"])
def test_a_secret_is_named_by_its_variable(item: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        access.check(None, None, False, {}, [item])
    assert item == "s3cret" or "s3cret" not in str(raised.value)
    with pytest.raises(InvalidArgument, match="MISSING is not set"):
        access.check(None, None, False, {}, ["API=env:MISSING"])
    access.check(None, None, False, {"HERE": "1"}, ["API=env:HERE"])
    assert access.secrets(["API=env:HERE"]) == (("API", "HERE"),)


class Container:
    """A container, as far as its secret variables are set."""

    def __init__(self) -> None:
        self.secret: dict[str, Any] = {}

    def with_secret_variable(self, name: str, value: Any) -> Container:
        self.secret[name] = value
        return self


def test_the_compile_has_the_secrets() -> None:
    value: Any = object()
    plan: Any = SimpleNamespace(request=SimpleNamespace(build_secrets=(BuildSecret("API", value),)))
    container: Any = build.with_secrets(Container(), plan)  # type: ignore[arg-type]
    assert container.secret == {"API": value}


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (
            "error: the value of the build secret API is in the compiled state\n",
            InvalidArgument,
            "secret API",
        ),
        ("tar: no space left on device\n", RustMultiarchError, "cannot be packed"),
    ],
)
def test_state_that_cannot_be_packed(said: str, error: type[RustMultiarchError], text: str) -> None:
    failed: Any = SimpleNamespace(stdout="", stderr=said, exit_code=3)
    found = build._not_packed(failed)
    assert type(found) is error and text in found.what and "--cache-to" in found.fix
