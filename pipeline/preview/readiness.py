"""Check that this machine and the project are ready for a build.

Checks start, install and change nothing. To add a check, add a row to `CHECKS`.
"""

from __future__ import annotations

import enum
import json
import os
import shutil
import socket
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from engine import binfmt, choice, config, lifecycle, prerequisites
from engine.paths import Paths
from pipeline import cargo_toml, releases
from pipeline.concurrent import each
from pipeline.errors import InvalidManifest, RustMultiarchError
from pipeline.git import facts as git
from pipeline.registry import credentials
from pipeline.registry.address import destinations
from pipeline.text_table import columns
from pipeline.toolchain import channel

AT_ONCE = 4
ANSWER_SECONDS = 4.0
LITTLE_SPACE, TOO_LITTLE_SPACE = 15 * 2**30, 5 * 2**30
"""Free bytes: base images, compilers and one project's state take about 5 GiB, several projects 15."""

SKEW_SECONDS = 60
"""Clock error to allow: registry tokens are often valid for a few minutes only."""


REGISTER = (
    "for tests and smoke runs: `docker run --privileged --rm tonistiigi/binfmt --install all`, "
    "or `rust-multiarch engine start` with the platforms"
)


class State(enum.Enum):
    """The result level of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class CheckOutcome:
    """The outcome of a check.

    Attributes:
        state: the result level.
        found: the facts found.
        fix: what to do; empty if nothing is wrong.
    """

    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class CheckContext:
    """The machine and project to check.

    Attributes:
        source: the project's directory.
        platforms: platforms of the next build.
        tags: addresses to push to.
        environ: the environment variables.
        home: the user's directory.
        paths: the embedded engine's files.
    """

    source: Path
    platforms: Sequence[str]
    tags: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    home: Path = field(default_factory=Path.home)
    paths: Paths = field(default_factory=Paths.default)


@dataclass(frozen=True)
class Check:
    """A named check."""

    name: str
    run: Callable[[CheckContext], CheckOutcome]


@dataclass(frozen=True)
class Result:
    """A check's name and outcome."""

    name: str
    state: str
    found: str
    fix: str


def engine(subject: CheckContext) -> CheckOutcome:
    """Find the engine a build would use: a configured one, docker's or podman's, or the embedded one."""
    host = subject.environ.get(config.RUNNER, "")
    if host and host != config.address(subject.paths):
        return _named_engine(host)
    tool = None if host else choice.container_tool()
    if tool:
        return CheckOutcome(State.OK, f"{tool} answers; Dagger starts its engine there")
    status = lifecycle.status(paths=subject.paths)
    if status.running:
        return CheckOutcome(State.OK, f"the embedded engine {status.version} is running")
    missing = prerequisites.missing()
    if missing.root or missing.go or missing.kernel:
        found = "neither docker nor podman answers, and the embedded engine lacks " + ", ".join(
            missing.names()
        )
        return CheckOutcome(State.FAIL, found, "; ".join(missing.fixes()))
    return CheckOutcome(State.OK, "the embedded engine is not running; the next build starts it")


def _named_engine(host: str) -> CheckOutcome:
    """Check that the engine at an address accepts connections, if the address can be tried."""
    address = urlsplit(host)
    found = f"{config.RUNNER} is {host}"
    try:
        if address.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(ANSWER_SECONDS)
                client.connect(address.path)
        elif address.scheme == "tcp":
            socket.create_connection((address.hostname or "", address.port or 0), ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        fix = "start that engine, or unset the variable to have one chosen"
        return CheckOutcome(State.FAIL, f"{found}, but it does not accept connections: {error}", fix)
    return CheckOutcome(State.OK, found)


def registries(subject: CheckContext) -> CheckOutcome:
    """Check that credentials exist for the registries to push to."""
    try:
        found = dict(credentials.configurations(subject.environ, subject.home))
    except RustMultiarchError as error:
        return CheckOutcome(State.FAIL, f"{error.where}: {error.what}", error.fix)
    if not found:
        return CheckOutcome(
            State.WARN, "no docker configuration: pushes are anonymous", "log in with `docker login`"
        )
    for path, one in found.items():
        programs = {one.program(host) for host in (*one.helpers, "")} - {""}
        if lacking := sorted(name for name in programs if not shutil.which(name)):
            fix = "install it, or take it out of the configuration"
            return CheckOutcome(State.FAIL, f"{path} uses {', '.join(lacking)}, which is not installed", fix)
    hosts = {to.host for to in destinations(subject.tags)} if subject.tags else set()
    known = {host for one in found.values() for host in (*one.logins, *one.helpers)}
    stored = sorted({f"others in {one.store}" for one in found.values() if one.store})
    if lost := sorted(host for host in hosts - known if not stored):
        return CheckOutcome(State.WARN, f"no credentials for {', '.join(lost)}", f"`docker login {lost[0]}`")
    if not known and not stored:
        return CheckOutcome(
            State.WARN, f"no credentials in {', '.join(map(str, found))}", "log in with `docker login`"
        )
    return CheckOutcome(State.OK, ", ".join([*sorted(known), *stored]))


def emulators(subject: CheckContext) -> CheckOutcome:
    """Check for QEMU emulators, which only tests and smoke tests of foreign platforms need."""
    wanted = binfmt.emulators(subject.platforms, os.uname().machine)
    if not wanted:
        return CheckOutcome(State.OK, "every platform is this machine's own")
    registered = [name for name in wanted if (binfmt.BINFMT / name).exists()]
    if missing := [name for name in wanted if name not in registered]:
        found = f"not registered: {', '.join(missing)}; builds need none"
        return CheckOutcome(State.WARN, found, REGISTER)
    if unfixed := [name for name in registered if not binfmt.has_fix_flag(name)]:
        found = f"without the F flag, so not in containers: {', '.join(unfixed)}"
        return CheckOutcome(
            State.WARN, found, f"`echo -1 > {binfmt.BINFMT / unfixed[0]}`, then register it again"
        )
    return CheckOutcome(State.OK, ", ".join(registered))


def disk(subject: CheckContext) -> CheckOutcome:
    """Check for room for base images, compilers and compiled state."""
    place = next(path for path in (subject.paths.root, *subject.paths.root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.0f} GiB free at {place}"
    if free >= LITTLE_SPACE:
        return CheckOutcome(State.OK, found)
    state = State.FAIL if free < TOO_LITTLE_SPACE else State.WARN
    return CheckOutcome(state, found, "make room, or set XDG_CACHE_HOME to a larger disk")


def clock(subject: CheckContext) -> CheckOutcome:
    """Check this machine's clock; registry certificates and tokens depend on it."""
    now = time.time()
    fix = "set the clock, for example with `timedatectl set-ntp true`"
    served = _served_time()
    if served is None:
        newest = Path(__file__).stat().st_mtime
        if now < newest:
            return CheckOutcome(State.FAIL, "the clock is behind the files of this program", fix)
        return CheckOutcome(State.OK, "later than this program's files; no server could be reached")
    skew = now - served
    state = State.FAIL if abs(skew) > SKEW_SECONDS else State.OK
    return CheckOutcome(
        state, f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}", fix if state is State.FAIL else ""
    )


def _served_time(url: str = config.DOCKER_HUB) -> float | None:
    """Return a server's time in seconds since 1970; None if it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
            date = answer.headers["Date"]
    except urllib.error.HTTPError as refused:
        date = refused.headers["Date"]
    except (OSError, ValueError):
        return None
    return parsedate_to_datetime(date).timestamp() if date else None


def checkout(subject: CheckContext) -> CheckOutcome:
    """Check the git checkout, the source of tags, labels and the image's time."""
    try:
        facts = git.read_here(subject.source)
    except RustMultiarchError as error:
        return CheckOutcome(State.WARN, f"{error.what}: no tags, labels or time from it", error.fix)
    at = f"{facts.branch or 'detached'} at {facts.short}"
    if facts.dirty:
        fix = "commit or stash what `git status` lists"
        return CheckOutcome(State.WARN, f"{at}, with changes: tags end in -dirty", fix)
    if facts.shallow:
        return CheckOutcome(
            State.WARN, f"{at}, shallow: tags may be missing", "`git fetch --unshallow --tags`"
        )
    return CheckOutcome(State.OK, at)


def project(subject: CheckContext) -> CheckOutcome:
    """Check the cargo project: its manifest, lock file and Rust version."""
    manifest, lock = subject.source / "Cargo.toml", subject.source / "Cargo.lock"
    if not manifest.is_file():
        return CheckOutcome(
            State.FAIL, f"no Cargo.toml in {subject.source}", "name the directory that has it"
        )
    try:
        document = cargo_toml.parse(manifest.read_text(errors="replace"))
    except tomllib.TOMLDecodeError as error:
        return CheckOutcome(State.FAIL, f"Cargo.toml cannot be read: {error}", "correct it")
    if not lock.is_file():
        return CheckOutcome(State.FAIL, "no Cargo.lock", "run `cargo generate-lockfile` and commit it")
    name = document.get("package", {}).get("name", "a workspace")
    asked = [subject.source / file for file in channel.FILES]
    file = next((file for file in asked if file.is_file()), None)
    try:
        pinned = channel.read(file.read_text(errors="replace"), file.name).channel if file else ""
    except InvalidManifest as error:
        return CheckOutcome(State.FAIL, error.what, error.fix)
    if channel.by_rustup(pinned):
        found = f"{name}; its toolchain file asks for {pinned}, which rustup downloads for a build"
        return CheckOutcome(State.WARN, found, "name a version there, or pass --rust-version")
    return CheckOutcome(State.OK, f"{name}, Rust {pinned or releases.RUST}")


CHECKS = (
    Check("engine", engine),
    Check("project", project),
    Check("git", checkout),
    Check("registries", registries),
    Check("emulators", emulators),
    Check("disk", disk),
    Check("clock", clock),
)


async def examine(subject: CheckContext, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Run the checks concurrently; return results in the order of the table."""

    async def run(check: Check) -> Result:
        found = await anyio.to_thread.run_sync(check.run, subject)
        return Result(check.name, found.state.value, found.found, found.fix)

    return await each(checks, run, AT_ONCE)


def failed(results: Sequence[Result]) -> bool:
    """Check whether any result would make a build fail."""
    return any(result.state == State.FAIL.value for result in results)


def as_json(results: Sequence[Result]) -> str:
    """Format the results as JSON: `{"checks": [...]}` with the fields of `Result`."""
    return json.dumps({"checks": [asdict(result) for result in results]}, indent=2)


def as_text(results: Sequence[Result]) -> str:
    """Format the results as a line per check, each followed by its fix."""
    lines = columns([(result.state, result.name, result.found) for result in results])
    width = len(max((result.name for result in results), key=len)) + 8
    shown = []
    for line, result in zip(lines, results, strict=True):
        shown += [line, *([f"{'':{width}}do: {result.fix}"] if result.fix else [])]
    return "\n".join(shown)
