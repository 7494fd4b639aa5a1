"""Format the help of commands: -h shows the common options, --help all of them in groups.

The tables below name options by parameter. They also hold the options of docker and cargo that do not exist
here, with what to use instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from typer.core import TyperCommand

COMMON = (
    "watch", "publish", "file", "repository", "platforms", "platform", "tag", "push", "load", "outputs",
    "directory", "matrix", "command", "seconds", "package",
    "bin", "features", "username", "password", "cargo_profile", "libc", "ports", "runtime_packages", "json",
)  # fmt: skip
"""The options that people use first; the help of a command starts with the first `COMMON_COUNT` it has."""

COMMON_COUNT = 10

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Cargo": ("package", "bin", "features", "all_features", "no_default_features", "cargo_profile",
              "cargo_args", "build_args", "rust_version", "manifest_path", "deny_warnings"),
    "Program": ("command", "seconds", "publish", "watch"),
    "Platforms": ("platforms", "libc", "glibc", "debian", "target_packages", "builder_packages",
                                       "strategy", "build_platform"),
    "Image": ("runtime_base", "runtime_packages", "files_from", "user", "ports", "working_directory",
              "entrypoint", "args", "runtime_env", "labels", "volumes", "stop_signal", "index",
              "source_date_epoch"),
    "Health check": ("health_cmd", "health_interval", "health_timeout", "health_start_period",
                     "health_start_interval", "health_retries", "no_healthcheck"),
    "Git": ("ref", "tag_rules", "require_clean", "allow_dirty", "git_metadata"),
    "Source": ("include_ignored", "whole_repository", "untrusted"),
    "Registry": ("tag", "repository", "push", "username", "password", "no_clobber", "plain_http",
                 "by_digest"),
    "Attachments": ("sbom", "sbom_format", "provenance", "builder_id", "invocation_id", "symbols",
                    "sign_key", "sign_password", "legacy_signatures", "sign_keyless", "identity_token",
                    "sigstore_config"),
    "Compiled state": ("cache_from", "cache_to", "compile_cache", "store_secrets"),
    "Private sources": ("registry_tokens", "git_tokens", "ssh", "build_secrets"),
    "Output": ("load", "local", "output", "outputs", "directory", "json", "progress", "debug", "help"),
    "Engine": ("engine",),
}  # fmt: skip
"""The groups of the long help, in order; an option that is in none is in `OTHER`."""

OTHER = "Other options"

VALUES: Mapping[str, str] = {
    "platforms": "OS/ARCH", "platform": "OS/ARCH", "build_platform": "OS/ARCH", "tag": "ADDRESS",
    "outputs": "PATH", "directory": "DIR", "files_from": "DIR", "volumes": "DIR",
    "manifest_path": "FILE", "sign_key": "FILE",
    "sigstore_config": "FILE", "identity_token": "env:VARIABLE",
    "password": "VARIABLE", "sign_password": "VARIABLE", "build_args": "NAME[=VALUE]", "labels": "NAME=VALUE",
    "runtime_env": "NAME[=VALUE]", "registry_tokens": "NAME=VARIABLE", "git_tokens": "HOST=VARIABLE",
    "build_secrets": "NAME=env:VARIABLE", "store_secrets": "NAME=env:VARIABLE",
    "compile_cache": "engine|off|gha|ADDRESS|DIR", "ports": "PORT", "engine": "ADDRESS", "package": "NAME",
    "bin": "NAME", "features": "NAMES", "cargo_profile": "NAME", "libc": "gnu|musl", "runtime_base": "IMAGE",
    "image": "IMAGE", "runtime_packages": "NAME", "target_packages": "NAME", "builder_packages": "NAME",
    "plain_http": "HOST", "health_interval": "TIME", "health_timeout": "TIME", "health_start_period": "TIME",
    "health_start_interval": "TIME", "user": "USER", "username": "NAME",
    "strategy": "cross|emulated", "glibc": "VERSION", "rust_version": "VERSION",
    "debian": "trixie|bookworm", "branch": "NAME", "repository": "ADDRESS", "file": "PATH",
    "output": "FILE", "publish": "PORT:PORT", "sbom_format": "cyclonedx|spdx",
}  # fmt: skip
"""The word for an option's value in help, where the type does not say enough."""

NOT_HERE: Mapping[str, str] = {
    # docker build and docker buildx build
    "--secret": "use --build-secret NAME=env:VARIABLE",
    "--build-context": "use --files for files of the image; the source is the git repository",
    "--target": "use --platform, for example --platform linux/arm64",
    "--no-cache": "leave it out: what is reused is decided by content",
    "--pull": "leave it out: base images are resolved anew for each build",
    "--metadata-file": "use --json, which prints the digests and addresses",
    "--iidfile": "use --json, which prints the digests",
    "--attest": "use --sbom and --provenance",
    "--annotation": "use --label, which also sets the annotations of the index",
    "--quiet": "use --progress quiet",
    "-q": "use --progress quiet",
    "--builder": "use --engine ADDRESS",
    "--network": "leave it out: only the fetch uses the network",
    "--allow": "leave it out: there are no entitlements",
    "--dockerfile": "leave it out: there is no Dockerfile",
    "--expose": "use --port",
    "--cmd": "use --arg",
    "--healthcheck": "use --health-cmd",
    "--copy": "use --files DIR",
    "--base-image": "use --runtime-base",
    # cargo
    "--release": "leave it out: release is the default; use --profile for another",
    "-r": "leave it out: release is the default; use --profile for another",
    "--locked": "leave it out: Cargo.lock is always used as it is",
    "--frozen": "leave it out: Cargo.lock is always used as it is",
    "--offline": "use --cargo-arg=--offline after vendoring the dependencies",
    "--workspace": "use --bin once for each program, or the command `images` for an image of each",
    "--bins": "use --bin once for each program, or the command `images` for an image of each",
    "--jobs": "use --cargo-arg=--jobs=N",
    "-j": "use --cargo-arg=--jobs=N",
    "--config": "use --cargo-arg=--config=KEY=VALUE",
    "--target-dir": "use `rust-multiarch binary --output DIR` for the programs",
    "--message-format": "use --json, or --progress raw for the output of cargo",
    "--verbose": "use --progress raw",
    "-v": "use --progress raw",
    "-vv": "use --progress raw",
    "--zig": "use --glibc VERSION or --libc musl",
}
"""Options of docker and cargo that do not exist here, and what to use instead."""


def instead(option: str, possible: Iterable[str]) -> str:
    """Return the next step for an option that does not exist."""
    if option in NOT_HERE:
        return NOT_HERE[option]
    found = difflib.get_close_matches(option, list(possible), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(found)}?" if found else "see --help for all options"


class Command(TyperCommand):
    """A command whose -h shows the common options, and whose --help shows all of them in groups."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the description for the list of commands, which is wrapped instead of cut."""
        return super().get_short_help_str(max(limit, 200))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, and remember which help is requested."""
        ctx.meta[__name__] = "-h" in args and "--help" not in args
        return super().parse_args(ctx, [part for word in args for part in _spread(word)])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options: the common ones, then all of them in groups or their names."""
        shown = [one for one in self.get_params(ctx) if not getattr(one, "hidden", False)]
        arguments = [one for one in shown if one.param_type_name == "argument"]
        options = {one.name: one for one in shown if one.param_type_name == "option"}
        few = len(options) <= COMMON_COUNT + 3
        common = list(options) if few else [name for name in COMMON if name in options][:COMMON_COUNT]
        _section(formatter, "Arguments", [(one.name, one.help or "") for one in arguments])
        _section(formatter, "Options", [_record(ctx, options[name]) for name in common])
        rest = grouped([name for name in options if name not in common])
        if not rest:
            return
        if ctx.meta.get(__name__):
            named = [(group, ", ".join(_flag(options[name]) for name in names)) for group, names in rest]
            with formatter.section("More options, described by --help"):
                formatter.write_dl(named, col_max=20)
            return
        for group, names in rest:
            _section(formatter, group, [_record(ctx, options[name]) for name in names])


def _spread(word: str) -> list[str]:
    """Return the options for `--sbom=FORMAT`, since a flag has no value; other words are unchanged."""
    option, equals, value = word.partition("=")
    return [option, f"--sbom-format={value}"] if option == "--sbom" and equals else [word]


def grouped(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the groups of some options, without empty groups."""
    found = [(group, [name for name in members if name in names]) for group, members in GROUPS.items()]
    placed = {name for _, members in found for name in members}
    found.append((OTHER, [name for name in names if name not in placed]))
    return [(group, members) for group, members in found if members]


def _section(formatter: Any, title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows, col_max=28)


def _record(ctx: Any, option: Any) -> tuple[str, str]:
    _, described = option.get_help_record(ctx) or ("", "")
    short = [flag for flag in option.opts if len(flag) == 2]
    flags = [*short, _flag(option)]
    value = "" if option.is_flag else " " + (VALUES.get(option.name) or _value(ctx, option))
    return ", ".join(flags) + value, described


def _value(ctx: Any, option: Any) -> str:
    kind = option.display_type(ctx).strip("<>").removeprefix("list[").removesuffix("]")
    return {"str": "TEXT", "int": "N", "path": "PATH"}.get(kind, kind)


def _flag(option: Any) -> str:
    return str(next((flag for flag in option.opts if flag.startswith("--")), option.opts[0]))
