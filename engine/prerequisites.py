"""Check and install the prerequisites of the embedded engine.

Missing packages are installed automatically only on Debian and its derivatives. Elsewhere the error lists
everything that is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine import bases
from engine.locks import exclusive
from engine.log import Log
from engine.paths import default_root
from pipeline.errors import PrerequisitesMissing

GO_FALLBACK = (1, 26, 1)
GO_MOD = Path(__file__).with_name("go.mod")
FILESYSTEMS = Path("/proc/filesystems")
POLICY = Path("/usr/sbin/policy-rc.d")
# Directories of administration programs, missing from PATH after `su`.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Need:
    """A prerequisite: a file or program, and the Debian package that contains it."""

    what: str
    package: str
    why: str

    def met(self) -> bool:
        """Return True if this machine has it."""
        if self.what.startswith("/"):
            return Path(self.what).exists()
        return shutil.which(self.what, path=search_path()) is not None


NEEDS = (
    Need("runc", "runc", "starts the engine's containers"),
    Need("tini", "tini", "is the engine's init process and reaps its child processes"),
    Need("/usr/lib/cni/bridge", "containernetworking-plugins", "connects the containers"),
    Need("dnsmasq", "dnsmasq-base", "resolves names in the containers"),
    Need("pigz", "pigz", "unpacks image layers"),
    Need("rg", "ripgrep", "searches in directories for the engine"),
    Need("git", "git", "fetches remote modules and sources"),
    Need("iptables", "iptables", "lets the containers reach the network"),
    Need("ip", "iproute2", "shows and removes the engine's bridge"),
    Need("unshare", "util-linux", "gives the engine its own mounts and processes"),
    Need("/etc/ssl/certs/ca-certificates.crt", "ca-certificates", "lets the engine trust registries"),
    Need("qemu-aarch64-static", "qemu-user-static", "runs binaries of other architectures"),
)
STAND_IN_NEEDS = (
    Need("mmdebstrap", "mmdebstrap", "makes stand-ins for images that cannot be pulled"),
    Need("docker-registry", "docker-registry", "serves the stand-ins to the engine"),
)

KERNEL = (
    ("overlay", "the overlay file system"),
    ("binfmt_misc", "the table of foreign binaries"),
)


@dataclass(frozen=True)
class Missing:
    """The prerequisites that are missing on this machine."""

    packages: list[str] = field(default_factory=list)
    kernel: list[str] = field(default_factory=list)
    go: str = ""
    root: bool = False

    def __bool__(self) -> bool:
        return bool(self.packages or self.kernel or self.go or self.root)

    def names(self) -> list[str]:
        """Return the missing prerequisites, in words."""
        packages = [f"package {package}" for package in self.packages]
        return [*(["root"] if self.root else []), *([self.go] if self.go else []), *packages, *self.kernel]

    def fixes(self) -> list[str]:
        """Return instructions for installing the missing prerequisites."""
        fixes = []
        if self.kernel:
            # First, since the rest does not help without it.
            kernel = " and ".join(self.kernel)
            fixes.append(f"the embedded engine needs Linux with {kernel}; elsewhere start Docker or Podman")
        if self.packages:
            fixes.append("as root: " + " ".join(install_command(self.packages)))
        if self.go:
            fixes.append(f"install {self.go} (Debian's golang is too old) and put `go` on the PATH")
        if self.root:
            fixes.append("run the same command as root (for example with sudo -E)")
        return fixes

    def error(self) -> PrerequisitesMissing:
        """Return an error that lists everything missing."""
        return PrerequisitesMissing(
            "the embedded engine cannot run here; missing: " + ", ".join(self.names()),
            where="this machine",
            fix="; ".join(self.fixes()),
        )


def search_path() -> str:
    """Return the PATH for finding programs."""
    return os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin") + ":" + SBIN


def install_command(packages: list[str]) -> list[str]:
    """Return the command that installs packages."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


def _version(text: str, pattern: str) -> tuple[int, ...]:
    """Return the first version after the pattern as numbers; () if there is no match."""
    found = re.search(pattern + r"(\d+(?:\.\d+)*)", text, re.MULTILINE)
    return tuple(map(int, found[1].split("."))) if found else ()


def required_go() -> tuple[int, ...]:
    """Return the Go version that the engine's go.mod requires."""
    return (_version(GO_MOD.read_text(), "^go ") if GO_MOD.exists() else ()) or GO_FALLBACK


def _missing_go() -> str:
    wanted = required_go()
    text = "Go >= " + ".".join(map(str, wanted))
    if not (go := shutil.which("go")):
        return text
    # GOTOOLCHAIN=local, so that a go.mod in the current directory does not trigger a toolchain download.
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=env).stdout
    return "" if _version(said, "^go") >= wanted else text


def _missing_packages(stand_ins: bool) -> list[str]:
    needs = NEEDS + STAND_IN_NEEDS if stand_ins else NEEDS
    missing = {need.package for need in needs if not need.met()}
    if stand_ins:
        missing |= {package for package in bases.PACKAGES if not _installed(package)}
    return sorted(missing)


def _installed(package: str) -> bool:
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    if not shutil.which("dpkg-query"):
        return False
    return subprocess.run(command, capture_output=True, text=True).stdout == "installed"


def _missing_kernel() -> list[str]:
    # Without the file this is not Linux, so everything is missing.
    known = FILESYSTEMS.read_text().split() if FILESYSTEMS.exists() else []
    return [text for name, text in KERNEL if name not in known and not _modprobe(name)]


def _modprobe(name: str) -> bool:
    tool = shutil.which("modprobe", path=search_path())
    return tool is not None and subprocess.run([tool, name], capture_output=True).returncode == 0


def missing(*, stand_ins: bool = True) -> Missing:
    """Return the missing prerequisites; without `stand_ins`, leave out those of stand-in images."""
    return Missing(_missing_packages(stand_ins), _missing_kernel(), _missing_go(), os.geteuid() != 0)


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep installed packages from starting their services."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _apt(command: list[str], log: Log) -> None:
    log("+ " + " ".join(command))
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
    )
    if done.returncode:
        raise PrerequisitesMissing(
            "the packages that the engine needs cannot be installed",
            where=" ".join(command),
            fix="see the output above; when the command works, start the engine again",
            output=done.stdout,
        )


def install_packages(packages: list[str], log: Log) -> None:
    """Install packages without starting their services, after other commands like it that install some.

    Raises:
        PrerequisitesMissing: the package manager fails; the error has its output.
    """
    lock = default_root() / "packages.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(lock, log, "waiting for another command that installs packages"), _no_services():
        _apt(["apt-get", "update"], log)
        _apt(install_command(packages), log)


def install(log: Log, *, stand_ins: bool = True) -> None:
    """Install the missing packages.

    Raises:
        PrerequisitesMissing: something is missing that is not a package, or the installation fails.
    """
    lacking = missing(stand_ins=stand_ins)
    if not lacking:
        return
    # Do not install packages if the engine could not run anyway.
    if lacking.root or lacking.go or lacking.kernel or not shutil.which("apt-get"):
        raise lacking.error()
    log("installing packages that the engine needs: " + " ".join(lacking.packages))
    install_packages(lacking.packages, log)
    if still := missing(stand_ins=stand_ins):
        raise still.error()
