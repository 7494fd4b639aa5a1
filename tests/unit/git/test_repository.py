"""Test the repository's configuration for GitHub, Dependabot and pre-commit."""

import os
import subprocess
from pathlib import Path

import pytest
from ci_schemas import accepted
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("schema", "name", "right", "wrong"),
    [
        ("github-actions", "action.yml", "shell: bash", "shells: bash"),
        ("github-workflows", ".github/workflows/ci.yml", "runs-on:", "run-on:"),
        ("dependabot", ".github/dependabot.yml", "package-ecosystem: cargo", "package-ecosystem: crates"),
    ],
)
def test_files_match_their_schema(schema, name, right, wrong, tmp_path: Path) -> None:
    text = (ROOT / name).read_text()
    assert accepted(schema, text, tmp_path) == ""
    assert right in text and accepted(schema, text.replace(right, wrong), tmp_path)


def test_hooks_run_pinned_tools() -> None:
    pinned = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    (local,) = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        program = hook["entry"].removeprefix(".venv/bin/python -m ").removeprefix(".venv/bin/").split()[0]
        assert hook["language"] == "system" and program in pinned, hook["id"]


def test_action_inputs_are_described_and_used() -> None:
    action = YAML(typ="safe").load((ROOT / "action.yml").read_text())
    (step,) = [step for step in action["runs"]["steps"] if step.get("id") == "image"]
    for name, described in action["inputs"].items():
        variable = f"INPUT_{name.upper().replace('-', '_')}"
        assert described["description"] and step["env"][variable] == f"${{{{ inputs.{name} }}}}"
        assert f"${variable}" in step["run"] or f"${{{variable}" in step["run"]


def words_of_the_action(directory: Path, **inputs: str) -> list[str]:
    """Return the arguments that the action passes to rust-multiarch, one per line."""
    action = YAML(typ="safe").load((ROOT / "action.yml").read_text())
    (step,) = [step for step in action["runs"]["steps"] if step.get("id") == "image"]
    for name, text in {"rust-multiarch": 'printf "%s\\n" "$@" > words', "jq": ":"}.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)
    env = {**os.environ, **dict.fromkeys(step["env"], ""), **inputs}
    env |= {"PATH": f"{directory}:{os.environ['PATH']}", "GITHUB_OUTPUT": "outputs"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    subprocess.run(command, cwd=directory, env=env, check=True)
    return (directory / "words").read_text().splitlines()


@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("INPUT_PLATFORMS", "--platform"),
        ("INPUT_TAGS", "--tag"),
        ("INPUT_BIN", "--bin"),
        ("INPUT_FEATURES", "--features"),
    ],
)
def test_action_lists_may_contain_spaces(variable, option, tmp_path: Path) -> None:
    words = words_of_the_action(tmp_path, INPUT_PUSH="true", **{variable: " one, two ,\n\t three\n , "})
    given = [each for name in ("one", "two", "three") for each in (option, name)]
    assert [word for word in words if word not in ("build", "", "--push", "--json")] == given


@pytest.mark.parametrize(
    ("tag", "passed"),
    [
        ("ghcr.io/Example-Org/Service", "ghcr.io/example-org/service"),
        ("ghcr.io/Example-Org/Service:V1-RC", "ghcr.io/example-org/service:V1-RC"),
        ("localhost:5000/App", "localhost:5000/app"),
        ("localhost:5000/App-{bin}:1", "localhost:5000/app-{bin}:1"),
    ],
)
def test_the_action_lowers_the_repository_of_an_address(tag, passed, tmp_path: Path) -> None:
    words = words_of_the_action(tmp_path, INPUT_PUSH="true", INPUT_TAGS=tag)
    assert words[words.index("--tag") + 1] == passed


@pytest.mark.parametrize(
    ("variable", "option"), [("INPUT_LABELS", "--label"), ("INPUT_BUILD_ARGS", "--build-arg")]
)
def test_action_values_are_passed_unchanged(variable, option, tmp_path: Path) -> None:
    words = words_of_the_action(tmp_path, **{variable: "A= one, two \n\nB=3"})
    assert words == ["build", "", option, "A= one, two ", option, "B=3", "--json"]
