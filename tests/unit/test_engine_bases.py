from pathlib import Path

from engine import bases
from engine.recipes import DEBIAN, PYTHON, RUST, Job
from pipeline.targets import parse

STORE = Path("/store")


def test_each_parent_is_made_once_before_what_lies_on_it() -> None:
    amd64, arm64 = parse("linux/amd64"), parse("linux/arm64")
    jobs = [Job(base, amd64, STORE) for base in (DEBIAN, RUST, PYTHON)] + [Job(RUST, arm64, STORE)]
    parents = [Job(DEBIAN, target, STORE) for target in (amd64, arm64)]
    assert bases.parents_of(jobs) == {parent.directory: parent for parent in parents}
    assert bases.parents_of(jobs[:1]) == {}
