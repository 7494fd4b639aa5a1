import json
import re
from dataclasses import replace
from pathlib import Path

from pipeline.attestation import signing
from pipeline.oci.base import REGISTRY, REWRITTEN
from pipeline.oci.layout import MANIFEST
from pipeline.registry.receipt import (
    SIGNATURES,
    Attached,
    BaseLayers,
    Delivery,
    Platform,
    Receipt,
    Transfer,
)

COSIGN = "application/vnd.dev.cosign.artifact.sig.v1+json"
UP, MOUNTED, THERE = Transfer("uploaded", 1 << 20, 0.25), Transfer("mounted", 1 << 20), Transfer("present", 5)

RECEIPT = Receipt(
    digest="sha256:aa",
    media_type=MANIFEST,
    platforms=(Platform("linux/arm64", "sha256:bb", 3 << 20),),
    referrers=("sha256:cc",),
    deliveries=(
        Delivery.of("ghcr.io/me/app", ("1", "latest"), [UP, UP, THERE], 1.25),
        Delivery.of("docker.io/me/app", ("1",), [MOUNTED]),
    ),
    attached=(Attached("sha256:cc", "sha256:aa", COSIGN, 1536),),
    seconds=2.5,
    attaching_seconds=0.5,
    bases=(
        BaseLayers("linux/arm64", "docker.io/library/debian:x", "sha256:dd", REGISTRY),
        BaseLayers("linux/amd64", "", "", REWRITTEN),
    ),
)  # fmt: skip


def test_a_delivery_counts_blobs_by_origin() -> None:
    first, second = RECEIPT.deliveries
    assert (first.uploaded_blobs, first.uploaded_bytes, first.uploaded_seconds) == (2, 2 << 20, 0.5)
    assert first.seconds == 1.25
    assert (first.present_blobs, first.present_bytes, first.mounted_blobs) == (1, 5, 0)
    assert (second.mounted_blobs, second.mounted_bytes, second.uploaded_blobs) == (1, 1 << 20, 0)


def test_receipt_as_text() -> None:
    assert RECEIPT.as_text().splitlines() == [
        "linux/arm64  3.0 MiB  sha256:bb",
        "base  linux/arm64  docker.io/library/debian:x@sha256:dd  layers: its registry",
        "base  linux/amd64  a custom container  layers: rewritten",
        f"referrer  sha256:cc  1.5 KiB  {COSIGN}",
        "signed  sha256:aa",
        "ghcr.io/me/app: uploaded 2 (2.0 MiB), mounted 0 (0.0 MiB), already present 1 (0.0 MiB), in 1.2 s",
        "docker.io/me/app: uploaded 0 (0.0 MiB), mounted 1 (1.0 MiB), already present 0 (0.0 MiB), in 0.0 s",
        "pushed in 2.5 s, 0.5 s for what is attached",
        "ghcr.io/me/app:1@sha256:aa",
        "ghcr.io/me/app:latest@sha256:aa",
        "docker.io/me/app:1@sha256:aa",
    ]


def test_receipt_as_json() -> None:
    document = json.loads(RECEIPT.as_json())
    assert document["digest"] == "sha256:aa"
    assert document["platforms"] == [
        {"platform": "linux/arm64", "digest": "sha256:bb", "layer_bytes": 3 << 20}
    ]
    assert document["deliveries"][0]["tags"] == ["1", "latest"]
    assert document["references"][2] == "docker.io/me/app:1@sha256:aa"
    assert document["signed"] == ["sha256:aa"] and document["attached"][0]["bytes"] == 1536
    assert (document["seconds"], document["attaching_seconds"]) == (2.5, 0.5)


def test_an_image_without_attachments_has_no_line_about_them() -> None:
    plain = replace(RECEIPT, attached=(), referrers=())
    assert "pushed in 2.5 s" in plain.as_text().splitlines() and plain.signed == ()


def test_signatures_are_known_by_their_type() -> None:
    assert {signing.ARTIFACT_TYPE.format(kind) for kind in ("sig", "att")} <= SIGNATURES
    assert not Attached("sha256:cc", "sha256:aa", "application/vnd.cyclonedx+json", 1).signs


def test_the_fields_in_the_documents_exist() -> None:
    """Regression: the example for AWS Lambda selected by a field that does not exist."""
    text = (Path(__file__).parents[3] / "docs/publishing.md").read_text()
    document = json.loads(RECEIPT.as_json())
    (field,) = re.findall(r"\.platforms\[\] \| select\(\.(\w+) ==", text)
    assert field in document["platforms"][0]
    rows = text.partition("| field | is |")[2].partition("\n\n")[0]
    named = {name for row in rows.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named | {"referrers"} == set(document)
