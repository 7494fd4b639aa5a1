"""Look up registry credentials: from secrets, or from `docker login` on this machine.

A keychain is called with one host, only when that registry requires credentials. The text of a secret is in
this process only during the requests it authenticates.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio

from pipeline.errors import CredentialsUnavailable
from pipeline.registry.address import DOCKER_HUB, known_host

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""Key of Docker Hub's credentials in docker's configuration."""

TOKEN_PATHS = frozenset({"v1/access-token", "v1/refresh-token"})
"""Paths below Docker Hub's key where docker's web login stores its tokens; registries refuse them."""

TOKEN_USER = "<token>"
"""User name of a credential helper's answer if the secret is an identity token."""

HELPER_SECONDS = 60
"""Time limit of a credential helper, which may wait for a person or a lost network."""

NOT_FOUND = "credentials not found"
"""A credential helper's message if it has no credentials for a host."""


@dataclass(frozen=True)
class Login:
    """Credentials of a registry: a name and a password, or an identity token. Never printed."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


Keychain = Callable[[str], Awaitable[Login | None]]
"""Look up the credentials of a host; None if there are none."""


class Secret(Protocol):
    """The part of `dagger.Secret` used here."""

    async def plaintext(self) -> str:
        """Return the secret's text."""
        ...


async def anonymous(host: str) -> Login | None:
    """Return no credentials."""
    return None


def from_secrets(table: Mapping[str, tuple[str, Secret]]) -> Keychain:
    """Return a keychain of secrets by host; a secret is read when its host requires it."""

    async def look_up(host: str) -> Login | None:
        if host not in table:
            return None
        username, secret = table[host]
        return Login(username, await secret.plaintext())

    return look_up


def first_of(*keychains: Keychain) -> Keychain:
    """Return a keychain that tries others in order."""

    async def look_up(host: str) -> Login | None:
        for keychain in keychains:
            if login := await keychain(host):
                return login
        return None

    return look_up


@dataclass(frozen=True)
class DockerConfig:
    """The credentials in a docker or podman configuration.

    Attributes:
        logins: credentials in the file, by host.
        helpers: credential helpers by host, each without the prefix `docker-credential-`.
        store: the helper for other hosts; may be empty.
    """

    logins: Mapping[str, Login] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def parse(cls, text: str, where: str = "config.json") -> DockerConfig:
        """Parse a configuration from JSON.

        Raises:
            CredentialsUnavailable: the text is invalid; the message quotes none of it.
        """
        try:
            document = json.loads(text or "{}")
            logins = [(host, _login(entry)) for host, entry in _by_host(document.get("auths") or {})]
            helpers = {host: str(name) for host, name in _by_host(document.get("credHelpers") or {})}
            store = str(document.get("credsStore") or "")
        except (ValueError, AttributeError, TypeError):
            raise CredentialsUnavailable(
                "this is not a docker configuration", where=where, fix="repair the file, or log in again"
            ) from None
        return cls({host: login for host, login in logins if login}, helpers, store)

    def program(self, host: str) -> str:
        """Return the credential helper for a host; "" if none is configured."""
        name = self.helpers.get(host, self.store)
        return f"docker-credential-{name}" if name else ""


def config_paths(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Return the configuration files of docker, then of podman and skopeo, in order of precedence."""
    docker = environ.get("DOCKER_CONFIG")
    named = environ.get("REGISTRY_AUTH_FILE")
    runtime = environ.get("XDG_RUNTIME_DIR")
    return (
        (Path(docker) if docker else home / ".docker") / "config.json",
        *([Path(named)] if named else []),
        *([Path(runtime) / "containers" / "auth.json"] if runtime else []),
        home / ".config" / "containers" / "auth.json",
    )


def configurations(environ: Mapping[str, str], home: Path) -> Iterator[tuple[Path, DockerConfig]]:
    """Yield the existing configurations by file, in order of precedence, each read when it is reached.

    Raises:
        CredentialsUnavailable: a file is unreadable or invalid.
    """
    named = {
        Path(environ.get("DOCKER_CONFIG", ""), "config.json"),
        Path(environ.get("REGISTRY_AUTH_FILE", "")),
    }
    for path in config_paths(environ, home):
        # A file in a directory without access is an error only if the user named the file.
        text = _text(path) if path in named or _exists(path) else None
        if text is not None:
            yield path, DockerConfig.parse(text, str(path))


def _exists(path: Path) -> bool:
    """Check whether a path exists; return False if its directory is not accessible."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _text(path: Path) -> str | None:
    """Return a file's text; None if the file does not exist."""
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsUnavailable(
            f"this configuration cannot be read: {getattr(error, 'strerror', 'it is not text')}",
            where=str(path),
            fix="make the file readable, or name another in DOCKER_CONFIG or REGISTRY_AUTH_FILE",
        ) from None


def from_docker(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Keychain:
    """Return a keychain of this machine's configurations, read on each lookup; the first match is used."""
    home = home or Path.home()

    async def look_up(host: str) -> Login | None:
        for _, config in configurations(environ, home):
            program = config.program(host)
            asked = await _run_helper(program, _key(host), environ) if program else None
            if login := asked or config.logins.get(host):
                return login
        return None

    return look_up


async def _run_helper(program: str, key: str, environ: Mapping[str, str]) -> Login | None:
    """Run a credential helper for a host; its answer is secret and never part of an error."""

    def failed(what: str, output: str = "") -> CredentialsUnavailable:
        fix = f"make `echo {key} | {program} get` work, or pass --username and --password"
        return CredentialsUnavailable(what, where=program, fix=fix, output=output)

    try:
        # In a thread: anyio's processes fail if a program exits without reading its input.
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(
                [program, "get"],
                input=key.encode(),
                capture_output=True,
                env=dict(environ),
                timeout=HELPER_SECONDS,
            )
        )
    except subprocess.TimeoutExpired:
        raise failed(f"the credential helper did not answer in {HELPER_SECONDS} seconds") from None
    except OSError:
        raise failed("the credential helper of the docker configuration cannot be run") from None
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        if NOT_FOUND in said:
            return None
        raise failed(f"the credential helper ended with {done.returncode}", said)
    try:
        answer = json.loads(done.stdout)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise failed("the credential helper did not answer with credentials") from None
    return Login(identity_token=secret) if username == TOKEN_USER else Login(username, secret)


def _login(entry: Mapping[str, Any]) -> Login | None:
    """Return the credentials of an `auths` entry; None if a helper has them."""
    if token := entry.get("identitytoken"):
        return Login(identity_token=str(token))
    try:
        decoded = base64.b64decode(entry.get("auth") or "", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError from None
    username, _, password = decoded.partition(":")
    username, password = username or entry.get("username", ""), password or entry.get("password", "")
    return Login(username, password.rstrip("\0")) if username else None


def _by_host(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the entries of a table by host; the entry to use for a host comes last."""
    keys = sorted((key for key in table if _path(key) not in TOKEN_PATHS), key=_distance, reverse=True)
    return [(_host(key), table[key]) for key in keys]


def _distance(key: str) -> tuple[bool, bool, bool]:
    """Return the distance of a key from its host's canonical key; a shorter distance takes precedence.

    First the canonical key, then other keys of the whole host, URLs with a version, and last podman's keys
    for a part of a host (`quay.io/me`), since a keychain is called with hosts and not repositories.
    """
    return key != _key(_host(key)), bool(_path(key)), "://" not in key


def _path(key: str) -> str:
    """Return the path after the host in a key of the configuration."""
    return (key.partition("://")[2] or key).partition("/")[2].strip("/")


def _host(key: str) -> str:
    """Return the host of a configuration key, which is a host or a URL with a version."""
    if key == DOCKER_HUB_KEY:
        return DOCKER_HUB
    host = key.partition("://")[2] or key
    return known_host(host.partition("/")[0])


def _key(host: str) -> str:
    """Return a credential helper's key for a host."""
    return DOCKER_HUB_KEY if host == DOCKER_HUB else host
