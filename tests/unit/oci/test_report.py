import json

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


def test_a_digest_is_not_wrapped_in_a_narrow_terminal() -> None:
    assert report.as_table(ROWS, width=200) == report.as_table(ROWS)
    assert report.as_table(ROWS, width=70).splitlines() == [
        "PLATFORM      TRIPLE                         BINARY   IMAGE",
        "linux/amd64   x86_64-unknown-linux-gnu       6.0 MiB  28.6 MiB",
        "  sha256:aa",
        "linux/arm/v7  armv7-unknown-linux-gnueabihf  0.0 MiB  1.0 MiB",
        "  sha256:bbbb",
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
