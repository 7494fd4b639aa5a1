"""Labels and annotations of an image, the same set for both, from git, CI and the manifests of the project.

The names are those of the OCI image specification's "Pre-Defined Annotation Keys"; labels of the config are
what scanners and `docker inspect` read, annotations of manifest and index what registries show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.git.context import Situation
from pipeline.git.facts import browsable
from pipeline.project.metadata import spdx

OCI = "org.opencontainers.image."
DIRTY = "dev.rust-multiarch.dirty"
"""The label, with the value `true`, of an image whose source was not what its revision says."""


@dataclass(frozen=True)
class Description:
    """What a package's Cargo.toml says of it; every part but name and version may be empty."""

    name: str
    version: str
    description: str = ""
    licenses: str = ""
    authors: str = ""
    homepage: str = ""
    repository: str = ""
    documentation: str = ""


@dataclass(frozen=True)
class Base:
    """The image that an image starts from.

    Attributes:
        name: its full name with host and tag; empty for an image from scratch.
        digest: of its index or manifest, empty if unknown.
    """

    name: str = ""
    digest: str = ""

    @classmethod
    def of(cls, reference: str) -> Base:
        """A base from a full reference, as the engine resolves it: `host/name:tag@sha256:…`."""
        name, _, digest = reference.partition("@")
        return cls(name, digest)


def describe(metadata: str, package: str) -> Description:
    """A package's description from the JSON of `cargo metadata`; raises KeyError if it is not in there."""
    packages = {entry["name"]: entry for entry in json.loads(metadata)["packages"]}
    entry = packages[package]

    def text(name: str) -> str:
        return " ".join((entry.get(name) or "").split())

    return Description(
        name=entry["name"],
        version=entry["version"],
        description=text("description"),
        licenses=spdx(text("license")),
        authors=", ".join(entry.get("authors") or ()),
        homepage=text("homepage"),
        repository=text("repository"),
        documentation=text("documentation"),
    )


def version(description: Description, at: Situation | None) -> str:
    """The version an image says it has, itself a semantic version.

    Where the commit has a version's tag it is that one; any other commit is the package's version with the
    commit as its build part (`0.1.0+1a2b3c4`), because it is not the release; a dirty tree adds `dirty`.
    """
    if at is None:
        return description.version
    tagged = at.version
    text, build = (str(tagged), []) if tagged else (description.version, [at.facts.short])
    build += ["dirty"] if at.facts.dirty else []
    separator = "." if "+" in text else "+"
    return text + (separator + ".".join(build) if build else "")


def labels(
    description: Description,
    at: Situation | None,
    base: Base | None = None,
    more: Mapping[str, str] | None = None,
    epoch: int | None = None,
) -> dict[str, str]:
    """The labels of an image, sorted by name, without empty ones.

    Args:
        description: the package of its first binary.
        at: what git and CI say; None without a repository.
        base: what the image starts from; leave its digest out for an index whose platforms differ in it.
        more: labels of the user, which win.
        epoch: the image's time in seconds since 1970, where it is not the commit's.
    """
    base = base or Base()
    found = {
        "title": description.name,
        "description": description.description,
        "version": version(description, at),
        "licenses": description.licenses,
        "authors": description.authors,
        "documentation": description.documentation,
        "source": browsable(description.repository),
        "url": description.homepage,
        "base.name": base.name,
        "base.digest": base.digest,
    }
    if at is not None:
        found["revision"] = at.facts.revision
        found["source"] = at.event.repository or at.facts.remote or found["source"]
        epoch = at.facts.time if epoch is None else epoch
    if epoch is not None:
        found["created"] = timestamp(epoch)
    found["url"] = found["url"] or found["source"]
    named = {f"{OCI}{name}": value for name, value in found.items() if value}
    if at is not None and at.facts.dirty:
        named[DIRTY] = "true"
    return dict(sorted((named | dict(more or {})).items()))


def timestamp(epoch: int) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, for example 1970-01-01T00:00:00Z."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
