"""Write the software bill of materials of one platform's image, as CycloneDX 1.6 JSON.

CycloneDX and not SPDX because it covers all facts here (a component's scope, a dependency tree, package
URLs), cosign and scanners accept it unchanged, and it is half as long. Equal content gives equal bytes: the
serial number is a hash of the document, and the time is the image's. Sources: the CycloneDX 1.6 JSON schema,
which the tests validate against; the purl specification's types `cargo`, `deb` and `oci`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
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
