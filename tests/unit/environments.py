"""Write settings as the environment variables from which they are read."""

import enum
import json
from typing import Any

from pipeline.config import settings
from pipeline.config.settings import NAMES, Settings


def to_environment(wanted: Settings) -> dict[str, str]:
    """Return the environment variables of these settings, without empty ones."""
    found = {name: _text(name, getattr(wanted, name)) for name in NAMES}
    return {settings.variable(name): text for name, text in found.items() if text}


def _text(name: str, value: Any) -> str:
    if isinstance(value, list):
        plain = ("\n" if name in settings.BY_LINE else ",").join(map(str, value))
        same = (
            plain
            and not plain.lstrip().startswith("[")
            and settings._items(name, plain) == list(map(str, value))
        )
        return plain if same else json.dumps(value)
    if value is None:
        return ""
    if isinstance(value, enum.Enum):
        return str(value.value)
    return str(value).lower() if isinstance(value, bool) else str(value)
