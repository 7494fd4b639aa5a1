"""Test the public reports in ../shared/cases with the command line, each with its correct outcome.

A row of `CASES` is a command over a case's project. `{project}` in an argument is a copy of the project, made
by `make.sh` if the case has one. `{work}` is an empty directory, `{registry}` the engine's registry, and
`{unique}` a unique word. `docs/generate.py` makes docs/public-reports.md from the tables here, and from the
docstring of each row's `right`, which says what it checks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.releases import RUST

PROGRAM = Path(sys.executable).parent / "rust-multiarch"
FOLDER = Path(__file__).parents[3] / "shared/cases"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
AMD64, BOTH = "linux/amd64", "linux/amd64,linux/arm64"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the cases are not on this machine")


@dataclass(frozen=True)
class Ran:
    """A completed command, and the values of its placeholders."""

    code: int
    stdout: str
    stderr: str
    words: Mapping[str, str]

    def get(self, path: str, accept: str = "*/*") -> tuple[Any, str]:
        """Return a document of the registry, and its content type."""
        url = f"http://{self.words['registry']}/v2/{path.format(**self.words)}"
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer), answer.headers["Content-Type"]

    def tags(self, repository: str) -> set[str]:
        """Return the tags of a repository."""
        return set(self.get(f"{repository}/tags/list")[0]["tags"])


@dataclass(frozen=True)
class Report:
    """A report by its case's number.

    Attributes:
        title: what its writer met, in one sentence.
        threads: where it was written, as `owner/repository#number`; nothing where it was found by reading.
        made: the case's project is a git checkout that its `make.sh` makes.
    """

    title: str
    threads: tuple[str, ...] = ()
    made: bool = False


REPORTS: Mapping[str, Report] = {
    "01": Report(
        "A build script writes a module into `src`, and is not run again when the file is gone.",
        ("rust-lang/cargo#4468", "rust-lang/cargo#10541"),
    ),
    "02": Report(
        "A build script reads a variable without declaring it, and another value changes nothing.",
        ("denoland/rusty_v8#378", "spellshift/realm#1727", "EkardNT/const_env#5", "rust-lang/cargo#10358"),
    ),
    "03": Report(
        "Two projects with one package name share a target directory, and one gets the other's program.",
        ("rust-lang/cargo#7740", "bobmatnyc/trusty-tools#7725"),
    ),
    "04": Report(
        "`.gitignore` names Cargo.lock, which is missing where the image is built.",
        ("sgl-project/sglang#26277", "nickgerace/gfold#107", "theGreatHerrLebert/rustims#383"),
    ),
    "06": Report(
        "A file that git tracks although `.gitignore` names it is missing from the program.",
        ("dagger/dagger#10996",),
        made=True,
    ),
    "07": Report(
        "A build script runs `git describe`, and there is no `.git` where the image is built.",
        (
            "docker/build-push-action#378",
            "ChainSafe/forest#1384",
            "spinframework/spin#530",
            "near/nearcore#3375",
        ),
        made=True,
    ),
    "09": Report(
        "A package depends on one beside it, with no workspace above them.",
        (
            "LukeMathWalker/cargo-chef#4",
            "LukeMathWalker/cargo-chef#55",
            "cross-rs/cross#139",
            "cross-rs/cross#277",
            "cross-rs/cross#595",
        ),
    ),
    "11": Report(
        "A member of a workspace has an old Cargo.lock, which is used in place of the workspace's.",
        ("semantic-release-cargo/semantic-release-cargo#35", "gentoo/pycargoebuild#25"),
    ),
    "12": Report(
        "A program has the name of one of its dependencies, and `--package` is ambiguous.",
        (
            "rust-lang/cargo#12891",
            "rust-lang/cargo#16218",
            "rust-lang/rust-analyzer#3781",
            "creusot-rs/creusot#2041",
        ),
    ),
    "13": Report(
        "An `[unstable]` table in .cargo/config.toml, which a stable cargo ignores, breaks the build.",
        ("leptos-rs/cargo-leptos#279", "LedgerHQ/app-boilerplate-rust#29"),
    ),
    "14": Report(
        "The project's configuration has `-Z` flags for a nightly Rust, and the builder's Rust is stable.",
        ("fzyzcjy/flutter_rust_bridge#1862", "TimJentzsch/cargo-bavy#10"),
    ),
    "16": Report(
        "A package needs a newer Rust than the builder's.",
        (
            "pyrsia/pyrsia#1616",
            "RCasatta/fbbe#41",
            "base/base#128",
            "pixix4/ev3dev-lang-rust#35",
            "gchq/sleeper#6672",
        ),
    ),
    "17": Report(
        "The .cargo/config.toml above the project is missing where the image is built.",
        ("aptos-labs/aptos-core#3831", "Galxe/gravity-sdk#716", "rust-lang/cargo#7621"),
    ),
    "18": Report(
        "Cargo.lock is of a newer cargo than the builder's, or has the markers of a merge in it.",
        ("sassman/ssd-benchmark-rs#47", "rust-lang/cargo#15306", "AgentWorkforce/relay#206"),
    ),
    "21": Report(
        "With `build.build-dir` in cargo's configuration, outputs are not found and compiled state is lost.",
        ("cross-rs/cross#1688", "burtonageo/cargo-bundle#161", "fish-shell/fish-shell#9600"),
    ),
    "23": Report("A type error on a line about authentication is explained as missing credentials."),
    "30": Report(
        "Kubernetes' `runAsNonRoot` refuses an image whose user is a name.",
        (
            "prometheus/statsd_exporter#406",
            "comet-ml/opik-mcp#142",
            "goharbor/harbor-operator#82",
            "moby/buildkit#1344",
        ),
    ),
    "31": Report(
        "An image for one platform is pushed as an index, which AWS Lambda refuses.",
        (
            "docker/build-push-action#755",
            "aws/aws-lambda-roadmap#82",
            "serverless/serverless#12808",
            "serverless/serverless#12933",
            "aws-samples/bedrock-access-gateway#206",
            "polarsource/polar#12564",
        ),
    ),
    "32": Report(
        "A git tag with the package's name in front (`server-v1.4.2`) is published under no version.",
        ("docker/metadata-action#56", "docker/metadata-action#86", "duranserkan/DRN-Project#21"),
        made=True,
    ),
    "34": Report(
        "A step of CI leaves an untracked file in the checkout, and the release is called dirty.",
        (
            "google-github-actions/setup-gcloud#144",
            "goreleaser/goreleaser#2162",
            "observIQ/bindplane-otel-collector#2363",
            "odigos-io/odigos#2484",
            "pomerium/pomerium#3906",
            "grafana/shared-workflows#1021",
            "sigstore/cosign-installer#23",
        ),
        made=True,
    ),
    "35": Report(
        "The owner of a repository on GitHub has capitals in its name, and registries take none.",
        (
            "ggml-org/llama.cpp#6671",
            "docker/build-push-action#237",
            "macbre/push-to-ghcr#12",
            "Vanilla-OS/custom-image#5",
        ),
    ),
}


@dataclass(frozen=True)
class Case:
    """A command on the project of a case, and the check of its result."""

    number: str
    arguments: str
    right: Callable[[Ran], None]
    code: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    project: str = "project"


def numeric_user(ran: Ran) -> None:
    """The user of every image is `10001:10001`."""
    blobs = Path(ran.words["work"]) / "layout/blobs/sha256"
    documents = [json.loads(blob.read_bytes()) for blob in blobs.iterdir() if blob.read_bytes()[:1] == b"{"]
    users = [one["config"]["User"] for one in documents if "rootfs" in one]
    assert users == ["10001:10001"] * len(users) and users


def plain_manifest(ran: Ran) -> None:
    """The tag names a manifest, not an index."""
    document, kind = ran.get("function-{unique}/manifests/1", f"{INDEX}, {MANIFEST}")
    assert (kind, document["mediaType"]) == (MANIFEST, MANIFEST)


def released(ran: Ran) -> None:
    """Among the tags are `1.4.2`, `1.4`, `1`, `latest`; the image's version is `1.4.2`."""
    assert ran.tags("server-{unique}") >= {"1.4.2", "1.4", "1", "latest"}
    document, _ = ran.get("server-{unique}/manifests/1.4.2", MANIFEST)
    assert document["annotations"]["org.opencontainers.image.version"] == "1.4.2"


def released_by_rule(ran: Ran) -> None:
    """The tags are `1.4.2` and `latest`."""
    assert ran.tags("server-{unique}") == {"1.4.2", "latest"}


def said(texts: Sequence[str], not_this: str = "") -> str:
    """Return a sentence about what is checked of the messages; without any it is the exit code alone."""
    quoted = ", ".join(f"`{text}`" for text in texts if text)
    but = f", and not `{not_this}`" if not_this else ""
    return f"The messages say {quoted}{but}." if quoted else "It succeeds."


def prints(program: str, text: str) -> Callable[[Ran], None]:
    """The program that was built prints a line."""

    def right(ran: Ran) -> None:
        path = f"{ran.words['work']}/linux-amd64/{program}"
        printed = subprocess.run([path], capture_output=True, text=True, check=True).stdout
        assert printed.strip() == text

    right.__doc__ = f"The program prints `{text}`."
    return right


def says(*texts: str) -> Callable[[Ran], None]:
    """The messages have some texts in them."""

    def right(ran: Ran) -> None:
        assert [text for text in texts if text not in ran.stderr] == []

    right.__doc__ = said(texts)
    return right


def released_clean(ran: Ran) -> None:
    """Among the tags are `1.2.3`, `1.2`, `1`, `latest`; nothing is called dirty."""
    found = ran.tags("released-{unique}".format(**ran.words))
    assert {"1.2.3", "1.2", "1", "latest"} <= found
    assert not [tag for tag in found if "dirty" in tag]
    assert "dirty" not in ran.stderr


BINARY = f"binary --platform {AMD64} --output {{work}}"


def builds_both(program: str, text: str) -> Callable[[Ran], None]:
    """The programs of both platforms are there, and the one of amd64 prints a line."""

    def right(ran: Ran) -> None:
        built = Path(ran.words["work"])
        done = subprocess.run([str(built / "linux-amd64" / program)], capture_output=True, text=True)
        assert done.stdout.strip() == text
        assert (built / "linux-arm64" / program).read_bytes()[18:20] == b"\xb7\0", "the ELF machine of arm64"

    right.__doc__ = f"Both platforms have the program; it prints `{text}`."
    return right


def told(*texts: str, not_this: str = "") -> Callable[[Ran], None]:
    """All of the texts are in what the command printed, and another is not."""

    def right(ran: Ran) -> None:
        printed = ran.stdout + ran.stderr
        assert [text for text in texts if text not in printed] == [], printed
        assert not not_this or not_this not in printed

    right.__doc__ = said(texts, not_this)
    return right


RELEASE = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/tags/server-v1.4.2"}

PUBLISH = f"publish --platform {AMD64} --tag {{registry}}/server-{{unique}}"
LAYOUT = "build --output type=oci,dest={work}/layout,tar=false {project}"

BOTH_BUILT = f"binary --platform {BOTH} --output {{work}} {{project}}"
BOOTSTRAP = "--build-arg RUSTC_BOOTSTRAP=1"
SHOWS = "on your machine"

CASES = (
    Case("12", BOTH_BUILT, builds_both("hex", "6f776e206e616d65")),
    Case("12", "test {project}", told("")),
    Case("13", BOTH_BUILT, builds_both("smaller", "smaller")),
    Case(
        "14",
        f"build --platform {BOTH} {{project}}",
        told("CompileError: the project needs a nightly Rust", "rust-toolchain.toml", "RUSTC_BOOTSTRAP=1"),
        code=30,
    ),
    Case("14", f"{BOTH_BUILT} {BOOTSTRAP}", builds_both("fastbuild", "fastbuild")),
    Case(
        "14",
        f"plan {{project}} {BOOTSTRAP}",
        told(f"rust-toolchain.toml asks for nightly, which cannot be installed here: Rust {RUST} is used"),
    ),
    Case("14", "plan {project}", told("rust-toolchain.toml asks for nightly"), code=30),
    # The steps that are advised, followed.
    Case(
        "14",
        f"plan {{project}} --rust-version {RUST} {BOOTSTRAP}",
        told(f"asks for Rust nightly, and Rust {RUST}"),
    ),
    Case(
        "14",
        f"plan {{project}} --rust-version {RUST}",
        told("needs a nightly Rust", "RUSTC_BOOTSTRAP=1"),
        code=30,
    ),
    Case(
        "16",
        f"build --platform {AMD64} {{project}}",
        told("ahead 0.1.0 needs 1.199", "--rust-version 1.199", not_this=SHOWS),
        code=36,
    ),
    Case(
        "16",
        "plan {project} --rust-version 1.199",
        told("rust:1.199-slim-trixie", "--rust-version"),
        code=64,
    ),
    Case("16", f"build --platform {AMD64} {{project}} --cargo-arg=--ignore-rust-version", told("")),
    Case(
        "18",
        f"build --platform {AMD64} {{project}}",
        told("InvalidManifest: Cargo.lock", "--rust-version", not_this=SHOWS),
        code=29,
        project="newer",
    ),
    Case(
        "18",
        f"build --platform {AMD64} {{project}}",
        told("InvalidManifest: Cargo.lock", "line 9"),
        code=29,
        project="conflict",
    ),
    Case(
        "23",
        f"build --platform {AMD64} {{project}}",
        told("E0308", "CompileError: cargo could not build the project", not_this="MissingCredentials"),
        code=30,
    ),
    Case(
        "35",
        f"publish --platform {AMD64} --tag ghcr.io/Example-Org/Service:1 {{project}}",
        told("repository names are lowercase", "ghcr.io/example-org/service:1", not_this="engine:"),
        code=51,
    ),
    Case("04", f"build --platform {AMD64} {{project}}", says("is in .gitignore", "--include-ignored"), 21),
    Case("04", f"build --platform {AMD64} --include-ignored {{project}}", says()),
    Case("06", f"{BINARY} {{project}}", prints("gallery", "intro.mp4 poster.txt")),
    Case("06", f"{BINARY} --require-clean {{project}}", prints("gallery", "intro.mp4 poster.txt")),
    Case("07", f"{BINARY} --git-metadata {{project}}", prints("describes", "v1.4.0")),
    Case("07", f"build --platform {AMD64} {{project}}", says("asks git", "--git-metadata"), 30),
    Case("07", f"build --platform {AMD64} --builder-packages git {{project}}", says("--git-metadata"), 30),
    Case("09", f"{BINARY} {{project}}/api", prints("api", "api shared by path"), project="repo"),
    Case("09", f"build --platform {AMD64} {{project}}", says("Cargo.toml: api, shared"), 20, project="repo"),
    Case(
        "09",
        f"{BINARY} --manifest-path api/Cargo.toml {{project}}",
        prints("api", "api shared by path"),
        project="repo",
    ),
    Case("11", f"{BINARY} {{project}}/server", prints("server", "(15, 1, 0)"), project="workspace"),
    Case(
        "17",
        f"{BINARY} {{project}}/services/api",
        prints("api", "metrics=true channel=stable"),
        project="repo",
    ),
    Case(
        "34",
        f"publish --platform {AMD64} --tag {{registry}}/released-{{unique}} {{project}}",
        released_clean,
        environment={"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/tags/v1.2.3"},
    ),
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


@dataclass(frozen=True)
class Built:
    """A build of a case's project for amd64, and the output of its program.

    Attributes:
        project: which of the case's projects.
        change: a file, and words in it to replace, before the build; the change stays for the next.
        more: more platforms, of which no program is run here.
    """

    prints: str
    arguments: str = ""
    project: str = "project"
    change: tuple[str, str, str] | None = None
    more: str = ""


MAIN = "src/main.rs"
NUMBER = "--build-arg BUILD_NUMBER="

SEQUENCES: Mapping[str, tuple[str, tuple[Built, ...]]] = {
    "01": (
        "wiregen",
        (
            Built("first 7 40"),
            Built("first 7 40", more=",linux/arm64"),
            Built("second 7 40", change=(MAIN, "first", "second")),
            Built("first 7 40", change=(MAIN, "second", "first")),
        ),
    ),
    "02": (
        "stamped",
        (Built("build 1", f"{NUMBER}1"), Built("build 2", f"{NUMBER}2"), Built("build none")),
    ),
    "03": (
        "app",
        (
            Built("from the north", project="north"),
            Built("from the south", project="south"),
            Built("from the north", project="north"),
        ),
    ),
    "21": (
        "moved",
        (
            Built("moved 21", more=",linux/arm64"),
            Built("again 21", change=(MAIN, "moved {}", "again {}"), more=",linux/arm64"),
        ),
    ),
}
"""By number of the case: its program, and the builds in order."""


@pytest.mark.parametrize("number", SEQUENCES)
def test_sequence(number: str, tmp_path: Path, loopback: str) -> None:
    (folder,) = FOLDER.glob(f"{number}-*")
    program, builds = SEQUENCES[number]
    for name in {built.project for built in builds}:
        shutil.copytree(folder / name, tmp_path / name)
    for built in builds:
        project = tmp_path / built.project
        if built.change:
            file, old, new = built.change
            (project / file).write_text((project / file).read_text().replace(old, new))
        command = [
            str(PROGRAM),
            "binary",
            "--platform",
            AMD64 + built.more,
            "--output",
            str(tmp_path / "out"),
        ]
        command += [*built.arguments.split(), "--progress", "plain", str(project)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        ran = subprocess.run([str(tmp_path / "out/linux-amd64" / program)], capture_output=True, text=True)
        assert ran.stdout.strip() == built.prints


def test_every_case_has_its_report_and_a_command() -> None:
    numbers = {folder.name.split("-")[0]: folder for folder in FOLDER.glob("*-*/")}
    assert numbers.keys() == REPORTS.keys() == {case.number for case in CASES} | SEQUENCES.keys()
    for number, report in REPORTS.items():
        right = (numbers[number] / "right.md").read_text()
        assert [thread for thread in report.threads if thread.rpartition("#")[0] not in right] == []
        assert [thread for thread in report.threads if f"#{thread.rpartition('#')[2]}" not in right] == []
        assert report.threads or "No thread" in right
        assert report.made == (numbers[number] / "make.sh").exists(), number
