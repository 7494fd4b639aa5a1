"""Who signs in where: credentials given as secrets, or those that `docker login` left on this machine.

A keychain is asked for one host at a time, when that registry wants credentials and not before: a
secret's text then exists in this process for the length of the requests it signs.
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
"""What docker files Docker Hub's credentials under."""

TOKEN_PATHS = frozenset({"v1/access-token", "v1/refresh-token"})
"""Where docker's web login files its own tokens, below Docker Hub's key; no registry takes them."""

TOKEN_USER = "<token>"
"""The user name with which a credential helper says that its secret is an identity token."""

HELPER_SECONDS = 60
"""Time limit of a credential helper: one may wait for a person, or for a lost network."""

NOT_FOUND = "credentials not found"
"""What a credential helper says, and nothing else is wrong, when it has none for a host."""


@dataclass(frozen=True)
class Login:
    """Credentials of one registry: a name and a password, or an identity token. Never printed."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


Keychain = Callable[[str], Awaitable[Login | None]]
"""The credentials of a host, or None; asked when the host wants some."""


class Secret(Protocol):
    """What `dagger.Secret` offers."""

    async def plaintext(self) -> str:
        """The secret's text."""
        ...


async def anonymous(host: str) -> Login | None:
    """Credentials for nobody."""
    return None


def from_secrets(table: Mapping[str, tuple[str, Secret]]) -> Keychain:
    """A keychain of secrets by host, each read when its host asks for it."""

    async def look_up(host: str) -> Login | None:
        if host not in table:
            return None
        username, secret = table[host]
        return Login(username, await secret.plaintext())

    return look_up


def first_of(*keychains: Keychain) -> Keychain:
    """A keychain that asks others in turn."""

    async def look_up(host: str) -> Login | None:
        for keychain in keychains:
            if login := await keychain(host):
                return login
        return None

    return look_up


@dataclass(frozen=True)
class DockerConfig:
    """What a docker or podman configuration says about credentials.

    Attributes:
        logins: by host, from the file itself.
        helpers: credential programs by host, each the name after `docker-credential-`.
        store: the program for every other host, or empty.
    """

    logins: Mapping[str, Login] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def parse(cls, text: str, where: str = "config.json") -> DockerConfig:
        """A configuration out of its JSON text.

        Raises:
            CredentialsUnavailable: it is no such text; the message quotes nothing of it.
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
        """The credential program to ask for a host; empty for none."""
        name = self.helpers.get(host, self.store)
        return f"docker-credential-{name}" if name else ""


def config_paths(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Where docker, then podman and skopeo, keep what their `login` wrote, in the order of looking."""
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
    """The configurations there are, by file, in the order of looking; each is read when its turn comes.

    Raises:
        CredentialsUnavailable: a file cannot be read, or is no configuration.
    """
    named = {
        Path(environ.get("DOCKER_CONFIG", ""), "config.json"),
        Path(environ.get("REGISTRY_AUTH_FILE", "")),
    }
    for path in config_paths(environ, home):
        # Where nobody named it, a file in a folder that only others may enter is none of ours.
        text = _text(path) if path in named or _is_there(path) else None
        if text is not None:
            yield path, DockerConfig.parse(text, str(path))


def _is_there(path: Path) -> bool:
    """Whether a path can be seen; Python's own `exists` is an error where it may not look."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _text(path: Path) -> str | None:
    """A file's text; None where there is no file."""
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsUnavailable(
            f"this configuration cannot be read: {getattr(error, 'strerror', 'it is not text')}",
            where=str(path),
            fix="make it a file that you may read, or name another in DOCKER_CONFIG or REGISTRY_AUTH_FILE",
        ) from None


def from_docker(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Keychain:
    """The keychain of this machine's configurations, read when a host asks; the first with a login counts."""
    home = home or Path.home()

    async def look_up(host: str) -> Login | None:
        for _, config in configurations(environ, home):
            program = config.program(host)
            asked = await _ask(program, _key(host), environ) if program else None
            if login := asked or config.logins.get(host):
                return login
        return None

    return look_up


async def _ask(program: str, key: str, environ: Mapping[str, str]) -> Login | None:
    """What a credential program has for a host. Its answer is a secret: no error quotes it."""

    def failed(what: str, output: str = "") -> CredentialsUnavailable:
        fix = f"make `echo {key} | {program} get` work, or pass --username and --password"
        return CredentialsUnavailable(what, where=program, fix=fix, output=output)

    try:
        # In a thread: anyio's own processes fail when a program ends without reading what it is sent.
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
    """The credentials of one `auths` entry; None where a helper has them."""
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
    """The entries of a table under the hosts that their keys mean, what counts most for a host last."""
    keys = sorted((key for key in table if _path(key) not in TOKEN_PATHS), key=_distance, reverse=True)
    return [(_host(key), table[key]) for key in keys]


def _distance(key: str) -> tuple[bool, bool, bool]:
    """How far a key is from the one that its host is filed under; less counts more.

    First that key itself, then other names of the whole host, URLs with a version, and last podman's keys
    of a part of a host (`quay.io/me`): a keychain is asked for hosts, not for repositories.
    """
    return key != _key(_host(key)), bool(_path(key)), "://" not in key


def _path(key: str) -> str:
    """What follows the host in a key of the configuration."""
    return (key.partition("://")[2] or key).partition("/")[2].strip("/")


def _host(key: str) -> str:
    """The host that a key of the configuration means: keys are hosts, or URLs with a version."""
    if key == DOCKER_HUB_KEY:
        return DOCKER_HUB
    host = key.partition("://")[2] or key
    return known_host(host.partition("/")[0])


def _key(host: str) -> str:
    """What a credential program is asked for."""
    return DOCKER_HUB_KEY if host == DOCKER_HUB else host
