"""What is being built, as git and CI say it together: all that tags and labels are derived from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import dagger

from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument, NotAGitRepository, ShallowClone
from pipeline.git import facts as git
from pipeline.git import semver
from pipeline.git.ci import Event, of_ref
from pipeline.git.facts import Facts
from pipeline.git.semver import Version

Read = Callable[[str], Version | None]
"""Which version a git tag names; None for a tag that names none."""


def shallow() -> ShallowClone:
    """The error for a clone of which nobody can say what is newest."""
    return ShallowClone(
        "the clone is shallow and has no other version's tag, so it cannot be known which is newest",
        where="the git repository",
        fix="fetch all tags (`git fetch --unshallow --tags`, or `fetch-depth: 0` of the checkout action), "
        "give tag rules with latest=false and pattern={{version}} alone, or name the tag in the address",
    )


@dataclass(frozen=True)
class BuildContext:
    """The facts of git and the event of CI, and what follows from both.

    Attributes:
        facts: what git says of the checkout.
        event: what CI says of the run.
        crates: the name of the package that is built, and its directory: git tags may have them in front.
    """

    facts: Facts
    event: Event = field(default_factory=Event)
    crates: tuple[str, ...] = ()

    @property
    def branch(self) -> str:
        """The branch that is built, as CI or else git says it."""
        return self.event.branch or ("" if self.event.tag or self.event.pull_request else self.facts.branch)

    @property
    def default_branch(self) -> str:
        """The repository's main branch, as CI or else git says it; empty where neither does."""
        return self.event.default_branch or self.facts.default_branch

    @property
    def tags(self) -> tuple[str, ...]:
        """The git tags that are built: the one that was pushed, else those that name the commit."""
        if self.event.tag:
            return (self.event.tag,)
        # What CI builds for a branch or a request is not the release, even if it is the same commit.
        return () if self.event.branch or self.event.pull_request else self.facts.tags

    @property
    def of_crate(self) -> bool:
        """Whether what is built is one crate's release, by a tag like `server-v1.4.2`."""
        return any(semver.of_crate(tag, self.crates) for tag in self.tags)

    def read(self, tag: str) -> Version | None:
        """The version that a git tag names, of the crate where its release is built."""
        return semver.of_crate(tag, self.crates) if self.of_crate else semver.of_tag(tag)

    @property
    def version(self) -> Version | None:
        """The version that is built: the highest of the tags."""
        return self.version_by(self.read)

    def version_by(self, read: Read) -> Version | None:
        """The highest version that is built, where `read` says which version a git tag names."""
        return max(filter(None, map(read, self.tags)), default=None)

    @property
    def releases(self) -> list[Version]:
        """Every stable version, the lowest first; see `releases_by`."""
        return self.releases_by(self.read)

    def releases_by(self, read: Read) -> list[Version]:
        """Every stable version, the lowest first, where `read` says which version a git tag names.

        Raises:
            ShallowClone: the history is cut off and no other version is known, so others may exist.
        """
        known = {version for version in map(read, self.facts.all_tags) if version and version.stable}
        own = self.version_by(read)
        if self.facts.shallow and not known - {own}:
            raise shallow()
        return sorted(known | ({own} if own and own.stable else set()))


LAST_SECOND = 253402300799
"""The end of the year 9999, the last that RFC 3339 can write."""


async def situation(
    settings: Settings,
    known: BuildContext | None,
    repository: dagger.Directory | None,
    crates: tuple[str, ...] = (),
) -> BuildContext | None:
    """What git and CI say, checked; None where nothing can be asked.

    Args:
        settings: what was set.
        known: what was found out already.
        repository: the git checkout to ask otherwise.
        crates: see `BuildContext`.

    Raises:
        InvalidArgument: a time before 1970, or after the year 9999.
        DirtyTree: the checkout has changes and must not, or CI builds a release from it.
        NotAGitRepository: it must not have changes, and there is no checkout that git reads.
    """
    if settings.source_date_epoch is not None and not 0 <= settings.source_date_epoch <= LAST_SECOND:
        raise InvalidArgument(
            f"{settings.source_date_epoch} is before 1970, or after the year 9999",
            where="--source-date-epoch",
            fix="give seconds since 1970, as `git log -1 --format=%ct` prints them",
        )
    at = known
    if at is None and repository is not None:
        at = BuildContext(await git.read(repository), of_ref(settings.ref))
    if at is not None and crates:
        at = replace(at, crates=crates)
    if settings.require_clean:
        if at is None:
            raise NotAGitRepository(
                "there is no git repository that can be read, so whether it is clean cannot be known",
                where="--require-clean",
                fix="build from a checkout that git reads; in Dagger pass it as --repository",
            )
        git.require_clean(at.facts)
    if at is not None and at.event.tag:
        check_release(settings, at)
    return at


def check_release(settings: Settings, at: BuildContext | None) -> None:
    """Refuse a release that is built from changed files, unless that is allowed.

    Raises:
        DirtyTree: see `facts.require_release`.
    """
    released = next((tag for tag in at.tags if at.read(tag)), at.event.tag) if at else ""
    if at is not None and released and not settings.allow_dirty:
        git.require_release(at.facts, released)


def time_of(settings: Settings, at: BuildContext | None) -> int:
    """The time of everything that is built, in seconds since 1970."""
    if settings.source_date_epoch is not None:
        return settings.source_date_epoch
    return at.facts.time if at else 0
