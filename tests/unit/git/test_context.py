import anyio
import pytest

from pipeline import errors
from pipeline.config.settings import Settings
from pipeline.git import context
from pipeline.git.ci import Event
from pipeline.git.context import BuildContext
from pipeline.git.facts import Facts

CHANGED = Facts("abc1234", 7, tags=("v1.2.3",), changed=("src/main.rs",))


def test_a_release_of_ci_is_not_built_from_changed_files() -> None:
    at = BuildContext(CHANGED, Event(tag="v1.2.3"))
    with pytest.raises(errors.DirtyTree, match=r"v1\.2\.3.*src/main\.rs"):
        anyio.run(context.situation, Settings(), at, None)
    assert anyio.run(context.situation, Settings(allow_dirty=True), at, None) is at


def test_work_on_the_commit_of_a_release_is_built_but_not_published() -> None:
    at = BuildContext(CHANGED)
    assert anyio.run(context.situation, Settings(), at, None) is at
    with pytest.raises(errors.DirtyTree, match="v1"):
        context.check_release(Settings(), at)
    context.check_release(Settings(allow_dirty=True), at)


@pytest.mark.parametrize(
    "at",
    [
        None,
        BuildContext(Facts("abc1234", 7, tags=("v1.2.3",), untracked=("dist/",)), Event(tag="v1.2.3")),
        BuildContext(Facts("abc1234", 7, tags=("nightly",), changed=("src/main.rs",))),
        BuildContext(CHANGED, Event(branch="main")),
    ],
    ids=["no repository", "untracked files", "no release", "a branch of CI"],
)
def test_what_is_no_release_from_changed_files(at: BuildContext | None) -> None:
    context.check_release(Settings(), at)
