"""Provide the builder's file tree without an engine, so that plain cargo uses the same toolchain.

The tree is exported from the engine once. A command runs in it with chroot, in separate mount and PID
namespaces; only the kernel's bind mounts are involved, no image, layer or daemon.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.meter import make_cgroup
from bench.place import Place
from engine import cgroups

ROOT = Path(__file__).parents[1]
SECONDS = 900
CGROUP = "rmabench-host"
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
MOUNTS = ("source", "build", "cargo", "tools")

# $1: the tree, then pairs of a directory and its mount point, then `--`, then the command.
_ENTER = """
root=$1; shift
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Toolbox:
    """An exported builder.

    Attributes:
        tree: its root directory.
        env: its environment.
        scratch: a cargo home and other directories for commands that are not measured.
    """

    tree: Path
    env: Mapping[str, str]
    scratch: Path

    def command(
        self,
        argv: Sequence[str],
        source: Path,
        binds: Mapping[str, Path],
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the command line that runs `argv` in the tree, at `/source`.

        Args:
            argv: the command.
            source: directory to mount at `/source`.
            binds: additional directories by mount point: `/build`, `/cargo`, `/tools`.
            env: complete environment instead of the builder's.
        """
        pairs = [
            text for target, path in {"/source": source, **binds}.items() for text in (str(path), target)
        ]
        variables = [f"{name}={value}" for name, value in (self.env if env is None else env).items()]
        inside = ["/usr/bin/env", "-i", "-C", "/source", *variables, *argv]
        joining = 'for file in $1; do echo $$ > "$file"; done; shift; exec "$@"'
        files = " ".join(map(str, make_cgroup(CGROUP)))
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--"]
        enter = ["sh", "-euc", _ENTER, "sh", str(self.tree), *pairs, "--", *inside]
        return ["sh", "-euc", joining, "sh", files, *namespaces, *enter]

    def run(self, argv: Sequence[str], source: Path) -> str:
        """Run a command that is not measured; return its output."""
        home = self.scratch / "cargo"
        home.mkdir(parents=True, exist_ok=True)
        command = self.command(argv, source, {"/cargo": home})
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
        return done.stdout

    def download(self, crate: str, version: str, directory: Path) -> None:
        """Fetch a crate from the registry with cargo, with the lock file its authors published."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as name:
            project = Path(name)
            (project / "src").mkdir()
            (project / "src/lib.rs").touch()
            manifest = '[package]\nname = "fetching"\nversion = "0.0.0"\nedition = "2021"\n\n'
            (project / "Cargo.toml").write_text(f'{manifest}[dependencies]\n{crate} = "={version}"\n')
            self.run(["cargo", "fetch"], project)
        (found,) = (self.scratch / "cargo/registry/src").glob(f"*/{crate}-{version}")
        shutil.copytree(found, directory)
        for leftover in (".cargo-ok", ".cargo_vcs_info.json", "Cargo.toml.orig"):
            (directory / leftover).unlink(missing_ok=True)


def open_toolbox(place: Place, platforms: Sequence[str], engine: Mapping[str, str]) -> Toolbox:
    """Return the builder for some platforms; export it from the engine if that was not done before."""
    tree = place.toolbox / hashlib.sha256(" ".join(platforms).encode()).hexdigest()[:12]
    described = tree.with_suffix(".json")
    if not described.exists():
        _export(place, platforms, engine, tree, described)
    for name in MOUNTS:
        (tree / name).mkdir(exist_ok=True)
    for name in HOST_FILES:
        inside = tree / name.lstrip("/")
        inside.unlink(missing_ok=True)
        shutil.copyfile(name, inside)
    scratch = place.toolbox / "scratch"
    scratch.mkdir(exist_ok=True)
    return Toolbox(tree, json.loads(described.read_text()), scratch)


def _export(
    place: Place, platforms: Sequence[str], engine: Mapping[str, str], tree: Path, described: Path
) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    archive, env = tree.with_suffix(".tar"), tree.with_suffix(".env")
    request = {"do": "export", "platforms": list(platforms), "output": str(archive), "env": str(env)}
    commands = [
        [sys.executable, "-m", "bench.ours", json.dumps(request)],
        ["tar", "--numeric-owner", "-C", str(tree), "-xf", str(archive)],
    ]
    with (place.logs / "toolbox.log").open("wb") as log:
        for command in commands:
            subprocess.run(
                command, cwd=ROOT, env=dict(engine), check=True, timeout=SECONDS,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
    archive.unlink()
    # Last: its presence means that the tree is complete.
    env.rename(described)


def close() -> None:
    """Remove the cgroup of the commands."""
    cgroups.remove(CGROUP)
