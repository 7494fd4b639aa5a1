import json
from pathlib import Path

import layouts
import pytest

from pipeline.errors import PublishError
from pipeline.oci.layout import (
    INDEX,
    MANIFEST,
    Descriptor,
    EngineLayout,
    Layout,
    Manifest,
    compact,
    digest_of,
    platforms,
    walk,
)

pytestmark = pytest.mark.anyio

DIGEST = "sha256:" + "0a" * 32


def test_a_descriptor_is_read_as_written() -> None:
    document = {
        "mediaType": MANIFEST,
        "digest": DIGEST,
        "size": 7,
        "artifactType": "text/spdx+json",
        "annotations": {"a": "1", "b": "2"},
        "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
    }
    descriptor = Descriptor.parse(document)
    assert descriptor.platform == "linux/arm/v7"
    assert descriptor.as_json() == document


def test_a_descriptor_without_the_optional_parts() -> None:
    document = {"mediaType": MANIFEST, "digest": DIGEST, "size": 7}
    assert Descriptor.parse(document).as_json() == document


@pytest.mark.parametrize(
    "document",
    [{}, {"digest": "sha256:0a", "size": 1}, {"digest": "sha256:../../etc/passwd", "size": 1},
     {"digest": DIGEST}, {"digest": DIGEST, "size": "1"}],
)  # fmt: skip
def test_an_invalid_descriptor_is_refused(document: dict) -> None:
    with pytest.raises(PublishError):
        Descriptor.parse(document)


def manifest(body: bytes, media_type: str = MANIFEST) -> Manifest:
    return Manifest.parse(Descriptor(media_type, digest_of(body), len(body)), body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"config": {}}', b'{"manifests": 1}'])
def test_an_invalid_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(PublishError):
        manifest(body)


def test_an_index_is_recognized_by_media_type_or_content() -> None:
    assert manifest(b'{"manifests": []}', INDEX).children == ()
    assert manifest(b'{"manifests": []}', "").blobs == ()


def test_a_manifest_must_match_its_digest() -> None:
    with pytest.raises(PublishError, match="does not have the digest"):
        Manifest.parse(Descriptor(MANIFEST, DIGEST, 2), b"{}")


class InEngine:
    """A directory with the methods of `dagger.Directory` and `dagger.File` that are used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, path: str) -> "InEngine":
        return InEngine(self.path / path)

    async def contents(self) -> str:
        return self.path.read_text()


async def test_a_layout_in_the_engine_is_read_as_a_local_one(tmp_path: Path) -> None:
    local = await Layout.open(layouts.sample(tmp_path))
    there = await EngineLayout.open(InEngine(tmp_path))  # type: ignore[arg-type]
    assert await walk(there) == await walk(local)
    one = layouts.image(tmp_path, "linux/s390x", [b"layer"])
    layouts.layout(tmp_path, Descriptor(MANIFEST, one.digest, one.size))
    there = await EngineLayout.open(InEngine(tmp_path))  # type: ignore[arg-type]
    (found,) = await platforms(there, await walk(there))
    assert (found.platform, found.digest) == ("linux/s390x", one.digest)


async def test_walk_returns_manifests_after_their_children(tmp_path: Path) -> None:
    layout = await Layout.open(layouts.sample(tmp_path))
    found = await walk(layout)
    assert [m.descriptor.platform for m in found] == ["linux/amd64", "linux/arm64", ""]
    assert found[-1].descriptor.digest == layout.root.digest
    assert [len(m.blobs) for m in found] == [3, 3, 0]
    base, own = (blob.size for blob in found[0].blobs[1:])
    assert base > 300_000 and own < 20_000 and found[0].layer_bytes == base + own
    assert [(p.platform, p.digest) for p in await platforms(layout, found)] == [
        (m.descriptor.platform, m.descriptor.digest) for m in found[:2]
    ]


async def test_the_platform_is_read_from_the_config_if_needed(tmp_path: Path) -> None:
    one = layouts.image(tmp_path, "linux/s390x", [b"layer"])
    layout = await Layout.open(layouts.layout(tmp_path, Descriptor(MANIFEST, one.digest, one.size)))
    (found,) = await platforms(layout, await walk(layout))
    assert (found.platform, found.digest, found.layer_bytes) == (
        "linux/s390x",
        one.digest,
        len(layouts.packed(b"layer")),
    )


async def test_a_blob_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.oci.layout.READ_BYTES", 4)
    layout = await Layout.open(layouts.sample(tmp_path))
    blob = layouts.store(tmp_path, b"0123456789", layouts.LAYER)
    assert [piece async for piece in layout.blob(blob)] == [b"0123", b"4567", b"89"]
    assert layout.repository("ghcr.io", blob.digest) == ""


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"manifests": []}', '{"manifests": [1, 2]}'])
async def test_a_directory_without_a_layout_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "index.json").write_text(text)
    with pytest.raises(PublishError) as raised:
        await Layout.open(tmp_path)
    assert raised.value.where == str(tmp_path)


async def test_a_layout_with_missing_content_is_refused(tmp_path: Path) -> None:
    path = layouts.sample(tmp_path)
    layout = await Layout.open(path)
    blob = (await walk(layout))[0].blobs[1]
    file = path / "blobs" / blob.digest.replace(":", "/")
    file.write_bytes(b"short")
    with pytest.raises(PublishError, match=f"5 bytes instead of {blob.size}"):
        await anext(layout.blob(blob))
    file.unlink()
    with pytest.raises(PublishError, match="lacks content"):
        await anext(layout.blob(blob))


def test_compact_keeps_the_order_and_characters() -> None:
    assert compact({"b": "ü", "a": [1]}) == '{"b":"ü","a":[1]}'.encode()
    assert json.loads(compact({"x": None})) == {"x": None}
