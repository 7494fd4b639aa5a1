"""Build the engine's sandbox, an overlay of this machine's `/`, and enter it with pivot_root.

This file is run as a script, `sandbox.py SPEC`, in new mount and PID namespaces. It builds the tree from the
specification and then executes the engine. The engine rewrites /etc/resolv.conf and /usr/bin/iptables and
expects tools at fixed paths; in the overlay this does not change the machine. A chroot is not enough, since
the engine switches between mount namespaces, which leaves the chroot.

It imports only the standard library, since it is run by path, with any Python.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Spec:
    """The tree and the command that runs in it. Destinations are absolute paths inside the tree."""

    base: str
    argv: list[str]
    env: dict[str, str]
    binds: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the specification as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Parse a specification from JSON."""
        return cls(**json.loads(text))


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Call mount(2)."""
    encoded = [os.fsencode(arg) for arg in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(data)), f"mount {source} on {target}")


def bind(source: str, target: Path) -> None:
    """Bind-mount `source` at `target`, with all mounts below it."""
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, flags=MS_BIND | MS_REC)


def _clear(path: Path) -> Path:
    """Prepare a path for a new file, removing any old file or symlink."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    return path


def _overlay(base: Path) -> Path:
    """Mount an overlay of `/` that keeps changes in memory, and return its root."""
    # A new tmpfs for every engine, since two overlays on one upper directory corrupt each other.
    mount("tmpfs", base, "tmpfs", data="mode=0700,size=1g")
    for name in ("upper", "work", "root"):
        (base / name).mkdir(mode=0o755)
    # Relative paths, since a comma or a colon in a path would end the overlay option.
    os.chdir(base)
    mount("overlay", "root", "overlay", data="lowerdir=/,upperdir=upper,workdir=work")
    return base / "root"


def _system_mounts(root: Path) -> None:
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bind("/sys", root / "sys")
    bind("/dev", root / "dev")
    # The engine's default sockets are in /run; the tmpfs keeps them off the machine.
    mount("tmpfs", root / "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    (root / "run" / "lock").mkdir(mode=0o1777)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def lay_out(spec: Spec) -> Path:
    """Build the tree in the current mount namespace and return its root."""
    # Read before the overlay exists, since they may be mounts, or links into /run.
    files = {name: Path(source).read_text() for name, source in spec.files.items()}
    root = _overlay(Path(spec.base))
    _system_mounts(root)
    # Sorted, so that a directory is mounted before the paths below it, which it would hide.
    for target, source in sorted(spec.binds.items()):
        bind(source, _inside(root, target))
    for target, source in spec.copies.items():
        shutil.copy2(source, _clear(_inside(root, target)))
    for target, source in spec.links.items():
        _clear(_inside(root, target)).symlink_to(source)
    for target, text in files.items():
        _clear(_inside(root, target)).write_text(text)
    for target, text in spec.scripts.items():
        path = _clear(_inside(root, target))
        path.write_text(text)
        path.chmod(0o755)
    return root


def enter(root: Path) -> None:
    """Make the tree this process's `/` and unmount the old one."""
    os.chdir(root)
    # If both arguments are the same, the old root is mounted over the new one, so the new tree needs no
    # directory for it.
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount the old root")
    os.chdir("/")


def main(path: str) -> None:
    """Build the sandbox and execute the engine in it."""
    spec = Spec.from_json(Path(path).read_text())
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    enter(lay_out(spec))
    os.execve(spec.argv[0], spec.argv, spec.env)


if __name__ == "__main__":
    main(sys.argv[1])
