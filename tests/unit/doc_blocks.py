"""Read the code blocks of the hand-written pages, and which of their commands the tests run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("docs/*.md")),
]

LANGUAGES = {"console", "yaml", "toml", "json", "python", "text"}
"""`text` is for output; everything else is run or parsed."""

NOT_RUN = {
    "make setup": "every other target runs it",
    "make build": "ten minutes from nothing; tests/e2e/test_sample_app.py has its steps",
    "make test": "it would run these tests again",
    "make lint unit": "CI runs both by themselves",
    "make test-all": "hours; it would run these tests again",
    "make e2e": "it would run these tests again",
    "make docs": "tests/unit/test_docs.py compares what it writes",
    "make bench": "minutes to hours; tests/unit/test_bench_*.py have what decides in them",
    "dagger call -m github.com/rust-multiarch/rust-multiarch publish":
        "pushes to ghcr.io from inside the engine; tests/e2e/test_publish.py",
    "rust-multiarch build --platform linux/amd64 --libc musl":
        "minutes where the standard library cannot be downloaded; tests/e2e/test_musl.py",
    "rust-multiarch run": "it runs until Ctrl-C; tests/e2e/test_run.py",
    "rust-multiarch engine start": "tests/e2e/test_engine.py has an engine of its own",
    "rust-multiarch engine logs": "tests/e2e/test_engine.py",
    "rust-multiarch engine stop": "it would stop the engine of these tests; tests/e2e/test_engine.py",
    "export _EXPERIMENTAL_DAGGER_RUNNER_HOST=": "the address is an example",
    "dagger core engine local-cache prune": "it would empty the cache of these tests",
}  # fmt: skip
"""Commands that the tests do not run, by their start, with the reason."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, language and text."""

    page: Path
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Return the lines after a `$`, with continuation lines joined, without a comment at the end."""
        joined = self.text.replace("\\\n", " ")
        typed = [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]
        return [re.sub(r"\s+# .*", "", " ".join(re.split(r" {2,}(?!#)", line))).strip() for line in typed]


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(page, language, text) for language, text in found]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def reason(command: str) -> str:
    """Return the reason why the tests do not run a command; empty if they do."""
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), "")


def run_on(page: Path) -> list[str]:
    """Return the commands of a page that the tests run, in order."""
    consoles = [block for block in BLOCKS if block.page == page and block.language == "console"]
    return [command for block in consoles for command in block.commands if not reason(command)]
