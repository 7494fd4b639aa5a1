"""Load the crates with native dependencies and the results of building them.

`python tests/e2e/zoo.py` writes the table from tests/data/zoo/results.json into the docs; `make zoo` does so
after building.
"""

import tomllib
from typing import Any

from outcomes import ROOT, Suite

ZOO = ROOT / "tests/data/zoo"
CRATES = sorted(path.parent.name for path in ZOO.glob("*/Cargo.toml"))


def expected(crate: str) -> str:
    """Return the expected output of the crate's program, after using its library."""
    manifest = tomllib.loads((ZOO / crate / "Cargo.toml").read_text())
    printed: str = manifest["package"]["metadata"]["zoo"]["prints"]
    return printed


def dependencies(crate: str) -> str:
    """Return the crates that a zoo crate tests, with their features."""
    manifest = tomllib.loads((ZOO / crate / "Cargo.toml").read_text())
    sections = (manifest.get("dependencies", {}), manifest.get("build-dependencies", {}))
    named: dict[str, Any] = {name: spec for section in sections for name, spec in section.items()}
    return ", ".join(
        name + (f" ({', '.join(features)})" if (features := _features(spec)) else "")
        for name, spec in named.items()
    )


def _features(spec: Any) -> list[str]:
    return spec.get("features", []) if isinstance(spec, dict) else []


SUITE = Suite(
    name="zoo",
    results=ZOO / "results.json",
    platforms=("linux/amd64", "linux/arm64", "linux/arm/v7"),
    heading="what it depends on",
    projects={crate: dependencies(crate) for crate in CRATES},
)

if __name__ == "__main__":
    SUITE.renew()
