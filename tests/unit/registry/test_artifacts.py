import json

from pipeline.oci.layout import INDEX, MANIFEST, Descriptor, digest_of
from pipeline.registry.artifacts import EMPTY, EMPTY_CONFIG, Layer, artifact

SUBJECT = Descriptor(INDEX, digest_of(b"subject"), 7, "linux/arm64", annotations={"x": "y"})
SPDX = "application/spdx+json"


def test_an_artifact_has_its_subject_and_type() -> None:
    made = artifact(SUBJECT, SPDX, (Layer(SPDX, b"{1}", {"title": "sbom"}),), {"b": "2", "a": "1"})
    document = json.loads(made.body)
    assert document["subject"] == {"mediaType": INDEX, "digest": SUBJECT.digest, "size": 7}
    assert document["artifactType"] == SPDX and document["mediaType"] == MANIFEST
    assert document["config"]["digest"] == digest_of(b"{}") and document["config"]["size"] == 2
    assert document["layers"] == [
        {"mediaType": SPDX, "digest": digest_of(b"{1}"), "size": 3, "annotations": {"title": "sbom"}}
    ]
    assert list(document["annotations"].items()) == [("a", "1"), ("b", "2")]
    assert made.subject == SUBJECT.digest
    assert made.descriptor.digest == digest_of(made.body) and made.descriptor.size == len(made.body)
    assert (made.descriptor.artifact_type, made.descriptor.annotations) == (SPDX, {"a": "1", "b": "2"})
    assert [content for _, content in made.blobs] == [EMPTY, b"{1}"] and made.blobs[0][0] == EMPTY_CONFIG


def test_equal_arguments_give_equal_bytes() -> None:
    layers = (Layer(SPDX, b"x"),)
    assert artifact(SUBJECT, SPDX, layers, {"a": "1", "b": "2"}) == artifact(
        SUBJECT, SPDX, layers, {"b": "2", "a": "1"}
    )
    assert b"annotations" not in artifact(SUBJECT, SPDX, layers).body
