"""Import the Dagger SDK when it is first used: it takes most of the start of a command that needs no engine.

`pipeline.main` and `pipeline.image` import the SDK itself, since they define the objects of the module.
"""

from __future__ import annotations

import importlib
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

__all__ = ["dag", "dagger"]
