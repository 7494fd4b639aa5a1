"""The Debian packages of an image, from the files dpkg keeps in it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagger

STATUS = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d"
"""Where distroless images have one file a package instead."""

RELEASES = ("etc/os-release", "usr/lib/os-release")


@dataclass(frozen=True)
class DebianPackage:
    """One installed package; its source package is what Debian's security advisories name."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str


@dataclass(frozen=True)
class OperatingSystem:
    """The operating system of an image: os-release(5)'s ID and VERSION_ID, and its packages by name."""

    id: str = ""
    version: str = ""
    packages: tuple[DebianPackage, ...] = ()

    @property
    def distribution(self) -> str:
        """As purls write it, for example `debian-12`."""
        return "-".join(filter(None, (self.id, self.version)))


def packages(status: str) -> tuple[DebianPackage, ...]:
    """The installed packages of a status file (deb822 paragraphs), sorted by name and architecture."""
    paragraphs = (_fields(paragraph) for paragraph in re.split(r"\n\s*\n", status))
    found = [_package(fields) for fields in paragraphs if "Package" in fields and _installed(fields)]
    return tuple(sorted(found, key=lambda package: (package.name, package.architecture)))


def _fields(paragraph: str) -> dict[str, str]:
    """The fields of a paragraph that are on one line; lines of longer ones start with a space."""
    found: list[tuple[str, str]] = re.findall(r"^([\w-]+):[ \t]*(.*)$", paragraph, re.MULTILINE)
    return dict(found)


def _installed(fields: Mapping[str, str]) -> bool:
    return fields.get("Status", "install ok installed").endswith(" installed")


def _package(fields: Mapping[str, str]) -> DebianPackage:
    name, version = fields["Package"], fields.get("Version", "")
    # "Source: glibc (2.36-9)" where name or version differ from the package's own.
    source, _, other = fields.get("Source", name).partition(" ")
    return DebianPackage(name, version, fields.get("Architecture", ""), source, other.strip("()") or version)


def system(release: str, statuses: Iterable[str]) -> OperatingSystem:
    """The system that an os-release and status files describe."""
    fields = dict(re.findall(r"^(\w+)=[\"']?(.*?)[\"']?$", release, re.MULTILINE))
    return OperatingSystem(
        fields.get("ID", ""), fields.get("VERSION_ID", ""), packages("\n\n".join(statuses))
    )


async def read(container: dagger.Container) -> OperatingSystem:
    """The system of an image, from one small export; nothing of it is run. Empty for one from scratch."""
    patterns = [STATUS, f"{STATUS_FOLDER}/*", *RELEASES]
    with tempfile.TemporaryDirectory() as folder:
        await container.rootfs().filter(include=patterns).export(folder)
        root = Path(folder)
        files = [root / STATUS, *sorted((root / STATUS_FOLDER).glob("*"))]
        statuses = [file.read_text() for file in files if file.is_file() and file.suffix != ".md5sums"]
        release = next((text for path in RELEASES if (text := _text(root / path))), "")
    return system(release, statuses)


def _text(path: Path) -> str:
    """A file's text; empty for one that is missing, or a link to what was not brought along."""
    return path.read_text() if path.is_file() else ""
