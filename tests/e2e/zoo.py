"""The zoo of native dependencies as data: its crates, what came of building them, and the table in the docs.

`python tests/e2e/zoo.py` writes the table from tests/data/zoo/results.json into the docs; `make zoo` does so
after building.
"""

import json
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "tests/data/zoo"
RESULTS = ZOO / "results.json"
DOCUMENT = ROOT / "docs/targets-and-native-libraries.md"
BEGIN, END = "<!-- zoo: made by `make zoo`, not by hand -->", "<!-- end of zoo -->"
CRATES = sorted(path.parent.name for path in ZOO.glob("*/Cargo.toml"))
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")

Results = dict[str, dict[str, dict[str, str]]]
"""By crate and platform: `result` (`ok`, or why not), `commit` and `date` it was measured at."""


def expected(crate: str) -> str:
    """What the crate's program prints once it has used its library."""
    manifest = tomllib.loads((ZOO / crate / "Cargo.toml").read_text())
    printed: str = manifest["package"]["metadata"]["zoo"]["prints"]
    return printed


def dependencies(crate: str) -> str:
    """The crates a zoo crate is there for, with their features."""
    manifest = tomllib.loads((ZOO / crate / "Cargo.toml").read_text())
    sections = (manifest.get("dependencies", {}), manifest.get("build-dependencies", {}))
    named: dict[str, Any] = {name: spec for section in sections for name, spec in section.items()}
    return ", ".join(
        name + (f" ({', '.join(features)})" if (features := _features(spec)) else "")
        for name, spec in named.items()
    )


def _features(spec: Any) -> list[str]:
    return spec.get("features", []) if isinstance(spec, dict) else []


def read() -> Results:
    """All that was measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def record(crate: str, outcomes: dict[str, str]) -> None:
    """Write what came of one crate, by platform, with the commit; what was not measured now stays."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    measured = {"commit": commit, "date": datetime.now(UTC).date().isoformat()}
    results = read()
    rows = {platform: {"result": result, **measured} for platform, result in outcomes.items()}
    results[crate] = results.get(crate, {}) | rows
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def table(results: Results) -> str:
    """The results as a Markdown table, then each failure with its reason."""
    lines = ["| zoo crate | what it depends on | " + " | ".join(PLATFORMS) + " |"]
    lines += ["| --- " * (len(PLATFORMS) + 2) + "|"]
    failures, count = [], {"ok": 0, "failed": 0, "not run": 0}
    for crate in CRATES:
        cells = []
        for platform in PLATFORMS:
            result = results.get(crate, {}).get(platform, {}).get("result", "not run")
            word = result if result in count else "failed"
            count[word] += 1
            cells.append(f"**{word}**" if word == "failed" else word)
            if word == "failed":
                failures.append(f"- {crate}, {platform}: {result}")
        lines.append(f"| {crate} | {dependencies(crate)} | {' | '.join(cells)} |")
    total = ", ".join(f"{number} {word}" for word, number in count.items())
    return "\n".join(
        [f"{len(CRATES)} crates on {len(PLATFORMS)} platforms: {total}.", "", *lines, "", *failures]
    )


def with_table(document: str, results: Results) -> str:
    """The document with the table between its two marks replaced."""
    before, rest = document.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{table(results).strip()}\n\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(), read()))
