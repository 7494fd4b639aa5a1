"""Make a git directory for build scripts that read the commit from git."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import NotAGitRepository
from pipeline.git import command, facts
from pipeline.sdk import dagger

PROGRAM = Path(__file__).with_name("minimal.sh")


def make(top: Path, output: Path, missing: Iterable[str] = ()) -> None:
    """Make the git directory of a checkout's commit.

    Args:
        top: the top of the checkout.
        output: the path of the new directory, which must not exist.
        missing: tracked files that are not in the source.

    Raises:
        NotAGitRepository: git fails.
    """
    paths = "".join(f"{path}\0" for path in missing)
    ran = command.run(["sh", str(PROGRAM), str(output)], top, paths)
    if ran.returncode:
        raise NotAGitRepository(
            "git cannot describe the commit for build scripts",
            where=str(top),
            fix="correct what git reports above, or leave --git-metadata out",
            output=ran.stderr,
        )


def of_repository(repository: dagger.Directory | None) -> dagger.Directory:
    """Return the git directory for the commit of a checkout passed to the module.

    Raises:
        NotAGitRepository: there is no repository.
    """
    if repository is None:
        raise NotAGitRepository(
            "there is no git checkout, whose commit could be handed over",
            where="--git-metadata",
            fix="pass the checkout as --repository, or build with the command line",
        )
    program, output = f"/{PROGRAM.name}", "/commit"
    container = facts.container(repository).with_new_file(program, PROGRAM.read_text())
    return container.with_exec(["sh", program, output]).directory(output)
