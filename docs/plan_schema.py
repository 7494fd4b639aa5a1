"""Make the JSON schema of a plan from its dataclasses and their docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from pipeline.preview import data

TEXT = {"type": "string"}
LIMITS: dict[str, dict[str, Any]] = {
    "Preview.version": {"const": data.VERSION},
    "Preview.libc": {"enum": ["gnu", "musl"]},
    "Preview.binaries": {"minItems": 1},
    "Preview.commands": {"minItems": 1},
    "Preview.targets": {"minItems": 1},
    "PlannedPackage.place": {"enum": ["builder", "target", "image"]},
    "BaseImage.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "TargetPlan.platform": {"pattern": "^linux/[a-z0-9]+(/v[0-9]+)?$"},
    "Setting.value": {
        "anyOf": [
            {"type": ["string", "boolean", "integer", "null"]},
            {"type": "array", "items": {"type": ["string", "integer"]}},
        ]
    },
}
"""What the types of fields do not say."""


def schema() -> str:
    """Return the schema of `plan --json`."""
    found: dict[str, Any] = {}
    root = _object(data.Preview, found)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The output of `rust-multiarch plan --json` and `dagger call plan --as-json`",
        "$comment": "Made from pipeline/preview/data.py by `make docs`.",
        **root,
        "description": "Fields may be added; `version` is raised if one is removed or changes its meaning.",
    }
    return json.dumps({**head, "$defs": found}, indent=2, ensure_ascii=False) + "\n"


def _object(described: type, found: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(described)
    head, notes = _described(described)
    properties = {}
    for field in dataclasses.fields(described):
        limits = LIMITS.get(f"{described.__name__}.{field.name}", {})
        note = {"description": notes[field.name]} if field.name in notes else {}
        properties[field.name] = {**_type(hints[field.name], found), **limits, **note}
    return {
        "type": "object",
        "description": head,
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _type(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    arguments = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        if name not in found:
            found[name] = {}
            found[name] = _object(typing.cast(type, kind), found)
        return {"$ref": f"#/$defs/{name}"}
    if typing.get_origin(kind) is tuple:
        return {"type": "array", "items": _type(arguments[0], found)}
    if typing.get_origin(kind) is Mapping:
        return {"type": "object", "additionalProperties": _type(arguments[1], found)}
    return types.MappingProxyType({str: TEXT, int: {"type": "integer"}, Any: {}})[kind]


def _described(described: type) -> tuple[str, dict[str, str]]:
    """Return the first line of a docstring, and the descriptions of attributes in it."""
    head, _, rest = (inspect.getdoc(described) or "").partition("\n")
    listed = rest.partition("Attributes:\n")[2]
    notes = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE)
    return head, {name: _sentence(" ".join(note.split())) for name, note in notes}


def _sentence(text: str) -> str:
    return text if text.startswith(("`", "rustc")) else text[0].upper() + text[1:]
