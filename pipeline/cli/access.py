"""Define the options for private dependencies, which take names of variables with secrets, not secrets."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.variables import unset
from pipeline.config import compile_cache
from pipeline.config.compile_cache import CompileCache, credential
from pipeline.config.credentials import registry_index
from pipeline.config.request import pairs
from pipeline.errors import InvalidArgument
from pipeline.sdk import dag

if TYPE_CHECKING:
    from pipeline.main import RustMultiarch

AGENT = "SSH_AUTH_SOCK"
_PANEL = "Private dependencies"


def _parameter(name: str, kind: Any, default: object, flag: str, text: str) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(flag, help=text, rich_help_panel=_PANEL)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


PARAMETERS = (
    _parameter("registry_tokens", list[str] | None, None, "--registry-token",
               "Registry, the address of its index, both as in .cargo/config.toml, and the variable with its "
               "token, NAME@INDEX=VARIABLE; repeatable."),
    _parameter("git_tokens", list[str] | None, None, "--git-token",
               "Git host and the variable with its token for https, HOST=VARIABLE; repeatable."),
    _parameter("build_secrets", list[str] | None, None, "--build-secret",
               "Secret of the compilation and the variable with its value, NAME=env:VARIABLE; repeatable."),
    _parameter("store_secrets", list[str] | None, None, "--compile-cache-secret",
               "Credential of the store of compiled dependencies and the variable with its value, "
               "NAME=env:VARIABLE; repeatable."),
    _parameter("ssh", bool, False, "--ssh", f"Fetch git dependencies with the ssh agent of {AGENT}."),
)  # fmt: skip


def check(
    registry_tokens: Sequence[str] | None,
    git_tokens: Sequence[str] | None,
    ssh: bool,
    environ: Mapping[str, str] = os.environ,
    build_secrets: Sequence[str] | None = None,
    store_secrets: Sequence[str] | None = None,
) -> None:
    """Check the options before an engine is started.

    Raises:
        InvalidArgument: an option has another form, or a variable is not set.
    """
    named = (
        ("--registry-token", tuple((name, variable) for name, *_, variable in registries(registry_tokens))),
        ("--git-token", pairs("git-token", list(git_tokens or ()))),
        ("--build-secret", secrets(build_secrets)),
        ("--compile-cache-secret", store_credentials(store_secrets)),
    )
    for option, items in named:
        for name, variable in items:
            if variable not in environ:
                raise unset(variable, f"{option} {name}=…")
    if ssh and AGENT not in environ:
        raise InvalidArgument(
            "no ssh agent is running", where=AGENT, fix="start one with `eval $(ssh-agent)`"
        )


def registries(items: Sequence[str] | None) -> tuple[tuple[str, str, str], ...]:
    """Return names and addresses of registries, each with the local variable that has its token.

    Raises:
        InvalidArgument: an option is not NAME@INDEX=VARIABLE.
    """
    found = []
    for item in items or ():
        # An address may contain an equals sign.
        place, equals, variable = item.rpartition("=")
        name, _, index = place.partition("@")
        if not equals:
            name = "NAME"
        if not (name and index and variable):
            # The message does not quote the value, which may be the token itself.
            raise InvalidArgument(
                f"the token of {name or 'a registry'} needs the address of the registry's index",
                where="--registry-token",
                fix="write NAME@INDEX=VARIABLE with the index in the project's .cargo/config.toml, for "
                f"example --registry-token {name or 'NAME'}@sparse+https://cargo.example.com/index/=VARIABLE",
            )
        registry_index(name, index)
        found.append((name, index, variable))
    return tuple(found)


def store_credentials(items: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Return the credentials of a store, each with the local variable that has its value.

    Raises:
        InvalidArgument: an option is not NAME=env:VARIABLE, or no store has such a credential.
    """
    return tuple((credential(name), variable) for name, variable in secrets(items, "compile-cache-secret"))


def with_runners(
    items: Sequence[str] | None, cache: CompileCache | None, environ: Mapping[str, str]
) -> list[str]:
    """Add the credentials of a store that a CI system's runner has in its environment.

    Args:
        items: the credentials that the user names, which take precedence.
        cache: the cache with the store.
        environ: the environment.

    Raises:
        InvalidArgument: see `store_credentials`.
    """
    named = {name for name, _ in store_credentials(items)}
    found = [
        f"{name}=env:{variable}"
        for name, variable in compile_cache.of_runner(cache).items()
        if name not in named and environ.get(variable)
    ]
    return [*(items or ()), *found]


def secrets(items: Sequence[str] | None, option: str = "build-secret") -> tuple[tuple[str, str], ...]:
    """Return the names of secrets, each with the local variable that has its value.

    Args:
        items: the values of the option.
        option: its name, for messages.

    Raises:
        InvalidArgument: a value is not NAME=env:VARIABLE.
    """
    found = []
    for name, place in pairs(option, list(items or ())):
        scheme, _, variable = place.partition(":")
        if scheme != "env" or not variable:
            fix = f"write --{option} {name}=env:VARIABLE, with the name of a variable here"
            # The message does not quote the value, which may be the secret itself.
            raise InvalidArgument(
                f"{name} is not of the form NAME=env:VARIABLE", where=f"--{option}", fix=fix
            )
        found.append((name, variable))
    return tuple(found)


def grant(
    module: RustMultiarch,
    registry_tokens: Sequence[str] | None,
    git_tokens: Sequence[str] | None,
    ssh: bool,
    build_secrets: Sequence[str] | None = None,
    store_secrets: Sequence[str] | None = None,
) -> RustMultiarch:
    """Add the credentials to the module."""
    for name, variable in secrets(build_secrets):
        module = module.with_build_secret(name, dag.secret(f"env://{variable}"))
    for name, variable in store_credentials(store_secrets):
        # A runner's token is another one in each job, which must not run the compile again.
        key = f"rust-multiarch-{variable}" if variable in compile_cache.RUNNERS else None
        module = module.with_compile_cache_secret(name, dag.secret(f"env://{variable}", cache_key=key))
    for name, index, variable in registries(registry_tokens):
        module = module.with_registry_token(name, dag.secret(f"env://{variable}"), index)
    for host, variable in pairs("git-token", list(git_tokens or ())):
        module = module.with_git_token(host, dag.secret(f"env://{variable}"))
    return module.with_ssh(dag.host().unix_socket(os.environ[AGENT])) if ssh else module
