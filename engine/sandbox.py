"""The engine's own file tree: an overlay of this machine's `/`, entered with pivot_root.

Run as a script in new mount and PID namespaces, as `sandbox.py SPEC`: it lays the tree out as the
specification says and becomes the engine. The engine rewrites its /etc/resolv.conf and /usr/bin/iptables
and expects tools at fixed places; on the overlay none of that reaches the machine. chroot would not do:
the engine moves between mount namespaces, which leaves a chroot.

Only the standard library, and nothing else of this package: it runs by path, with any Python.
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
    """What the tree looks like and what runs in it. Destinations are absolute paths inside the tree."""

    base: str
    argv: list[str]
    env: dict[str, str]
    binds: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The specification as the sandbox script reads it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """The other way round."""
        return cls(**json.loads(text))


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    encoded = [os.fsencode(arg) for arg in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(data)), f"mount {source} on {target}")


def bind(source: str, target: Path) -> None:
    """Show `source` at `target`, with everything mounted below it."""
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, flags=MS_BIND | MS_REC)


def _clear(path: Path) -> Path:
    """Make room for a new file: never write through a symlink into somewhere else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    return path


def _overlay(base: Path) -> Path:
    """Mount an overlay of `/`, its changes in memory, and return its top."""
    # A fresh tmpfs for every engine: two overlays on one upper directory corrupt each other.
    mount("tmpfs", base, "tmpfs", data="mode=0700,size=1g")
    for name in ("upper", "work", "root"):
        (base / name).mkdir(mode=0o755)
    # Relative, since a path with a comma or a colon would end an overlay option.
    os.chdir(base)
    mount("overlay", "root", "overlay", data="lowerdir=/,upperdir=upper,workdir=work")
    return base / "root"


def _system_mounts(root: Path) -> None:
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bind("/sys", root / "sys")
    bind("/dev", root / "dev")
    # Default engine addresses lie in /run: a tmpfs keeps them out of the machine's.
    mount("tmpfs", root / "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    (root / "run" / "lock").mkdir(mode=0o1777)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def lay_out(spec: Spec) -> Path:
    """Build the tree in the current mount namespace and return its top."""
    # Read before the overlay exists: they may be mounts of their own or links into /run.
    files = {name: Path(source).read_text() for name, source in spec.files.items()}
    root = _overlay(Path(spec.base))
    _system_mounts(root)
    # In order of their names a directory comes before what lies in it, which it would hide.
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
    """Make the tree this process's `/` and let go of the old one."""
    os.chdir(root)
    # With both arguments the same the old root ends up on top of the new one, and no directory in the
    # new tree is needed to hold it.
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount the old root")
    os.chdir("/")


def main(path: str) -> None:
    """Build the sandbox and become the engine."""
    spec = Spec.from_json(Path(path).read_text())
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    enter(lay_out(spec))
    os.execve(spec.argv[0], spec.argv, spec.env)


if __name__ == "__main__":
    main(sys.argv[1])
