"""Turn every error of the command line into a message and an exit code; only --debug shows a traceback."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn

import typer

from pipeline.cli import watching
from pipeline.errors import (
    EngineUnreachable,
    FileInaccessible,
    InternalError,
    NoSpaceLeft,
    RustMultiarchError,
    printed,
)

TERMINATED = 128 + signal.SIGTERM
"""The exit code of a program ended by SIGTERM."""

BROKEN_PIPE = 128 + signal.SIGPIPE
"""The exit code of a program whose reader is gone."""

ISSUES = "https://github.com/rust-multiarch/rust-multiarch/issues"

_FULL = (errno.ENOSPC, errno.EDQUOT)

# The engine reports errors of this machine's files as text, with the words of strerror(3).
_TEXTS: tuple[tuple[str, type[RustMultiarchError]], ...] = (
    ("no space left on device", NoSpaceLeft),
    ("disk quota exceeded", NoSpaceLeft),
    ("permission denied", FileInaccessible),
    ("read-only file system", FileInaccessible),
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_DEBUG = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)

_shown = False


def debuggable(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option --debug to a command."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(*arguments: Any, debug: bool = False, **options: Any) -> None:
        global _shown
        _shown = debug
        command(*arguments, **options)

    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), _DEBUG])
    return run


def end_on_sigterm() -> None:
    """Make SIGTERM end this process like an error, so that temporary files are removed."""

    def end(*_: object) -> NoReturn:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, end)


def known(error: BaseException) -> RustMultiarchError | None:
    """Return the error for the user; None if the error is unexpected."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, RustMultiarchError):
            return leaf
    return next(filter(None, map(_of, leaves)), None)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in nested groups, with their causes."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
        return
    yield error
    if error.__cause__ is not None:
        yield from _leaves(error.__cause__)


def _of(error: BaseException) -> RustMultiarchError | None:
    if isinstance(error, (*_loaded("dagger", "TransportError"), *_loaded("httpx", "TransportError"))):
        return EngineUnreachable(
            "the connection to the engine broke",
            where=str(error) or type(error).__name__,
            fix="repeat the command; `rust-multiarch doctor` shows which engine is used and its state",
        )
    if isinstance(error, _loaded("dagger", "DaggerError")):
        return _by_text(str(error))
    if isinstance(error, OSError) and error.errno in _FULL:
        return _full(_place(error))
    if isinstance(error, OSError) and error.filename is not None:
        return _inaccessible((error.strerror or str(error)).lower(), _place(error))
    return None


def _loaded(package: str, name: str) -> tuple[type[BaseException], ...]:
    """Return an error class of a package, or nothing if it is not loaded: then no error is of that class."""
    return (getattr(sys.modules[package], name),) if package in sys.modules else ()


def _by_text(text: str) -> RustMultiarchError | None:
    for words, kind in _TEXTS:
        line = next((one for one in text.splitlines() if words in one.lower()), "")
        if line:
            named = re.search(rf"(/[^\s:]+):? *{words}", line, re.IGNORECASE)
            where = named[1] if named else line.strip()[-200:]
            return _full(where) if kind is NoSpaceLeft else _inaccessible(words, where)
    return None


def _full(where: str) -> NoSpaceLeft:
    return NoSpaceLeft(
        "the disk is full",
        where=where,
        fix="free space there, or choose another place, then repeat the command",
    )


def _inaccessible(reason: str, where: str) -> FileInaccessible:
    return FileInaccessible(
        f"a file cannot be used: {reason}",
        where=where,
        fix="change its permissions, or choose another place, then repeat the command",
    )


def _place(error: OSError) -> str:
    return os.fsdecode(error.filename) if error.filename is not None else "the output of the command"


def details(error: BaseException) -> str:
    """Return all that is known of an error: its traceback, and the output of a failed command."""
    failed: list[Any] = [leaf for leaf in _leaves(error) if isinstance(leaf, _loaded("dagger", "ExecError"))]
    outputs = map(printed, failed)
    return "\n".join(["".join(traceback.format_exception(error)), *filter(None, outputs)])


def unexpected(error: BaseException, log: str = "") -> InternalError:
    """Return the error for an unexpected one, and write its details to a file."""
    leaf = next(_leaves(error))
    what = (str(leaf).strip().splitlines() or [""])[0][:200]
    try:
        descriptor, path = tempfile.mkstemp(prefix="rust-multiarch-", suffix=".txt")
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{details(error)}\n{log}\n")
        fix = f"report it with the details in {path}: {ISSUES}"
    except OSError:
        fix = f"repeat the command with --debug, and report it: {ISSUES}"
    return InternalError(f"{type(leaf).__name__}: {what}", where=_frame(leaf) or _frame(error), fix=fix)


def _frame(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if "/pipeline/" in one.filename or "/engine/" in one.filename] or frames
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def guard(run: Callable[[], int], shown: Callable[[RustMultiarchError], None], log: Callable[[], str]) -> int:
    """Run the command line and return its exit code, also for an error.

    Args:
        run: the command line.
        shown: prints an error.
        log: returns the last lines of the engine's log, for the details of an unexpected error.
    """
    try:
        code = run()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return watching.EXIT_CODE
    except Exception as error:
        if any(isinstance(leaf, BrokenPipeError) for leaf in _leaves(error)):
            _silence()
            return BROKEN_PIPE
        if _shown:
            traceback.print_exception(error)
        found = known(error) or unexpected(error, log())
        if isinstance(found, NoSpaceLeft):
            _drop_output()
        shown(found)
        return found.exit_code


def _silence() -> None:
    """Send what is still to be printed nowhere, since nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        _redirect(stream, nowhere)


def _drop_output() -> None:
    """Discard buffered output that cannot be written, so that it does not fail again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        _redirect(sys.stdout, os.open(os.devnull, os.O_WRONLY))


def _redirect(stream: Any, descriptor: int) -> None:
    try:
        os.dup2(descriptor, stream.fileno())
    except (OSError, ValueError):  # not a stream of the system, for example in a test
        return
