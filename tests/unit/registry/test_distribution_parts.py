"""Test the names and checks of the distribution API; tests/e2e tests the rest with real registries."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pipeline.errors import PublishError
from pipeline.oci.layout import MANIFEST, Descriptor, Manifest, digest_of
from pipeline.registry.archive import TYPE, Archive, _is_archive
from pipeline.registry.artifacts import EMPTY
from pipeline.registry.chunks import upload_url
from pipeline.registry.credentials import anonymous
from pipeline.registry.distribution import (
    MAX_MANIFEST_BYTES,
    Fetched,
    Repository,
    _entries,
    fallback_tag,
)
from pipeline.registry.retry import Retry, TransientError
from pipeline.registry.transport import Registry

pytestmark = pytest.mark.anyio


def repository(host: str = "a.example", name: str = "me/app", **rest: str) -> Repository:
    registry: Any = SimpleNamespace(host=host, stream=lambda url, scope: (url, scope))
    return Repository(registry, name, **rest)


def test_official_images_have_a_namespace_on_docker_hub_alone() -> None:
    assert repository("docker.io", "debian").path == "library/debian"
    assert repository("docker.io", "me/app").path == "me/app"
    assert repository("a.example", "debian").path == "debian"


def test_a_token_has_the_scope_of_the_request() -> None:
    assert repository().scope == "repository:me/app:pull,push"
    assert repository(actions="pull").scope == "repository:me/app:pull"
    digest = digest_of(b"x")
    assert repository(actions="pull").blob(digest) == (f"me/app/blobs/{digest}", "repository:me/app:pull")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/x/uploads/1", "https://a.example/v2/x/uploads/1?digest=D"),
        ("https://b.example/u?signed=%2F", "https://b.example/u?signed=%2F&digest=D"),
        ("", "https://a.example/v2/x/uploads/?digest=D"),
    ],
)
def test_an_upload_goes_on_where_the_registry_says(location: str, url: str) -> None:
    request = httpx.Request("POST", "https://a.example/v2/x/uploads/")
    response = httpx.Response(202, headers={"Location": location}, request=request)
    base = httpx.URL("https://a.example/v2/")
    registry = Registry(httpx.AsyncClient(), "a.example", base, anonymous, Retry(), print)
    assert upload_url(registry, response, "D") == url


def test_referrers_without_the_api_are_under_a_tag() -> None:
    assert fallback_tag("sha256:" + "a" * 64) == "sha256-" + "a" * 64
    entry = Descriptor(MANIFEST, digest_of(b"x"), 1, artifact_type="a/b")
    assert _entries(json.dumps({"manifests": [entry.as_json()]}).encode()) == (entry,)
    assert _entries(b'{"manifests": null}') == ()


def test_wrong_and_too_many_bytes_are_refused() -> None:
    body = b"{}"
    for reference in ("latest", digest_of(body)):
        assert repository()._checked(reference, body) == body
    with pytest.raises(PublishError, match="2 bytes with the digest"):
        repository()._checked(digest_of(b"other"), body)
    with pytest.raises(PublishError, match=f"{MAX_MANIFEST_BYTES + 1} bytes"):
        repository()._checked("latest", b" " * (MAX_MANIFEST_BYTES + 1))


def test_a_failure_that_may_pass_says_when_to_come_back() -> None:
    error = TransientError("busy", after=3.0, contact=False)
    assert (str(error), error.after, error.contact) == ("busy", 3.0, False)
    assert (TransientError("busy").after, TransientError("busy").contact) == (None, True)


async def test_a_file_as_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"compiled")
    archive = await Archive.of(tmp_path / "state")
    manifest = Manifest.parse(archive.root, await archive.manifest(archive.root))
    blobs = [b"".join([piece async for piece in archive.blob(blob)]) for blob in manifest.blobs]
    assert blobs == [EMPTY, b"compiled"]
    assert [digest_of(blob) for blob in blobs] == [blob.digest for blob in manifest.blobs]
    assert archive.root.artifact_type == TYPE
    assert archive.repository("a.example", archive.layer.digest) == ""
    assert _is_archive(Fetched(archive.root, archive.body))
    assert not _is_archive(Fetched(archive.root, b'{"layers": []}'))
