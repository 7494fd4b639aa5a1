"""Import the Dagger SDK when it is first used: it takes most of the start of a command that needs no engine.

`pipeline.main` and `pipeline.image` import the SDK itself, since they define the objects of the module.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dagger as dagger
    from dagger import dag as dag
else:

    class _Dagger:
        """The package `dagger`, imported by the first use of an attribute."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("dagger"), name)

    class _Dag:
        """The client `dagger.dag`."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("dagger").dag, name)

    dagger, dag = _Dagger(), _Dag()

__all__ = ["dag", "dagger", "in_environment", "prepare", "share_converters"]


@dataclass
class _Converter:
    """Convert for one step of a query, with a converter of its own only for answers that are objects."""

    make: Callable[[Any], Any]
    shared: Callable[[Any], Any]
    objects: type
    step: Any

    def unstructure(self, value: Any) -> Any:
        """Convert arguments."""
        return self.shared(None).unstructure(value)

    def structure(self, value: Any, kind: Any) -> Any:
        """Convert an answer to `kind`. Objects, also those in a list, keep the step that they come from."""
        plain = isinstance(kind, type) and not issubclass(kind, self.objects)
        return (self.shared(None) if plain else self.make(self.step)).structure(value, kind)


@contextlib.contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process while the SDK is imported or connects."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def prepare() -> None:
    """Import the SDK for a client, which saves it half a second in each session.

    The SDK wraps each of its functions in a check of the arguments' types by beartype. That takes a third
    of a second at the import, and mypy has checked our calls. beartype leaves it out where this variable is
    set at its own import.
    """
    with contextlib.suppress(ImportError), in_environment({"PYTHONOPTIMIZE": "1"}):
        importlib.import_module("beartype")
    share_converters()


def share_converters() -> None:
    """Let all steps of queries share one converter, if this version of the SDK makes one for each.

    Making one takes half a millisecond. A module that describes 100 arguments to the engine makes 1,200 of
    them in each call, and a build from the command line 450.
    """
    core = importlib.import_module("dagger.client._core")
    make, objects = getattr(core, "make_converter", None), getattr(core, "Type", None)
    if callable(make) and not isinstance(make, partial) and isinstance(objects, type):
        vars(core)["make_converter"] = partial(_Converter, make, cache(make), objects)
