"""Test the output of `ci init` and the GitHub action, with the CI systems' tools and by running them."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from importlib.metadata import version
from pathlib import Path

import crates
import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from pipeline import errors
from pipeline.attestation import provenance, sbom
from pipeline.ci import config as ci_config
from pipeline.registry import archive
from pipeline.targets import DEFAULT_PLATFORMS

ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SECONDS = 600
USER, PASSWORD = "me", "s3cret"
MODES = [
    ci_config.Options(
        image="ghcr.io/me/app", platforms=DEFAULT_PLATFORMS, version=version("rust-multiarch"), matrix=matrix
    )
    for matrix in (False, True)
]


def text_of(name: str, options: ci_config.Options) -> str:
    (text,) = ci_config.render(ci_config.system(name), options).values()
    return text


def run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **options)


pytestmark = pytest.mark.systems


@pytest.fixture(scope="session")
def actionlint() -> list[str]:
    if not shutil.which("go"):
        pytest.skip("actionlint is compiled with Go, which is not here")
    return ["go", "run", ACTIONLINT]


def test_actionlint_accepts_what_github_gets(actionlint, tmp_path: Path) -> None:
    paths = [str(ROOT / ".github/workflows/ci.yml")]
    for number, options in enumerate(MODES):
        (tmp_path / f"{number}.yml").write_text(text_of("github", options))
        paths.append(str(tmp_path / f"{number}.yml"))
    done = run([*actionlint, *paths])
    assert done.returncode == 0, done.stdout


def test_actionlint_can_refuse(actionlint, tmp_path: Path) -> None:
    wrong = text_of("github", MODES[1]).replace("needs: publish", "needs: published")
    (tmp_path / "wrong.yml").write_text(wrong)
    assert "published" in run([*actionlint, str(tmp_path / "wrong.yml")]).stdout


@pytest.fixture(scope="session")
def jdp(request) -> str:
    """Install a checker of declarative pipelines: Jenkins' own needs a running Jenkins."""
    if not shutil.which("cargo"):
        pytest.skip("jdp is compiled with cargo, which is not here")
    root = request.config.cache.mkdir("jdp")
    if not (root / "bin/jdp").exists():
        done = run(["cargo", "install", "--quiet", "--root", str(root), "jdp@0.2.2"])
        assert done.returncode == 0, done.stderr
    return str(root / "bin/jdp")


@pytest.mark.parametrize("options", MODES, ids=["single", "matrix"])
def test_the_jenkinsfile_is_a_declarative_pipeline(jdp: str, options, tmp_path: Path) -> None:
    path = tmp_path / "Jenkinsfile"
    # jdp refuses single quotes in a string with three, which Groovy allows; the shell programs are run below.
    text = re.sub(r"sh '''.*?'''", "sh 'true'", text_of("jenkins", options), flags=re.DOTALL)
    path.write_text(text)
    assert run([jdp, "check", str(path)]).returncode == 0
    path.write_text(text.replace("steps {", "step {", 1))
    assert run([jdp, "check", str(path)]).returncode != 0, "the checker can refuse"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a small cargo project in a git repository, at a tag."""
    crates.written(tmp_path)
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.com"]
    for words in (["init", "-q", "-b", "trunk"], ["add", "."], ["commit", "-qm", "first"], ["tag", "v1.2.3"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


def shell(line: str, cwd: Path, **more: str) -> str:
    done = run(["sh", "-ec", line], cwd=cwd, env=environment(**more))
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout.strip()


def lines(options: ci_config.Options, verb: str) -> list[str]:
    """Return the distinct command lines with a verb in the systems' files, as passed to the shell.

    The directory for compiled dependencies is `$COMPILED` instead of each system's own one.
    """
    found: dict[str, None] = {}
    for row in ci_config.SYSTEMS:
        text = re.sub(r" *\\\n *", " ", text_of(row.name, options))
        text = text.replace(f'--compile-cache "{row.compiled}"', '--compile-cache "$COMPILED"')
        for match in re.finditer(rf"rust-multiarch {verb}\b[^>\n]*", text):
            found[match[0].replace("$$", "$").strip()] = None
    return list(found)


LOGIN = {"REGISTRY_USER": USER, "REGISTRY_TOKEN": PASSWORD, "REGISTRY_USR": USER, "REGISTRY_PSW": PASSWORD}


def index_of(address: str, tag: str) -> dict:
    """Return an index of a registry that requires the user's password."""
    host, _, repository = address.partition("/")
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, f"http://{host}/", USER, PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    with opener.open(urllib.request.Request(url, headers={"Accept": f"{INDEX}, {MANIFEST}"})) as answer:
        return json.load(answer)


def below(line: str) -> str:
    """Return what a command adds to the image's address for compiled state."""
    (found,) = set(re.findall(r"ref=\$IMAGE([-/]buildcache):state", line))
    return str(found)


def platforms_of(index: dict) -> list[str]:
    return [f"{m['platform']['os']}/{m['platform']['architecture']}" for m in index["manifests"]]


def manifests_of(index: dict) -> dict[str, str]:
    """Return the digests by platform."""
    return dict(zip(platforms_of(index), [entry["digest"] for entry in index["manifests"]], strict=True))


def test_the_command_lines_of_one_runner(project: Path, private_registry, tmp_path_factory) -> None:
    builds, publishes = lines(MODES[0], "build"), lines(MODES[0], "publish")
    # Compiled state is kept nowhere, beside the image or, on GitLab, below it; Jenkins has its own variables.
    assert (len(builds), len(publishes)) == (3, 4)
    for line in builds:
        compiled = tmp_path_factory.mktemp("compiled") / "new"
        report = shell(line, project, IMAGE=f"{private_registry.address}/ci/single", COMPILED=str(compiled))
        assert compiled.exists() == ("--compile-cache" in line)
        assert [row.split()[0] for row in report.splitlines()] == ["PLATFORM", *DEFAULT_PLATFORMS]
    for number, line in enumerate(publishes):
        image = f"{private_registry.address}/ci/single{number}"
        address = shell(line, project, IMAGE=image, **LOGIN, COMPILED=str(compiled))
        assert re.fullmatch(rf"{image}:1\.2\.3@sha256:[0-9a-f]{{64}}", address)
        for tag in ("1.2.3", "1.2", "1", "latest"):
            assert platforms_of(index_of(image, tag)) == list(DEFAULT_PLATFORMS)
        if "--cache-to" in line:
            assert index_of(f"{image}{below(line)}", "state")["artifactType"] == archive.TYPE


def test_the_command_lines_of_a_matrix(project: Path, private_registry, tmp_path_factory) -> None:
    builds, publishes, merges = (lines(MODES[1], verb) for verb in ("build", "publish", "merge"))
    assert (len(builds), len(publishes), len(merges)) == (3, 4, 2)
    compiled = str(tmp_path_factory.mktemp("compiled"))
    legs = [
        {"PLATFORM": platform, "SLUG": platform.replace("/", "-"), "COMPILED": compiled}
        for platform in DEFAULT_PLATFORMS
    ]
    for leg in legs:
        image = f"{private_registry.address}/ci/matrix"
        assert all(leg["PLATFORM"] in shell(build, project, IMAGE=image, **leg) for build in builds)
    jenkins = {"REGISTRY_USR" in merge: merge for merge in merges}
    for number, publish in enumerate(publishes):
        merge = jenkins["REGISTRY_USR" in publish]
        image = f"{private_registry.address}/ci/matrix{number}"
        digests, wanted = tmp_path_factory.mktemp("digests"), {}
        for leg in legs:
            address = shell(publish, project, IMAGE=image, **LOGIN, **leg)
            assert re.fullmatch(rf"{image}:sha-[0-9a-f]{{7}}-{leg['SLUG']}@sha256:[0-9a-f]{{64}}", address)
            (digests / leg["SLUG"]).write_text(address + "\n")
            digest = address.split("@")[1]
            assert index_of(image, digest)["mediaType"] == MANIFEST
            wanted[leg["PLATFORM"]] = digest
            if "--cache-to" in publish:
                state = index_of(f"{image}{below(publish)}", f"state-{leg['SLUG']}")
                assert state["artifactType"] == archive.TYPE
        given = f"cat {digests}/* | xargs {merge}"
        assert shell(given, project, IMAGE=image, **LOGIN).startswith(f"{image}:1.2.3@sha256:")
        for tag in ("1.2.3", "1.2", "1", "latest"):
            index = index_of(image, tag)
            assert manifests_of(index) == wanted and list(wanted) == list(DEFAULT_PLATFORMS)
    more = "merge --no-clobber --json --tag-rules type=ref,event=branch --tag-rules type=raw,value=other"
    again = given.replace("merge", more, 1)
    told = json.loads(shell(again, project, IMAGE=image, **LOGIN))
    tags = [reference.removeprefix(f"{image}:").split("@")[0] for reference in told["references"]]
    assert set(tags) == {"trunk", "other"}
    kinds = [one["artifact_type"] for one in told["attached"] if one["subject"] == told["digest"]]
    assert kinds == [provenance.MEDIA_TYPE], "the index has provenance of its own"
    assert [one["artifact_type"] for one in told["attached"]].count(sbom.MEDIA_TYPE) == len(legs)
    one = next(iter(digests.iterdir())).read_text().strip()
    refused = [f"{image}:1.2.3", "--no-clobber", "--username", USER, "--password", "REGISTRY_TOKEN"]
    done = run(["rust-multiarch", "merge", one, "--tag", *refused], env=environment(**LOGIN))
    assert done.returncode == errors.TagExists.exit_code, done.stderr


@pytest.fixture(scope="session")
def action() -> dict:
    return YAML(typ="safe").load((ROOT / "action.yml").read_text())


def script_of(action: dict, name: str) -> str:
    (step,) = [step for step in action["runs"]["steps"] if step["name"] == name]
    assert step["shell"] == "bash"
    return step["run"]


def run_action(action: dict, project: Path, *, code: int = 0, **inputs: str) -> dict[str, str]:
    """Run the action's build step like GitHub (bash, inputs in the environment); return its outputs."""
    given = {name: value.get("default", "") for name, value in action["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    assert given.keys() == action["inputs"].keys()
    variables = {f"INPUT_{name.upper().replace('-', '_')}": value for name, value in given.items()}
    output = project / "outputs.txt"
    output.write_text("")
    done = run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script_of(action, "Build the image")],
        cwd=project.parent,
        env=environment(**variables, GITHUB_OUTPUT=str(output)),
    )
    assert done.returncode == code, done.stdout + done.stderr
    single = re.sub(r"(\w+)<<(\S+)\n(.*?)\n\2\n", lambda m: f"{m[1]}={json.dumps(json.loads(m[3]))}\n",
                    output.read_text(), flags=re.DOTALL)  # fmt: skip
    return dict(line.split("=", 1) for line in single.splitlines())


def document(host: str, path: str) -> dict:
    request = urllib.request.Request(f"http://{host}/v2/{path}", headers={"Accept": f"{INDEX}, {MANIFEST}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def layer(host: str, digest: str) -> bytes:
    """Return the unpacked tar of a layer."""
    with urllib.request.urlopen(f"http://{host}/v2/ci/action/blobs/{digest}") as answer:
        return gzip.decompress(answer.read())


def test_the_action_builds_without_pushing(action, project: Path, engine) -> None:
    given = {"context": project.name, "platforms": "linux/arm64", "tags": "UPPER/never:used"}
    outputs = run_action(action, project, **given)
    assert outputs["digest"] == ""
    (built,) = json.loads(outputs["metadata"])["variants"]
    assert built["platform"] == "linux/arm64"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"bin": "hello,nonesuch"}, errors.UnknownBinary),
        ({"package": "nonesuch"}, errors.UnknownPackage),
        ({"features": "extra\nnonesuch"}, errors.UnknownFeature),
        ({"platforms": "linux/amd64,linux/nonesuch"}, errors.UnsupportedPlatform),
        ({"push": "true", "tags": "localhost:1/no spaces"}, errors.InvalidAddress),
        ({"push": "true"}, errors.InvalidArgument),
        ({"cache-from": "type=gha"}, errors.InvalidArgument),
        ({"compile-cache": "gha"}, errors.InvalidArgument),
        ({"cache-to": "type=gha,mode=max"}, errors.InvalidArgument),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.__name__,
)
def test_the_action_fails_as_the_command_does(action, project: Path, engine, given, error) -> None:
    run_action(action, project, context=project.name, **given, code=error.exit_code)


def test_the_action_takes_the_inputs_of_build_push_action(action, project: Path, loopback: str) -> None:
    outputs = run_action(
        action,
        project,
        context=project.name,
        platforms="linux/amd64\nlinux/arm64",
        push="true",
        tags=f"{loopback}/ci/action:a\n{loopback}/ci/action:b,{loopback}/ci/action:c",
        labels="org.example.one=1 and more\norg.example.two=2",
        build_args="GIT_COMMIT_SHA=c0ffee",
        features="extra",
    )
    for tag in "abc":
        index = document(loopback, f"ci/action/manifests/{tag}")
        assert platforms_of(index) == ["linux/amd64", "linux/arm64"]
    assert document(loopback, f"ci/action/manifests/{outputs['digest']}") == index
    manifest = document(loopback, f"ci/action/manifests/{index['manifests'][0]['digest']}")
    config = document(loopback, f"ci/action/blobs/{manifest['config']['digest']}")["config"]
    assert config["Labels"]["org.example.one"] == "1 and more"
    assert config["Labels"]["org.example.two"] == "2"
    program = layer(loopback, manifest["layers"][-1]["digest"])
    assert b"c0ffee" in program, "the compile saw GIT_COMMIT_SHA"


def test_the_installer_installs_what_the_action_needs(engine, tmp_path: Path) -> None:
    """It installs from this working tree, like the action, and keeps the installed `dagger`."""
    target = tmp_path / "tools"
    installing = run(
        ["sh", str(ROOT / "install.sh"), str(target)],
        env=environment(RUST_MULTIARCH_INSTALL_FROM=f"file://{ROOT}"),
    )
    assert installing.returncode == 0, installing.stderr
    assert "is in" in installing.stdout and not (target / "bin/dagger").exists()
    command = [str(target / "bin/rust-multiarch"), "ci", "init", "github", "--image", "ghcr.io/me/app"]
    command += ["--platform", ",".join(DEFAULT_PLATFORMS), "--stdout"]
    assert run(command, cwd=tmp_path).stdout == text_of("github", MODES[0])
