"""The subjects: a table, the peers' copies, and the changes that scenarios make to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import services
from bench.place import Place
from bench.scenarios import Change
from bench.toolbox import ROOT, Toolbox

BUMPED = "Cargo.lock.bumped"
"""The lock file with another version of one dependency; kept beside the copies, not in them."""


@dataclass(frozen=True)
class Subject:
    """A row of the subject table.

    Attributes:
        name: name in plans.
        bins: the binaries of the image; the first is its entrypoint.
        line: file to change one line in.
        bump: a dependency, and its version in `Cargo.lock.bumped`.
        crate: registry crate and version, if it comes from the registry.
        files: text of its files, if it is generated.
        lock: its lock file, if it is generated.
        directory: its path in this repository, if it is part of it.
    """

    name: str
    bins: tuple[str, ...]
    line: str = "src/main.rs"
    bump: tuple[str, str] | None = None
    crate: tuple[str, str] | None = None
    files: Callable[[], Mapping[str, str]] | None = None
    lock: Path | None = None
    directory: str = ""


def _hello() -> dict[str, str]:
    manifest = '[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2021"\n'
    lock = 'version = 3\n\n[[package]]\nname = "hello"\nversion = "0.1.0"\n'
    main = 'fn main() {\n    println!("hello from {}", std::env::consts::ARCH);\n}\n'
    return {"Cargo.toml": manifest, "Cargo.lock": lock, "src/main.rs": main}


SUBJECTS = (
    Subject("hello", ("hello",), files=_hello),
    Subject(
        "sample_app", ("sample-app",), line="src/tile.rs", bump=("itoa", "1.0.14"), directory="sample_app"
    ),
    Subject(
        "services",
        tuple(services.SERVICES),
        line="services/orders/src/main.rs",
        bump=("itoa", "1.0.14"),
        files=services.files,
        lock=services.LOCK,
    ),
    Subject(
        "service",
        ("orders",),
        line="services/orders/src/main.rs",
        bump=("itoa", "1.0.14"),
        files=services.files,
        lock=services.LOCK,
    ),
    Subject("dufs", ("dufs",), crate=("dufs", "0.47.0")),
    Subject("basic-http-server", ("basic-http-server",), crate=("basic-http-server", "0.9.0")),
)
BY_NAME = {subject.name: subject for subject in SUBJECTS}


def provide(place: Place, subject: Subject, toolbox: Toolbox) -> Path:
    """Return the subject's directory before any change; fetch or generate it."""
    directory = place.subjects / subject.name
    if directory.exists():
        if not subject.directory and not subject.files:
            return directory
        shutil.rmtree(directory)
    if subject.directory:
        shutil.copytree(ROOT / subject.directory, directory, ignore=shutil.ignore_patterns("target"))
    elif subject.files:
        write(directory, subject.files())
        if subject.lock:
            shutil.copyfile(subject.lock, directory / "Cargo.lock")
    elif subject.crate:
        toolbox.download(*subject.crate, directory)
    return directory


def bumped_lock(place: Place, subject: Subject, toolbox: Toolbox) -> Path | None:
    """Return the lock file with the changed dependency, made by cargo."""
    if not subject.bump:
        return None
    bumped = place.subjects / f"{subject.name}.{BUMPED}"
    scratch = place.subjects / f"{subject.name}.bump"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(place.subjects / subject.name, scratch)
    name, version = subject.bump
    toolbox.run(["cargo", "update", "--precise", version, name], scratch)
    shutil.copyfile(scratch / "Cargo.lock", bumped)
    shutil.rmtree(scratch)
    return bumped


def write(directory: Path, files: Mapping[str, str]) -> None:
    """Write text files into a directory."""
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)


@dataclass(frozen=True)
class Copy:
    """A peer's copy of a subject.

    Attributes:
        subject: the copied subject.
        directory: path of the copy.
        original: the unchanged subject.
        bumped: the lock file with the bumped dependency, if the subject has one.
    """

    subject: Subject
    directory: Path
    original: Path
    bumped: Path | None

    def renew(self, more: Mapping[str, str]) -> None:
        """Copy the original again, with the peer's additional files."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.original, self.directory)
        write(self.directory, more)

    def change(self, change: Change, nonce: str) -> None:
        """Make a change that was never made before.

        Args:
            change: the kind of change.
            nonce: letters and digits that no earlier change of this copy had.
        """
        if change is Change.LINE:
            self._append(self.subject.line, line(nonce))
        if change in (Change.OWN_CODE, Change.EVERYTHING):
            for file in sorted(self.directory.rglob("*.rs")):
                self._append(str(file.relative_to(self.directory)), f"// {nonce}\n")
        if change is Change.EVERYTHING:
            self._append("Cargo.toml", f"# {nonce}\n")
        if change is Change.DEPENDENCY:
            assert self.bumped, f"the subject {self.subject.name} has no dependency to bump"
            lock = self.directory / "Cargo.lock"
            first = lock.read_bytes() == (self.original / "Cargo.lock").read_bytes()
            shutil.copyfile(self.bumped if first else self.original / "Cargo.lock", lock)

    def _append(self, path: str, text: str) -> None:
        with (self.directory / path).open("a") as file:
            file.write(text)


def line(nonce: str) -> str:
    """Return a line of Rust that changes the binary."""
    return f'#[used] static BENCH_{nonce.upper()}: &str = "{nonce}";\n'
