"""Renew the lock, and the versions in pyproject.toml that repeat it: `make requirements`.

Official Dagger engines read no lock of this form, so `dependencies` repeats the lock's versions, and so does
the extra `keyless`, which pip installs. They would hold the lock back: it is resolved from the names alone.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements.txt"
COMMAND = ROOT / "requirements-cli.txt"
"""The part of the lock that install.sh installs, which has its digest."""

INSTALLER = ROOT / "install.sh"

COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-annotate"),
    *("--custom-compile-command", "make requirements"),
]

_BLOCK = re.compile(r"(?<=\n)(?:dependencies|keyless) = \[\n.*?(?=\n\])", re.DOTALL)
_EXACT = re.compile(r'"([\w.-]+)==[^"]+"')
_LOCKED = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


def normal(name: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: str) -> dict[str, str]:
    """Return the version of each distribution in a lock, by normalized name."""
    return {normal(name): version for name, version in _LOCKED.findall(lock)}


def without_versions(pyproject: str) -> str:
    """Return pyproject.toml with the exact versions taken out of `dependencies` and `keyless`."""
    return _in_dependencies(pyproject, lambda name: f'"{name}"')


def with_versions(pyproject: str, versions: Mapping[str, str]) -> str:
    """Return pyproject.toml with the exact versions in `dependencies` and `keyless` replaced by these."""
    return _in_dependencies(pyproject, lambda name: f'"{name}=={versions[normal(name)]}"')


def _in_dependencies(pyproject: str, requirement: Callable[[str], str]) -> str:
    return _BLOCK.sub(lambda block: _EXACT.sub(lambda one: requirement(one[1]), block[0]), pyproject)


def with_digest(installer: str, requirements: bytes) -> str:
    """Return install.sh with the digest of its requirements."""
    digest = hashlib.sha256(requirements).hexdigest()
    return re.sub(r"(?<=\nrequirements=)\w+", digest, installer)


def main() -> None:
    """Resolve again and write both files."""
    pyproject = PYPROJECT.read_text()
    with tempfile.TemporaryDirectory() as directory:
        loose = Path(directory) / "pyproject.toml"
        loose.write_text(without_versions(pyproject))
        sources = ["--group", f"{loose}:dev", str(loose), "--output-file", str(LOCK)]
        subprocess.run([sys.executable, "-m", *COMPILE, "--upgrade", *sources], check=True)
        part = ["--constraint", str(LOCK), "--extra", "cli", "--group", f"{loose}:install", str(loose)]
        subprocess.run([sys.executable, "-m", *COMPILE, *part, "--output-file", str(COMMAND)], check=True)
    PYPROJECT.write_text(with_versions(pyproject, locked(LOCK.read_text())))
    INSTALLER.write_text(with_digest(INSTALLER.read_text(), COMMAND.read_bytes()))


if __name__ == "__main__":
    main()
