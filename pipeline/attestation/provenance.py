"""Where an image comes from, as a SLSA provenance v1 predicate in an in-toto statement v1.

Sources: slsa.dev/spec/v1.0/provenance, github.com/in-toto/attestation spec/v1. The documents depend on what
was built alone; there is no time and no id of the run in them unless one is given.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.attestation import sbom
from pipeline.config.settings import Settings
from pipeline.git.context import Situation
from pipeline.git.metadata import Base
from pipeline.project import unit_graph
from pipeline.project.unit_graph import Graph

MEDIA_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"

HOME = "https://github.com/rust-multiarch/rust-multiarch"
BUILD_TYPE = f"{HOME}/provenance/v1"
"""Names how externalParameters are to be read: as the options of the module, by their own names."""

LOCAL = f"{HOME}/local"
"""The builder's id where nobody vouches for the machine."""

Document = dict[str, Any]


@dataclass(frozen=True)
class StatementSubject:
    """What a statement is about: a name, for example host and repository, and an OCI digest."""

    name: str
    digest: str

    def as_json(self) -> Document:
        """The subject as in-toto writes it."""
        return {"name": self.name, "digest": _digest(self.digest)}


@dataclass(frozen=True)
class Build:
    """What is known of a build.

    Attributes:
        parameters: what the user asked for; see `parameters`.
        situation: what git and CI say, None without a repository.
        images: images that went in, runtime bases and the builder.
        graphs: the crates that went in.
        builder: id of the platform that built, as a URI.
        versions: versions of the parts of that platform.
        invocation: id of the run, for example the address of a CI job; empty for none.
        started, finished: times of the run in RFC 3339; empty for none.
    """

    parameters: Mapping[str, Any]
    situation: Situation | None = None
    images: Sequence[Base] = ()
    graphs: Sequence[Graph] = ()
    builder: str = LOCAL
    versions: Mapping[str, str] = field(default_factory=dict)
    invocation: str = ""
    started: str = ""
    finished: str = ""


def parameters(settings: Settings) -> Document:
    """A build's settings under the names that they have on the command line, without empty ones."""
    named = {
        each.name.replace("_", "-"): getattr(settings, each.name) for each in dataclasses.fields(settings)
    }
    plain = {name: value.value if isinstance(value, enum.Enum) else value for name, value in named.items()}
    return {name: value for name, value in sorted(plain.items()) if value not in ("", [], False, 0)}


def statement(
    subjects: Sequence[StatementSubject], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """An in-toto statement: the predicate holds for the subjects. The same bytes for the same arguments."""
    document = {
        "_type": STATEMENT,
        "subject": [subject.as_json() for subject in subjects],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def provenance(build: Build) -> Document:
    """The SLSA predicate of a build."""
    metadata = {
        "invocationId": build.invocation,
        "startedOn": build.started,
        "finishedOn": build.finished,
    }
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": dict(build.parameters),
            "internalParameters": {},
            "resolvedDependencies": [*_source(build.situation), *_images(build), *_crates(build.graphs)],
        },
        "runDetails": {
            "builder": {"id": build.builder, "version": dict(sorted(build.versions.items()))},
            "metadata": {name: value for name, value in metadata.items() if value},
        },
    }


def _source(at: Situation | None) -> list[Document]:
    if at is None:
        return []
    address = at.event.repository or at.facts.remote
    entry: Document = {"name": "source", "digest": {"gitCommit": at.facts.revision}}
    if address:
        entry = {"uri": f"git+{address}@{at.facts.revision}", **entry}
    return [entry | ({"annotations": {"dirty": True}} if at.facts.dirty else {})]


def _images(build: Build) -> list[Document]:
    return [
        {"uri": f"oci://{image.name}", "digest": _digest(image.digest)}
        for image in dict.fromkeys(build.images)
        if image.digest
    ]


def _crates(graphs: Sequence[Graph]) -> list[Document]:
    return [
        {"uri": sbom.crate_purl(crate), "digest": {"sha256": crate.checksum}}
        for crate in unit_graph.union(graphs)
        if crate.checksum
    ]


def _digest(digest: str) -> Document:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
