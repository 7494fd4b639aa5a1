import json

import pytest

from pipeline.oci import report
from pipeline.oci.report import ImageRow

ROWS = [
    ImageRow("linux/amd64", "x86_64-unknown-linux-gnu", 6_325_904, 30_000_000, "sha256:aa"),
    ImageRow("linux/arm/v7", "armv7-unknown-linux-gnueabihf", 1, 2**20, "sha256:bbbb"),
]


def test_table() -> None:
    assert report.as_table(ROWS).splitlines() == [
        "PLATFORM      TRIPLE                         BINARY   IMAGE     DIGEST",
        "linux/amd64   x86_64-unknown-linux-gnu       6.0 MiB  28.6 MiB  sha256:aa",
        "linux/arm/v7  armv7-unknown-linux-gnueabihf  0.0 MiB  1.0 MiB   sha256:bbbb",
    ]


def test_json() -> None:
    document = json.loads(report.as_json(ROWS))
    assert document["variants"][0] == {
        "platform": "linux/amd64",
        "triple": "x86_64-unknown-linux-gnu",
        "binary_bytes": 6_325_904,
        "image_bytes": 30_000_000,
        "digest": "sha256:aa",
    }


class Layout:
    """An OCI layout in memory, with the methods of `dagger.Directory` that are used."""

    def __init__(self, files: dict[str, object]) -> None:
        self.files = files

    def file(self, path: str) -> "Layout":
        return Layout({"": self.files[path]})

    async def contents(self) -> str:
        return json.dumps(self.files[""])


MANIFEST = {"config": {"digest": "sha256:c"}, "layers": [{"size": 10}, {"size": 5}]}
IMAGE = "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.anyio
async def test_manifests_of_an_index_inside_the_layouts_index() -> None:
    entry = {
        "mediaType": IMAGE,
        "digest": "sha256:m",
        "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
    }
    index = "application/vnd.oci.image.index.v1+json"
    layout = Layout(
        {
            "index.json": {"manifests": [{"mediaType": index, "digest": "sha256:i"}]},
            "blobs/sha256/i": {"manifests": [entry]},
            "blobs/sha256/m": MANIFEST,
        }
    )
    (found,) = await report.manifests(layout)  # type: ignore[arg-type]
    assert found == report.VariantManifest("linux/arm/v7", "sha256:m", 15)


@pytest.mark.anyio
async def test_the_platform_of_a_single_manifest_is_in_its_config() -> None:
    layout = Layout(
        {
            "index.json": {"manifests": [{"mediaType": IMAGE, "digest": "sha256:m"}]},
            "blobs/sha256/m": MANIFEST,
            "blobs/sha256/c": {"os": "linux", "architecture": "arm64"},
        }
    )
    (found,) = await report.manifests(layout)  # type: ignore[arg-type]
    assert found.platform == "linux/arm64"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
