"""Render screens of the command line: docs/screens.md, and docs/terminal.svg from a recorded run.

`make pictures` records docs/terminal.txt from a real build; `make docs` renders what is recorded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs/terminal.txt"
WIDTH = 80
COMMAND = "rust-multiarch publish --platform linux/amd64,linux/arm64 --tag localhost:5000/hello:1"

SCREENS = (
    ("The short help", ("build", "-h")),
    ("A platform that is misspelt", ("build", "--platform", "linux/aarch64")),
    ("An option of docker", ("build", "--secret", "id=api,env=API")),
    ("An address without a place for each image", ("images", "--push", "--tag", "ghcr.io/me/app:1")),
)
"""The headings of docs/screens.md, and the command below each; none needs an engine."""


def page() -> str:
    """Return docs/screens.md."""
    lines = ["# Screens", "", "Made by `make docs`, and the build by `make pictures` from a real run.", ""]
    for heading, words in SCREENS:
        lines += [
            f"## {heading}",
            "",
            "```text",
            f"$ rust-multiarch {' '.join(words)}",
            printed(words),
            "```",
            "",
        ]
    lines += ["## A build", "", "```text", RECORD.read_text().rstrip(), "```", ""]
    return "\n".join(lines)


def printed(words: tuple[str, ...]) -> str:
    """Return the output of a command in a small project, in a terminal of 80 columns."""
    with tempfile.TemporaryDirectory() as folder:
        project(Path(folder))
        environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", *words]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    return "\n".join(line.rstrip() for line in (done.stdout + done.stderr).rstrip().splitlines())


def project(folder: Path) -> None:
    """Write a small cargo project in a git repository."""
    (folder / "src").mkdir()
    (folder / "src/main.rs").write_text('fn main() {\n    println!("hello");\n}\n')
    manifest = '[package]\nname = "hello"\nversion = "1.0.0"\nedition = "2021"\n'
    (folder / "Cargo.toml").write_text(manifest)
    (folder / "Cargo.lock").write_text('version = 3\n\n[[package]]\nname = "hello"\nversion = "1.0.0"\n')
    git = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)


def record() -> None:
    """Record a real build: `make pictures`."""
    with tempfile.TemporaryDirectory() as folder:
        project(Path(folder))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", *COMMAND.split()[1:]]
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=True,
        )  # fmt: skip
    shown = [line for line in done.stdout.splitlines() if not line.startswith("engine: ")]
    RECORD.write_text("\n".join([f"$ {COMMAND}", *shown]) + "\n")


def svg() -> str:
    """Return the recorded run as a picture, with colours for light and dark pages."""
    lines = RECORD.read_text().rstrip().splitlines()
    columns = max(map(len, lines))
    width, height = round(columns * 7.23) + 32, len(lines) * 18 + 28
    style = (
        ".b{fill:#f6f8fa;stroke:#d0d7de}.t{fill:#1f2328;font:12px ui-monospace,Menlo,Consolas,monospace;"
        "white-space:pre}@media(prefers-color-scheme:dark){.b{fill:#151b23;stroke:#3d444d}.t{fill:#f0f6fc}}"
    )
    rows = [
        f'<text class="t" x="16" y="{number * 18 + 28}" textLength="{len(line) * 7.23:.1f}">'
        f"{escape(line)}</text>"
        for number, line in enumerate(lines)
        if line
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    box = f'<rect class="b" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="6"/>'
    return "\n".join(
        [head, f"<title>{escape(COMMAND)}</title>", f"<style>{style}</style>", box, *rows, "</svg>", ""]
    )


if __name__ == "__main__":
    record()
