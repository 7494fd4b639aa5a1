import json
from pathlib import Path

from pipeline.attestation import provenance, referrers, sbom
from pipeline.oci.layout import MANIFEST, Descriptor, digest_of
from pipeline.registry.artifacts import Artifact, Layer, artifact, joined

SUBJECT = Descriptor(MANIFEST, digest_of(b"image"), 5, platform="linux/arm64")


def test_sbom_artifact() -> None:
    made = referrers.of_sbom(SUBJECT, b"{}", sbom.FORMATS["cyclonedx"])
    manifest = json.loads(made.body)
    assert manifest["subject"] == {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": 5}
    assert manifest["artifactType"] == "application/vnd.cyclonedx+json" == sbom.MEDIA_TYPE
    assert [layer["mediaType"] for layer in manifest["layers"]] == [sbom.MEDIA_TYPE]
    assert made.blobs[-1][1] == b"{}"


def test_provenance_names_its_predicate_type() -> None:
    made = referrers.of_provenance(SUBJECT, b"[]")
    manifest = json.loads(made.body)
    assert manifest["artifactType"] == "application/vnd.in-toto+json" == provenance.MEDIA_TYPE
    assert manifest["annotations"] == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
    assert made.descriptor.annotations == manifest["annotations"]
    assert made.blobs[-1][1] == b"[]"


def test_symbols_have_a_layer_per_file_with_its_build_id(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("b.debug", "a.debug")}
    for path in files.values():
        path.write_text(path.name)
    made = referrers.of_symbols(SUBJECT, files, {"a.debug": "c0ffee"})
    layers = json.loads(made.body)["layers"]
    assert [layer["annotations"] for layer in layers] == [
        {"dev.rust-multiarch.build-id": "c0ffee", "org.opencontainers.image.title": "a.debug"},
        {"org.opencontainers.image.title": "b.debug"},
    ]
    assert [content for _, content in made.blobs[1:]] == [files["a.debug"], files["b.debug"]]
    assert [(layer["digest"], layer["size"]) for layer in layers] == [
        (digest_of(b"a.debug"), 7),
        (digest_of(b"b.debug"), 7),
    ]
    assert made.descriptor.artifact_type == referrers.SYMBOLS


def test_existing_layers_at_the_same_tag_are_kept() -> None:
    def made(content: bytes) -> Artifact:
        return artifact(SUBJECT, "x/y", (Layer("a/b", content),), tag="t")

    mine, yours = made(b"mine"), made(b"yours")
    both = joined(mine, yours.body)
    layers = json.loads(both.body)["layers"]
    assert [layer["digest"] for layer in layers] == [digest_of(b"yours"), digest_of(b"mine")]
    assert (both.descriptor.digest, both.descriptor.size) == (digest_of(both.body), len(both.body))
    assert both.tag == "t"
    assert joined(mine, both.body).body == both.body, "joining again changes nothing"
    assert joined(mine, mine.body) == mine
    assert joined(mine, b"{}") == mine
