"""Test sample_app, the README's project: each variant reports its architecture."""

from collections.abc import AsyncIterator

import dagger
import pytest
from conftest import ROOT, built, check_answers

from pipeline.image import Image

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def sample_app(session: dagger.Client) -> AsyncIterator[Image]:
    yield await built(session, ROOT / "sample_app")


@pytest.mark.parametrize(("platform", "arch"), [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")])
async def test_the_variant_answers_for_its_architecture(sample_app, platform: str, arch: str) -> None:
    await check_answers(sample_app, platform, arch)
