import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from graphs import AMD64, HASHES, graphs
from packageurl import PackageURL
from test_dpkg import RELEASE, STATUS

from pipeline.attestation.sbom import SbomSubject, cyclonedx, described, package_purl, purl, spdx
from pipeline.native import dpkg

DIGEST = "sha256:" + "ab" * 32
VARIANT = SbomSubject(
    name="app",
    version="1.2.3",
    platform="linux/arm64",
    epoch=1_700_000_000,
    graphs=graphs()[:2],
    digest=DIGEST,
    system=dpkg.system(RELEASE, [STATUS]),
    rust="1.96.0",
)


def document(variant: SbomSubject = VARIANT) -> dict[str, Any]:
    return json.loads(cyclonedx(variant, "0.1.0"))


def components(variant: SbomSubject = VARIANT) -> dict[str, dict[str, Any]]:
    return {component["name"]: component for component in document(variant)["components"]}


@pytest.mark.parametrize(
    "variant",
    [
        VARIANT,
        SbomSubject("app", "1", "linux/amd64", 0, graphs()[:1]),
        SbomSubject("none", "1", "linux/amd64", 0, ()),
    ],
)
def test_document_is_valid_cyclonedx(variant: SbomSubject) -> None:
    # Imported here, since these take seconds, which every process that collects the tests would spend.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx(variant, "0.1.0").decode())
    assert problem is None


@pytest.mark.parametrize(
    "variant",
    [
        VARIANT,
        SbomSubject("app", "1", "linux/amd64", 0, graphs()[:1]),
        SbomSubject("", "", "linux/amd64", 0, ()),
    ],
)
def test_document_is_valid_spdx(variant: SbomSubject, tmp_path: Path) -> None:
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    made = JsonLikeDictParser().parse(json.loads(spdx(variant, "0.1.0")))
    assert validate_full_spdx_document(made) == []


def spdx_packages() -> dict[str, dict[str, Any]]:
    made = json.loads(spdx(replace(VARIANT, name="the-image"), "0.1.0"))
    return {package["name"]: package for package in made["packages"]}


def test_both_formats_have_the_same_content() -> None:
    found, other = spdx_packages(), components()
    assert found.keys() == {"the-image", *other}
    for name, component in other.items():
        references = {one["referenceLocator"] for one in found[name].get("externalRefs", ())}
        assert references == {component[key] for key in ("purl", "cpe") if key in component}
        hashes = {one["checksumValue"] for one in found[name].get("checksums", ())}
        assert hashes == {one["content"] for one in component.get("hashes", ())}
        licenses = [one["expression"] for one in component.get("licenses", ())] or ["NOASSERTION"]
        if licenses == ["Proprietary"]:
            assert found[name]["licenseComments"] == "license in Cargo.toml: Proprietary"
            licenses = ["NOASSERTION"]
        assert [found[name]["licenseDeclared"]] == licenses
        assert found[name].get("versionInfo") == component["version"]
    assert found["the-image"]["checksums"] == [{"algorithm": "SHA256", "checksumValue": "ab" * 32}]


def test_spdx_relationships() -> None:
    made = json.loads(spdx(VARIANT, "0.1.0"))
    names = {one["SPDXID"]: one["name"] for one in made["packages"]} | {"SPDXRef-DOCUMENT": "document"}
    assert len(names) == len(made["packages"]) + 1
    found = {
        (names[one["spdxElementId"]], one["relationshipType"], names[one["relatedSpdxElement"]])
        for one in made["relationships"]
    }
    assert ("document", "DESCRIBES", "app") in found
    assert {one for one, kind, _ in found if kind == "CONTAINS"} == {"app"}
    tree = {entry["ref"]: entry["dependsOn"] for entry in document()["dependencies"]}
    wanted = sum(len(on) for on in tree.values())
    assert len(made["relationships"]) == wanted + 1
    assert "BUILD_DEPENDENCY_OF" in {kind for _, kind, _ in found}


@pytest.mark.parametrize("write", [cyclonedx, spdx])
def test_a_bill_says_which_image_it_is_about(write) -> None:
    assert described(json.loads(write(VARIANT, "0.1.0"))) == DIGEST
    assert described(json.loads(write(replace(VARIANT, digest=""), "0.1.0"))) == ""


@pytest.mark.parametrize(
    "document",
    [{}, {"metadata": []}, {"spdxVersion": "SPDX-2.3"}, {"spdxVersion": "x", "relationships": [{}]}],
)
def test_a_damaged_bill_is_about_no_image(document: dict[str, Any]) -> None:
    assert described(document) == ""


def test_the_namespace_is_a_hash_of_the_content() -> None:
    one, two = (json.loads(spdx(v, "0.1.0")) for v in (VARIANT, replace(VARIANT, version="2")))
    assert one["documentNamespace"] != two["documentNamespace"]
    assert spdx(VARIANT, "0.1.0") == spdx(VARIANT, "0.1.0")


def test_references_are_unique() -> None:
    made = document()
    refs = [made["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in made["components"])]
    assert len(set(refs)) == len(refs)
    assert {entry["ref"] for entry in made["dependencies"]} <= set(refs)
    assert {ref for entry in made["dependencies"] for ref in entry["dependsOn"]} <= set(refs)


def test_image_component() -> None:
    made = document()["metadata"]
    image = made["component"]
    assert (image["type"], image["name"], image["version"]) == ("container", "app", "1.2.3")
    assert image["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert image["purl"] == f"pkg:oci/app@{DIGEST}?arch=arm64"
    assert image["properties"][0]["value"] == "linux/arm64"
    assert made["timestamp"] == "2023-11-14T22:13:20Z"
    assert made["tools"]["components"][0]["version"] == "0.1.0"
    assert "purl" not in document(replace(VARIANT, digest=""))["metadata"]["component"]


def test_crate_components() -> None:
    found = components()
    assert found["serde"] == {
        "type": "library",
        "bom-ref": "pkg:cargo/serde@1.0.0",
        "name": "serde",
        "version": "1.0.0",
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": HASHES["serde"]}],
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": "pkg:cargo/serde@1.0.0",
    }
    assert found["syn"]["scope"] == "excluded"
    assert found["shared"]["properties"] == [{"name": "dev.rust-multiarch:features", "value": "alloc,std"}]
    assert "windows" not in found


def test_crate_purls_by_source() -> None:
    found = components()
    assert found["fork"]["purl"] == (
        "pkg:cargo/fork@0.2.0?vcs_url=git%2Bhttps://git.example/me/fork%400123456789abcdef0123456789abcdef01234567"
    )
    assert (
        found["inner"]["purl"] == "pkg:cargo/inner@4.0.0%2Bmeta?repository_url=https://crates.example/index"
    )
    by_reference = {c["bom-ref"]: c for c in document()["components"]}
    assert "purl" not in by_reference["app@0.1.0"], "a package of the project is in no registry"


def test_base_image_packages() -> None:
    found = components()
    assert found["libc6"]["purl"] == (
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=arm64&distro=debian-12&upstream=glibc"
    )
    assert PackageURL.from_string(found["libattr1"]["purl"]).qualifiers["upstream"] == "attr@1:2.5.1-4"
    assert "upstream" not in found["base-files"]["purl"]


def test_package_urls_parse_back() -> None:
    for component in document()["components"]:
        if "purl" in component:
            read = PackageURL.from_string(component["purl"])
            assert (read.name, read.version) == (component["name"], component["version"])


def test_a_system_without_an_id_is_debian() -> None:
    package = dpkg.DebianPackage("a", "1", "all", "a", "1")
    assert package_purl(package, dpkg.OperatingSystem()) == "pkg:deb/debian/a@1?arch=all"


def test_standard_library_component() -> None:
    assert components()["rust-std"]["cpe"] == "cpe:2.3:a:rust-lang:rust:1.96.0:*:*:*:*:*:*:*"
    assert "rust-std" not in components(replace(VARIANT, rust=""))


def test_dependency_tree() -> None:
    tree = {entry["ref"]: entry["dependsOn"] for entry in document()["dependencies"]}
    binary = f"bin:extra@0.1.0?{AMD64}"
    assert tree[binary] == ["app@0.1.0", "rust-std@1.96.0"]
    assert binary in tree["app@1.2.3?linux/arm64"]
    assert package_purl(VARIANT.system.packages[0], VARIANT.system) in tree["app@1.2.3?linux/arm64"]
    assert tree["pkg:cargo/serde@1.0.0"] == ["pkg:cargo/derive@1.0.0", "pkg:cargo/shared@0.3.0"]


def test_builder_packages_and_credentials_are_excluded() -> None:
    text = cyclonedx(VARIANT, "0.1.0").decode()
    assert "canary" not in text
    assert "token" not in text


def test_serial_number_is_a_hash_of_the_content() -> None:
    assert cyclonedx(VARIANT, "0.1.0") == cyclonedx(replace(VARIANT, graphs=graphs()[:2]), "0.1.0")
    serials = [document(v)["serialNumber"] for v in (VARIANT, replace(VARIANT, version="1.2.4"))]
    assert serials[0] != serials[1]
    assert serials[0].startswith("urn:uuid:")


def test_purl_escapes_its_parts() -> None:
    assert (
        purl("deb", "debian/g++", "1:2~a", arch="all", distro="") == "pkg:deb/debian/g%2B%2B@1:2~a?arch=all"
    )
