"""Test the command that the GitHub action runs, with a fake rust-multiarch that prints its arguments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
ACTION = YAML(typ="safe").load((ROOT / "action.yml").read_text())
SCRIPT = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "image")

FAKE = """#!/bin/sh
printf '%s\\n' "$@" > "$ARGUMENTS"
printf '%s\\n' "$ACTION_SECRET_1" "$ACTION_SECRET_2" > "$SECRETS"
echo '{}'
"""

# docker/build-push-action v6, action.yml.
BUILD_PUSH = {
    "add-hosts", "allow", "annotations", "attests", "builder", "build-args", "build-contexts", "cache-from",
    "cache-to", "call", "cgroup-parent", "context", "file", "github-token", "labels", "load", "network",
    "no-cache", "no-cache-filters", "outputs", "platforms", "provenance", "pull", "push", "sbom",
    "secret-envs", "secret-files", "secrets", "shm-size", "ssh", "tags", "target", "ulimit",
}  # fmt: skip


def run(tmp_path: Path, **inputs: str) -> tuple[list[str], list[str]]:
    """Return the arguments of the command, and the values of its secret variables."""
    for name, text in {"rust-multiarch": FAKE, "jq": "#!/bin/sh\ncat > /dev/null\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    given = {name: str(value.get("default", "")) for name, value in ACTION["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    assert given.keys() == ACTION["inputs"].keys()
    variables = {f"INPUT_{name.upper().replace('-', '_')}": value for name, value in given.items()}
    more = {"GITHUB_OUTPUT": str(tmp_path / "output"), "ARGUMENTS": str(tmp_path / "arguments"),
            "SECRETS": str(tmp_path / "secrets"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}  # fmt: skip
    command = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", SCRIPT["run"]]
    subprocess.run(command, env={**os.environ, **variables, **more}, check=True)
    return (tmp_path / "arguments").read_text().splitlines(), (tmp_path / "secrets").read_text().split("\n")


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ({"platforms": "linux/amd64, linux/arm64"}, "--platform linux/amd64 --platform linux/arm64"),
        ({"load": "true"}, "--load"),
        ({"outputs": "type=oci,dest=a.tar\nb.tar"}, "--output type=oci,dest=a.tar --output b.tar"),
        ({"labels": "a=1\nb=2,3"}, "--label a=1 --label b=2,3"),
        ({"build_args": "A=1 2"}, "--build-arg A=1 2"),
        ({"secret_envs": "API=TOKEN"}, "--build-secret API=env:TOKEN"),
        ({"ssh": "default"}, "--ssh"),
        ({"git_tokens": "github.com=GH"}, "--git-token github.com=GH"),
        ({"registry_tokens": "corp@sparse+https://x/=T"}, "--registry-token corp@sparse+https://x/=T"),
        ({"files": "rootfs"}, "--files rootfs"),
        ({"cache_from": "a.tar", "cache_to": "b.tar"}, "--cache-from a.tar --cache-to b.tar"),
        ({"cache_from": "type=registry,ref=h.io/Me/App:State", "cache_to": "type=registry,ref=Me/A,mode=max"},
         "--cache-from type=registry,ref=h.io/me/app:State --cache-to type=registry,ref=me/a,mode=max"),
        ({"cache_from": "Dir/A.tar\nb"}, "--cache-from Dir/A.tar --cache-from b"),
        ({"package": "api", "bin": "a,b", "features": "x\ny"},
         "--package api --bin a --bin b --features x --features y"),
        ({"compile_cache": "gha"}, "--compile-cache gha"),
        ({"push": "true", "tags": "ghcr.io/Me/App:V1"}, "--push --tag ghcr.io/me/app:V1"),
        ({"push": "true", "tags": "a/b:1", "sbom": "true", "provenance": "mode=max"},
         "--push --sbom --provenance --tag a/b:1"),
        ({"push": "true", "tags": "a/b:1", "sbom": "spdx"}, "--push --sbom=spdx --tag a/b:1"),
        ({"sbom": "true", "provenance": "true", "tags": "a/b:1"}, ""),
        ({"push": "true", "tags": "a/b:1", "provenance": "false"}, "--push --tag a/b:1"),
    ],
)  # fmt: skip
def test_an_input_becomes_an_option(tmp_path: Path, inputs: dict[str, str], wanted: str) -> None:
    arguments, _ = run(tmp_path, **inputs)
    assert " ".join(arguments) == " ".join(filter(None, ["build .", wanted, "--json"]))


def test_values_of_secrets_are_on_no_command_line(tmp_path: Path) -> None:
    arguments, values = run(tmp_path, secrets="API=a=b c\nOTHER=d")
    assert values[:2] == ["a=b c", "d"]
    assert " ".join(arguments) == (
        "build . --build-secret API=env:ACTION_SECRET_1 --build-secret OTHER=env:ACTION_SECRET_2 --json"
    )


RUNNER = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "runner")
CALLED = """
const said = []
const core = {
  setSecret: (value) => said.push(['secret', value]),
  setOutput: (name, value) => said.push([name, value]),
}
new Function('core', 'process', process.argv[1])(core, { env: JSON.parse(process.argv[2]) })
console.log(JSON.stringify(said))
"""
"""A program that runs the script of actions/github-script with some variables, and prints what that gives."""


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"ACTIONS_RESULTS_URL": "https://results.example/", "ACTIONS_RUNTIME_TOKEN": "s3cret"},
            [["secret", "s3cret"], ["url", "https://results.example/"], ["token", "s3cret"]],
        ),
        ({}, [["url", ""], ["token", ""]]),
    ],
)
def test_the_cache_of_github_is_for_the_build_step_alone(
    variables: dict[str, str], said: list[object]
) -> None:
    if not shutil.which("node"):
        pytest.skip("the script is JavaScript, and node is not here")
    assert RUNNER["if"] == "(inputs.compile-cache || env.RUST_MULTIARCH_COMPILE_CACHE) == 'gha'"
    assert re.fullmatch(r"actions/github-script@[0-9a-f]{40}", RUNNER["uses"])
    command = ["node", "-e", CALLED, RUNNER["with"]["script"], json.dumps(variables)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == said
    for variable, output in (("ACTIONS_RESULTS_URL", "url"), ("ACTIONS_RUNTIME_TOKEN", "token")):
        assert SCRIPT["env"][variable] == f"${{{{ steps.runner.outputs.{output} || env.{variable} }}}}"
    assert "exportVariable" not in RUNNER["with"]["script"], "later steps of the job would have the token"


def test_every_input_reaches_the_script() -> None:
    for name in ACTION["inputs"]:
        assert SCRIPT["env"][f"INPUT_{name.upper().replace('-', '_')}"] == f"${{{{ inputs.{name} }}}}"


def test_the_page_names_every_input_of_build_push_action_and_of_this_project() -> None:
    text = (ROOT / "docs/ci.md").read_text()
    section = text[text.index("## The GitHub action") :]
    named = set(re.findall(r"`([a-z-]+)`", section))
    assert named >= BUILD_PUSH
    assert ACTION["inputs"].keys() <= named
    missing = section[section.index("do not exist") :]
    assert {name for name in BUILD_PUSH if f"`{name}`" in missing} - {"sbom", "provenance"} == (
        BUILD_PUSH - ACTION["inputs"].keys()
    )
