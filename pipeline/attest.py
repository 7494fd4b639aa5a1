"""What is pushed with an image so that others can verify it: SBOMs, provenance, symbols, signatures.

`origin` is made where the build is known and travels as JSON; `attachments` makes the artifacts where the
digests are known, which is after the image was sealed and before it is pushed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagger
from dagger import dag

from pipeline import crates, dpkg, elf, provenance, referrers, sbom, signing, toolchain
from pipeline.artifacts import Artifact
from pipeline.build import Plan
from pipeline.content import Descriptor
from pipeline.metadata import Base
from pipeline.provenance import Subject
from pipeline.signing import Signer
from pipeline.situation import Situation


@dataclass(frozen=True)
class Part:
    """One platform of an image, as the engine has it."""

    platform: str
    triple: str
    container: dagger.Container
    binaries: dagger.Directory
    symbols: dagger.Directory
    crates: dagger.Directory


@dataclass(frozen=True)
class Wish:
    """What is wanted; a signature is of every manifest, and of every document that is wanted.

    Attributes:
        sbom: a bill of materials for each variant.
        provenance: where the image comes from.
        symbols: the debug symbols of each variant.
        signer: the key to sign with; None for no signature.
    """

    sbom: bool = False
    provenance: bool = False
    symbols: bool = False
    signer: Signer | None = None


@dataclass(frozen=True)
class Known:
    """One platform of an image, as far as its attachments tell of it."""

    platform: str
    bill: bytes = b""
    symbols: Mapping[str, bytes] = field(default_factory=dict)
    build_ids: Mapping[str, str] = field(default_factory=dict)


async def origin(
    plan: Plan, output: dagger.Directory, at: Situation | None, base: str, **options: Any
) -> dict[str, Any]:
    """The SLSA predicate of a build, for `attachments`.

    Args:
        plan: what was built.
        output: what `build.compile` put out for it.
        at: what git and CI say.
        base: full reference of the runtime base, empty for none.
        options: further options that the user gave, of the image.
    """
    answer = await crates.load(output.directory("crates"))
    builder = await dag.container().from_(toolchain.rust_image(plan.rust)).image_ref()
    build = provenance.Build(
        parameters=provenance.parameters(plan.order, **options),
        situation=at,
        images=[Base.of(builder), Base.of(base)],
        graphs=answer.graphs,
        versions={"rust-multiarch": version("rust-multiarch"), "rust": answer.rust},
    )
    return provenance.provenance(build)


async def examine(
    part: Part, wish: Wish, manifest: Descriptor, labels: Mapping[str, str], epoch: int
) -> Known:
    """What is to be attached to one platform's manifest.

    Args:
        part: the platform.
        wish: what is wanted.
        manifest: its manifest.
        labels: the image's labels, of which title and version are told.
        epoch: the image's time, in seconds since 1970.
    """
    bill = b""
    if wish.sbom:
        answer = await crates.load(part.crates)
        described = sbom.Variant(
            name=labels.get("org.opencontainers.image.title", ""),
            version=labels.get("org.opencontainers.image.version", ""),
            platform=part.platform,
            epoch=epoch,
            graphs=answer.of(part.triple),
            digest=manifest.digest,
            system=await dpkg.read(part.container),
            rust=answer.rust,
        )
        bill = sbom.cyclonedx(described, version("rust-multiarch"))
    symbols = await _files(part.symbols) if wish.symbols else {}
    programs = await _files(part.binaries) if wish.symbols else {}
    identifiers = {f"{name}.debug": elf.read(content, name).build_id for name, content in programs.items()}
    return Known(part.platform, bill, symbols, identifiers)


async def _files(directory: dagger.Directory) -> dict[str, bytes]:
    """The files of a directory by name; the engine's own API gives text alone."""
    with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
        await directory.export(folder)
        return _read(Path(folder))


def _read(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def attachments(
    name: str,
    root: Descriptor,
    variants: Mapping[str, Descriptor],
    known: Sequence[Known],
    predicate: Mapping[str, Any],
    wish: Wish,
) -> list[Artifact]:
    """The artifacts to push with an image.

    Args:
        name: host and repository, as statements and signatures call it.
        root: the image's index, or its manifest where it has one platform.
        variants: each platform's manifest.
        known: what `examine` found, of each platform.
        predicate: what `origin` found.
        wish: what is wanted.
    """
    made: list[Artifact] = []
    statements: dict[str, list[bytes]] = {}
    subjects = {descriptor.digest: descriptor for descriptor in (root, *variants.values())}
    if wish.provenance:
        named = [Subject(name, digest) for digest in subjects]
        statement = provenance.statement(named, provenance.PREDICATE_TYPE, predicate)
        made.append(referrers.of_provenance(root, statement))
        statements = {digest: [statement] for digest in subjects}
    for one in known:
        manifest = variants[one.platform]
        if one.bill:
            made.append(referrers.of_sbom(manifest, one.bill))
            subject, document = Subject(name, manifest.digest), json.loads(one.bill)
            bill = provenance.statement([subject], sbom.PREDICATE_TYPE, document)
            statements.setdefault(manifest.digest, []).append(bill)
        if one.symbols:
            made.append(referrers.of_symbols(manifest, one.symbols, one.build_ids))
    if wish.signer:
        for digest, descriptor in subjects.items():
            made.append(signing.signature(descriptor, name, wish.signer))
            if digest in statements:
                made.append(signing.attestations(descriptor, statements[digest], wish.signer))
    return made


async def signer(key: dagger.Secret, password: dagger.Secret | None = None) -> Signer:
    """The signer of a key that came as a secret; its text goes nowhere else.

    Raises:
        UnusableKey, WrongKeyPassword: see `signing.load`.
    """
    return signing.load(await key.plaintext(), await password.plaintext() if password else "")
