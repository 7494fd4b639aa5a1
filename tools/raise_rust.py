"""Raise the default Rust version: `make rust VERSION=1.97`.

`pipeline/releases.py` has the version. Files that cannot import it repeat it; `PLACES` lists them. The
stand-ins of the embedded engine are made from a recipe with the version, so they are made again.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.releases import DEFAULT, RUST  # noqa: E402

PLACES = {
    "pipeline/releases.py": 'RUST = "{}"',
    "tests/consumer/src/consumer/__init__.py": f'RUST = "{DEFAULT.image_of("{}")}"',
    "bench/dockerfiles/*.Dockerfile": f"{DEFAULT.image_of('{}')} AS builder",
}
"""Patterns of files, and the text in them with the version."""

RENEWED = (
    ("make", "docs"),
    (".venv/bin/python", "-m", "engine.bases"),
    ("make", "unit"),
)
"""Commands that renew pages and stand-ins, and that test them; the stand-ins need root."""


def places(root: Path = ROOT) -> list[tuple[Path, str]]:
    """Return each file with the version, and the text in it."""
    return [(path, text) for pattern, text in PLACES.items() for path in sorted(root.glob(pattern))]


def change(root: Path, before: str, after: str) -> list[Path]:
    """Replace the version in each file; return the files.

    Raises:
        SystemExit: the new version is no release, or a file does not have the old one.
    """
    if not re.fullmatch(r"1\.\d+", after):
        sys.exit(f"{after!r} is not a release of Rust: write it as 1.97")
    found = places(root)
    if lacking := [str(path) for path, text in found if text.format(before) not in path.read_text()]:
        sys.exit(f"these files do not have Rust {before}: {', '.join(lacking)}")
    for path, text in found:
        path.write_text(path.read_text().replace(text.format(before), text.format(after)))
    return [path for path, _ in found]


def main() -> None:
    """Raise the version, renew what is made from it, and run the unit tests."""
    for path in change(ROOT, RUST, sys.argv[1] if len(sys.argv) > 1 else ""):
        print(path.relative_to(ROOT))
    for command in RENEWED:
        subprocess.run(command, cwd=ROOT, check=True)
    print("now run the end-to-end tests, and add a line to CHANGELOG.md")


if __name__ == "__main__":
    main()
