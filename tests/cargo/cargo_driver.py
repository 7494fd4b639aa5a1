"""Run compile.sh and check.sh like the builder, with this machine's cargo and triple."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.build import auditable, compile_cache, plan_file, scripts
from pipeline.build import plan as planning
from pipeline.build.plan import Plan
from pipeline.config.request import BuildRequest, Choice
from pipeline.native import debian
from pipeline.native.natives import Needs
from pipeline.project import packages
from pipeline.project.metadata import Binary, Project
from pipeline.targets import TARGETS, Target
from pipeline.toolchain import builder as toolchain
from pipeline.toolchain import sccache

HERE = Path(scripts.__file__).parent
# rustup's, like the command `cargo` in an official image.
ENVIRONMENT = {
    name: os.environ[name] for name in ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME") if name in os.environ
}
UNSET: Any = SimpleNamespace()


def target() -> Target:
    """Return this machine's target."""
    (found,) = [row for row in TARGETS if row.gnu.startswith(f"{os.uname().machine}-")]
    return found


def triple() -> str:
    return target().gnu


def plan(
    binaries: Sequence[str] = ("app",),
    variables: dict[str, str] | None = None,
    profile: str = "dev",
    arguments: Sequence[str] = (),
    state: Any = None,
    absent: Any = None,
    digests: Any = None,
    programs: Sequence[tuple[str, str]] = (),
) -> Plan:
    choice = Choice(profile=profile, arguments=tuple(arguments))
    found = tuple(Binary(name, name, "0.1.0") for name in binaries)
    request = BuildRequest(
        UNSET,
        (target(),),
        choice,
        build_args=tuple(sorted((variables or {}).items())),
        state=state,
        absent=absent,
        digests=digests,
    )
    commands = planning.build_commands(request, found, (Needs(),))
    return Plan(
        request, "1", UNSET, UNSET, UNSET, Project(()), found, commands, (Needs(),), programs=tuple(programs)
    )


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str

    def check(self) -> Done:
        assert self.status == 0, f"{self.stdout}\n{self.stderr}"
        return self


@dataclass(frozen=True)
class Volume:
    """A volume of compiled state, as a directory."""

    folder: Path
    sccache: Path | None = None

    @property
    def state(self) -> Path:
        return self.folder / "build"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def temporary(self) -> Path:
        """Return the directory of temporary files: always the same, and short for the socket of a cache."""
        return Path(tempfile.gettempdir(), hashlib.sha256(bytes(self.folder)).hexdigest()[:16])

    def build(
        self,
        source: Path,
        built: Plan,
        killed_after: float | None = None,
        tools: str = ENVIRONMENT["PATH"],
        place: str = "",
    ) -> Done:
        """Build a source; optionally kill all processes after some seconds."""
        built = _placed(built, place)
        text = plan_file.compiling(built, described(source, place))
        sections = self.folder / "sections"
        for binary in built.binaries:
            path = sections / triple() / binary.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("section")
        text = text.replace(auditable.FOLDER, str(sections))
        text = text.replace(debian.SONAMES, str(self.folder / "libraries"))
        text = text.replace("archive\t", f"archive\t{self.folder}")
        text = text.replace(f"\t{toolchain.CARGO_HOME}/", f"\t{ENVIRONMENT.get('CARGO_HOME')}/")
        text = text.replace(sccache.PROGRAM, str(self.sccache))
        text = text.replace(compile_cache.DIRECTORY, str(self.folder.parent / "compile-cache"))
        return self._run("compile.sh", source, text, built, killed_after, tools)

    def check(self, source: Path, built: Plan, words: Sequence[str], place: str = "") -> Done:
        """Run a cargo command on a source."""
        built = _placed(built, place)
        text = plan_file.checking(built, described(source, place), words)
        return self._run("check.sh", source, text, built)

    def _run(
        self,
        name: str,
        source: Path,
        text: str,
        built: Plan,
        killed_after: float | None = None,
        tools: str = ENVIRONMENT["PATH"],
    ) -> Done:
        self.state.mkdir(parents=True, exist_ok=True)
        subprocess.run(["rm", "-rf", str(self.output)], check=True)
        written, listed = self.folder / "plan.tsv", self.folder / "listed"
        for path, content in (
            (plan_file.ABSENT, built.request.absent),
            (plan_file.DIGESTS, built.request.digests),
        ):
            place = listed / Path(path).name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content or b"")  # type: ignore[arg-type]
            text = text.replace(path, str(place))
        written.write_text(text)
        temporary = self.temporary
        temporary.mkdir(exist_ok=True)
        process = subprocess.Popen(
            ["bash", str(HERE / name), str(source), str(self.state), str(written), str(self.output)],
            env={**ENVIRONMENT, "PATH": tools, "TMPDIR": str(temporary), **dict(built.request.build_args)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if killed_after is not None:
            time.sleep(killed_after)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        # A killed build leaves its files.
        shutil.rmtree(temporary, ignore_errors=True)
        return Done(process.returncode, stdout, stderr)

    def prints(self, program: str = "app") -> str:
        """Return the output of the last built program."""
        command = [str(self.output / triple() / program)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _placed(built: Plan, place: str) -> Plan:
    return replace(built, request=replace(built.request, directory=place))


def described(source: Path, place: str = "") -> tuple[packages.Local, ...]:
    done = subprocess.run(
        [*packages.COMMAND, "--offline"],
        cwd=source / place,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    return packages.read(done.stdout, str(source))


def without_state(built: Plan) -> Plan:
    return replace(built, request=replace(built.request, state=None))
