"""Read this machine's apt sources, which the stand-in images are made from."""

from __future__ import annotations

import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from pipeline.errors import BaseImageUnavailable

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# apt options that a machine behind a mirror may need; they do no harm in an image.
KEPT_OPTIONS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
SECONDS = 60


@dataclass(frozen=True)
class Source:
    """One suite of one Debian mirror."""

    uri: str
    suite: str
    components: tuple[str, ...]

    def render(self) -> str:
        """Render the source as a deb822 stanza."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\n"
            f"Components: {' '.join(self.components)}\nSigned-By: {KEYRING}\n"
        )


def sources(codename: str, etc: Path = Path("/etc")) -> list[Source]:
    """Return this machine's sources of Debian itself, for the release `codename`.

    If the machine runs another Debian release, its suites are renamed, since its mirrors have `codename`
    too. Third-party sources are left out: they name their own key or have no `main` component.

    Raises:
        BaseImageUnavailable: the machine has no such source.
    """
    host = _codename(etc)
    found = {
        Source(entry.uri, entry.suite.replace(host, codename, 1), entry.components): None
        for entry in _entries(etc / "apt")
        if entry.suite in {host, f"{host}-updates", f"{host}-security"}
        and "main" in entry.components
        and re.match(r"https?://[^@]*$", entry.uri)
    }
    if not host or not found:
        raise BaseImageUnavailable(
            "this machine has no apt source of Debian that an image could use",
            where=str(etc / "apt"),
            fix="Run this on Debian with an http or https mirror in /etc/apt, without a password in it.",
        )
    return list(found)


def options() -> list[str]:
    """Return the lines of apt configuration to copy into an image."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if line.startswith(tuple(f"{k} " for k in KEPT_OPTIONS))]


@dataclass(frozen=True)
class Release:
    """A suite's InRelease file on a mirror."""

    source: Source
    text: str

    @property
    def url(self) -> str:
        """Return the URL of the suite's directory on the mirror."""
        return f"{self.source.uri.rstrip('/')}/dists/{self.source.suite}"

    @property
    def time(self) -> int:
        """Return the release date, in seconds since the epoch."""
        match = re.search(r"^Date: (.+)$", self.text, re.MULTILINE)
        return int(parsedate_to_datetime(match[1]).timestamp()) if match else 0

    def complete(self, architecture: str) -> bool:
        """Check that the mirror has the package list whose digest is in the suite's signed InRelease file.

        A mirror in the middle of an update has another list, which apt refuses.
        """
        path = f"main/binary-{architecture}/Packages.xz"
        match = re.search(rf"^ ([0-9a-f]{{64}})\s+(\d+) {re.escape(path)}$", self.text, re.MULTILINE)
        if not match:
            return False
        by_hash = f"main/binary-{architecture}/by-hash/SHA256/{match[1]}"
        return any(_size(f"{self.url}/{name}") == int(match[2]) for name in (by_hash, path))


def release(source: Source) -> Release:
    """Fetch a suite's InRelease file from its mirror.

    Raises:
        BaseImageUnavailable: the mirror does not respond.
    """
    found = Release(source, "")
    try:
        with urllib.request.urlopen(f"{found.url}/InRelease", timeout=SECONDS) as answer:
            return Release(source, answer.read().decode(errors="replace"))
    except OSError as error:
        raise BaseImageUnavailable(
            f"this machine's Debian mirror does not respond: {error}",
            where=f"suite {source.suite} in /etc/apt",
            fix="Run apt-get update and repair what it reports.",
        ) from error


def _size(url: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS) as answer:
            return int(answer.headers.get("Content-Length", -1))
    except OSError:
        return -1


def _codename(etc: Path) -> str:
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)', (etc / "os-release").read_text(), re.MULTILINE)
    return match[1] if match else ""


def _entries(apt: Path) -> Iterator[Source]:
    lists = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
    for path in filter(Path.is_file, lists):
        for line in path.read_text().splitlines():
            yield from _one_line(line)
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            yield from _stanza(stanza)


def _debians_key(signed_by: str) -> bool:
    return not signed_by or Path(signed_by).name.startswith("debian-archive-")


def _one_line(line: str) -> Iterator[Source]:
    """Parse a line `deb [options] uri suite component...`."""
    match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s*)?(.*)", line.partition("#")[0])
    if not match:
        return
    signed_by = re.search(r"signed-by=(\S+)", match[1] or "", re.IGNORECASE)
    words = shlex.split(match[2])
    if len(words) > 2 and _debians_key(signed_by[1] if signed_by else ""):
        yield Source(words[0], words[1], tuple(words[2:]))


def _stanza(text: str) -> Iterator[Source]:
    """Parse a deb822 stanza, which has a source for each pair of URI and suite."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    fields = {
        name.lower(): " ".join(value.split())
        for name, value in re.findall(r"^([\w-]+):((?:.*(?:\n[ \t].*)*))", kept, re.MULTILINE)
    }
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return
    if not _debians_key(fields.get("signed-by", "")):
        return
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            yield Source(uri, suite, tuple(fields.get("components", "").split()))
