"""Test the part of merging images that needs no registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import errors
from pipeline.oci.layout import INDEX, MANIFEST, Descriptor, compact, digest_of
from pipeline.registry import merge
from pipeline.registry.address import parse_source
from pipeline.registry.distribution import Fetched, Repository

LAYER = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "sha256:" + "1" * 64, 7)


def fetched(document: Mapping[str, Any], media_type: str = MANIFEST) -> Fetched:
    body = compact(document)
    return Fetched(Descriptor(media_type, digest_of(body), len(body)), body)


def image(salt: str) -> Fetched:
    config = Descriptor("application/vnd.oci.image.config.v1+json", digest_of(salt.encode()), len(salt))
    return fetched({"schemaVersion": 2, "config": config.as_json(), "layers": [LAYER.as_json()]})


def part(platform: str, host: str = "a.example", media_type: str = MANIFEST) -> merge.SourceImage:
    address = parse_source(f"{host}/app/{platform.replace('/', '-') or 'none'}:1")
    registry: Any = SimpleNamespace(host=host)
    found = image(platform)
    named = Fetched(Descriptor(media_type, found.descriptor.digest, found.descriptor.size), found.body)
    repository = Repository(registry, address.repository)
    return merge._part(named, platform, {"org.example": "x"}, address, repository)


def test_platforms_are_sorted() -> None:
    parts = [part("linux/arm64"), part("linux/amd64")]
    merged = merge.join(parts, {"b": "2", "a": "1"})
    document = json.loads(merged.body)
    assert [entry["platform"]["architecture"] for entry in document["manifests"]] == ["amd64", "arm64"]
    assert document["manifests"][0]["annotations"] == {"org.example": "x"}
    assert list(document["annotations"]) == ["a", "b"]
    assert merged.root == Descriptor(INDEX, digest_of(merged.body), len(merged.body))
    assert merge.join(parts[::-1], {"a": "1", "b": "2"}).body == merged.body
    assert "annotations" not in json.loads(merge.join(parts, {}).body)


def test_blobs_are_mounted_from_the_same_registry() -> None:
    merged = merge.join([part("linux/amd64"), part("linux/arm64", "b.example")], {})
    assert merged.repository("b.example", LAYER.digest) == "app/linux-arm64"
    assert merged.repository("a.example", LAYER.digest) == "app/linux-amd64"
    assert merged.repository("c.example", LAYER.digest) == ""


def test_duplicate_platforms_are_refused() -> None:
    with pytest.raises(errors.DuplicatePlatform) as twice:
        merge.join([part("linux/amd64"), part("linux/amd64", "b.example")], {})
    assert "a.example/app/linux-amd64:1 and b.example/app/linux-amd64:1" in str(twice.value)
    with pytest.raises(errors.NotMergeable, match="no image"):
        merge.join([], {})


def test_common_annotations() -> None:
    assert merge.common([]) == {}
    assert merge.common([{"a": "1", "b": "2"}, {"a": "1", "b": "3"}]) == {"a": "1"}


@pytest.mark.parametrize("platform", ["", "unknown/unknown", "linux/mips"])
def test_unknown_platforms_are_refused(platform: str) -> None:
    with pytest.raises(errors.NotMergeable, match="is not a supported platform"):
        part(platform)


def test_nested_indexes_are_refused() -> None:
    address = parse_source("a.example/app:1")
    inner = fetched({"schemaVersion": 2, "manifests": []}, INDEX)
    registry: Any = SimpleNamespace(host="a.example")
    with pytest.raises(errors.NotMergeable, match="is an index"):
        merge._part(inner, "linux/amd64", {}, address, Repository(registry, "app"))


def test_a_missing_media_type_is_allowed() -> None:
    assert part("linux/amd64", media_type="").descriptor.media_type == MANIFEST
