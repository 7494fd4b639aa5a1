"""Load the list of third-party programs and the results of building them.

`python tests/e2e/programs.py` writes the table from tests/data/programs.json into the docs; `make programs`
does so after building.
"""

import tomllib
from dataclasses import dataclass

from outcomes import ROOT, Suite


@dataclass(frozen=True)
class Program:
    """A row of tests/data/programs.toml, which documents the fields."""

    crate: str
    version: str
    kind: str
    prints: str
    arguments: tuple[str, ...] = ()
    stdin: str = ""
    url: str = ""


def _program(crate: str, row: dict[str, str]) -> Program:
    return Program(crate, **row | {"arguments": tuple(row.get("arguments", ()))})


PROGRAMS = [
    _program(crate, row)
    for crate, row in tomllib.loads((ROOT / "tests/data/programs.toml").read_text()).items()
]

SUITE = Suite(
    name="programs",
    results=ROOT / "tests/data/programs.json",
    platforms=("linux/amd64", "linux/arm64"),
    heading="what it is",
    projects={program.crate: f"{program.kind}; {program.version}" for program in PROGRAMS},
)

if __name__ == "__main__":
    SUITE.renew()
