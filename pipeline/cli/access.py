"""Options for private dependencies: names of variables that hold secrets, never the secrets themselves."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from dagger import dag

from pipeline.config.request import pairs
from pipeline.errors import InvalidArgument
from pipeline.main import RustMultiarch

AGENT = "SSH_AUTH_SOCK"
_PANEL = "Private dependencies"


def _parameter(name: str, kind: Any, default: object, flag: str, text: str) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(flag, help=text, rich_help_panel=_PANEL)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


PARAMETERS = (
    _parameter("registry_tokens", list[str] | None, None, "--registry-token",
               "Registry of .cargo/config.toml and the variable with its token, NAME=VARIABLE; repeatable."),
    _parameter("git_tokens", list[str] | None, None, "--git-token",
               "Git host and the variable with its token, HOST=VARIABLE; repeatable."),
    _parameter("build_secrets", list[str] | None, None, "--build-secret",
               "Secret of the compile and the variable that has it, NAME=env:VARIABLE; repeatable."),
    _parameter("ssh", bool, False, "--ssh", f"Fetch git dependencies with the ssh agent of {AGENT}."),
)  # fmt: skip


def check(
    registry_tokens: Sequence[str] | None,
    git_tokens: Sequence[str] | None,
    ssh: bool,
    environ: Mapping[str, str] = os.environ,
    build_secrets: Sequence[str] | None = None,
) -> None:
    """Refuse what names no secret.

    Raises:
        InvalidArgument: an option is not NAME=VARIABLE, or a variable is not set.
    """
    named = pairs("registry-token", list(registry_tokens or ())) + pairs("git-token", list(git_tokens or ()))
    named += secrets(build_secrets)
    for _, variable in named:
        if variable not in environ:
            fix = "give the name of the variable that has the token, not the token"
            raise InvalidArgument("no environment variable has this name", where=variable, fix=fix)
    if ssh and AGENT not in environ:
        raise InvalidArgument("there is no ssh agent", where=AGENT, fix="start one with `eval $(ssh-agent)`")


def words(
    registry_tokens: Sequence[str] | None,
    git_tokens: Sequence[str] | None,
    ssh: bool,
) -> list[str]:
    """The options again, as another command of ours is given them."""
    named = (("--registry-token", registry_tokens), ("--git-token", git_tokens))
    found = [word for option, given in named for one in given or () for word in (option, one)]
    return [*found, *(["--ssh"] if ssh else [])]


def secrets(items: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Return the variables of the compile, each with the variable here that has its secret.

    Raises:
        InvalidArgument: an option is not NAME=env:VARIABLE.
    """
    found = []
    for name, place in pairs("build-secret", list(items or ())):
        scheme, _, variable = place.partition(":")
        if scheme != "env" or not variable:
            fix = f"write --build-secret {name}=env:VARIABLE, with the name of a variable here"
            # What was written may be the secret itself.
            raise InvalidArgument(
                f"{name} is not of the form NAME=env:VARIABLE", where="--build-secret", fix=fix
            )
        found.append((name, variable))
    return tuple(found)


def grant(
    module: RustMultiarch,
    registry_tokens: Sequence[str] | None,
    git_tokens: Sequence[str] | None,
    ssh: bool,
    build_secrets: Sequence[str] | None = None,
) -> RustMultiarch:
    """The module with what the options open."""
    for name, variable in secrets(build_secrets):
        module = module.with_build_secret(name, dag.secret(f"env://{variable}"))
    for name, variable in pairs("registry-token", list(registry_tokens or ())):
        module = module.with_registry_token(name, dag.secret(f"env://{variable}"))
    for host, variable in pairs("git-token", list(git_tokens or ())):
        module = module.with_git_token(host, dag.secret(f"env://{variable}"))
    return module.with_ssh(dag.host().unix_socket(os.environ[AGENT])) if ssh else module
