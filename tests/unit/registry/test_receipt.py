import json

from pipeline.oci.layout import MANIFEST
from pipeline.registry.receipt import Delivery, Platform, Receipt

RECEIPT = Receipt(
    digest="sha256:aa",
    media_type=MANIFEST,
    platforms=(Platform("linux/arm64", "sha256:bb", 3 << 20),),
    referrers=("sha256:cc",),
    deliveries=(
        Delivery.of("ghcr.io/me/app", ("1", "latest"), [*[("uploaded", 1 << 20)] * 2, ("present", 5)]),
        Delivery.of("docker.io/me/app", ("1",), [("mounted", 1 << 20)]),
    ),
)  # fmt: skip


def test_a_delivery_counts_blobs_by_origin() -> None:
    first, second = RECEIPT.deliveries
    assert (first.uploaded_blobs, first.uploaded_bytes) == (2, 2 << 20)
    assert (first.present_blobs, first.present_bytes, first.mounted_blobs) == (1, 5, 0)
    assert (second.mounted_blobs, second.mounted_bytes, second.uploaded_blobs) == (1, 1 << 20, 0)


def test_receipt_as_text() -> None:
    assert RECEIPT.as_text().splitlines() == [
        "linux/arm64  3.0 MiB  sha256:bb",
        "referrer  sha256:cc",
        "ghcr.io/me/app: uploaded 2 (2.0 MiB), mounted 0 (0.0 MiB), already present 1 (0.0 MiB)",
        "docker.io/me/app: uploaded 0 (0.0 MiB), mounted 1 (1.0 MiB), already present 0 (0.0 MiB)",
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
