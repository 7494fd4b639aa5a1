"""Read the Debian packages of an image from dpkg's files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.sdk import dagger

STATUS = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d"
"""Distroless images have one file per package here instead."""

UNPACKED = "opt/rust-multiarch/packages"
"""In the builder, one file per package of another architecture, in a directory of that architecture."""

RELEASES = ("etc/os-release", "usr/lib/os-release")


@dataclass(frozen=True)
class DebianPackage:
    """An installed package, with the source package that Debian's security advisories name."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str


@dataclass(frozen=True)
class OperatingSystem:
    """An image's operating system: ID and VERSION_ID of os-release(5), and its packages by name."""

    id: str = ""
    version: str = ""
    packages: tuple[DebianPackage, ...] = ()

    @property
    def distribution(self) -> str:
        """Return the distribution as purls write it, for example `debian-12`."""
        return "-".join(filter(None, (self.id, self.version)))


def packages(status: str) -> tuple[DebianPackage, ...]:
    """Parse the installed packages of a status file (deb822), sorted by name and architecture.

    Removed packages with configuration files have a paragraph too (`deinstall ok config-files`). Files in a
    distroless image's `status.d` have no status field; their packages are installed.
    """
    paragraphs = (_fields(paragraph) for paragraph in re.split(r"\n\s*\n", status))
    found = [_package(fields) for fields in paragraphs if "Package" in fields and _installed(fields)]
    return tuple(sorted(found, key=lambda package: (package.name, package.architecture)))


def _fields(paragraph: str) -> dict[str, str]:
    """Return a paragraph's one-line fields; continuation lines start with a space."""
    found: list[tuple[str, str]] = re.findall(r"^([\w-]+):[ \t]*(.*)$", paragraph, re.MULTILINE)
    return dict(found)


def _installed(fields: Mapping[str, str]) -> bool:
    return fields.get("Status", "install ok installed").endswith(" installed")


def _package(fields: Mapping[str, str]) -> DebianPackage:
    name, version = fields["Package"], fields.get("Version", "")
    # "Source: glibc (2.36-9)" if the name or version differs from the binary package's.
    source, _, other = fields.get("Source", name).partition(" ")
    return DebianPackage(name, version, fields.get("Architecture", ""), source, other.strip("()") or version)


def system(release: str, statuses: Iterable[str]) -> OperatingSystem:
    """Parse os-release and status files."""
    fields = dict(re.findall(r"^(\w+)=[\"']?(.*?)[\"']?$", release, re.MULTILINE))
    return OperatingSystem(
        fields.get("ID", ""), fields.get("VERSION_ID", ""), packages("\n\n".join(statuses))
    )


async def read(container: dagger.Container) -> OperatingSystem:
    """Read the operating system of an image without running it; empty for an image from scratch."""
    patterns = [STATUS, f"{STATUS_FOLDER}/*", f"{UNPACKED}/*/*", *RELEASES]
    with tempfile.TemporaryDirectory() as folder:
        await container.rootfs().filter(include=patterns).export(folder)
        root = Path(folder)
        folders = [*sorted((root / STATUS_FOLDER).glob("*")), *sorted((root / UNPACKED).glob("*/*"))]
        files = [root / STATUS, *folders]
        statuses = [_text(root, file) for file in files if file.suffix != ".md5sums"]
        release = next((text for path in RELEASES if (text := _text(root, root / path))), "")
    return system(release, filter(None, statuses))


def _text(root: Path, path: Path) -> str:
    """Return a file's text; "" for a missing file or a link to a file that was not exported.

    An image may have links to anywhere, and they are not followed to this machine's own files.
    """
    real = path.resolve()
    inside = real.is_relative_to(root.resolve())
    return real.read_text(errors="replace") if inside and real.is_file() else ""
