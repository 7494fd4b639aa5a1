"""What is being built, as git and CI say it together: all that tags and labels are derived from."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.errors import ShallowClone
from pipeline.git import semver
from pipeline.git.ci import Event
from pipeline.git.facts import Facts
from pipeline.git.semver import Version


def shallow() -> ShallowClone:
    """The error for a clone of which nobody can say what is newest."""
    return ShallowClone(
        "the clone is shallow and has no other version's tag, so it cannot be known which is newest",
        where="the git repository",
        fix="fetch all tags (`git fetch --unshallow --tags`, or `fetch-depth: 0` of the checkout action), "
        "give tag rules with latest=false and pattern={{version}} alone, or name the tag in the address",
    )


@dataclass(frozen=True)
class Situation:
    """The facts of git and the event of CI, and what follows from both."""

    facts: Facts
    event: Event = field(default_factory=Event)

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
    def version(self) -> Version | None:
        """The version that is built: the highest of the tags."""
        return max(semver.of_tags(self.tags), default=None)

    @property
    def releases(self) -> list[Version]:
        """Every stable version of the repository, the lowest first.

        Raises:
            ShallowClone: the history is cut off and no other version is known, so others may exist.
        """
        known = {version for version in semver.of_tags(self.facts.all_tags) if version.stable}
        if self.facts.shallow and not known - {self.version}:
            raise shallow()
        return sorted(known | ({self.version} if self.version and self.version.stable else set()))
