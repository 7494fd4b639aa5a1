"""Test that an untrusted build neither publishes nor writes what trusted builds read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from pipeline import main
from pipeline.build import compile as build
from pipeline.cli import caching, merge, project, session
from pipeline.cli.caching import CacheOptions
from pipeline.config import settings
from pipeline.config.credentials import Access
from pipeline.config.request import build_request
from pipeline.config.settings import Settings, Value
from pipeline.errors import Untrusted
from pipeline.git.ci import event
from pipeline.image import Image
from pipeline.main import RustMultiarch
from pipeline.toolchain import builder

STRANGER = Settings(untrusted=True)

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REF": "refs/pull/12/merge",
    "GITHUB_REPOSITORY": "me/app",
    "GITHUB_EVENT_NAME": "pull_request",
}
GITLAB = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "12", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
CIRCLE = {"CIRCLECI": "true", "CIRCLE_PULL_REQUEST": "https://github.com/me/app/pull/12"}
JENKINS = {"JENKINS_URL": "http://ci/", "CHANGE_ID": "12"}
AZURE = {"TF_BUILD": "True", "SYSTEM_PULLREQUEST_PULLREQUESTID": "12"}
BUILDKITE = {
    "BUILDKITE": "true",
    "BUILDKITE_PULL_REQUEST": "12",
    "BUILDKITE_REPO": "git@github.com:me/app.git",
}

RUNS = [
    (GITLAB, {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2"}, True),
    (GITLAB, {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1"}, False),
    (CIRCLE, {"CIRCLE_PR_REPONAME": "app", "CIRCLE_PR_USERNAME": "you"}, True),
    (CIRCLE, {}, False),
    (JENKINS, {"CHANGE_FORK": "you/app"}, True),
    (JENKINS, {}, False),
    (AZURE, {"SYSTEM_PULLREQUEST_ISFORK": "True"}, True),
    (AZURE, {"SYSTEM_PULLREQUEST_ISFORK": "False"}, False),
    (BUILDKITE, {"BUILDKITE_PULL_REQUEST_REPO": "git://github.com/you/app.git"}, True),
    (BUILDKITE, {"BUILDKITE_PULL_REQUEST_REPO": "git://github.com/me/App.git"}, False),
    ({**BUILDKITE, "BUILDKITE_PULL_REQUEST": "false"}, {"BUILDKITE_PULL_REQUEST_REPO": ""}, False),
    ({}, {}, False),
]


@pytest.mark.parametrize(("system", "run", "fork"), RUNS)
def test_ci_says_that_a_pull_request_is_of_a_fork(
    system: dict[str, str], run: dict[str, str], fork: bool
) -> None:
    assert event(system | run).fork == fork
    assert session.of_fork(system | run).keys() == ({"untrusted"} if fork else set())


def of_repository(name: object) -> dict[str, Any]:
    return {"pull_request": {"head": {"repo": name}}, "repository": {"full_name": "me/app"}}


@pytest.mark.parametrize("marker", ["GITHUB_ACTIONS", "FORGEJO_ACTIONS", "GITEA_ACTIONS"])
@pytest.mark.parametrize(
    ("document", "fork"),
    [
        (of_repository({"full_name": "me/app"}), False),
        (of_repository({"full_name": "you/app"}), True),
        (of_repository(None), True),  # the fork was deleted
        (of_repository({}), True),
        ({"pull_request": {}}, True),
        ({"pull_request": None}, True),
        ({}, True),
        (None, True),
    ],
)
def test_github_says_it_in_a_document(tmp_path: Path, marker: str, document: Any, fork: bool) -> None:
    path = tmp_path / "event.json"
    if document is not None:
        path.write_text(json.dumps(document))
    assert event({**GITHUB, marker: "true", "GITHUB_EVENT_PATH": str(path)}).fork == fork
    if document:
        target = {"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main"}
        assert event({**GITHUB, **target, marker: "true", "GITHUB_EVENT_PATH": str(path)}).fork == fork


@pytest.mark.parametrize(("head", "fork"), [("me/app", False), ("you/app", True)])
def test_a_run_after_a_forks_pull_request(tmp_path: Path, head: str, fork: bool) -> None:
    path = tmp_path / "event.json"
    document = {
        "workflow_run": {"head_repository": {"full_name": head}},
        "repository": {"full_name": "me/app"},
    }
    path.write_text(json.dumps(document))
    run = {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "workflow_run"}
    assert event({**GITHUB, **run, "GITHUB_EVENT_PATH": str(path)}).fork == fork


def test_a_push_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps({"repository": {"full_name": "me/app"}}))
    run = {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(path)}
    assert not event({**GITHUB, **run}).fork


def test_a_project_does_not_trust_itself() -> None:
    """The setting in its Cargo.toml, in the environment or as an option is overridden."""
    layer = {"untrusted": Value(False, "Cargo.toml")}
    merged = settings.merge(layer, session.of_fork({**CIRCLE, "CIRCLE_PR_REPONAME": "app"}))
    assert merged.settings.untrusted
    assert merged.origins["untrusted"] == "circleci: a pull request of a fork"


def request(asked: Settings) -> Any:
    return build_request(asked, None, Access(), 0)  # type: ignore[arg-type]


def test_untrusted_builds_have_their_own_caches() -> None:
    keys = []
    for asked in (Settings(), STRANGER):
        planned = SimpleNamespace(
            request=request(asked), project=SimpleNamespace(identity="app"), rust="1.96", pinned=None
        )
        keys.append(build.cache_key(planned))  # type: ignore[arg-type]
    assert keys[0] != keys[1], "compiled state, and zig's cache, which has the same key"
    assert builder.downloads(False) != builder.downloads(True)


def test_untrusted_builds_write_no_compiled_state() -> None:
    with pytest.raises(Untrusted, match="compiled state"):
        caching.check(STRANGER, CacheOptions(cache_to="state.tar.zst"))
    caching.check(STRANGER, CacheOptions(cache_from="state.tar.zst"))
    caching.check(Settings(), CacheOptions(cache_to="state.tar.zst"))


def test_untrusted_builds_are_not_published(tmp_path: Path) -> None:
    for asked in (STRANGER,):
        with pytest.raises(Untrusted, match="image"):
            project.check_publish(asked, source=tmp_path, tag=["localhost:1/app:1"])


def test_a_forks_pull_request_merges_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "app"\n')
    monkeypatch.chdir(tmp_path)
    for name, value in {**CIRCLE, "CIRCLE_PR_REPONAME": "app"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Untrusted, match="image"):
        merge.merge(["localhost:1/app@sha256:" + "0" * 64], tag=["localhost:1/app:1"])


def test_the_module_publishes_nothing_untrusted(monkeypatch: pytest.MonkeyPatch) -> None:
    module = RustMultiarch(source=None, untrusted=True)  # type: ignore[arg-type]

    async def merged(_: object) -> Any:
        return SimpleNamespace(settings=STRANGER)

    async def asked(_: object) -> Any:
        return STRANGER, None

    monkeypatch.setattr(main.RustMultiarch, "merged", merged)
    monkeypatch.setattr(main.RustMultiarch, "_asked", asked)
    image = Image(name="app", variants=[], tags=[])
    image.untrusted = True
    calls = (
        lambda: module.publish("localhost:1/app:1"),
        lambda: module.merge(["localhost:1/app:2"], "localhost:1/app:1"),
        module.export_cache,
        lambda: image.publish("localhost:1/app:1"),
    )
    for call in calls:
        with pytest.raises(Untrusted):
            anyio.run(call)
