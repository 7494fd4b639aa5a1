"""The repository's own configuration: what GitHub, Dependabot and pre-commit read."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from test_ci_config import accepted

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("schema", "name", "right", "wrong"),
    [
        ("github-actions", "action.yml", "shell: bash", "shells: bash"),
        ("github-workflows", ".github/workflows/ci.yml", "runs-on:", "run-on:"),
        ("dependabot", ".github/dependabot.yml", "package-ecosystem: cargo", "package-ecosystem: crates"),
    ],
)
def test_its_schema_accepts_it_and_can_refuse(schema, name, right, wrong, tmp_path: Path) -> None:
    text = (ROOT / name).read_text()
    assert accepted(schema, text, tmp_path) == ""
    assert right in text and accepted(schema, text.replace(right, wrong), tmp_path)


def test_hooks_run_tools_that_the_pinned_requirements_install() -> None:
    pinned = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    (local,) = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        program = hook["entry"].removeprefix(".venv/bin/python -m ").removeprefix(".venv/bin/").split()[0]
        assert hook["language"] == "system" and program in pinned, hook["id"]


def test_every_input_of_the_action_is_described_and_reaches_the_script() -> None:
    action = YAML(typ="safe").load((ROOT / "action.yml").read_text())
    (step,) = [step for step in action["runs"]["steps"] if step.get("id") == "image"]
    for name, described in action["inputs"].items():
        variable = f"INPUT_{name.upper().replace('-', '_')}"
        assert described["description"] and step["env"][variable] == f"${{{{ inputs.{name} }}}}"
        assert f"${variable}" in step["run"] or f"${{{variable}" in step["run"]
