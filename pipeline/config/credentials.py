"""Give `cargo fetch`, and no later step, access to private dependencies.

Sources: the cargo book, "Git Authentication" and "Registry Authentication"; gitcredentials(7) for the helper.
Git dependencies are fetched with git instead of cargo's library, since it uses the same configuration as on a
developer's machine, and works if a distribution's cargo and libgit2 are incompatible.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import cargo_toml
from pipeline.errors import InvalidArgument
from pipeline.sdk import dagger

GITCONFIG = "/etc/gitconfig"
KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
AGENT = "/run/ssh-agent.sock"

# Published by each host: GitHub, "GitHub's SSH key fingerprints"; GitLab, "GitLab.com settings"; Bitbucket,
# "Configure SSH". --ssh-known-hosts replaces all of them.
PUBLIC_HOSTS = """\
github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf
bitbucket.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO
"""

_PROVIDERS = "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS"
"""Required for cargo to use a token in the environment for reading from a registry."""

_OTHER_INDEX = r"registry\+(?!sparse\+|https://github\.com/rust-lang/crates\.io-index$)"
"""A registry with a git index; for crates.io, cargo uses the sparse index instead."""

VARIABLES = {
    "CARGO_NET_GIT_FETCH_WITH_CLI": "true",
    # Nobody can answer a prompt.
    "GIT_TERMINAL_PROMPT": "0",
    # Others run programs or read files of the container.
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:git",
}
"""Variables of every fetch."""

PROGRAMS = ((rf"git\+|{_OTHER_INDEX}", "git"), (r"(?:git|registry)\+ssh:", "openssh-client"))
"""Prefixes of sources in Cargo.lock, and the Debian packages needed to fetch them."""

REPLACEMENTS = (
    ("source", "registry", "registry+"),
    ("source", "git", "git+"),
    ("registries", "index", "registry+"),
)
"""Source replacements: table and key of the address, and the prefix of such sources in Cargo.lock."""


@dataclass(frozen=True)
class RegistryToken:
    """A token for an alternative registry.

    Attributes:
        name: its name in the project's `.cargo/config.toml`.
        index: the address of its index, as there: cargo sends the token only to this registry.
        token: the token.
    """

    name: str
    index: str
    token: dagger.Secret


@dataclass(frozen=True)
class BuildSecret:
    """A secret environment variable of the compilation."""

    name: str
    value: dagger.Secret


@dataclass(frozen=True)
class GitToken:
    """A user name and a password or token of a host, for git over https.

    Attributes:
        host: host name with an optional port; with `http://` before it, the token is sent unencrypted.
        token: the password or token.
        username: the user name.
    """

    host: str
    token: dagger.Secret
    username: str


@dataclass(frozen=True)
class Access:
    """The credentials for private dependencies.

    Attributes:
        registries: tokens of alternative registries.
        git: tokens of git hosts.
        agent: an ssh agent's socket, for git over ssh.
        known_hosts: public keys of ssh hosts, instead of those of `PUBLIC_HOSTS`.
    """

    registries: tuple[RegistryToken, ...] = ()
    git: tuple[GitToken, ...] = ()
    agent: dagger.Socket | None = None
    known_hosts: dagger.File | None = None

    def grant(self, container: dagger.Container) -> dagger.Container:
        """Add the credentials to a container, as secrets and sockets."""
        for registry in self.registries:
            variable = registry_variable(registry.name)
            container = container.with_secret_variable(variable, registry.token)
            # It takes precedence over the project's configuration.
            index = f"{variable.removesuffix('_TOKEN')}_INDEX"
            container = container.with_env_variable(index, registry.index)
            container = container.with_env_variable(_PROVIDERS, "cargo:token")
        for number, host in enumerate(self.git):
            container = container.with_secret_variable(_git_variable(number), host.token)
        if self.git:
            hosts = [(host.host, host.username) for host in self.git]
            container = container.with_new_file(GITCONFIG, gitconfig(hosts))
        if self.agent is not None:
            container = container.with_unix_socket(AGENT, self.agent)
            container = container.with_env_variable("SSH_AUTH_SOCK", AGENT)
            if self.known_hosts is None:
                container = container.with_new_file(KNOWN_HOSTS, PUBLIC_HOSTS)
            else:
                container = container.with_file(KNOWN_HOSTS, self.known_hosts)
        for name, value in VARIABLES.items():
            container = container.with_env_variable(name, value)
        return container


def programs(lock: str, configuration: Mapping[str, Any] | None = None) -> list[str]:
    """Return the Debian packages needed to fetch the sources in a Cargo.lock; [] if cargo is enough.

    Args:
        lock: the lock file.
        configuration: the project's cargo configuration, which may replace sources.
    """
    sources = [*re.findall(r'^source = "([^"]+)"', lock, re.MULTILINE), *_replacements(configuration or {})]
    return [package for start, package in PROGRAMS if any(re.match(start, source) for source in sources)]


def _replacements(document: Mapping[str, Any]) -> list[str]:
    """Return the replacements of sources as in Cargo.lock (the cargo book, "Source Replacement")."""
    defined = cargo_toml.table(document, "source")
    names = [str(cargo_toml.table(defined, name).get("replace-with", "")) for name in defined]
    return [
        f"{kind}{place[key]}"
        for name in filter(None, names)
        for section, key, kind in REPLACEMENTS
        if key in (place := cargo_toml.table(document, section, name))
    ]


def registry_variable(name: str) -> str:
    """Return cargo's variable for a registry's token, for example CARGO_REGISTRIES_MY_CORP_TOKEN.

    Raises:
        InvalidArgument: the name is invalid for cargo.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise InvalidArgument(
            f"{name!r} is not the name of a registry",
            where="--registry-token",
            fix="use the name under [registries] in the project's .cargo/config.toml",
        )
    return token_variable(name)


def token_variable(name: str) -> str:
    """Return the variable of a registry's token without checking the name: several names have the same."""
    return f"CARGO_REGISTRIES_{name.upper().replace('-', '_')}_TOKEN"


def registry_index(name: str, index: str) -> str:
    """Check the address of a registry's index, and return it.

    Raises:
        InvalidArgument: it is not an address that cargo accepts.
    """
    if not re.fullmatch(r"(?:sparse\+https?|https?|ssh|git)://[^\s\"'\\]+", index):
        raise InvalidArgument(
            f"{index!r} is not the address of a registry's index",
            where="--registry-token",
            fix=f"write it as in the project's .cargo/config.toml, for example "
            f"{name}@sparse+https://cargo.example.com/index/",
        )
    return index


def gitconfig(hosts: list[tuple[str, str]]) -> str:
    """Return a git configuration with a credential helper that reads the tokens from the environment.

    Args:
        hosts: host names, each with an optional port, and user names; the tokens are only for https, unless
            `http://` is before the name.

    Raises:
        InvalidArgument: a host or user name is invalid.
    """
    sections = []
    for number, (host, username) in enumerate(hosts):
        if not re.fullmatch(r"(?:https?://)?[A-Za-z0-9.-]+(:\d+)?", host):
            raise InvalidArgument(
                f"{host!r} is not a host name", where="--git-token", fix="write it as git.example.com"
            )
        if not re.fullmatch(r"[\w.@+-]+", username, re.ASCII):
            raise InvalidArgument(
                f"{username!r} is not a user name",
                where="--git-token",
                fix="use letters, digits and `.@+-_`; most hosts accept any name, for example git",
            )
        # Quoted for git, and for the shell that git runs.
        answer = rf"printf 'username=%s\\npassword=%s\\n' '{username}' \"${_git_variable(number)}\""
        address = host if "://" in host else f"https://{host}"
        sections.append(f'[credential "{address}"]\n\thelper = "!f() {{ {answer}; }}; f"\n')
    return "".join(sections)


def _git_variable(number: int) -> str:
    return f"GIT_TOKEN_{number}"
