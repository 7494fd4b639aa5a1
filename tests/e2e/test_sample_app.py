"""Test sample_app, the README's project: each variant reports its architecture."""

import json
from collections.abc import AsyncIterator

import dagger
import pytest
from conftest import COMMIT, ROOT, built
from dagger import dag

from pipeline.image import Image

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def sample_app(session: dagger.Client) -> AsyncIterator[Image]:
    yield await built(session, ROOT / "sample_app")


@pytest.mark.parametrize(("platform", "arch"), [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")])
async def test_the_variant_answers_for_its_architecture(sample_app, platform: str, arch: str) -> None:
    service = sample_app.variant(platform).container.as_service(use_entrypoint=True)
    address = await service.endpoint(port=8080, scheme="http")
    answer = await dag.http(f"{address}/version", experimental_service_host=service).contents()
    document = json.loads(answer)
    assert (document["arch"], document["commit"]) == (arch, COMMIT)
    health = await dag.http(f"{address}/healthz", experimental_service_host=service).contents()
    assert json.loads(health) == {"status": "ok"}
