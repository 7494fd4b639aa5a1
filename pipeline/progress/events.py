"""Events of a build and their listener; inside an engine there is no listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

COMPILING = "compiling"
READY = "ready"
"""The two stages with a meaning to the model; all others are only shown."""


@dataclass(frozen=True)
class Stage:
    """The start of a step.

    Attributes:
        name: the name shown to the user, for example `compiling`.
        platform: the platform it concerns; empty for all.
        crates: the number of crates to compile, by triple.
    """

    name: str
    platform: str = ""
    crates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CrateReady:
    """The end of a crate's compilation for a target.

    Attributes:
        triple: the target's triple.
        id: cargo's package id, shared by a package's library and binaries.
        fresh: true if it was compiled before.
    """

    triple: str
    id: str
    fresh: bool


@dataclass(frozen=True)
class Working:
    """A line of cargo's output.

    Attributes:
        crate: name and version of the crate that cargo starts to compile; empty for any other line.
    """

    crate: str = ""


@dataclass(frozen=True)
class Ended:
    """The end of the command.

    Attributes:
        how: `done`, `failed` or `interrupted`.
    """

    how: str


Event = Stage | CrateReady | Working | Ended

LISTENER: ContextVar[Callable[[Stage], None] | None] = ContextVar("stage listener", default=None)
"""The listener of this task and of the tasks it starts."""


def enter(name: str, platform: str = "", crates: Mapping[str, int] | None = None) -> None:
    """Announce the start of a step."""
    listener = LISTENER.get()
    if listener is not None:
        listener(Stage(name, platform, crates or {}))
