"""Test the documents: generated pages are up to date, links work, and code blocks are valid."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import doc_blocks
import pytest
import typer
from ci_schemas import accepted
from ruamel.yaml import YAML

from docs import generate
from pipeline import cli
from pipeline.ci import config as ci_config
from pipeline.cli import manifests

ROOT = doc_blocks.ROOT


def of(language: str) -> list[doc_blocks.Block]:
    return [block for block in doc_blocks.BLOCKS if block.language == language]


@pytest.mark.parametrize(
    ("path", "text"), generate.pages().items(), ids=lambda value: getattr(value, "name", "")
)
def test_generated_pages_are_fresh(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make docs`"


def test_troubleshooting_has_messages_of_every_kind() -> None:
    """Messages raised directly, messages with placeholders, and rows of the two tables."""
    text = generate.troubleshooting()
    for sentence in (
        "there is no … in this directory or its parents",
        "… is not NAME=value",
        "the linker found no library … for the target",
        "the registry does not allow this",
    ):
        assert f"| {sentence} |" in text


def slug(heading: str) -> str:
    """Return GitHub's anchor for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", doc_blocks.PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), target


def test_every_block_has_a_language_that_is_checked() -> None:
    assert {block.language for block in doc_blocks.BLOCKS} <= doc_blocks.LANGUAGES


@pytest.mark.parametrize("block", of("toml") + of("json") + of("python"), ids=lambda block: block.page.name)
def test_blocks_of_data_and_code_parse(block) -> None:
    parse = {"toml": tomllib.loads, "json": json.loads, "python": lambda text: compile(text, "doc", "exec")}
    assert parse[block.language](block.text) is not False


def test_manifests_have_a_reference_to_resolve() -> None:
    others = [block for block in of("yaml") if block not in STEPS]
    assert [block.page.name for block in others] == ["clusters.md"] * 4
    for block in others:
        references = manifests.parse(block.page.name, block.text).references
        assert {reference.program for reference in references} == {"server"}
        assert {reference.part for reference in references} <= {"", *manifests.PARTS}


STEPS = [block for block in of("yaml") if block.text.startswith("- ")]


@pytest.mark.parametrize("block", STEPS, ids=lambda block: block.page.name)
def test_yaml_blocks_are_steps_of_a_github_job_with_inputs_that_exist(block, tmp_path: Path) -> None:
    steps = YAML(typ="safe").load(block.text)
    inputs = YAML(typ="safe").load((ROOT / "action.yml").read_text())["inputs"]
    workflow = {"on": "push", "jobs": {"image": {"runs-on": "ubuntu-24.04", "steps": steps}}}
    assert accepted("github-workflows", json.dumps(workflow), tmp_path) == ""
    (ours,) = [step for step in steps if step["uses"].startswith("rust-multiarch/")]
    assert ours["with"].keys() <= inputs.keys()


ROOT_COMMAND = typer.main.get_command(cli.app)
COMMANDS = [(block.page, command) for block in of("console") for command in block.commands]


def test_every_reason_is_needed() -> None:
    for start in doc_blocks.NOT_RUN:
        assert any(command.startswith(start) for _, command in COMMANDS), start


def test_what_is_run_is_something_the_test_can_run() -> None:
    for page, command in COMMANDS:
        known = ("rust-multiarch ", "dagger call ", 'eval "$(rust-multiarch ')
        run = command == "make" or command.startswith(known)
        assert doc_blocks.reason(command) or run, (page.name, command)


@pytest.mark.parametrize(
    "command", [command for _, command in COMMANDS if command.startswith("rust-multiarch ")]
)
def test_every_option_exists(command: str) -> None:
    """The command line parses all commands; tests/e2e runs them."""
    words = shlex.split(command)[1:]
    parser: object = ROOT_COMMAND
    context = parser.make_context("rust-multiarch", words[:1], resilient_parsing=True)
    while hasattr(parser, "commands"):
        name, words = words[0], words[1:]
        parser = parser.commands[name]
    parser.make_context(name, words, parent=context)


def test_the_page_about_ci_has_every_system() -> None:
    text = (ROOT / "docs/ci.md").read_text()
    for row in ci_config.SYSTEMS:
        assert f"| `{row.name}` | `{row.path}` |" in text


def test_make_lists_its_targets() -> None:
    targets = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    # As from a terminal, even if `make unit` runs this.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    listed = subprocess.run(["make"], cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    lines = [line for line in listed.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == targets and "e2e" in targets
    assert [line for line in listed.splitlines() if line and line not in lines][:2] == ["Use", "Test"]


def test_every_test_that_the_page_of_registries_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", (ROOT / "docs/registries.md").read_text())
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == [] and len(named) > 40
    protocol = "tests/unit/registry/test_protocol.py"
    written = re.findall(r"^(?:async )?def (test_\w+)", (ROOT / protocol).read_text(), re.MULTILINE)
    listed = {name for path, name in named if path == protocol}
    assert set(written) - listed <= {
        "test_an_invalid_realm",
        "test_other_responses_are_no_rate_limit",
    }
