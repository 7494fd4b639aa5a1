"""Where a build stands, told to whoever listens in this process; inside an engine nobody does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

COMPILING = "compiling"
READY = "ready"
"""The names of the two stages that say more than where a build stands; the others are for people alone."""


@dataclass(frozen=True)
class Stage:
    """A step that begins now.

    Attributes:
        name: in words, for people: `compiling`.
        platform: the one platform it concerns; empty for all.
        crates: how many crates it has to compile, by the triple they are for.
    """

    name: str
    platform: str = ""
    crates: Mapping[str, int] = field(default_factory=dict)


LISTENER: ContextVar[Callable[[Stage], None] | None] = ContextVar("stage listener", default=None)
"""Who is told, in this task and those it starts."""


def enter(name: str, platform: str = "", crates: Mapping[str, int] | None = None) -> None:
    """Tell that a step begins."""
    listener = LISTENER.get()
    if listener is not None:
        listener(Stage(name, platform, crates or {}))
