"""Register QEMU with the kernel for foreign architectures, and remove these registrations again.

Registrations apply to the whole machine. Each registration made here has a claims directory with a file per
engine that uses it; the last engine to stop removes the registration. Registrations without a claims
directory were made by other programs and are left alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.locks import exclusive
from engine.log import Log
from pipeline.errors import EngineStartFailed
from pipeline.targets import BY_MACHINE, TARGETS

BINFMT = Path("/proc/sys/fs/binfmt_misc")
PACKAGED = Path("/usr/lib/binfmt.d")
CLAIMS = Path("/run/rust-multiarch/binfmt")

EMULATORS = {target.platform: f"qemu-{target.qemu}" for target in TARGETS}
"""The emulator of each platform in Debian's qemu-user-static."""

NATIVE = {machine: {target.platform, *target.runs} for machine, target in BY_MACHINE.items()}
"""The platforms that a processor runs without emulation, by the machine's name in uname."""


def emulators(platforms: Iterable[str], machine: str) -> list[str]:
    """Return the emulators that these platforms need on a machine, in the order of the table."""
    foreign = set(platforms) - NATIVE.get(machine, set())
    return [name for platform, name in EMULATORS.items() if platform in foreign]


def with_fix_flag(line: str) -> str:
    """Return a registration line with the F flag, with which the kernel opens the emulator now.

    Without it the kernel looks for the emulator inside the container, where it is missing.
    """
    head, _, flags = line.strip().rpartition(":")
    return f"{head}:{flags}" if "F" in flags else f"{head}:{flags}F"


def packaged_line(name: str, packaged: Path = PACKAGED) -> str:
    """Return the registration line from the emulator's package."""
    path = packaged / f"{name}.conf"
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise EngineStartFailed(
            f"the binfmt registration of {name} is missing",
            where=str(path),
            fix="run as root: apt-get install qemu-user-static",
        ) from None
    return with_fix_flag(next(line for line in lines if line.startswith(":")))


@contextmanager
def _claims() -> Iterator[None]:
    """Lock the claims directory against engines that start or stop at the same time."""
    CLAIMS.mkdir(parents=True, exist_ok=True)
    with exclusive(CLAIMS / "lock"):
        yield


def _mount() -> None:
    if (BINFMT / "register").exists():
        return
    command = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EngineStartFailed(
            "binfmt_misc cannot be mounted",
            where=" ".join(command),
            fix="load the kernel module binfmt_misc, or use a machine with a kernel that has it",
            output=done.stderr,
        )
    (CLAIMS / "mounted").touch()


def has_fix_flag(name: str) -> bool:
    """Return True if a registered emulator works inside containers."""
    entry = (BINFMT / name).read_text()
    flags = next((line for line in entry.splitlines() if line.startswith("flags:")), "")
    return "F" in flags.removeprefix("flags:")


def _warn_without_fix_flag(name: str, log: Log) -> None:
    if not has_fix_flag(name):
        log(f"warning: {name} is registered without the F flag, so it does not work in containers; "
            f"to replace it, run: echo -1 > {BINFMT / name}, then start the engine again")  # fmt: skip


def register(platforms: Iterable[str], owner: str, log: Log) -> None:
    """Register the emulators for these platforms, claimed by the engine `owner`."""
    names = emulators(platforms, os.uname().machine)
    if not names:
        return
    with _claims():
        _mount()
        for name in names:
            claim = CLAIMS / name
            if not (BINFMT / name).exists():
                # The claim comes first. A crash in between leaves a claim without a registration, which the
                # next start repairs; the other way round, nothing would remove the registration.
                claim.mkdir(exist_ok=True)
                (BINFMT / "register").write_text(packaged_line(name))
                log(f"registered {name}")
            else:
                _warn_without_fix_flag(name, log)
            if claim.is_dir():
                (claim / owner).touch()


def unregister(owner: str, log: Log) -> None:
    """Delete the claims of `owner`, and the registrations that have no other claim."""
    if not CLAIMS.is_dir():
        return
    with _claims():
        for claim in [path for path in CLAIMS.iterdir() if path.is_dir()]:
            (claim / owner).unlink(missing_ok=True)
            if any(claim.iterdir()):
                continue
            with suppress(FileNotFoundError):
                (BINFMT / claim.name).write_text("-1")
                log(f"removed the registration of {claim.name}")
            claim.rmdir()
        _unmount_if_unused()


def _unmount_if_unused() -> None:
    mounted = CLAIMS / "mounted"
    entries = {path.name for path in BINFMT.iterdir()} - {"register", "status"}
    claimed = [path for path in CLAIMS.iterdir() if path.is_dir()]
    if mounted.exists() and not entries and not claimed:
        subprocess.run(["umount", str(BINFMT)], capture_output=True, check=False)
        mounted.unlink()
