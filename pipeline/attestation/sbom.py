"""Write the software bill of materials of one platform's image, as CycloneDX 1.6 or SPDX 2.3 JSON.

CycloneDX is the default because it covers all facts here (a component's scope, a dependency tree, package
URLs), and it is half as long. Equal content gives equal bytes: the serial number, or the namespace, is a hash
of the document, and the time is the image's. Sources: the JSON schemas of both, which the tests validate
against; the purl specification's types `cargo`, `deb` and `oci`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pipeline.git.facts import browsable
from pipeline.git.metadata import timestamp
from pipeline.native import dpkg
from pipeline.project import unit_graph
from pipeline.project.unit_graph import Graph, GraphCrate, Kind

MEDIA_TYPE = "application/vnd.cyclonedx+json"
PREDICATE_TYPE = "https://cyclonedx.org/bom"
"""The in-toto predicate type of a CycloneDX document."""

FEATURES = "dev.rust-multiarch:features"
SCOPES = {Kind.RUNTIME: "required", Kind.BUILD: "excluded"}

Document = dict[str, Any]


@dataclass(frozen=True)
class SbomSubject:
    """The image that a bill of materials describes.

    Attributes:
        name: the image's title.
        version: its version.
        platform: OCI platform, for example `linux/arm64`.
        digest: digest of its manifest; empty if not known yet.
        epoch: the image's time, in seconds since 1970.
        graphs: the crates of each of its binaries.
        system: the packages of its base.
        rust: version of the compiler and its standard library.
    """

    name: str
    version: str
    platform: str
    epoch: int
    graphs: Sequence[Graph]
    digest: str = ""
    system: dpkg.OperatingSystem = field(default_factory=dpkg.OperatingSystem)
    rust: str = ""


def purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    """Format a package URL: parts percent-encoded, qualifiers sorted, empty ones omitted."""
    text = f"pkg:{kind}/{quote(name, safe='/')}@{quote(version, safe=':')}"
    given = sorted((key, value) for key, value in qualifiers.items() if value)
    return text + (
        "?" + "&".join(f"{key}={quote(value, safe='/:')}" for key, value in given) if given else ""
    )


def crate_purl(crate: GraphCrate) -> str:
    """Return a crate's package URL; empty for packages of the project, which are in no registry."""
    scheme, _, place = crate.source.partition("+")
    if not place:
        return ""
    if crate.source == unit_graph.CRATES_IO:
        return purl("cargo", crate.name, crate.version)
    if scheme == "git":
        address, _, commit = place.partition("#")
        return purl("cargo", crate.name, crate.version, vcs_url=f"git+{browsable(address)}@{commit}")
    return purl("cargo", crate.name, crate.version, repository_url=browsable(place))


def package_purl(package: dpkg.DebianPackage, system: dpkg.OperatingSystem) -> str:
    """Return a Debian package's URL, with its source package if the names or versions differ."""
    upstream = package.source
    if package.source_version != package.version:
        upstream += f"@{package.source_version}"
    return purl(
        "deb",
        f"{system.id or 'debian'}/{package.name}",
        package.version,
        arch=package.architecture,
        distro=system.distribution,
        upstream=upstream if upstream != package.name else "",
    )


def cyclonedx(variant: SbomSubject, tool: str) -> bytes:
    """Return the bill of materials of an image.

    Args:
        variant: the image.
        tool: version of this program.
    """
    every = unit_graph.union(variant.graphs)
    references = {crate.id: crate_purl(crate) or f"{crate.name}@{crate.version}" for crate in every}
    binaries = [_binary(graph) for graph in variant.graphs]
    packages = [_package(package, variant.system) for package in variant.system.packages]
    image = _image(variant)
    compiler = _compiler(variant.rust)
    tree = {image["bom-ref"]: [entry["bom-ref"] for entry in (*binaries, *packages)]}
    for graph in variant.graphs:
        standard = [entry["bom-ref"] for entry in compiler]
        tree[_binary(graph)["bom-ref"]] = [references[graph.root], *standard]
    for crate in every:
        tree[references[crate.id]] = [references[identifier] for identifier in crate.dependencies]
    document: Document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(variant.epoch),
            "tools": {"components": [{"type": "application", "name": "rust-multiarch", "version": tool}]},
            "component": image,
        },
        "components": [*binaries, *compiler, *(_crate(crate, references) for crate in every), *packages],
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(on))} for ref, on in sorted(tree.items())],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return json.dumps(document | {"serialNumber": f"urn:uuid:{serial}"}, separators=(",", ":")).encode()


def _image(variant: SbomSubject) -> Document:
    architecture = variant.platform.partition("/")[2]
    entry: Document = {
        "type": "container",
        "bom-ref": f"{variant.name}@{variant.version}?{variant.platform}",
        "name": variant.name,
        "version": variant.version,
        "properties": [{"name": "dev.rust-multiarch:platform", "value": variant.platform}],
    }
    if variant.digest:
        entry["hashes"] = [{"alg": "SHA-256", "content": variant.digest.removeprefix("sha256:")}]
        entry["purl"] = purl("oci", variant.name, variant.digest, arch=architecture)
    return entry


def _binary(graph: Graph) -> Document:
    root = next(crate for crate in graph.crates if crate.id == graph.root)
    reference = f"bin:{graph.binary}@{root.version}?{graph.triple}"
    return {"type": "application", "bom-ref": reference, "name": graph.binary, "version": root.version}


def _compiler(version: str) -> list[Document]:
    """Describe the standard library, which no lock file lists; advisories name it by its CPE."""
    if not version:
        return []
    return [
        {
            "type": "library",
            "bom-ref": f"rust-std@{version}",
            "name": "rust-std",
            "version": version,
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "cpe": f"cpe:2.3:a:rust-lang:rust:{version}:*:*:*:*:*:*:*",
        }
    ]


def _crate(crate: GraphCrate, references: dict[str, str]) -> Document:
    entry: Document = {
        "type": "library",
        "bom-ref": references[crate.id],
        "name": crate.name,
        "version": crate.version,
        "scope": SCOPES[crate.kind],
    }
    if crate.checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": crate.checksum}]
    if crate.license:
        entry["licenses"] = [{"expression": crate.license}]
    if locator := crate_purl(crate):
        entry["purl"] = locator
    if crate.features:
        entry["properties"] = [{"name": FEATURES, "value": ",".join(crate.features)}]
    return entry


def _package(package: dpkg.DebianPackage, system: dpkg.OperatingSystem) -> Document:
    locator = package_purl(package, system)
    return {
        "type": "library",
        "bom-ref": locator,
        "name": package.name,
        "version": package.version,
        "purl": locator,
    }


NONE = "NOASSERTION"

NAMESPACE = "https://github.com/rust-multiarch/rust-multiarch/spdx"


def spdx(variant: SbomSubject, tool: str) -> bytes:
    """Return the bill of materials of an image as SPDX 2.3.

    Args:
        variant: the image.
        tool: version of this program.
    """
    every = unit_graph.union(variant.graphs)
    image, compiler = _spdx_image(variant), _spdx_compiler(variant.rust)
    binaries = [_spdx_binary(graph) for graph in variant.graphs]
    crates = {crate.id: _spdx_crate(crate) for crate in every}
    packages = [_spdx_package(package, variant.system) for package in variant.system.packages]
    document: Document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{variant.name or 'image'} {variant.version} {variant.platform}".replace("  ", " "),
        "creationInfo": {
            "created": timestamp(variant.epoch),
            "creators": [f"Tool: rust-multiarch-{tool}"],
        },
        "packages": [image, *binaries, *compiler, *crates.values(), *packages],
        "relationships": sorted(
            _relationships(variant, every, image, binaries, compiler, crates, packages),
            key=lambda one: sorted(one.items()),
        ),
    }
    unique = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return json.dumps(
        document | {"documentNamespace": f"{NAMESPACE}/{unique}"}, separators=(",", ":")
    ).encode()


def _relationships(
    variant: SbomSubject,
    every: Sequence[GraphCrate],
    image: Document,
    binaries: Sequence[Document],
    compiler: Sequence[Document],
    crates: dict[str, Document],
    packages: Sequence[Document],
) -> Iterator[Document]:
    """Yield the relationships: what the image contains, and the dependencies of each binary and crate."""

    def related(one: Document, kind: str, other: Document) -> Document:
        return {
            "spdxElementId": one["SPDXID"],
            "relationshipType": kind,
            "relatedSpdxElement": other["SPDXID"],
        }

    yield related({"SPDXID": "SPDXRef-DOCUMENT"}, "DESCRIBES", image)
    for part in (*binaries, *packages):
        yield related(image, "CONTAINS", part)
    for graph, binary in zip(variant.graphs, binaries, strict=True):
        for part in (crates[graph.root], *compiler):
            yield related(binary, "DEPENDS_ON", part)
    for crate in every:
        for identifier in dict.fromkeys(crate.dependencies):
            other = crates[identifier]
            built = next(one for one in every if one.id == identifier).kind is Kind.BUILD
            if built and crate.kind is not Kind.BUILD:
                yield related(other, "BUILD_DEPENDENCY_OF", crates[crate.id])
            else:
                yield related(crates[crate.id], "DEPENDS_ON", other)


def _spdx(kind: str, reference: str, name: str, version: str, purpose: str, license: str = "") -> Document:
    """Return an SPDX package; its identifier has only letters, digits, `.` and `-`, and a hash."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{kind}-{name}-{version}")
    unique = uuid.uuid5(uuid.NAMESPACE_URL, reference).hex[:12]
    return {
        "SPDXID": f"SPDXRef-{plain}-{unique}",
        "name": name or "image",
        **({"versionInfo": version} if version else {}),
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": license or NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": purpose,
    }


def _located(locator: str, kind: str = "purl", category: str = "PACKAGE-MANAGER") -> Document:
    reference = {"referenceCategory": category, "referenceType": kind, "referenceLocator": locator}
    return {"externalRefs": [reference]} if locator else {}


def _checksum(value: str) -> Document:
    return {"checksums": [{"algorithm": "SHA256", "checksumValue": value}]} if value else {}


def _spdx_image(variant: SbomSubject) -> Document:
    entry = _spdx("image", variant.platform, variant.name, variant.version, "CONTAINER")
    locator = _image(variant).get("purl", "")
    return {**entry, **_located(locator), **_checksum(variant.digest.removeprefix("sha256:"))}


def _spdx_binary(graph: Graph) -> Document:
    known = _binary(graph)
    return _spdx("bin", known["bom-ref"], known["name"], known["version"], "APPLICATION")


def _spdx_compiler(version: str) -> list[Document]:
    return [
        {
            **_spdx("std", known["bom-ref"], known["name"], version, "LIBRARY", "MIT OR Apache-2.0"),
            **_located(known["cpe"], "cpe23Type", "SECURITY"),
        }
        for known in _compiler(version)
    ]


def _spdx_crate(crate: GraphCrate) -> Document:
    # crates.io accepts only SPDX expressions; other manifests may have any text.
    valid = crate.source == unit_graph.CRATES_IO or set(_IDENTIFIER.findall(crate.license)) <= _LICENSES
    entry = _spdx("crate", crate.id, crate.name, crate.version, "LIBRARY", crate.license if valid else "")
    comment = {} if valid else {"licenseComments": f"license in Cargo.toml: {crate.license}"}
    return {**entry, **comment, **_located(crate_purl(crate)), **_checksum(crate.checksum)}


_IDENTIFIER = re.compile(r"[^\s()]+")
_LICENSES = frozenset({
    "AND", "OR", "WITH", "0BSD", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0",
    "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "BUSL-1.1", "CC0-1.0", "CDLA-Permissive-2.0", "EPL-2.0",
    "EUPL-1.2", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC",
    "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "LLVM-exception", "MIT",
    "MIT-0", "MPL-2.0", "OpenSSL", "PostgreSQL", "Unicode-3.0", "Unicode-DFS-2016", "Unlicense", "Zlib",
})  # fmt: skip
"""Operators and usual identifiers of SPDX license expressions."""


def _spdx_package(package: dpkg.DebianPackage, system: dpkg.OperatingSystem) -> Document:
    locator = package_purl(package, system)
    return {**_spdx("deb", locator, package.name, package.version, "LIBRARY"), **_located(locator)}


@dataclass(frozen=True)
class SbomFormat:
    """A format of bills of materials.

    Attributes:
        media_type: of a document.
        predicate_type: of an in-toto statement with a document, as in cosign.
        file: the name that clients write a document to.
        write: writes a document of an image; the second argument is the version of this program.
    """

    media_type: str
    predicate_type: str
    file: str
    write: Callable[[SbomSubject, str], bytes]


FORMATS = {
    "cyclonedx": SbomFormat(MEDIA_TYPE, PREDICATE_TYPE, "sbom.cdx.json", cyclonedx),
    "spdx": SbomFormat("application/spdx+json", "https://spdx.dev/Document", "sbom.spdx.json", spdx),
}
"""The formats by name."""


def described(document: Document) -> str:
    """Return the digest of the image that a bill of materials is about; "" if it has none."""
    try:
        if "spdxVersion" in document:
            related = (one for one in document["relationships"] if one["relationshipType"] == "DESCRIBES")
            name = next(related)["relatedSpdxElement"]
            package = next(one for one in document["packages"] if one["SPDXID"] == name)
            value = package["checksums"][0]["checksumValue"]
        else:
            value = document["metadata"]["component"]["hashes"][0]["content"]
    except (KeyError, IndexError, TypeError, StopIteration):
        return ""
    return f"sha256:{value}"
