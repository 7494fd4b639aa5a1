"""Write the module's interface, on which other modules and scripts depend, in GraphQL's notation.

It is made from the code, without an engine; `make schema` updates the committed copy.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

from dagger import mod
from dagger.mod._converter import make_converter
from dagger.mod._resolver import Function, ObjectType
from dagger.mod._utils import get_doc, get_parent_module_doc

from pipeline import RustMultiarch

SNAPSHOT = Path(__file__).parents[1] / "data/schema.txt"
SCALARS = {str: "String", int: "Int", bool: "Boolean", float: "Float", type(None): "Void"}


def schema() -> str:
    """Return every type, function and argument with its default and its description."""
    module = mod.default_module()
    main = module.get_object(RustMultiarch.__name__)
    main.get_constructor(make_converter())
    lines = [f'"""{get_parent_module_doc(RustMultiarch)}"""', ""]
    for _, described in sorted(module._objects.items()):
        lines += [*_object(described), ""]
    for name, values in sorted(module._enums.items()):
        lines += [*_enum(name, values), ""]
    return "\n".join(lines)


def _object(described: ObjectType[object]) -> Iterator[str]:
    yield f'"""{get_doc(described.cls)}"""'
    yield f"type {described.cls.__name__} {{"
    members: dict[str, Iterable[str]] = {}
    hints = typing.get_type_hints(described.cls)
    for name, field in described.fields.items():
        kind = _type(hints[field.original_name])
        members[name] = [f'  "{get_doc(field.return_type)}"', f"  {name}: {kind}"]
    for name, function in described.functions.items():
        members[name] = _function(name, function)
    for _, member in sorted(members.items()):
        yield from member
    yield "}"


def _function(name: str, function: Function[..., object]) -> Iterator[str]:
    if name:
        yield f'  "{function.doc}"'
    head, result = (name, _type(function.return_type)) if name else ("constructor", "")
    notes = [f"@cache({function.cache_policy})"] if function.cache_policy else []
    notes += ["@check"] if function.check else []
    tail = " ".join(filter(None, [f"): {result}" if result else ")", *notes]))
    if not function.parameters:
        yield f"  {head}{tail.removeprefix(')')}"
        return
    yield f"  {head}("
    for parameter in function.parameters.values():
        yield f'    "{parameter.doc}"'
        optional = parameter.is_optional
        kind = _type(parameter.resolved_type)
        default = f" = {parameter.default_value}" if parameter.default_value is not None else ""
        ignored = f" @ignore({', '.join(parameter.ignore)})" if parameter.ignore else ""
        yield f"    {parameter.name}: {kind.removesuffix('!') if optional else kind}{default}{ignored}"
    yield f"  {tail}"


def _enum(name: str, values: type[enum.Enum]) -> Iterator[str]:
    yield f'"""{get_doc(values)}"""'
    yield f"enum {name} {{"
    for member in values:
        yield f"  {member.name} = {member.value}"
    yield "}"


def _type(kind: typing.Any) -> str:
    """Return a Python type in GraphQL's notation; `!` means not null."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        (some,) = (argument for argument in arguments if argument is not type(None))
        return _type(some).removesuffix("!")
    if typing.get_origin(kind) is list:
        return f"[{_type(arguments[0])}]!"
    if typing.get_origin(kind) is typing.Annotated:
        return _type(arguments[0])
    return f"{SCALARS.get(kind) or kind.__name__}!"


if __name__ == "__main__":
    SNAPSHOT.write_text(schema())
