from typing import Any

import pytest

from pipeline.cli import access
from pipeline.config import compile_cache
from pipeline.errors import InvalidArgument
from pipeline.main import RustMultiarch

CORP = "corp@sparse+https://cargo.example.com/index/?a=b"


def test_variables_that_are_set_are_fine() -> None:
    access.check([f"{CORP}=A"], ["git.example.com=B"], True, {"A": "1", "B": "2", "SSH_AUTH_SOCK": "/x"})
    access.check(None, None, False, {})


@pytest.mark.parametrize(
    ("registry", "git", "ssh", "where"),
    [
        (["corp"], None, False, "--registry-token"),
        (["corp=GONE"], None, False, "--registry-token"),
        (["corp@=GONE"], None, False, "--registry-token"),
        (["corp@index=GONE"], None, False, "--registry-token"),
        (["@sparse+https://cargo.example.com/=GONE"], None, False, "--registry-token"),
        ([f"{CORP}="], None, False, "--registry-token"),
        (None, ["host"], False, "--git-token"),
        ([f"{CORP}=GONE"], None, False, "--registry-token corp=…"),
        (None, ["host=GONE"], False, "--git-token host=…"),
        (None, None, True, "SSH_AUTH_SOCK"),
    ],
)
def test_what_names_no_secret_is_refused(registry, git, ssh: bool, where: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        access.check(registry, git, ssh, {})
    assert raised.value.where == where


@pytest.mark.parametrize(
    ("value", "what"), [("GONE", "the environment variable GONE"), ("s3cret!", "the variable")]
)
def test_the_message_names_the_variable_and_does_not_quote_a_secret(value: str, what: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        access.check([f"{CORP}={value}"], None, False, {})
    assert raised.value.what == f"{what} is not set"
    assert "s3cret!" not in raised.value.message()


def test_what_is_named_is_granted_by_name() -> None:
    module = RustMultiarch(source=None)  # type: ignore[arg-type]
    opened = access.grant(
        module, [f"{CORP}=A", "other@https://one.example/git=B"], ["git.example.com=C"], False
    )
    assert [(token.name, token.index) for token in opened.access.registries] == [
        ("corp", CORP.partition("@")[2]),
        ("other", "https://one.example/git"),
    ]
    assert [token.host for token in opened.access.git] == ["git.example.com"]
    assert opened.access.agent is None and not module.access.registries


def test_the_agent_of_the_environment_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent.sock")
    module = RustMultiarch(source=None)  # type: ignore[arg-type]
    opened = access.grant(module, None, None, True)
    assert opened.access.agent is not None
    sent = [selection.args for selection in opened.access.agent._ctx.selections]
    assert {"path": "/run/agent.sock"} in sent


def test_credentials_of_a_store_are_granted_by_name() -> None:
    access.check(None, None, False, {"A": "1"}, store_secrets=["password=env:A"])
    module = RustMultiarch(source=None)  # type: ignore[arg-type]
    granted = access.grant(module, None, None, False, store_secrets=["password=env:A", "token=env:B"])
    assert [each.name for each in granted.store_secrets] == ["password", "token"]
    assert module.store_secrets == ()
    for given, where in (
        (["password"], "--compile-cache-secret"),
        (["password=s3cret"], "--compile-cache-secret"),
        (["passwort=env:A"], "--compile-cache-secret"),
        (["password=env:GONE"], "--compile-cache-secret password=…"),
    ):
        with pytest.raises(InvalidArgument) as raised:
            access.check(None, None, False, {"A": "1"}, store_secrets=given)
        assert raised.value.where == where and "s3cret" not in raised.value.message()


RUNNER = {"ACTIONS_RESULTS_URL": "https://results.example/", "ACTIONS_RUNTIME_TOKEN": "s3cret"}


@pytest.mark.parametrize(
    ("given", "environ", "found"),
    [
        (None, RUNNER, ["url=env:ACTIONS_RESULTS_URL", "token=env:ACTIONS_RUNTIME_TOKEN"]),
        (["token=env:A"], RUNNER, ["token=env:A", "url=env:ACTIONS_RESULTS_URL"]),
        (None, {**RUNNER, "ACTIONS_RUNTIME_TOKEN": ""}, ["url=env:ACTIONS_RESULTS_URL"]),
        (None, {}, []),
    ],
)
def test_the_credentials_of_a_runner_are_added(given, environ, found) -> None:
    assert access.with_runners(given, compile_cache.parse("gha"), environ) == found


@pytest.mark.parametrize("setting", ["engine", "off", "redis://cache.example", "./cache"])
def test_the_credentials_of_a_runner_are_only_for_its_store(setting: str) -> None:
    assert access.with_runners(["token=env:A"], compile_cache.parse(setting), RUNNER) == ["token=env:A"]


def test_another_token_of_a_runner_is_the_same_secret_to_the_engine() -> None:
    """Regression: each job has another token, and compiled everything again."""
    module = RustMultiarch(source=None)  # type: ignore[arg-type]
    given = access.with_runners(["password=env:A"], compile_cache.parse("gha"), RUNNER)
    granted = access.grant(module, None, None, False, store_secrets=given)

    def sent(secret: Any) -> dict[str, Any]:
        (selection,) = secret._ctx.selections
        return dict(selection.args)

    found = {each.name: sent(each.value) for each in granted.store_secrets}
    assert found["token"]["uri"] == "env://ACTIONS_RUNTIME_TOKEN"
    assert found["token"]["cacheKey"] == "rust-multiarch-ACTIONS_RUNTIME_TOKEN"
    assert "s3cret" not in str(found)
    assert not found["password"].get("cacheKey")
