"""Test the places of compiled state in `--cache-from` and `--cache-to`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.cli.caching import CacheOptions, Caches
from pipeline.cli.publish_options import PublishOptions
from pipeline.errors import InvalidAddress, InvalidArgument
from pipeline.registry.address import Address

STATE = "type=registry,ref=a.example/me/app:state"
PLACE = Address("a.example", "me/app", "state")


def parsed(
    cache_from: str, cache_to: str, tag: Sequence[str] = (), username: str = "", password: str = "",
    plain_http: Sequence[str] = (),
) -> Caches:  # fmt: skip
    pushed = PublishOptions(tag=list(tag), username=username, password=password, plain_http=list(plain_http))
    return Caches.parse(CacheOptions(cache_from, cache_to), pushed)


def test_a_path_is_a_file_and_an_address_is_said_to_be_one() -> None:
    assert parsed("", "") == Caches()
    assert parsed("in.tar.zst", "a.example/x").source == Path("in.tar.zst")
    assert parsed("in.tar.zst", "a.example/x").target == Path("a.example/x")
    assert parsed(STATE, "").source == PLACE
    assert parsed("", STATE).target == PLACE


def test_only_what_exists_is_named_by_its_digest() -> None:
    exact = f"type=registry,ref=a.example/me/app@sha256:{'0' * 64}"
    source = parsed(exact, "").source
    assert isinstance(source, Address) and source.digest == f"sha256:{'0' * 64}"
    with pytest.raises(InvalidAddress):
        parsed("", exact)


@pytest.mark.parametrize(
    "text",
    ["type=gha", "type=local,dest=x", "type=registry", "type=registry,ref=a.example/x:1,mode=max", "ref=a/x"],
)
def test_what_only_buildx_has_is_refused_with_what_there_is(text: str) -> None:
    for option, arguments in (("--cache-from", (text, "")), ("--cache-to", ("", text))):
        with pytest.raises(InvalidArgument) as refused:
            parsed(*arguments)
        assert refused.value.where == f"{option} {text}"
        assert "type=registry,ref=" in refused.value.fix


@pytest.mark.parametrize(
    ("tags", "hosts"), [([], {"a.example"}), (["b.example/x:1", "c.example/x:1"], {"b.example"})]
)
def test_a_password_is_for_the_first_tag_or_for_the_cache_itself(tags: list[str], hosts: set[str]) -> None:
    caches = parsed("", STATE, tags, "me", "PASSWORD", ["b.example"])
    assert set(caches.logins) == hosts
    assert {username for username, _ in caches.logins.values()} == {"me"}
    assert caches.plain_http == ["b.example"]
    assert parsed("", STATE, tags).logins == {}


def test_an_address_may_ask_for_the_binarys_name() -> None:
    assert set(parsed("", STATE, ["b.example/{bin}:1"], "me", "PASSWORD").logins) == {"b.example"}
