import json
from pathlib import Path

import pytest

from pipeline.git.ci import SYSTEMS, Event, event, of_ref

SHA = "0123456789abcdef0123456789abcdef01234567"

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": SHA,
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "me/app",
    "GITHUB_WORKFLOW_REF": "me/app/.github/workflows/image.yml@refs/heads/main",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_COMMIT_SHA": SHA,
    "CI_PROJECT_URL": "https://gitlab.com/me/app",
    "CI_DEFAULT_BRANCH": "main",
    "CI_RUNNER_ID": "5",
    "CI_JOB_URL": "https://gitlab.com/me/app/-/jobs/7",
}
CIRCLE = {
    "CIRCLECI": "true",
    "CIRCLE_SHA1": SHA,
    "CIRCLE_REPOSITORY_URL": "git@github.com:me/app.git",
    "CIRCLE_PROJECT_ID": "5",
    "CIRCLE_BUILD_URL": "https://circleci.com/gh/me/app/7",
}
JENKINS = {
    "JENKINS_URL": "http://ci/",
    "JOB_URL": "http://ci/job/app/",
    "BUILD_URL": "http://ci/job/app/7/",
    "GIT_COMMIT": SHA,
    "GIT_URL": "https://u:canary@git.example/me/app.git",
}
AZURE = {
    "TF_BUILD": "True",
    "BUILD_SOURCEVERSION": SHA,
    "BUILD_REPOSITORY_URI": "https://dev.example/me/app",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/me/",
    "SYSTEM_TEAMPROJECT": "app",
    "SYSTEM_DEFINITIONID": "5",
    "BUILD_BUILDID": "7",
}
BUILDKITE = {
    "BUILDKITE": "true",
    "BUILDKITE_COMMIT": SHA,
    "BUILDKITE_REPO": "git@github.com:me/app.git",
    "BUILDKITE_PIPELINE_DEFAULT_BRANCH": "main",
    "BUILDKITE_PULL_REQUEST": "false",
    "BUILDKITE_ORGANIZATION_SLUG": "me",
    "BUILDKITE_PIPELINE_SLUG": "app",
    "BUILDKITE_BUILD_URL": "https://buildkite.com/me/app/builds/7",
    "BUILDKITE_JOB_ID": "01",
}

# What each system sets for a push to a branch, a pushed tag, a pull request and a timer.
RUNS = [
    (GITHUB, {"GITHUB_REF": "refs/heads/release/1.x"}, {"branch": "release/1.x"}),
    (GITHUB, {"GITHUB_REF": "refs/tags/v1.2.3"}, {"tag": "v1.2.3"}),
    (
        GITHUB,
        {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_HEAD_REF": "fix"},
        # The document with its repository is missing.
        {"pull_request": "12", "fork": True},
    ),
    (
        GITHUB,
        {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "schedule"},
        {"branch": "main", "schedule": True, "default_branch": "main"},
    ),
    (GITHUB, {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "push"}, {"branch": "main"}),
    (GITLAB, {"CI_COMMIT_BRANCH": "main"}, {"branch": "main"}),
    (GITLAB, {"CI_COMMIT_TAG": "v1.2.3"}, {"tag": "v1.2.3"}),
    (GITLAB, {"CI_MERGE_REQUEST_IID": "12"}, {"pull_request": "12"}),
    (
        GITLAB,
        {"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "schedule"},
        {"branch": "main", "schedule": True},
    ),
    (CIRCLE, {"CIRCLE_BRANCH": "main"}, {"branch": "main"}),
    (CIRCLE, {"CIRCLE_TAG": "v1.2.3"}, {"tag": "v1.2.3"}),
    (
        CIRCLE,
        {"CIRCLE_BRANCH": "fix", "CIRCLE_PULL_REQUEST": "https://github.com/me/app/pull/12"},
        {"pull_request": "12"},
    ),
    (CIRCLE, {"CIRCLE_BRANCH": "pull/12", "CIRCLE_PR_NUMBER": "12"}, {"pull_request": "12"}),
    (JENKINS, {"BRANCH_NAME": "main", "GIT_BRANCH": "main"}, {"branch": "main"}),
    (JENKINS, {"GIT_BRANCH": "origin/main"}, {"branch": "main"}),
    (JENKINS, {"GIT_LOCAL_BRANCH": "main", "GIT_BRANCH": "other/main"}, {"branch": "main"}),
    (JENKINS, {"BRANCH_NAME": "v1.2.3", "TAG_NAME": "v1.2.3"}, {"tag": "v1.2.3"}),
    (JENKINS, {"BRANCH_NAME": "PR-12", "CHANGE_ID": "12"}, {"pull_request": "12"}),
    (
        JENKINS,
        {"BRANCH_NAME": "main", "BUILD_CAUSE": "TIMERTRIGGER"},
        {"branch": "main", "schedule": True},
    ),
    (AZURE, {"BUILD_SOURCEBRANCH": "refs/heads/main"}, {"branch": "main"}),
    (AZURE, {"BUILD_SOURCEBRANCH": "refs/tags/v1.2.3"}, {"tag": "v1.2.3"}),
    (AZURE, {"BUILD_SOURCEBRANCH": "refs/pull/12/merge"}, {"pull_request": "12"}),
    (
        AZURE,
        {
            "BUILD_SOURCEBRANCH": "refs/pull/900/merge",
            "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "12",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "900",
        },
        {"pull_request": "12"},
    ),
    (AZURE, {"SYSTEM_PULLREQUEST_PULLREQUESTID": "900"}, {"pull_request": "900"}),
    (
        AZURE,
        {"BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_REASON": "Schedule"},
        {"branch": "main", "schedule": True},
    ),
    (BUILDKITE, {"BUILDKITE_BRANCH": "main"}, {"branch": "main"}),
    (BUILDKITE, {"BUILDKITE_BRANCH": "v1.2.3", "BUILDKITE_TAG": "v1.2.3"}, {"tag": "v1.2.3"}),
    (BUILDKITE, {"BUILDKITE_BRANCH": "fix", "BUILDKITE_PULL_REQUEST": "12"}, {"pull_request": "12"}),
    (
        BUILDKITE,
        {"BUILDKITE_BRANCH": "main", "BUILDKITE_SOURCE": "schedule"},
        {"branch": "main", "schedule": True},
    ),
]
# The build platform, and the address of the run.
PLATFORMS = {
    "github": (
        "https://github.com/me/app/.github/workflows/image.yml@refs/heads/main",
        "https://github.com/me/app/actions/runs/7/attempts/2",
    ),
    "gitlab": ("https://gitlab.com/me/app/-/runners/5", "https://gitlab.com/me/app/-/jobs/7"),
    "circleci": ("https://circleci.com/projects/5", "https://circleci.com/gh/me/app/7"),
    "jenkins": ("http://ci/job/app/", "http://ci/job/app/7/"),
    "azure": (
        "https://dev.azure.com/me/app/_build?definitionId=5",
        "https://dev.azure.com/me/app/_build/results?buildId=7",
    ),
    "buildkite": ("https://buildkite.com/me/app", "https://buildkite.com/me/app/builds/7#01"),
}
ALWAYS = {
    "GITHUB_ACTIONS": ("github", "https://github.com/me/app", ""),
    "GITLAB_CI": ("gitlab", "https://gitlab.com/me/app", "main"),
    "CIRCLECI": ("circleci", "https://github.com/me/app", ""),
    "JENKINS_URL": ("jenkins", "https://git.example/me/app", ""),
    "TF_BUILD": ("azure", "https://dev.example/me/app", ""),
    "BUILDKITE": ("buildkite", "https://github.com/me/app", "main"),
}


@pytest.mark.parametrize(("system", "run", "said"), RUNS)
def test_reads_the_event_of_each_system(
    system: dict[str, str], run: dict[str, str], said: dict[str, object]
) -> None:
    name, address, main = ALWAYS[next(iter(system))]
    always = {"system": name, "revision": SHA, "repository": address, "default_branch": main}
    always |= dict(zip(("builder", "run"), PLATFORMS[name], strict=True))
    assert event(system | run) == Event(**always | said)


@pytest.mark.parametrize(
    ("markers", "name"), [(("FORGEJO", "GITEA"), "forgejo"), (("GITEA",), "gitea"), ((), "github")]
)
def test_systems_with_githubs_variables_are_told_apart(markers: tuple[str, ...], name: str) -> None:
    """Forgejo's runner sets the markers of all three systems, Gitea's those of two."""
    run = GITHUB | {f"{marker}_ACTIONS": "true" for marker in markers} | {"GITHUB_REF": "refs/heads/main"}
    assert (event(run).system, event(run).branch) == (name, "main")


@pytest.mark.parametrize("marker", ["GITHUB_ACTIONS", "FORGEJO_ACTIONS", "GITEA_ACTIONS"])
@pytest.mark.parametrize(
    ("text", "main"),
    [
        (json.dumps({"repository": {"default_branch": "trunk"}}), "trunk"),
        (json.dumps({"repository": {"default_branch": None}}), ""),
        (json.dumps({"repository": {}}), ""),
        (json.dumps({"repository": None}), ""),
        ("[]", ""),
        ("no JSON", ""),
        ("", ""),
    ],
)
def test_the_default_branch_is_read_from_the_event_json(
    tmp_path: Path, marker: str, text: str, main: str
) -> None:
    """Regression: `type=edge` gave no tag on these systems, since no variable names the default branch."""
    (tmp_path / "event.json").write_text(text)
    run = GITHUB | {marker: "true", "GITHUB_REF": "refs/heads/main"}
    assert event(run | {"GITHUB_EVENT_PATH": str(tmp_path / "event.json")}).default_branch == main
    assert event(run | {"GITHUB_EVENT_PATH": str(tmp_path / "nowhere.json")}).default_branch == ""


@pytest.mark.parametrize("marker", ["GITHUB_ACTIONS", "FORGEJO_ACTIONS", "GITEA_ACTIONS"])
def test_pull_request_target_is_a_pull_request(tmp_path: Path, marker: str) -> None:
    """With `pull_request_target`, a pull request of a fork would otherwise move the base branch's tag."""
    document = tmp_path / "event.json"
    run = GITHUB | {marker: "true", "GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": str(document)}
    document.write_text(json.dumps({"number": 7, "repository": {"default_branch": "main"}}))
    assert (event(run).branch, event(run).pull_request) == ("main", "")
    requested = event(run | {"GITHUB_EVENT_NAME": "pull_request_target"})
    assert (requested.branch, requested.pull_request, requested.default_branch) == ("", "7", "main")
    document.unlink()
    unknown = event(run | {"GITHUB_EVENT_NAME": "pull_request_target"})
    assert (unknown.branch, unknown.pull_request) == ("", "")


def test_a_scheduled_branch_is_the_default_without_event_json() -> None:
    timer = GITHUB | {"GITHUB_EVENT_NAME": "schedule"}
    assert event(timer | {"GITHUB_REF": "refs/heads/trunk"}).default_branch == "trunk"
    assert event(GITHUB | {"GITHUB_REF": "refs/heads/trunk"}).default_branch == ""
    other = JENKINS | {"BRANCH_NAME": "release", "BUILD_CAUSE": "TIMERTRIGGER"}
    assert event(other).default_branch == ""


def test_every_system_has_a_test_case() -> None:
    assert {system.name for system in SYSTEMS} == {name for name, *_ in ALWAYS.values()} | {
        "forgejo",
        "gitea",
    }


def test_outside_ci_the_event_is_empty() -> None:
    for given in ({}, {"CI": "false"}, {"CI": ""}):
        assert event({"HOME": "/root", **given}) == Event()


def test_the_builder_is_named_in_every_ci() -> None:
    """Regression: the provenance of a build in CI had the builder of a machine outside CI."""
    for system in SYSTEMS:
        assert event({system.marker: "http://ci/"}).builder.startswith("http"), system.name
    assert event({"CI": "true"}) == Event(builder="https://github.com/rust-multiarch/rust-multiarch/ci")
    gitea = event(GITHUB | {"GITEA_ACTIONS": "true"})
    assert gitea.run == "https://github.com/me/app/actions/runs/7/attempts/2"


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("refs/heads/a/b", Event(branch="a/b")),
        ("refs/tags/v1", Event(tag="v1")),
        ("refs/pull/3/head", Event(pull_request="3")),
        ("refs/merge-requests/4/head", Event(pull_request="4")),
        ("refs/notes/commits", Event()),
        ("main", Event()),
        ("", Event()),
    ],
)
def test_parses_a_git_reference(ref: str, said: Event) -> None:
    assert of_ref(ref) == said


@pytest.mark.parametrize(
    ("environment", "more"),
    [
        (GITHUB, {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_BASE_REF": "1.x"}),
        (GITLAB, {"CI_MERGE_REQUEST_IID": "12", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "1.x"}),
        (JENKINS, {"CHANGE_ID": "12", "CHANGE_TARGET": "1.x"}),
        (
            AZURE,
            {"SYSTEM_PULLREQUEST_PULLREQUESTID": "12", "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/1.x"},
        ),
        (BUILDKITE, {"BUILDKITE_PULL_REQUEST": "12", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "1.x"}),
    ],
)
def test_the_branch_that_a_pull_request_is_for(environment: dict[str, str], more: dict[str, str]) -> None:
    assert event(environment | more).base == "1.x"
    assert event(environment).base == ""
