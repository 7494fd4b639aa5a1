"""Make the labels and annotations of an image from git, CI and the project's manifests.

Both have the same names, the OCI image specification's "Pre-Defined Annotation Keys". Scanners and `docker
inspect` read labels of the config; registries show annotations of manifest and index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.git.context import BuildContext
from pipeline.git.facts import browsable
from pipeline.project.metadata import spdx

OCI = "org.opencontainers.image."
DIRTY = "dev.rust-multiarch.dirty"
"""Label, with the value `true`, of an image built from more than the files of its commit."""


@dataclass(frozen=True)
class Description:
    """A package's description in its Cargo.toml; all parts but name and version may be empty."""

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
    """The base of an image.

    Attributes:
        name: full name with host and tag; empty for an image from scratch.
        digest: digest of its index or manifest; empty if unknown.
    """

    name: str = ""
    digest: str = ""

    @classmethod
    def of(cls, reference: str) -> Base:
        """Parse a full reference, as the engine resolves it: `host/name:tag@sha256:…`."""
        name, _, digest = reference.partition("@")
        return cls(name, digest)


def describe(metadata: str, package: str) -> Description:
    """Return a package's description from the JSON of `cargo metadata`; raise KeyError if it is missing."""
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


def version(description: Description, at: BuildContext | None) -> str:
    """Return the version of an image, a semantic version.

    For a commit with a version tag it is that version. For other commits it is the package's version with the
    commit as build metadata (`0.1.0+1a2b3c4`), since they are not that release. A dirty tree adds `dirty`.
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
    at: BuildContext | None,
    base: Base | None = None,
    more: Mapping[str, str] | None = None,
    epoch: int | None = None,
) -> dict[str, str]:
    """Return the labels of an image, sorted by name, without empty ones.

    Args:
        description: the package of its first binary.
        at: git and CI state; None without a repository.
        base: the base image; without a digest for an index whose platforms have different bases.
        more: labels of the user, which take precedence.
        epoch: the image's time in seconds since 1970, if it is not the commit's.
    """
    found = {
        "title": description.name,
        "description": description.description,
        "version": version(description, at),
        "licenses": description.licenses,
        "authors": description.authors,
        "documentation": description.documentation,
        "source": browsable(description.repository),
        "url": description.homepage,
    }
    if at is not None:
        found["revision"] = at.facts.revision
        found["source"] = at.event.repository or at.facts.remote or found["source"]
        epoch = at.facts.time if epoch is None else epoch
    if epoch is not None:
        found["created"] = timestamp(epoch)
    found["url"] = found["url"] or found["source"]
    named = {f"{OCI}{name}": value for name, value in found.items() if value} | of_base(base or Base())
    if at is not None and at.facts.marked:
        named[DIRTY] = "true"
    return dict(sorted((named | dict(more or {})).items()))


def of_base(base: Base) -> dict[str, str]:
    """Return the labels that name a base, without empty ones."""
    found = {f"{OCI}base.name": base.name, f"{OCI}base.digest": base.digest}
    return {name: value for name, value in found.items() if value}


def timestamp(epoch: int) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, for example 1970-01-01T00:00:00Z."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
