"""Combine the facts of git and the event of CI, from which tags and labels are derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument, NotAGitRepository, ShallowClone
from pipeline.git import facts as git
from pipeline.git import semver
from pipeline.git.ci import Event, of_ref
from pipeline.git.facts import Facts
from pipeline.git.semver import Version
from pipeline.sdk import dagger

Read = Callable[[str], Version | None]
"""A function that returns the version in a git tag; None for a tag without one."""


def shallow() -> ShallowClone:
    """Return the error for a shallow clone, in which the newest release is unknown."""
    return ShallowClone(
        "the clone is shallow and has no other version's tag, so it cannot be known which is newest",
        where="the git repository",
        fix="fetch all tags (`git fetch --unshallow --tags`, or `fetch-depth: 0` of the checkout action), "
        "give tag rules with latest=false and pattern={{version}} alone, or name the tag in the address",
    )


@dataclass(frozen=True)
class BuildContext:
    """The facts of git and the event of CI.

    Attributes:
        facts: the facts of the checkout.
        event: the event of the CI run.
        crates: the name of the package to build, and its directory: possible prefixes of git tags.
    """

    facts: Facts
    event: Event = field(default_factory=Event)
    crates: tuple[str, ...] = ()

    @property
    def branch(self) -> str:
        """Return the branch to build, from CI or else from git."""
        return self.event.branch or ("" if self.event.tag or self.event.pull_request else self.facts.branch)

    @property
    def default_branch(self) -> str:
        """Return the repository's default branch, from CI or else from git; empty if unknown."""
        return self.event.default_branch or self.facts.default_branch

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the git tags to build: the one that was pushed, else those of the commit."""
        if self.event.tag:
            return (self.event.tag,)
        # A CI build of a branch or a pull request is not the release, even if it is the same commit.
        return () if self.event.branch or self.event.pull_request else self.facts.tags

    @property
    def of_crate(self) -> bool:
        """Return True if one crate's release is built, by a tag like `server-v1.4.2`."""
        return any(semver.of_crate(tag, self.crates) for tag in self.tags)

    def read(self, tag: str) -> Version | None:
        """Return the version in a git tag; of the crate, if its release is built."""
        return semver.of_crate(tag, self.crates) if self.of_crate else semver.of_tag(tag)

    @property
    def version(self) -> Version | None:
        """Return the version to build: the highest of the tags."""
        return self.version_by(self.read)

    def version_by(self, read: Read) -> Version | None:
        """Return the highest version to build; `read` returns the version in a git tag."""
        return max(filter(None, map(read, self.tags)), default=None)

    @property
    def releases(self) -> list[Version]:
        """Return all stable versions, lowest first; see `releases_by`."""
        return self.releases_by(self.read)

    def releases_by(self, read: Read) -> list[Version]:
        """Return all stable versions, lowest first; `read` returns the version in a git tag.

        Raises:
            ShallowClone: the clone is shallow and no other version is known, so others may exist.
        """
        known = {version for version in map(read, self.facts.all_tags) if version and version.stable}
        own = self.version_by(read)
        if self.facts.shallow and not known - {own}:
            raise shallow()
        return sorted(known | ({own} if own and own.stable else set()))


LAST_SECOND = 253402300799
"""The end of the year 9999, the last year of RFC 3339."""


async def situation(
    settings: Settings,
    known: BuildContext | None,
    repository: dagger.Directory | None,
    crates: tuple[str, ...] = (),
) -> BuildContext | None:
    """Return the checked state of git and CI; None without a repository.

    Args:
        settings: the merged settings.
        known: the state if it is already known.
        repository: the git checkout to read otherwise.
        crates: see `BuildContext`.

    Raises:
        InvalidArgument: a time before 1970, or after the year 9999.
        DirtyTree: the checkout has changes, and it must be clean or CI builds a release from it.
        NotAGitRepository: it must be clean, and git cannot read it.
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
    """Reject a release with changed files, unless that is allowed.

    Raises:
        DirtyTree: see `facts.require_release`.
    """
    released = next((tag for tag in at.tags if at.read(tag)), at.event.tag) if at else ""
    if at is not None and released and not settings.allow_dirty:
        git.require_release(at.facts, released)


def time_of(settings: Settings, at: BuildContext | None) -> int:
    """Return the time of everything in the image, in seconds since 1970."""
    if settings.source_date_epoch is not None:
        return settings.source_date_epoch
    return at.facts.time if at else 0
