"""Make the artifacts pushed with an image: SBOMs, provenance, debug symbols and signatures.

`origin` describes the build, as JSON. `attach` makes the artifacts once the digests are known, after the
image is normalized and before it is pushed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio

from pipeline import host_files
from pipeline.abi import elf
from pipeline.attestation import keyless as keyless_signing
from pipeline.attestation import materials, provenance, referrers, sbom, signing
from pipeline.attestation.keyless import KeylessOptions
from pipeline.attestation.materials import Inputs, Material
from pipeline.attestation.provenance import StatementSubject
from pipeline.attestation.signing import BundleSigner, Signer
from pipeline.build.plan import Plan
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument, RustMultiarchError, UnusableKey
from pipeline.git.context import BuildContext
from pipeline.git.metadata import OCI
from pipeline.native import dpkg
from pipeline.oci.layout import INDEXES, Descriptor, Layout, platforms, walk
from pipeline.oci.normalize import Terms
from pipeline.project import unit_graph
from pipeline.registry.artifacts import Artifact
from pipeline.registry.credentials import Secret
from pipeline.sdk import dag, dagger
from pipeline.targets import parse
from pipeline.toolchain import builder as toolchain


@dataclass(frozen=True)
class BuiltPlatform:
    """A platform's build results in the engine.

    Attributes:
        platform: OCI platform.
        triple: the rustc triple.
        programs: the names of the binaries of the build that are in its image.
        base: the image it starts from; None for an empty one.
        container: its image.
        binaries: the stripped binaries.
        symbols: the debug symbols.
        crates: the unit graphs, metadata and lock file of the build.
        replaced: true if a caller replaced its image, which is then no result of the build.
    """

    platform: str
    triple: str
    programs: tuple[str, ...]
    base: dagger.Container | None
    container: dagger.Container
    binaries: dagger.Directory
    symbols: dagger.Directory
    crates: dagger.Directory
    replaced: bool = False


@dataclass(frozen=True)
class AttachmentOptions:
    """The attachments to make; a signer signs every manifest and every attached document.

    Attributes:
        sbom: the format of a bill of materials for each platform; empty for none.
        provenance: SLSA provenance of the build.
        symbols: the debug symbols of each platform.
        signer: the key or the identity to sign with; None for no signatures.
        tags: write signatures also in the former form, at tags, which needs a key.
    """

    sbom: str = ""
    provenance: bool = False
    symbols: bool = False
    signer: BundleSigner | None = None
    tags: bool = False


@dataclass(frozen=True)
class PlatformAttachments:
    """The attachments of one platform."""

    platform: str
    bill: bytes = b""
    symbols: Mapping[str, Path] = field(default_factory=dict)
    build_ids: Mapping[str, str] = field(default_factory=dict)
    replaced: bool = False


async def signer(
    key: Secret | None, password: Secret | None = None, keyless: KeylessOptions | None = None
) -> BundleSigner | None:
    """Load a signing key, or get a certificate for an identity token; None without both.

    Raises:
        UnusableKey, WrongKeyPassword: see `signing.load`.
        InvalidArgument, NoIdentityToken, SigstoreRefused, SigstoreUnreachable: see `keyless.signer`.
    """
    if keyless is not None:
        return await keyless_signing.signer(keyless)
    if key is None:
        return None
    text = await _text(key, "the signing key", signing.OPTION)
    given = await _text(password, "the signing key's password", "--sign-password") if password else ""
    return signing.load(text, given)


def sbom_format(name: str) -> str:
    """Check and return the name of an SBOM's format.

    Raises:
        InvalidArgument: there is no such format.
    """
    if name not in sbom.FORMATS:
        known = " or ".join(sbom.FORMATS)
        raise InvalidArgument(f"{name!r} is no format of an SBOM", where="--sbom-format", fix=f"use {known}")
    return name


async def _text(secret: Secret, what: str, option: str) -> str:
    try:
        return await secret.plaintext()
    except RustMultiarchError:
        raise
    except dagger.QueryError as error:
        fix = "check the file or variable the key is read from"
        raise UnusableKey(f"{what} cannot be read: {error}", where=option, fix=fix) from None


async def origin(
    plan: Plan,
    output: dagger.Directory,
    at: BuildContext | None,
    settings: Settings,
    bases: Sequence[Material],
) -> str:
    """Return the SLSA predicate of a build as JSON, for `attach`.

    Args:
        plan: the plan of the build.
        output: the output of `build.compile`.
        at: git and CI state.
        settings: the settings of the build.
        bases: the base of each platform, as it was resolved; labels may say anything.
    """
    answer = await unit_graph.load(output.directory("crates"))
    names = {binary.name for binary in plan.binaries}
    build = provenance.Build(
        parameters=provenance.parameters(settings),
        situation=at,
        materials=[*await _builder(plan), *bases],
        graphs=[graph for graph in answer.graphs if graph.binary in names],
        versions={"rust-multiarch": version("rust-multiarch"), "rust": answer.rust},
        **provenance.run_details(settings, at),
    )
    return json.dumps(provenance.provenance(build))


async def _builder(plan: Plan) -> list[Material]:
    """Return the compiler's image by its digest, and zig if it links."""
    request = plan.request
    image = dag.container().from_(plan.image) if request.builder is None else request.builder
    found = [await materials.builder(image)]
    if toolchain.needs_zig(request.libc, request.glibc):
        found += materials.wheels(request.build_platform or await dag.default_platform())
    return found


async def attach(
    layout: Layout,
    parts: Sequence[BuiltPlatform],
    options: AttachmentOptions,
    name: str,
    terms: Terms,
    origin: str,
    inputs: Inputs,
    folder: Path,
) -> list[Artifact]:
    """Make the artifacts to push with an image.

    Args:
        layout: the normalized image.
        parts: its platforms in the engine.
        options: the attachments to make.
        name: host and repository, used in statements and signatures.
        terms: time and annotations of the image.
        origin: the result of `origin`.
        inputs: more inputs of the build.
        folder: an empty directory for debug symbols, which may be too large for memory.
    """
    manifests = await walk(layout)
    descriptors = {manifest.descriptor.digest: manifest.descriptor for manifest in manifests}
    images = await platforms(layout, manifests)
    variants = {parse(image.platform).platform: descriptors[image.digest] for image in images}
    known = [
        await examine(part, options, variants[part.platform], terms.index, terms.epoch, folder / str(number))
        for number, part in enumerate(parts)
    ]
    predicate = json.loads(origin or "{}")
    if options.provenance:
        own = [(part.base, part.container) for part in parts if not part.replaced]
        predicate = provenance.extended(predicate, await materials.examine(inputs, own))
    return await attachments(name, layout.root, variants, known, predicate, options)


async def examine(
    part: BuiltPlatform,
    options: AttachmentOptions,
    manifest: Descriptor,
    labels: Mapping[str, str],
    epoch: int,
    folder: Path,
) -> PlatformAttachments:
    """Make the attachments of one platform's manifest.

    Args:
        part: the platform.
        options: the attachments to make.
        manifest: its manifest.
        labels: the image's labels, for its title and version.
        epoch: the image's time, in seconds since 1970.
        folder: the directory for its debug symbols, which is made.
    """
    bill = b""
    if options.sbom:
        answer = await unit_graph.load(part.crates)
        described = sbom.SbomSubject(
            name=labels.get(f"{OCI}title", ""),
            version=labels.get(f"{OCI}version", ""),
            platform=part.platform,
            epoch=epoch,
            graphs=[graph for graph in answer.of(part.triple) if graph.binary in part.programs],
            digest=manifest.digest,
            system=await dpkg.read(part.container),
            rust=answer.rust,
        )
        bill = sbom.FORMATS[options.sbom].write(described, version("rust-multiarch"))
    if not options.symbols:
        return PlatformAttachments(part.platform, bill, replaced=part.replaced)
    # The caller may have added programs to the container.
    built = set(await part.binaries.entries())
    names = {f"{name}.debug": name for name in part.programs if name in built}
    symbols = await _files(part.symbols, names, folder)
    with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as temporary:
        programs = await _files(part.binaries, names.values(), Path(temporary))
        build_ids = {file: elf.read_file(programs[name], name).build_id for file, name in names.items()}
    return PlatformAttachments(part.platform, bill, symbols, build_ids, part.replaced)


async def _files(directory: dagger.Directory, names: Iterable[str], folder: Path) -> dict[str, Path]:
    """Write files of a directory to a folder of this machine; return them by name.

    Raises:
        UnsafeOutput: one of them is no regular file.
    """
    names = list(names)
    await directory.filter(include=names).export(str(folder))
    return {file.name: file for file in host_files.regular(folder, names)}


async def attachments(
    name: str,
    root: Descriptor,
    variants: Mapping[str, Descriptor],
    known: Sequence[PlatformAttachments],
    predicate: Mapping[str, Any],
    options: AttachmentOptions,
) -> list[Artifact]:
    """Combine all attachments of an image into artifacts, and sign them.

    Args:
        name: host and repository, used in statements and signatures.
        root: the image's index, or its manifest if it has one platform.
        variants: each platform's manifest.
        known: the result of `examine` for each platform.
        predicate: the result of `origin`.
        options: the attachments to make.

    Raises:
        NoIdentityToken, SigstoreRefused, SigstoreUnreachable: see `KeylessSigner.bundles`.
    """
    # Hashing large symbols would block the event loop.
    made, statements = await anyio.to_thread.run_sync(
        _unsigned, name, root, variants, known, predicate, options
    )
    for descriptor in {one.digest: one for one in (root, *variants.values())}.values():
        made += await signatures(descriptor, name, statements.get(descriptor.digest, []), options)
    return made


def _unsigned(
    name: str,
    root: Descriptor,
    variants: Mapping[str, Descriptor],
    known: Sequence[PlatformAttachments],
    predicate: Mapping[str, Any],
    options: AttachmentOptions,
) -> tuple[list[Artifact], dict[str, list[bytes]]]:
    """Return the attached documents, and the in-toto statements to sign by the digest of their subject."""
    made: list[Artifact] = []
    statements: dict[str, list[bytes]] = {}
    subjects = {descriptor.digest: descriptor for descriptor in (root, *variants.values())}
    if options.provenance:
        built = _built(subjects.values(), [variants[one.platform].digest for one in known if one.replaced])
        named = [StatementSubject(name, descriptor.digest) for descriptor in built]
        statement = provenance.statement(named, provenance.PREDICATE_TYPE, predicate)
        made += [referrers.of_provenance(one, statement) for one in (built if root not in built else [root])]
        statements = {descriptor.digest: [statement] for descriptor in built}
    for one in known:
        manifest = variants[one.platform]
        if one.bill:
            kind = sbom.FORMATS[options.sbom]
            made.append(referrers.of_sbom(manifest, one.bill, kind))
            subject, document = StatementSubject(name, manifest.digest), json.loads(one.bill)
            bill = provenance.statement([subject], kind.predicate_type, document)
            statements.setdefault(manifest.digest, []).append(bill)
        if one.symbols:
            made.append(referrers.of_symbols(manifest, one.symbols, one.build_ids))
    return made, statements


async def signatures(
    subject: Descriptor, name: str, statements: Sequence[bytes], options: AttachmentOptions
) -> list[Artifact]:
    """Sign an index or a manifest, and the statements about it; [] without a key or an identity.

    Args:
        subject: the index or manifest.
        name: host and repository, used in the former form of signatures.
        statements: in-toto statements.
        options: the key or the identity, and the forms.

    Raises:
        NoIdentityToken, SigstoreRefused, SigstoreUnreachable: see `KeylessSigner.bundles`.
    """
    if options.signer is None:
        return []
    key, signed = options.signer, [signing.statement_of(subject), *statements]
    bundles = await key.bundles(signed)
    made = [signing.bundled(subject, *each) for each in zip(signed, bundles, strict=True)]
    if options.tags and isinstance(key, Signer):
        made.append(signing.signature(subject, name, key))
        made += [signing.attestations(subject, statements, key)] if statements else []
    return made


def _built(subjects: Iterable[Descriptor], replaced: Sequence[str]) -> list[Descriptor]:
    """Return the subjects that are results of the build: an index with a replaced image is not."""
    return [
        one for one in subjects if one.digest not in replaced and not (replaced and one.media_type in INDEXES)
    ]
