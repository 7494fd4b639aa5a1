"""Parse the store of compiled dependencies: the engine's, or one that engines and runners share.

Source: sccache 0.16, docs/Redis.md, docs/S3.md, docs/Webdav.md, docs/GHA.md and docs/MultiLevel.md, and the
service `ghac` of opendal, which reads the variables of GitHub Actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pipeline.errors import InvalidArgument

OFF, ENGINE, GHA = "off", "engine", "gha"
OPTION = "--compile-cache"
EXAMPLES = "redis://host:6379/0, s3://bucket/prefix?region=eu-central-1 or webdavs://host/path"
DIRECTORIES = "./directory or /absolute/directory"


@dataclass(frozen=True)
class SharedStore:
    """A store that engines share.

    Attributes:
        kind: the row of `KINDS`.
        address: its address, without credentials.
        variables: the settings of sccache.
    """

    kind: str
    address: str
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CompileCache:
    """The cache of compiled dependencies: a volume of the engine, with an optional store behind it.

    Attributes:
        store: the store behind it.
        directory: a directory on the machine of the command line that is copied to the volume before a build,
            and gets what the build added to it.
    """

    store: SharedStore | None = None
    directory: str = ""


@dataclass(frozen=True)
class StoreKind:
    """A kind of store.

    Attributes:
        level: sccache's name of it.
        mode: sccache's variable for a store that is only read.
        variables: returns sccache's variables for an address, without credentials.
        user: sccache's variable for the user name; empty if an address has none.
        credentials: sccache's variable of each credential.
        of_runner: the variable in which a CI system's runner has each credential, all of which are needed.
    """

    level: str
    mode: str
    variables: Callable[[SplitResult], dict[str, str]]
    user: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict)
    of_runner: Mapping[str, str] = field(default_factory=dict)


def _place(address: SplitResult) -> str:
    return address.netloc.rpartition("@")[2]


def _redis(address: SplitResult) -> dict[str, str]:
    found = {"SCCACHE_REDIS_ENDPOINT": f"{address.scheme}://{_place(address)}"}
    database = address.path.strip("/")
    return {**found, "SCCACHE_REDIS_DB": database} if database else found


def _s3(address: SplitResult) -> dict[str, str]:
    given = dict(parse_qsl(address.query))
    found = {
        "SCCACHE_BUCKET": _place(address),
        "SCCACHE_S3_KEY_PREFIX": address.path.strip("/"),
        "SCCACHE_REGION": given.get("region", "auto" if "endpoint" in given else ""),
        "SCCACHE_ENDPOINT": given.get("endpoint", ""),
        "SCCACHE_S3_USE_SSL": "false" if given.get("endpoint", "").startswith("http://") else "true",
    }
    return {name: value for name, value in found.items() if value}


def _webdav(address: SplitResult) -> dict[str, str]:
    scheme = "https" if address.scheme == "webdavs" else "http"
    return {"SCCACHE_WEBDAV_ENDPOINT": f"{scheme}://{_place(address)}{address.path}"}


def _gha(_: SplitResult) -> dict[str, str]:
    # The first service was switched off in 2025; opendal uses the second one only with this variable.
    return {"SCCACHE_GHA_ENABLED": "on", "ACTIONS_CACHE_SERVICE_V2": "on"}


_REDIS = StoreKind(
    "redis",
    "SCCACHE_REDIS_RW_MODE",
    _redis,
    "SCCACHE_REDIS_USERNAME",
    {"password": "SCCACHE_REDIS_PASSWORD"},
)
_WEBDAV = StoreKind(
    "webdav",
    "SCCACHE_WEBDAV_RW_MODE",
    _webdav,
    "SCCACHE_WEBDAV_USERNAME",
    {"password": "SCCACHE_WEBDAV_PASSWORD", "token": "SCCACHE_WEBDAV_TOKEN"},
)
_RUNNER = {"url": "ACTIONS_RESULTS_URL", "token": "ACTIONS_RUNTIME_TOKEN"}

KINDS: Mapping[str, StoreKind] = {
    "redis": _REDIS,
    "rediss": _REDIS,
    "webdav": _WEBDAV,
    "webdavs": _WEBDAV,
    "s3": StoreKind(
        "s3",
        "SCCACHE_S3_RW_MODE",
        _s3,
        credentials={
            "access-key-id": "AWS_ACCESS_KEY_ID",
            "secret-access-key": "AWS_SECRET_ACCESS_KEY",
            "session-token": "AWS_SESSION_TOKEN",
        },
    ),
    GHA: StoreKind("gha", "SCCACHE_GHA_RW_MODE", _gha, credentials=_RUNNER, of_runner=_RUNNER),
}
"""The kinds of stores, by scheme of the address; `gha` has no address."""

RUNNERS = frozenset(variable for kind in KINDS.values() for variable in kind.of_runner.values())
"""The variables of runners with credentials, whose values are others in each job."""

CREDENTIALS = tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.credentials))
"""The names of all credentials."""


def parse(text: str) -> CompileCache | None:
    """Parse the setting; None if there is no cache.

    Raises:
        InvalidArgument: it is neither a word, a directory nor the address of a store, or the address has a
            password.
    """
    if text in ("", ENGINE):
        return CompileCache()
    if text == OFF:
        return None
    if text == GHA:
        return CompileCache(SharedStore(GHA, GHA, tuple(_gha(urlsplit(text)).items())))
    if "/" in text and "://" not in text:
        return CompileCache(directory=text)
    return CompileCache(_store(text))


def _store(text: str) -> SharedStore:
    """Parse the address of a store."""
    try:
        address = urlsplit(text)
        _ = address.port  # it is checked when it is read
        valid = address.scheme in KINDS and address.scheme != GHA and bool(_place(address))
        password = address.password
    except ValueError:
        valid, password = False, None
    if not valid:
        raise InvalidArgument(
            f"{_without_secrets(text)!r} is not a store of compiled dependencies",
            where=OPTION,
            fix=f"use {ENGINE}, {OFF}, {GHA}, a directory ({DIRECTORIES}), or an address: {EXAMPLES}",
        )
    if password is not None:
        # The message does not quote it.
        raise InvalidArgument(
            "the address of the store has a password, which would be in the plan and the log",
            where=OPTION,
            fix=f"leave it out, and pass {OPTION}-secret password=env:VARIABLE",
        )
    kind = KINDS[address.scheme]
    variables = kind.variables(address)
    if address.username:
        if not kind.user:
            raise InvalidArgument(
                f"the address of a store with {address.scheme}:// has no user name",
                where=OPTION,
                fix=f"write it like {EXAMPLES}",
            )
        variables[kind.user] = address.username
    return SharedStore(address.scheme, text, tuple(variables.items()))


def _without_secrets(text: str) -> str:
    return text.rpartition("@")[2]


def credential(name: str) -> str:
    """Check the name of a credential, and return it.

    Raises:
        InvalidArgument: no store has a credential with this name.
    """
    if name not in CREDENTIALS:
        raise InvalidArgument(
            f"{name!r} is not the name of a store's credential",
            where=f"{OPTION}-secret",
            fix="use one of " + ", ".join(CREDENTIALS),
        )
    return name


def check(cache: CompileCache | None, credentials: Iterable[str]) -> None:
    """Check that credentials are those of the store.

    Raises:
        InvalidArgument: there is no store, it has no such credential, or it lacks one.
    """
    store = cache.store if cache else None
    known = tuple(KINDS[store.kind].credentials) if store else ()
    given = tuple(credentials)
    for name in given:
        if name not in known:
            raise InvalidArgument(
                f"{store.address if store else 'the cache of compiled dependencies'} has no {name}",
                where=f"{OPTION}-secret",
                fix="use one of " + ", ".join(known)
                if known
                else f"leave it out, or pass {OPTION} with an address",
            )
    lacking = {name: variable for name, variable in of_runner(cache).items() if name not in given}
    if lacking:
        raise InvalidArgument(
            f"the cache of GitHub Actions needs {' and '.join(lacking.values())}",
            where=f"{OPTION} {GHA}",
            fix="on GitHub, use the action with `compile-cache: gha`, or hand them to the step (docs/ci.md): "
            "GitHub gives them to actions only; in Dagger, pass them by with-compile-cache-secret as "
            f"{' and '.join(lacking)}; elsewhere, use another store",
        )


def check_directory(cache: CompileCache | None, given: bool) -> None:
    """Check that a directory is used by the command line, which hands it over.

    Args:
        cache: the cache.
        given: the directory was handed over.

    Raises:
        InvalidArgument: it was not.
    """
    if cache and cache.directory and not given:
        raise InvalidArgument(
            f"{cache.directory} is a directory of a machine, which functions of the module cannot write to",
            where=OPTION,
            fix=f"use the command `rust-multiarch`, or an address: {EXAMPLES}; export-cache and with-cache "
            "carry compiled state in a file",
        )


def of_runner(cache: CompileCache | None) -> Mapping[str, str]:
    """Return the variables of a CI system's runner that have the credentials of the store, by credential."""
    return KINDS[cache.store.kind].of_runner if cache and cache.store else {}
