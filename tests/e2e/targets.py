"""Load the rows of the target table and the results of building them.

`python tests/e2e/targets.py` writes the table from tests/data/targets.json into the docs; `make targets` does
so after building.
"""

from outcomes import ROOT, Suite

from pipeline.releases import RELEASES
from pipeline.targets import TARGETS, Libc

COLUMNS = {
    **{f"glibc of {name}": (Libc.GNU, name) for name in RELEASES},
    "musl": (Libc.MUSL, next(iter(RELEASES))),
}
"""The C library and the Debian release of each column."""

SUITE = Suite(
    name="targets",
    results=ROOT / "tests/data/targets.json",
    platforms=tuple(COLUMNS),
    heading="triple of glibc",
    projects={target.platform: f"`{target.gnu}`" for target in TARGETS},
    title="platform",
    columns="platforms with {} C libraries",
)

if __name__ == "__main__":
    SUITE.renew()
