"""Read the event of a run from the variables of its CI system.

CI systems outside the table also work: git has everything but pull requests and schedules.
Sources of the rows are the systems' own lists of predefined variables: GitHub "Variables reference", GitLab
"Predefined CI/CD variables reference", CircleCI "Project values and variables", Jenkins "Using environment
variables" and its Branch API and Git plugins, Azure Pipelines "Predefined variables", Buildkite "Environment
variables", Forgejo and Gitea "Actions variables".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.cargo_toml import table
from pipeline.git.facts import browsable


@dataclass(frozen=True)
class Event:
    """The event of a run: a push, a pull request or a schedule. Every part may be empty.

    Attributes:
        system: the CI system; empty outside CI.
        branch: the branch that was pushed, or that a schedule builds.
        tag: the tag that was pushed.
        pull_request: number of the pull or merge request.
        base: the branch that a pull request is for.
        schedule: true if a timer started the run.
        revision: the commit to build.
        repository: web address of the repository.
        default_branch: the repository's main branch.
        fork: true for a pull request of another repository, or of one that is not known.
        builder: the identity of the build platform, as a URI; empty outside CI.
        run: the address of the run; empty if it is not known.
    """

    system: str = ""
    branch: str = ""
    tag: str = ""
    pull_request: str = ""
    base: str = ""
    schedule: bool = False
    revision: str = ""
    repository: str = ""
    default_branch: str = ""
    fork: bool = False
    builder: str = ""
    run: str = ""


ANY_SYSTEM = "https://github.com/rust-multiarch/rust-multiarch/ci"
"""The identity of a CI system that names none; that of a known system has its name added."""


@dataclass(frozen=True)
class CiVariables:
    """The variables of one CI system: one that only it sets, and templates over the others.

    A template is text with `$NAME` in it. It is empty if one of its variables is; of several templates, the
    first that is not empty is used.

    Attributes:
        ref: the full git reference (`refs/heads/…`, `refs/tags/…`, `refs/pull/…`).
        scheduled: the variable with the reason of the run, and its value for a schedule.
        document: the variable with the path of the event's JSON, which describes the repository.
        of_request: the variable with the reason of the run, and its value for a pull request that runs as its
            base branch; the reference is then the base branch's, and only the JSON has the number.
        timed_default: whether schedules run on the default branch only.
        fork: set, and not to `false`, for a pull request of a fork.
        sides: the repository that a pull request is of, and the one it is for; else the document has both.
        builder: the identity of the build platform: the workflow, the runner or the pipeline.
        run: the address of the run.
    """

    name: str
    marker: str
    ref: tuple[str, ...] = ()
    branch: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    pull_request: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    revision: tuple[str, ...] = ()
    repository: tuple[str, ...] = ()
    default_branch: tuple[str, ...] = ()
    scheduled: tuple[str, str] = ("", "")
    document: str = ""
    of_request: tuple[str, str] = ("", "")
    timed_default: bool = False
    fork: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    builder: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


GITHUB = CiVariables(
    "github",
    "GITHUB_ACTIONS",
    ref=("$GITHUB_REF",),
    base=("$GITHUB_BASE_REF",),
    revision=("$GITHUB_SHA",),
    repository=("$GITHUB_SERVER_URL/$GITHUB_REPOSITORY",),
    scheduled=("GITHUB_EVENT_NAME", "schedule"),
    document="GITHUB_EVENT_PATH",
    of_request=("GITHUB_EVENT_NAME", "pull_request_target"),
    # The event of a schedule does not describe the repository.
    timed_default=True,
    # As in the provenance that GitHub's own actions write: the workflow with its reference.
    builder=("$GITHUB_SERVER_URL/$GITHUB_WORKFLOW_REF", "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY"),
    run=(
        "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID/attempts/$GITHUB_RUN_ATTEMPT",
        "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID",
    ),
)

SYSTEMS: tuple[CiVariables, ...] = (
    # Both also set GitHub's variables, so they come first.
    replace(GITHUB, name="forgejo", marker="FORGEJO_ACTIONS"),
    replace(GITHUB, name="gitea", marker="GITEA_ACTIONS"),
    GITHUB,
    CiVariables(
        "gitlab",
        "GITLAB_CI",
        branch=("$CI_COMMIT_BRANCH",),
        tag=("$CI_COMMIT_TAG",),
        pull_request=("$CI_MERGE_REQUEST_IID",),
        base=("$CI_MERGE_REQUEST_TARGET_BRANCH_NAME",),
        revision=("$CI_COMMIT_SHA",),
        repository=("$CI_PROJECT_URL",),
        default_branch=("$CI_DEFAULT_BRANCH",),
        scheduled=("CI_PIPELINE_SOURCE", "schedule"),
        sides=("$CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "$CI_MERGE_REQUEST_PROJECT_ID"),
        # As in the provenance that GitLab's runner writes.
        builder=("$CI_PROJECT_URL/-/runners/$CI_RUNNER_ID", "$CI_PROJECT_URL"),
        run=("$CI_JOB_URL", "$CI_PIPELINE_URL"),
    ),
    CiVariables(
        "circleci",
        "CIRCLECI",
        branch=("$CIRCLE_BRANCH",),
        tag=("$CIRCLE_TAG",),
        pull_request=("$CIRCLE_PR_NUMBER", "$CIRCLE_PULL_REQUEST"),
        revision=("$CIRCLE_SHA1",),
        repository=("$CIRCLE_REPOSITORY_URL",),
        # "Only available on forked PRs."
        fork=("$CIRCLE_PR_REPONAME",),
        builder=("https://circleci.com/projects/$CIRCLE_PROJECT_ID", "https://circleci.com"),
        run=("$CIRCLE_BUILD_URL",),
    ),
    CiVariables(
        "jenkins",
        "JENKINS_URL",
        branch=("$BRANCH_NAME", "$GIT_LOCAL_BRANCH", "$GIT_BRANCH"),
        tag=("$TAG_NAME",),
        pull_request=("$CHANGE_ID",),
        base=("$CHANGE_TARGET",),
        revision=("$GIT_COMMIT",),
        repository=("$GIT_URL",),
        scheduled=("BUILD_CAUSE", "TIMERTRIGGER"),
        fork=("$CHANGE_FORK",),
        builder=("$JOB_URL", "$JENKINS_URL"),
        run=("$BUILD_URL",),
    ),
    CiVariables(
        "azure",
        "TF_BUILD",
        ref=("$BUILD_SOURCEBRANCH",),
        pull_request=("$SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "$SYSTEM_PULLREQUEST_PULLREQUESTID"),
        base=("$SYSTEM_PULLREQUEST_TARGETBRANCH",),
        revision=("$BUILD_SOURCEVERSION",),
        repository=("$BUILD_REPOSITORY_URI",),
        scheduled=("BUILD_REASON", "Schedule"),
        fork=("$SYSTEM_PULLREQUEST_ISFORK",),
        builder=("$SYSTEM_COLLECTIONURI$SYSTEM_TEAMPROJECT/_build?definitionId=$SYSTEM_DEFINITIONID",),
        run=("$SYSTEM_COLLECTIONURI$SYSTEM_TEAMPROJECT/_build/results?buildId=$BUILD_BUILDID",),
    ),
    CiVariables(
        "buildkite",
        "BUILDKITE",
        branch=("$BUILDKITE_BRANCH",),
        tag=("$BUILDKITE_TAG",),
        pull_request=("$BUILDKITE_PULL_REQUEST",),
        base=("$BUILDKITE_PULL_REQUEST_BASE_BRANCH",),
        revision=("$BUILDKITE_COMMIT",),
        repository=("$BUILDKITE_REPO",),
        default_branch=("$BUILDKITE_PIPELINE_DEFAULT_BRANCH",),
        scheduled=("BUILDKITE_SOURCE", "schedule"),
        sides=("$BUILDKITE_PULL_REQUEST_REPO", "$BUILDKITE_REPO"),
        builder=("https://buildkite.com/$BUILDKITE_ORGANIZATION_SLUG/$BUILDKITE_PIPELINE_SLUG",),
        run=("$BUILDKITE_BUILD_URL#$BUILDKITE_JOB_ID", "$BUILDKITE_BUILD_URL"),
    ),
)

_REF = re.compile(
    r"refs/(?:heads/(?P<branch>.+)|tags/(?P<tag>.+)|(?:pull|merge-requests)/(?P<pull_request>\d+)(?:/\w+)?)"
)


def event(environment: Mapping[str, str]) -> Event:
    """Read the event of a run from its environment; return an empty event outside CI.

    Of an unknown system, which sets `CI`, only the builder is known. The only file it reads is the event's
    JSON, if the system has one.
    """
    system = next((system for system in SYSTEMS if environment.get(system.marker)), None)
    if system is None:
        unknown = environment.get("CI", "").lower() not in ("", "0", "false")
        return Event(builder=ANY_SYSTEM if unknown else "")
    return _read_event(system, environment, _event_json(environment.get(system.document, "")))


def _event_json(path: str) -> Mapping[str, Any]:
    """Read an event's JSON; return {} if it cannot be read."""
    try:
        document = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _read_event(system: CiVariables, environment: Mapping[str, str], document: Mapping[str, Any]) -> Event:
    def first(templates: tuple[str, ...]) -> str:
        return next(filter(None, (_expand(template, environment) for template in templates)), "")

    def reason(row: tuple[str, str]) -> bool:
        variable, value = row
        return bool(value) and environment.get(variable) == value

    request = f"refs/pull/{document.get('number', '')}/head" if reason(system.of_request) else ""
    said = of_ref(request or first(system.ref))
    number = re.search(r"(\d+)$", first(system.pull_request))  # CircleCI sets the pull request's URL
    tag = said.tag or first(system.tag)
    pull_request = number[1] if number else said.pull_request
    schedule = reason(system.scheduled)
    # Some systems also set a branch name for a tag or a pull request.
    branch = "" if tag or pull_request else said.branch or first(system.branch).removeprefix("origin/")
    timed = branch if schedule and system.timed_default else ""
    documented = str(table(document, "repository").get("default_branch") or "")
    return Event(
        system=system.name,
        branch=branch,
        tag=tag,
        pull_request=pull_request,
        base=first(system.base).removeprefix("refs/heads/") if pull_request else "",
        schedule=schedule,
        revision=first(system.revision),
        repository=browsable(first(system.repository)),
        default_branch=first(system.default_branch) or documented or timed,
        fork=_is_fork(system, environment, document, bool(pull_request)),
        builder=first(system.builder) or f"{ANY_SYSTEM}/{system.name}",
        run=first(system.run),
    )


def _is_fork(
    system: CiVariables, environment: Mapping[str, str], document: Mapping[str, Any], requested: bool
) -> bool:
    """Return True for a pull request of a fork.

    Args:
        system: the CI system.
        environment: its variables.
        document: the event's JSON.
        requested: a pull request is built.
    """
    if any(_expand(template, environment).lower() not in ("", "false") for template in system.fork):
        return True
    if system.document:
        return _of_another(document, requested)
    sides = {_repository(_expand(template, environment)) for template in system.sides}
    return requested and "" not in sides and len(sides) > 1


def _of_another(document: Mapping[str, Any], requested: bool) -> bool:
    """Return True if a GitHub event is about a commit of another repository, or of a deleted one."""
    own = table(document, "repository").get("full_name")
    for event_name, *names in (("pull_request", "head", "repo"), ("workflow_run", "head_repository")):
        if event_name in document:
            other = table(document, event_name, *names).get("full_name")
            return not other or other != own
    return requested


def _repository(text: str) -> str:
    """Return the address of a repository without its scheme, or its id."""
    return (browsable(text).partition("://")[2] or text).lower()


def of_ref(ref: str) -> Event:
    """Parse a full git reference: a branch, a tag, or a pull or merge request."""
    match = _REF.fullmatch(ref)
    parts = match.groupdict(default="") if match else {}
    return Event(
        branch=parts.get("branch", ""), tag=parts.get("tag", ""), pull_request=parts.get("pull_request", "")
    )


def _expand(template: str, environment: Mapping[str, str]) -> str:
    names = re.findall(r"\$(\w+)", template)
    if not all(environment.get(name) for name in names):
        return ""
    return re.sub(r"\$(\w+)", lambda match: environment[match[1]], template)
