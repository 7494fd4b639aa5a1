"""Test the addresses of stores of compiled dependencies."""

import pytest

from pipeline.config import compile_cache, settings
from pipeline.config.compile_cache import CompileCache
from pipeline.errors import InvalidArgument, InvalidSetting


@pytest.mark.parametrize("text", ["", "engine"])
def test_by_default_it_is_the_engines(text: str) -> None:
    assert compile_cache.parse(text) == CompileCache()


def test_off_means_no_cache() -> None:
    assert compile_cache.parse("off") is None


@pytest.mark.parametrize(
    ("address", "variables"),
    [
        ("redis://cache.example:6380", {"SCCACHE_REDIS_ENDPOINT": "redis://cache.example:6380"}),
        (
            "rediss://me@cache.example/3",
            {
                "SCCACHE_REDIS_ENDPOINT": "rediss://cache.example",
                "SCCACHE_REDIS_DB": "3",
                "SCCACHE_REDIS_USERNAME": "me",
            },
        ),
        ("webdav://cache.example/a/b", {"SCCACHE_WEBDAV_ENDPOINT": "http://cache.example/a/b"}),
        (
            "webdavs://me@cache.example:8443/a",
            {"SCCACHE_WEBDAV_ENDPOINT": "https://cache.example:8443/a", "SCCACHE_WEBDAV_USERNAME": "me"},
        ),
        (
            "s3://bucket/a/b?region=eu-central-1",
            {
                "SCCACHE_BUCKET": "bucket",
                "SCCACHE_S3_KEY_PREFIX": "a/b",
                "SCCACHE_REGION": "eu-central-1",
                "SCCACHE_S3_USE_SSL": "true",
            },
        ),
        (
            "s3://bucket?endpoint=http://minio.example:9000",
            {
                "SCCACHE_BUCKET": "bucket",
                "SCCACHE_REGION": "auto",
                "SCCACHE_ENDPOINT": "http://minio.example:9000",
                "SCCACHE_S3_USE_SSL": "false",
            },
        ),
    ],
)
def test_addresses(address: str, variables: dict[str, str]) -> None:
    parsed = compile_cache.parse(address)
    assert parsed is not None and parsed.store is not None
    assert (dict(parsed.store.variables), parsed.store.address) == (variables, address)


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "cache",
        "redis:",
        "redis://",
        "http://cache.example",
        "gha://cache.example",
        "redis://a:b:c",
        "s3://me@bucket",
    ],
)
def test_what_is_no_store_is_an_error(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        compile_cache.parse(text)
    assert raised.value.where == "--compile-cache" and "redis://" in raised.value.fix


@pytest.mark.parametrize("text", ["./cache", "/var/cache", "a/b", ".rust-multiarch/compiled", "../x"])
def test_text_with_a_slash_is_a_directory(text: str) -> None:
    assert compile_cache.parse(text) == CompileCache(directory=text)


def test_the_cache_of_github_actions_has_no_address() -> None:
    parsed = compile_cache.parse("gha")
    assert parsed is not None and parsed.store is not None
    assert dict(parsed.store.variables) == {"SCCACHE_GHA_ENABLED": "on", "ACTIONS_CACHE_SERVICE_V2": "on"}


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ([], "ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN"),
        (["url"], "ACTIONS_RUNTIME_TOKEN"),
        (["token"], "ACTIONS_RESULTS_URL"),
    ],
)
def test_the_cache_of_github_actions_needs_what_its_runner_has(given: list[str], lacking: str) -> None:
    kept = compile_cache.parse("gha")
    compile_cache.check(kept, ["token", "url"])
    with pytest.raises(InvalidArgument) as raised:
        compile_cache.check(kept, given)
    assert raised.value.what == f"the cache of GitHub Actions needs {lacking}"
    assert raised.value.where == "--compile-cache gha"
    for next_step in ("`compile-cache: gha`", "docs/ci.md", "with-compile-cache-secret", "another store"):
        assert next_step in raised.value.fix


def test_a_directory_is_for_the_command_line() -> None:
    kept = compile_cache.parse("./cache")
    compile_cache.check_directory(kept, given=True)
    for other in (None, CompileCache(), compile_cache.parse("gha")):
        compile_cache.check_directory(other, given=False)
    with pytest.raises(InvalidArgument, match=r"\./cache is a directory of a machine"):
        compile_cache.check_directory(kept, given=False)


def test_a_password_in_the_address_is_an_error_that_does_not_quote_it() -> None:
    for address in ("redis://me:s3cret@cache.example", "ftp://me:s3cret@cache.example"):
        with pytest.raises(InvalidArgument) as raised:
            compile_cache.parse(address)
        assert "s3cret" not in raised.value.message()


def test_credentials_have_names() -> None:
    assert compile_cache.credential("password") == "password"
    with pytest.raises(InvalidArgument, match="session-token"):
        compile_cache.credential("SCCACHE_REDIS_PASSWORD")


def test_credentials_are_those_of_the_store() -> None:
    redis = compile_cache.parse("redis://cache.example")
    compile_cache.check(redis, ["password"])
    compile_cache.check(None, [])
    with pytest.raises(InvalidArgument, match="has no token"):
        compile_cache.check(redis, ["password", "token"])
    for without in (None, CompileCache()):
        with pytest.raises(InvalidArgument, match="--compile-cache with an address"):
            compile_cache.check(without, ["password"])


def test_a_project_cannot_choose_the_store() -> None:
    """Its pull request would get the credentials of another store."""
    where = "Cargo.toml [package.metadata.rust-multiarch]"
    assert settings.from_table({"compile-cache": "off"}, where)["compile_cache"].value == "off"
    for given in ("redis://cache.example", "gha", "./cache"):
        with pytest.raises(InvalidSetting, match="RUST_MULTIARCH_COMPILE_CACHE"):
            settings.from_table({"compile-cache": given}, where)
    outright = settings.from_environment({"RUST_MULTIARCH_COMPILE_CACHE": "redis://cache.example"})
    assert outright["compile_cache"].value == "redis://cache.example"
