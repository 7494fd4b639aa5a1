"""The compared peers: the command with which each builds a subject, and how to reset it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench import buildkit
from bench.meter import Command
from bench.place import REGISTRY_PORT, Place
from bench.scenarios import CALL, FLOOR, OURS, ZIGBUILD
from bench.subjects import Copy, write
from bench.toolbox import CGROUP, ROOT, Toolbox
from engine import registry
from pipeline.targets import select

SECONDS = 3600
"""Time limit of steps that are not measured, in seconds."""


class Peer(Protocol):
    """A way to build programs or images from source."""

    name: str
    files: Mapping[str, str]
    """Additional files for a subject, by path."""
    kept: Path | None
    """A directory that its builds fill, and that other machines get."""

    def prepare(self, platforms: Sequence[str]) -> None:
        """Prepare toolchain and base images for some platforms; not measured."""

    def forget(self, copy: Copy, platforms: Sequence[str]) -> None:
        """Delete compiled state and downloaded crates; not measured."""

    def leave(self, copy: Copy, platforms: Sequence[str]) -> None:
        """Delete what belongs to the project alone, as before a build of another one; not measured."""

    def command(self, copy: Copy, platforms: Sequence[str], phases: Path) -> Command:
        """Return the command that builds the copy. It may write seconds of its phases to `phases`."""

    def directory(self) -> Path:
        """Return the directories of its state."""


@dataclass
class Ours:
    """This project, in a separate process and engine session."""

    place: Place
    engine: Mapping[str, str]
    daemon: int
    name: str = OURS
    do: str = "build"
    kept: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def prepare(self, platforms: Sequence[str]) -> None:
        """Build an empty program, which prepares the builder and the normalized base images."""
        self._run({**_empty(self.place), "do": "build", "platforms": list(platforms)})

    def forget(self, copy: Copy, platforms: Sequence[str]) -> None:
        self._run({**self._project(copy, platforms), "do": "forget"})

    def leave(self, copy: Copy, platforms: Sequence[str]) -> None:
        self._run({**self._project(copy, platforms), "do": "leave"})

    def command(self, copy: Copy, platforms: Sequence[str], phases: Path) -> Command:
        output = str(self.place.archive(self.name))
        address = f"{registry.address_of(REGISTRY_PORT)}/{self.name}/{copy.subject.name}:measured"
        request = {
            **self._project(copy, platforms),
            "do": self.do,
            "output": output,
            "address": address,
            "phases": str(phases),
        }
        return Command(self._argv(request), self.engine, ROOT, self.place.engine.instance, self.daemon)

    def directory(self) -> Path:
        return self.place.engine.state

    def _project(self, copy: Copy, platforms: Sequence[str]) -> dict[str, object]:
        kept = str(self.kept) if self.kept else ""
        bins = list(copy.subject.bins)
        return {"source": str(copy.directory), "platforms": list(platforms), "bins": bins, "kept": kept}

    def _argv(self, request: Mapping[str, object]) -> list[str]:
        return [sys.executable, "-m", "bench.ours", json.dumps(request)]

    def _run(self, request: Mapping[str, object]) -> None:
        for environment in self._environments():
            run(self._argv(request), environment, ROOT)

    def _environments(self) -> list[Mapping[str, str]]:
        """Return one peer for each engine."""
        return [self.engine]


@dataclass
class DaggerCall(Ours):
    """This project as a module, through the `dagger` command line."""

    name: str = CALL

    def command(self, copy: Copy, platforms: Sequence[str], phases: Path) -> Command:
        options = ["--source", str(copy.directory), "--platforms", ",".join(platforms)]
        bins = ["--bin", ",".join(copy.subject.bins)]
        argv = ["dagger", "--progress=plain", "call", "-m", str(ROOT), *options, *bins, "build", "report"]
        return Command(argv, self.engine, ROOT, self.place.engine.instance, self.daemon)


TARGET_SCRIPT = """# Maps TARGETPLATFORM to the triple that rustc takes.
case "$TARGETPLATFORM" in
linux/amd64) export RUST_TARGET=x86_64-unknown-linux-gnu ;;
linux/arm64) export RUST_TARGET=aarch64-unknown-linux-gnu ;;
*) echo "unsupported platform: $TARGETPLATFORM" >&2; exit 1 ;;
esac
"""


@dataclass
class Dockerfile:
    """A Dockerfile on BuildKit.

    Attributes:
        single: the Dockerfile for a subject with src/main.rs.
        workspace: the one for every other subject.
    """

    name: str
    place: Place
    daemon: buildkit.Daemon
    env: Mapping[str, str]
    single: str
    workspace: str
    files: Mapping[str, str] = field(default_factory=lambda: {"scripts/target.sh": TARGET_SCRIPT})
    kept: Path | None = None

    def prepare(self, platforms: Sequence[str]) -> None:
        """Build an empty program, which prepares every layer that does not depend on the source."""
        empty = self.place.work / "empty"
        write(empty, {**EMPTY, **self.files})
        for dockerfile in dict.fromkeys([self.single, self.workspace]):
            run(self._argv(empty, dockerfile, "empty", ("empty",), platforms), self.env, empty)

    def leave(self, copy: Copy, platforms: Sequence[str]) -> None:
        raise NotImplementedError("no plan has a second project for Dockerfiles")

    def forget(self, copy: Copy, platforms: Sequence[str]) -> None:
        """Empty the cache mounts. Layers are not reused, since Cargo.toml changes."""
        prune = [str(self.daemon.client), "--addr", self.daemon.address, "prune"]
        run([*prune, "--filter", "type==exec.cachemount"], self.env, copy.directory)

    def command(self, copy: Copy, platforms: Sequence[str], phases: Path) -> Command:
        dockerfile = self.single if (copy.directory / "src/main.rs").exists() else self.workspace
        argv = self._argv(copy.directory, dockerfile, copy.subject.name, copy.subject.bins, platforms)
        return Command(argv, self.env, copy.directory, buildkit.CGROUP, self.daemon.pid)

    def directory(self) -> Path:
        return self.place.buildkit / "state"

    def _argv(
        self, source: Path, dockerfile: str, subject: str, bins: Sequence[str], platforms: Sequence[str]
    ) -> list[str]:
        options = {
            "filename": f"{dockerfile}.Dockerfile",
            "platform": ",".join(platforms),
            "build-arg:BINS": " ".join(bins),
            "build-arg:SUBJECT": subject,
        }
        return [
            str(self.daemon.client), "--addr", self.daemon.address,
            "build", "--progress=plain", "--frontend=dockerfile.v0",
            "--local", f"context={source}", "--local", f"dockerfile={ROOT / 'bench/dockerfiles'}",
            *(text for name, value in options.items() for text in ("--opt", f"{name}={value}")),
            "--output", f"type=oci,dest={self.place.archive(self.name)}",
        ]  # fmt: skip


EMPTY = {
    "Cargo.toml": '[package]\nname = "empty"\nversion = "0.1.0"\nedition = "2021"\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "empty"\nversion = "0.1.0"\n',
    "src/main.rs": "fn main() {}\n",
}


def _empty(place: Place) -> dict[str, object]:
    """Return the request for a build of an empty program that was never built before.

    Otherwise the engine would have the image and not prepare the base's layers.
    """
    source = place.work / "empty"
    write(source, {**EMPTY, "src/main.rs": f"fn main() {{}} // {time.time_ns()}\n"})
    return {"source": str(source), "bins": ["empty"], "output": str(place.work / "empty.tar")}


@dataclass
class Cargo:
    """Plain cargo in the file tree of this project's builder, without an engine."""

    place: Place
    toolbox: Toolbox
    name: str = FLOOR
    verb: str = "build"
    files: Mapping[str, str] = field(default_factory=dict)
    kept: Path | None = None

    def prepare(self, platforms: Sequence[str]) -> None:
        """Do nothing: the toolbox has everything."""

    def forget(self, copy: Copy, platforms: Sequence[str]) -> None:
        self.leave(copy, platforms)
        shutil.rmtree(self._home(copy), ignore_errors=True)

    def leave(self, copy: Copy, platforms: Sequence[str]) -> None:
        shutil.rmtree(self._target(copy), ignore_errors=True)

    def command(self, copy: Copy, platforms: Sequence[str], phases: Path) -> Command:
        argv = ["cargo", self.verb, "--release", "--locked"]
        argv += [text for name in copy.subject.bins for text in ("--bin", name)]
        argv += [text for target in select(list(platforms)) for text in ("--target", target.triple())]
        binds = {"/build": self._target(copy), "/cargo": self._home(copy), **self.tools()}
        for directory in binds.values():
            directory.mkdir(parents=True, exist_ok=True)
        command = self.toolbox.command(argv, copy.directory, binds, self.env())
        return Command(command, os.environ, copy.directory, CGROUP)

    def directory(self) -> Path:
        return self.place.host / self.name

    def tools(self) -> dict[str, Path]:
        """Return additional directories, by mount point."""
        return {}

    def env(self) -> dict[str, str]:
        """Return cargo's environment."""
        return {**self.toolbox.env, "CARGO_TARGET_DIR": "/build"}

    def _target(self, copy: Copy) -> Path:
        return self.directory() / copy.subject.name / "target"

    def _home(self, copy: Copy) -> Path:
        return self.directory() / copy.subject.name / "cargo"


ZIG_WHEELS = ("cargo-zigbuild==0.23.4", "ziglang==0.15.1")


@dataclass
class Zigbuild(Cargo):
    """cargo-zigbuild from its wheel: the same cargo, with zig as C compiler and linker for every target."""

    name: str = ZIGBUILD
    verb: str = "zigbuild"

    def prepare(self, platforms: Sequence[str]) -> None:
        if not (self.tools()["/tools"] / "bin/cargo-zigbuild").exists():
            install = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--target",
                str(self.tools()["/tools"]),
            ]
            run([*install, *ZIG_WHEELS], os.environ, ROOT)

    def tools(self) -> dict[str, Path]:
        return {"/tools": self.place.toolbox / "zig"}

    def env(self) -> dict[str, str]:
        """Return cargo's environment without the variables of the gcc toolchains."""
        kept = ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HOME", "RUST_VERSION")
        found = {name: self.toolbox.env[name] for name in kept if name in self.toolbox.env}
        more = {
            "PATH": f"/tools/bin:{self.toolbox.env['PATH']}",
            "XDG_CACHE_HOME": "/tools/cache",
            "HOME": "/root",
        }
        return {
            **found,
            **more,
            "CARGO_TARGET_DIR": "/build",
            "CARGO_ZIGBUILD_ZIG_PATH": "/tools/ziglang/zig",
        }


def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
    """Run a step that is not measured; show its output if it fails."""
    done = subprocess.run(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
