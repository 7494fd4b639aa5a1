"""Test what compile.sh gets for the cache of compiled dependencies; tests/cargo runs it."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import anyio
import dagger
import pytest
from dagger._exceptions import QueryErrorValue

from pipeline.build import compile_cache as cache
from pipeline.build import entries_directory
from pipeline.config import compile_cache
from pipeline.config.compile_cache import CompileCache
from pipeline.config.credentials import Access, BuildSecret, GitToken
from pipeline.config.request import BuildRequest
from pipeline.targets import select
from pipeline.toolchain import sccache

SECRET: Any = SimpleNamespace()
PLAIN = BuildRequest(SECRET, select(["linux/amd64"]), compile_cache=CompileCache())
REDIS = replace(PLAIN, compile_cache=compile_cache.parse("redis://me@cache.example/1"))


def stores(request: BuildRequest) -> dict[str, str]:
    return {row[1]: row[2] for row in cache.rows(request) if row[0] == "store"}


def kinds(request: BuildRequest) -> set[str]:
    return {row[0] for row in cache.rows(request)}


def test_the_volume_is_the_store_by_default() -> None:
    assert stores(PLAIN) == {"SCCACHE_DIR": "/compile-cache", "SCCACHE_CACHE_SIZE": "10G"}
    assert kinds(PLAIN) == {"sccache", "cached", "store"}


@pytest.mark.parametrize(
    "changes", [{"compile_cache": None}, {"apart": "x"}, {"build_platform": "linux/arm64"}]
)
def test_builds_without_it(changes: dict[str, Any]) -> None:
    assert cache.rows(replace(PLAIN, **changes)) == []
    container: Any = object()
    assert cache.mounted(container, replace(PLAIN, **changes)) is container


def test_a_store_is_behind_the_volume() -> None:
    found = stores(
        replace(REDIS, store_secrets=(BuildSecret("password", SECRET), BuildSecret("token", SECRET)))
    )
    assert found["SCCACHE_MULTILEVEL_CHAIN"] == "disk,redis"
    assert found["SCCACHE_MULTILEVEL_WRITE_ERROR_POLICY"] == "ignore"
    assert found["SCCACHE_REDIS_ENDPOINT"] == "redis://cache.example"
    assert "SCCACHE_REDIS_RW_MODE" not in found
    assert ("remote", "redis://me@cache.example/1") in cache.rows(REDIS)


def test_credentials_are_only_those_of_the_store() -> None:
    given = (BuildSecret("password", SECRET), BuildSecret("access-key-id", SECRET))
    rows = cache.rows(replace(REDIS, store_secrets=given))
    assert [row for row in rows if row[0] == "credential"] == [("credential", "SCCACHE_REDIS_PASSWORD")]
    assert not any(row[0] == "credential" for row in cache.rows(replace(PLAIN, store_secrets=given)))


def test_an_untrusted_build_has_its_own_volume_and_no_store() -> None:
    stranger = replace(REDIS, untrusted=True, store_secrets=(BuildSecret("password", SECRET),))
    assert kinds(stranger) == {"sccache", "cached", "store"}
    assert stores(stranger) == stores(PLAIN)
    assert cache.volume(untrusted=True) != cache.volume(untrusted=False)


def test_a_build_with_secrets_only_reads() -> None:
    found = stores(replace(REDIS, build_secrets=(BuildSecret("TOKEN", SECRET),)))
    assert found["SCCACHE_LOCAL_RW_MODE"] == found["SCCACHE_REDIS_RW_MODE"] == "READ_ONLY"


@pytest.mark.parametrize(
    "access", [Access(git=(GitToken("a.example", SECRET, "git"),)), Access(agent=SECRET)]
)
def test_with_credentials_only_public_crates_are_in_it(access: Access) -> None:
    assert cache.crates(PLAIN) == ("/cargo/registry/src/", "/cargo/git/checkouts/")
    assert cache.crates(replace(PLAIN, access=access)) == ("/cargo/registry/src/index.crates.io-",)


GHA = replace(
    PLAIN,
    compile_cache=compile_cache.parse("gha"),
    store_secrets=(BuildSecret("url", SECRET), BuildSecret("token", SECRET)),
)


def test_the_cache_of_github_actions_is_behind_the_volume() -> None:
    found = stores(GHA)
    assert found["SCCACHE_MULTILEVEL_CHAIN"] == "disk,gha"
    assert found["SCCACHE_GHA_ENABLED"] == found["ACTIONS_CACHE_SERVICE_V2"] == "on"
    assert "SCCACHE_GHA_RW_MODE" not in found
    rows = cache.rows(GHA)
    assert ("remote", "gha") in rows
    assert [row[1] for row in rows if row[0] == "credential"] == [
        "ACTIONS_RESULTS_URL",
        "ACTIONS_RUNTIME_TOKEN",
    ]
    assert stores(replace(GHA, build_secrets=(BuildSecret("TOKEN", SECRET),)))["SCCACHE_GHA_RW_MODE"] == (
        "READ_ONLY"
    )
    assert stores(replace(GHA, untrusted=True)) == stores(PLAIN)


def test_a_directory_changes_only_the_list_of_entries() -> None:
    """The compile is the same one as without it, so the directory's content does not run it again."""
    directory = replace(PLAIN, compile_cache=compile_cache.parse("./cache"))
    with entries_directory.using(SECRET):
        assert stores(directory) == stores(PLAIN)
        assert set(cache.rows(directory)) - set(cache.rows(PLAIN)) == {("used", "/compile-cache")}
    assert cache.rows(directory) == cache.rows(PLAIN), "a function of the module has no directory"


def test_numbers_of_sccache() -> None:
    text = '{"stats": {"cache_hits": {"counts": {"Rust": 5}}, "cache_misses": {"counts": {"Rust": 2}}}}'
    found = cache.read(text)
    assert found == cache.Statistics(5, 2)
    assert found.as_text() == "compile cache: 5 of 7 dependencies were compiled before"
    assert cache.read("{}") == cache.Statistics(0, 0)


@dataclass(frozen=True)
class Planned:
    """A plan with only a request."""

    request: BuildRequest


@pytest.mark.parametrize("fails", [False, True])
def test_a_build_goes_on_without_sccache(
    fails: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def sync() -> None:
        if fails:
            value = QueryErrorValue("pip: no network\nmore")
            raise dagger.QueryError([value], SimpleNamespace(document=None))  # type: ignore[arg-type]

    monkeypatch.setattr(sccache, "installed", lambda: SimpleNamespace(sync=sync))
    planned: Any = Planned(PLAIN)
    found = anyio.run(cache.prepared, planned)
    assert found.request == (replace(PLAIN, compile_cache=None) if fails else PLAIN)
    said = "warning: dependencies are compiled without a cache, since sccache cannot be installed: "
    said += "pip: no network\n"
    assert capsys.readouterr().err == (said if fails else "")


def test_an_untrusted_build_says_that_it_has_no_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def sync() -> None:
        pass

    monkeypatch.setattr(sccache, "installed", lambda: SimpleNamespace(sync=sync))
    planned: Any = Planned(replace(REDIS, untrusted=True))
    anyio.run(cache.prepared, planned)
    assert "untrusted build does not use the shared store" in capsys.readouterr().err
