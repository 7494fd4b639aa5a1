"""Write SLSA provenance v1 predicates in in-toto statements v1.

Sources: slsa.dev/spec/v1.0/provenance, github.com/in-toto/attestation spec/v1. Outside CI, equal builds give
equal documents: they contain no time. In CI they have the address of the run.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.attestation import sbom
from pipeline.attestation.materials import Material
from pipeline.config.settings import Settings, disclosed
from pipeline.errors import NotMergeable
from pipeline.git.ci import Event
from pipeline.git.context import BuildContext
from pipeline.project import unit_graph
from pipeline.project.unit_graph import Graph

MEDIA_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"

HOME = "https://github.com/rust-multiarch/rust-multiarch"
BUILD_TYPE = f"{HOME}/provenance/v1"
"""The schema of externalParameters: the module's options under their own names."""

LOCAL = f"{HOME}/local"
"""The builder's id for a machine outside CI, and for callers of the module that pass no facts of CI."""

OF_THE_RUN = ("builder_id", "invocation_id")
"""The settings that are not parameters of the build, but details of its run."""

Document = dict[str, Any]


@dataclass(frozen=True)
class StatementSubject:
    """The subject of a statement: a name, for example host and repository, and an OCI digest."""

    name: str
    digest: str

    def as_json(self) -> Document:
        """Return the subject in in-toto's form."""
        return {"name": self.name, "digest": _digest(self.digest)}


@dataclass(frozen=True)
class Build:
    """The facts recorded about a build.

    Attributes:
        parameters: the build's settings; see `parameters`.
        situation: git and CI state; None without a repository.
        materials: the bases, the builder and other inputs that are known when cargo has run.
        graphs: the crates compiled into the binaries.
        versions: versions of the build platform's components.
        builder: the build platform, as a URI; "" for `LOCAL`.
        run: the run of the build platform, as a URI; "" if it has none.
    """

    parameters: Mapping[str, Any]
    situation: BuildContext | None = None
    materials: Sequence[Material] = ()
    graphs: Sequence[Graph] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    builder: str = ""
    run: str = ""


def parameters(settings: Settings) -> Document:
    """Return the settings that are not empty, by their name on the command line."""
    named = {
        each.name.replace("_", "-"): disclosed(each.name, getattr(settings, each.name))
        for each in dataclasses.fields(settings)
        if each.name not in OF_THE_RUN
    }
    plain = {name: value.value if isinstance(value, enum.Enum) else value for name, value in named.items()}
    return {
        name: value
        for name, value in sorted(plain.items())
        if value is not None and value is not False and value not in ("", [])  # 0 is a time
    }


def run_details(settings: Settings, at: BuildContext | None) -> dict[str, str]:
    """Return `builder` and `run` of a `Build`: those of the settings, else those of the CI system."""
    event = at.event if at else Event()
    return {
        "builder": settings.builder_id or event.builder,
        "run": settings.invocation_id or event.run,
    }


def statement(
    subjects: Sequence[StatementSubject], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Return an in-toto statement; equal arguments give equal bytes."""
    document = {
        "_type": STATEMENT,
        "subject": [subject.as_json() for subject in subjects],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def provenance(build: Build) -> Document:
    """Return the SLSA predicate of a build."""
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": dict(build.parameters),
            "internalParameters": {},
            "resolvedDependencies": [
                *_source(build.situation),
                *(material.as_json() for material in dict.fromkeys(build.materials)),
                *_crates(build.graphs),
            ],
        },
        "runDetails": {
            "builder": {
                "id": build.builder or LOCAL,
                "version": dict(sorted(build.versions.items())),
            },
            "metadata": _invocation(build.run),
        },
    }


def _invocation(run: str) -> Document:
    return {"invocationId": run} if run else {}


def _source(at: BuildContext | None) -> list[Document]:
    if at is None:
        return []
    address = at.event.repository or at.facts.remote
    entry: Document = {"name": "source", "digest": {"gitCommit": at.facts.revision}}
    if address:
        entry = {"uri": f"git+{address}@{at.facts.revision}", **entry}
    return [entry | ({} if at.facts.exact else {"annotations": {"dirty": True}})]


def extended(predicate: Document, materials: Sequence[Material]) -> Document:
    """Return a predicate with more materials; one without a build stays empty."""
    if not predicate:
        return predicate
    definition = predicate["buildDefinition"]
    known = definition["resolvedDependencies"]
    more = [entry for material in materials if (entry := material.as_json()) not in known]
    return {**predicate, "buildDefinition": {**definition, "resolvedDependencies": [*known, *more]}}


def merged(predicates: Sequence[tuple[str, Document]], event: Event) -> Document:
    """Return the predicate of an index whose images were built separately.

    Parameters and the builder are those of the images; where they differ, by platform, or those of the run
    that merges.

    Args:
        predicates: the predicate of each image, after its address for messages.
        event: the run that merges.

    Raises:
        NotMergeable: the images were built from different commits.
    """
    _check_sources(predicates)
    documents = [predicate for _, predicate in predicates]
    definitions = [_part(one, "buildDefinition") for one in documents]
    details = [_part(one, "runDetails") for one in documents]
    builders = [_part(one, "builder") for one in details]
    runs = [_part(one, "metadata") for one in details]
    same = all(one == builders[0] for one in builders)
    identities = sorted({str(one.get("id", "")) for one in builders})
    own = {"id": event.builder or LOCAL, "builderDependencies": [{"uri": one} for one in identities]}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _parameters([_part(one, "externalParameters") for one in definitions]),
            "internalParameters": {},
            "resolvedDependencies": _dependencies(definitions),
        },
        "runDetails": {
            "builder": builders[0] if same else own,
            "metadata": runs[0] if all(one == runs[0] for one in runs) else _invocation(event.run),
        },
    }


def _check_sources(predicates: Sequence[tuple[str, Document]]) -> None:
    sources = {}
    for address, predicate in predicates:
        listed = _dependencies([_part(predicate, "buildDefinition")])
        sources[address] = [one.get("digest") for one in listed if one.get("name") == "source"]
    (first, expected), *others = sources.items()
    for address, found in others:
        if found != expected:
            raise NotMergeable(
                "the images were built from different commits",
                where=f"{first} and {address}",
                fix="publish all platforms from the same commit",
            )


def _dependencies(definitions: Sequence[Document]) -> list[Document]:
    """Return the materials of all definitions, each once."""
    found: dict[str, Document] = {}
    for definition in definitions:
        listed = definition.get("resolvedDependencies")
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict):
                found.setdefault(json.dumps(entry, sort_keys=True), entry)
    return list(found.values())


def _parameters(every: Sequence[Document]) -> Document:
    """Return the parameters that all have, all platforms, and the others by platform."""
    names = dict.fromkeys(name for each in every for name in each)
    platforms = [platform for each in every for platform in each.get("platforms") or ()]
    shared = {
        name: every[0].get(name)
        for name in names
        if all(each.get(name) == every[0].get(name) for each in every)
    }
    shared["platforms"] = list(dict.fromkeys(platforms))
    apart = {
        ",".join(each.get("platforms") or ()): {
            name: value for name, value in each.items() if name not in shared
        }
        for each in every
    }
    return dict(sorted(shared.items())) | ({"by-platform": apart} if any(apart.values()) else {})


def _part(document: Document, name: str) -> Document:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _crates(graphs: Sequence[Graph]) -> list[Document]:
    return [
        {"uri": sbom.crate_purl(crate), "digest": {"sha256": crate.checksum}}
        for crate in unit_graph.union(graphs)
        if crate.checksum
    ]


def _digest(digest: str) -> Document:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
