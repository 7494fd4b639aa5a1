"""Access to private dependencies: what `cargo fetch` may use, and nothing after it sees.

Sources of the rules: the cargo book, "Git Authentication" and "Registry Authentication"; gitcredentials(7)
for the helper. Git dependencies are fetched by git itself, not by cargo's own library: it reads the same
configuration as on a laptop, and works where a distribution's cargo and libgit2 do not fit together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagger

from pipeline import cargo_toml
from pipeline.errors import InvalidArgument

GITCONFIG = "/etc/gitconfig"
KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
AGENT = "/run/ssh-agent.sock"

# Published by each host: GitHub, "GitHub's SSH key fingerprints"; GitLab, "GitLab.com settings"; Bitbucket,
# "Configure SSH". Whoever passes known hosts of their own replaces all of them.
PUBLIC_HOSTS = """\
github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf
bitbucket.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO
"""

_PROVIDERS = "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS"
"""Without it cargo takes no token from the environment for a registry that wants one for reading."""

_OTHER_INDEX = r"registry\+(?!sparse\+|https://github\.com/rust-lang/crates\.io-index$)"
"""A registry whose index is a git repository; of crates.io's own, cargo takes files over https instead."""

PROGRAMS = ((rf"git\+|{_OTHER_INDEX}", "git"), (r"(?:git|registry)\+ssh:", "openssh-client"))
"""What a source in Cargo.lock starts with, and the Debian package that it is fetched with."""

REPLACEMENTS = (
    ("source", "registry", "registry+"),
    ("source", "git", "git+"),
    ("registries", "index", "registry+"),
)
"""What may take a source's place: table and key that hold its address, and what Cargo.lock puts before it."""


@dataclass(frozen=True)
class RegistryToken:
    """A token for an alternative registry, by its name in the project's `.cargo/config.toml`."""

    name: str
    token: dagger.Secret


@dataclass(frozen=True)
class BuildSecret:
    """A secret variable of the compile."""

    name: str
    value: dagger.Secret


@dataclass(frozen=True)
class GitToken:
    """A user name and a password or token for git over https at one host."""

    host: str
    token: dagger.Secret
    username: str


@dataclass(frozen=True)
class Access:
    """Everything private dependencies are fetched with.

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
        """A container whose cargo can fetch what these open; only secrets and sockets are added to it."""
        for registry in self.registries:
            container = container.with_secret_variable(registry_variable(registry.name), registry.token)
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
        # No question is ever asked: nobody is there to answer it.
        return container.with_env_variable("CARGO_NET_GIT_FETCH_WITH_CLI", "true").with_env_variable(
            "GIT_TERMINAL_PROMPT", "0"
        )


def programs(lock: str, configuration: Mapping[str, Any] | None = None) -> list[str]:
    """The Debian packages that fetch what a Cargo.lock names; none where cargo itself does all of it.

    Args:
        lock: the lock file.
        configuration: cargo's of the project, which may replace what the lock file names.
    """
    sources = [*re.findall(r'^source = "([^"]+)"', lock, re.MULTILINE), *_replacements(configuration or {})]
    return [package for start, package in PROGRAMS if any(re.match(start, source) for source in sources)]


def _replacements(document: Mapping[str, Any]) -> list[str]:
    """What takes a source's place, as Cargo.lock would name it (the cargo book, "Source Replacement")."""
    defined = cargo_toml.table(document, "source")
    names = [str(cargo_toml.table(defined, name).get("replace-with", "")) for name in defined]
    return [
        f"{kind}{place[key]}"
        for name in filter(None, names)
        for section, key, kind in REPLACEMENTS
        if key in (place := cargo_toml.table(document, section, name))
    ]


def registry_variable(name: str) -> str:
    """The variable in which cargo looks for a registry's token, for example CARGO_REGISTRIES_MY_CORP_TOKEN.

    Raises:
        InvalidArgument: cargo takes no registry of that name.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise InvalidArgument(
            f"{name!r} is not the name of a registry",
            where="--registry-token",
            fix="use the name under [registries] in the project's .cargo/config.toml",
        )
    return f"CARGO_REGISTRIES_{name.upper().replace('-', '_')}_TOKEN"


def gitconfig(hosts: list[tuple[str, str]]) -> str:
    """A git configuration that answers for some hosts with what is in the environment; no secret is in it.

    Args:
        hosts: name of the host, with its port if it has one, and user name.

    Raises:
        InvalidArgument: a host or user name with characters that none has.
    """
    sections = []
    for number, (host, username) in enumerate(hosts):
        if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", host):
            raise InvalidArgument(
                f"{host!r} is not a host name", where="--git-token", fix="write it as git.example.com"
            )
        if not re.fullmatch(r"[\w.@+-]+", username, re.ASCII):
            raise InvalidArgument(
                f"{username!r} is not a user name",
                where="--git-token",
                fix="most hosts take any, for example git",
            )
        # In git's own quoting, inside of which the shell's keeps every byte of the token.
        answer = rf"printf 'username=%s\\npassword=%s\\n' '{username}' \"${_git_variable(number)}\""
        for scheme in ("https", "http"):
            sections.append(f'[credential "{scheme}://{host}"]\n\thelper = "!f() {{ {answer}; }}; f"\n')
    return "".join(sections)


def _git_variable(number: int) -> str:
    return f"GIT_TOKEN_{number}"
