import json
from pathlib import Path

import layouts
import pytest

from pipeline.errors import PublishError
from pipeline.oci import base
from pipeline.oci.layout import Descriptor, Manifest, compact, digest_of

DIFFS = ["sha256:" + "1" * 64]
LAYER = {"mediaType": base.DOCKER_LAYER, "digest": "sha256:" + "2" * 64, "size": 5}


def manifest(*layers: dict[str, object]) -> Manifest:
    body = compact({"config": {"digest": "sha256:" + "3" * 64, "size": 2}, "layers": list(layers)})
    return Manifest.parse(Descriptor("", digest_of(body), len(body)), body)


def config(**fields: object) -> bytes:
    return json.dumps({"rootfs": {"diff_ids": DIFFS}, **fields}).encode()


def test_layers_keep_their_descriptors_but_for_dockers_media_type() -> None:
    own = {"digest": "sha256:" + "4" * 64, "size": 6, "urls": ["https://x"], "annotations": {"a": "b"}}
    both = {"diff_ids": [*DIFFS, "sha256:" + "5" * 64]}
    found = base.contents(manifest(LAYER, own), config(rootfs=both, history=[{"created_by": "x"}]))
    assert json.loads(found["layers"]) == [{**LAYER, "mediaType": layouts.LAYER}, own]
    assert found["diff_ids"] == tuple(both["diff_ids"])
    assert json.loads(found["history"]) == [{"created_by": "x"}]


@pytest.mark.parametrize(
    "fields",
    [{"rootfs": {"diff_ids": []}}, {"rootfs": None}, {"rootfs": {"diff_ids": [1]}}, {"history": [1]}],
)
def test_a_damaged_base_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(PublishError, match="the base has"):
        base.contents(manifest(LAYER), config(**fields))


@pytest.mark.parametrize(
    ("described", "platform", "fits"),
    [
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("unknown/unknown", "linux/amd64", False),
        ("windows/amd64", "linux/amd64", False),
    ],
)
def test_the_entry_of_a_platform(described: str, platform: str, fits: bool) -> None:
    entry = Descriptor("", "sha256:" + "1" * 64, 1, described)
    assert base.chosen([entry], platform) == (entry if fits else None)


def test_the_document_for_the_engine(tmp_path: Path) -> None:
    from pipeline.oci.normalize import KnownBase

    known = base.RegistryBase(
        "debian:x", "sha256:0", base.ENGINE, "h", "r", json.dumps([LAYER]), ("d",), "[{}]"
    )
    assert KnownBase.parse(known.as_json()) == KnownBase("debian:x", [LAYER], ["d"], [{}])
    assert [blob.digest for blob in known.blobs] == [LAYER["digest"]]
