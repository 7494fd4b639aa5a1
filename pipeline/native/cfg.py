"""Evaluate the `cfg(…)` of cargo's tables (the Rust reference, "Conditional compilation")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_TOKEN = re.compile(r'\s*(?:(?P<word>(?:r#)?[A-Za-z_]\w*)|(?P<text>"[^"]*")|(?P<sign>[(),=]))')


class _Malformed(Exception):
    """The expression is invalid for cargo."""


def holds(expression: str, known: frozenset[str]) -> bool:
    """Return True if an expression such as `cfg(all(unix, target_arch = "x86_64"))` is true.

    An invalid expression is false: cargo reports it.

    Args:
        expression: with the `cfg(` around it.
        known: the output of `rustc --print cfg` for the target, by line.
    """
    try:
        tokens = list(_tokens(expression))
        value, rest = _predicate(tokens, known)
    except (_Malformed, IndexError, RecursionError):
        return False
    return value and not rest


def known(printed: str) -> frozenset[str]:
    """Return the lines of `rustc --print cfg`."""
    return frozenset(filter(None, (line.strip() for line in printed.splitlines())))


def _tokens(text: str) -> Iterator[str]:
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise _Malformed
        yield match[0].strip()
        place = match.end()


def _predicate(tokens: list[str], known: frozenset[str]) -> tuple[bool, list[str]]:
    """Return the value of the expression at the start of the tokens, and the tokens after it."""
    name, rest = tokens[0], tokens[1:]
    if rest[:1] == ["("]:
        values, rest = _list(rest[1:], known)
        if (name in ("not", "cfg") and len(values) != 1) or name not in _JOIN:
            raise _Malformed
        return _JOIN[name](values), rest
    if rest[:1] == ["="]:
        return f"{name}={rest[1]}" in known, rest[2:]
    if not re.match(r"\w", name):
        raise _Malformed
    return {"true": True, "false": False}.get(name, name.removeprefix("r#") in known), rest


_JOIN: dict[str, Callable[[list[bool]], bool]] = {
    "all": all,
    "any": any,
    "not": lambda values: not values[0],
    "cfg": lambda values: values[0],
}


def _list(tokens: list[str], known: frozenset[str]) -> tuple[list[bool], list[str]]:
    """Return the values of a list up to its closing bracket, and the tokens after it."""
    values = []
    while tokens[0] != ")":
        value, tokens = _predicate(tokens, known)
        values.append(value)
        if tokens[0] == ",":
            tokens = tokens[1:]
        elif tokens[0] != ")":
            raise _Malformed
    return values, tokens[1:]
