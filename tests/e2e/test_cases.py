"""The public reports in ../shared/cases, each with its right outcome, run by the command line as people do.

A row of `CASES` is a command over a case's project. `{project}` in an argument is a copy of the project, made
by `make.sh` where the case has one. `{work}` is an empty directory, `{registry}` the engine's registry, and
`{unique}` a word that no other run has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(sys.executable).parent / "rust-multiarch"
FOLDER = Path(__file__).parents[3] / "shared/cases"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
AMD64, BOTH = "linux/amd64", "linux/amd64,linux/arm64"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the cases are not on this machine")


@dataclass(frozen=True)
class Ran:
    """A command that ran, and the words that its arguments were filled with."""

    code: int
    stdout: str
    stderr: str
    words: Mapping[str, str]

    def get(self, path: str, accept: str = "*/*") -> tuple[Any, str]:
        """A document of the registry, and its content type."""
        url = f"http://{self.words['registry']}/v2/{path.format(**self.words)}"
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer), answer.headers["Content-Type"]

    def tags(self, repository: str) -> set[str]:
        """The tags of a repository."""
        return set(self.get(f"{repository}/tags/list")[0]["tags"])


@dataclass(frozen=True)
class Case:
    """A command over the project of a case, and what has to be true of it."""

    number: str
    arguments: str
    right: Callable[[Ran], None]
    code: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    project: str = "project"


def numeric_user(ran: Ran) -> None:
    blobs = Path(ran.words["work"]) / "layout/blobs/sha256"
    documents = [json.loads(blob.read_bytes()) for blob in blobs.iterdir() if blob.read_bytes()[:1] == b"{"]
    users = [one["config"]["User"] for one in documents if "rootfs" in one]
    assert users == ["10001:10001"] * len(users) and users


def plain_manifest(ran: Ran) -> None:
    document, kind = ran.get("function-{unique}/manifests/1", f"{INDEX}, {MANIFEST}")
    assert (kind, document["mediaType"]) == (MANIFEST, MANIFEST)


def released(ran: Ran) -> None:
    assert ran.tags("server-{unique}") >= {"1.4.2", "1.4", "1", "latest"}
    document, _ = ran.get("server-{unique}/manifests/1.4.2", MANIFEST)
    assert document["annotations"]["org.opencontainers.image.version"] == "1.4.2"


def released_by_rule(ran: Ran) -> None:
    assert ran.tags("server-{unique}") == {"1.4.2", "latest"}


RELEASE = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/tags/server-v1.4.2"}

PUBLISH = f"publish --platform {AMD64} --tag {{registry}}/server-{{unique}}"
LAYOUT = "build --output type=oci,dest={work}/layout,tar=false {project}"

CASES = (
    Case("30", f"{LAYOUT} --platform {BOTH}", numeric_user),
    Case("30", f"{LAYOUT} --platform {AMD64} --libc musl", numeric_user),
    Case(
        "31",
        "publish --platform linux/arm64 --tag {registry}/function-{unique}:1 --json {project}",
        plain_manifest,
    ),
    Case("32", f"{PUBLISH} --json {{project}}", released, environment=RELEASE),
    Case(
        "32",
        f"{PUBLISH} --tag-rules type=match,pattern=^server-v(.*)$,group=1 {{project}}",
        released_by_rule,
        environment=RELEASE,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.number}-{case.arguments.split()[0]}" for case in CASES])
def test_case(case: Case, tmp_path: Path, loopback: str) -> None:
    (folder,) = FOLDER.glob(f"{case.number}-*")
    work, project = tmp_path / "work", tmp_path / "copy"
    work.mkdir()
    if (folder / "make.sh").exists():
        subprocess.run(["sh", str(folder / "make.sh"), str(project)], check=True, capture_output=True)
    else:
        shutil.copytree(folder / case.project, project)
    words = {
        "project": str(project),
        "work": str(work),
        "registry": loopback,
        "unique": uuid.uuid4().hex[:8],
    }
    command = [str(PROGRAM), *(part.format(**words) for part in case.arguments.split())]
    done = subprocess.run(
        [*command, "--progress", "quiet"],
        capture_output=True,
        text=True,
        env={**os.environ, **case.environment},
    )
    assert done.returncode == case.code, done.stderr
    case.right(Ran(done.returncode, done.stdout, done.stderr, words))
