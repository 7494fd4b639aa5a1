"""Test the state of a registry after a failed, refused or interrupted push; the registry is a dict."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import layouts
import pytest

from pipeline import errors
from pipeline.oci.layout import Layout, digest_of
from pipeline.registry.address import destinations
from pipeline.registry.artifacts import Layer, artifact
from pipeline.registry.credentials import anonymous
from pipeline.registry.dial import Registries
from pipeline.registry.pushing import push
from pipeline.registry.receipt import Receipt
from pipeline.registry.retry import Retry

pytestmark = pytest.mark.anyio

BEFORE = b'{"before":1}'
KEPT = digest_of(BEFORE)
Fault = Callable[[], Awaitable[int]]


@dataclass
class Memory:
    """A registry in memory.

    Attributes:
        kept: manifests and blobs by path.
        after: actions after a tag was set, by tag; they return the status.
        between: actions before a request changes a tag, by tag, such as what another client does.
        refused: tags that it refuses.
        deletes: it can delete tags.
        conditions: whether it supports conditional requests; `odd` if no condition is ever met.
        unmet: the status of a condition that is not met.
    """

    kept: dict[str, bytes] = field(default_factory=dict)
    after: dict[str, Fault] = field(default_factory=dict)
    between: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    deletes: bool = True
    conditions: str = ""
    unmet: int = 412

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        path, body = request.url.path.removeprefix("/v2/"), await request.aread()
        name = path.rpartition("/")[2]
        if request.method == "POST":
            return httpx.Response(202, headers={"Location": request.url.path})
        if request.method != "GET" and self.between.get(name):
            self.between[name].pop(0)()
        if not self._met(request, self.kept.get(path)):
            return httpx.Response(self.unmet)
        if request.method == "PUT":
            if name in self.refused:
                return httpx.Response(409)
            self.kept[re.sub("uploads/$", request.url.params.get("digest", ""), path)] = body
            status = await self.after.pop(name)() if name in self.after else 201
            return httpx.Response(status, headers={"OCI-Subject": json.loads(body)["subject"]["digest"]}
                                  if b'"subject"' in body else {})  # fmt: skip
        if request.method == "DELETE":
            status = 405 if not self.deletes else 202 if self.kept.pop(path, None) else 404
            return httpx.Response(status)
        found = self.kept.get(path)
        if found is None:
            return httpx.Response(404)
        etag = {"ETag": f'"{digest_of(found)}"'} if self.conditions else {}
        return httpx.Response(200, content=found, headers=etag)

    def _met(self, request: httpx.Request, found: bytes | None) -> bool:
        """Check a conditional request (RFC 9110, 13.1)."""
        match, none = request.headers.get("If-Match"), request.headers.get("If-None-Match")
        if self.conditions == "odd":
            return not (match or none)
        digest = None if found is None else f'"{digest_of(found)}"'
        fails = (match and match != digest) or (none and found is not None)
        return not (self.conditions and fails)

    def moves(self, tag: str, to: bytes) -> Callable[[], None]:
        """Return an action: another client sets a tag."""
        return lambda: self.kept.update({f"app/manifests/{tag}": to})

    def tags(self, repository: str = "app") -> dict[str, str]:
        """Return the digests of a repository's tags."""
        start = f"{repository}/manifests/"
        named = {path.removeprefix(start): body for path, body in self.kept.items() if path.startswith(start)}
        return {tag: digest_of(body) for tag, body in named.items() if ":" not in tag}


@dataclass
class Pushing:
    """Pushes of one image to a registry in memory."""

    layout: Layout
    memory: Memory
    said: list[str] = field(default_factory=list)

    async def __call__(
        self, *addresses: str, signed: bool = False, clobber: bool = True, attempts: int = 1
    ) -> Receipt:
        root = self.layout.root
        artifacts = [artifact(root, "x/y", (Layer("a/b", b"mine"),), tag="signed")] if signed else []
        transport = httpx.MockTransport(self.memory.answer)
        async with httpx.AsyncClient(transport=transport) as client:
            registries = Registries(client, anonymous, (), Retry(attempts, 0), self.said.append)
            to = destinations(addresses)
            return await push(self.layout, to, registries, artifacts=artifacts, clobber=clobber)


@pytest.fixture
async def pushing(tmp_path: Path) -> Pushing:
    layout = await Layout.open(layouts.sample(tmp_path / "layout"))
    return Pushing(layout, Memory({"app/manifests/one": BEFORE, "app/manifests/two": BEFORE}))


TWO = ("a.example/app:one", "a.example/app:two", "a.example/app:new")


async def test_every_tag_names_the_image(pushing: Pushing) -> None:
    receipt = await pushing(*TWO)
    assert pushing.memory.tags() == dict.fromkeys(("one", "two", "new"), receipt.digest)


async def failing() -> int:
    return 502


@pytest.mark.parametrize("tag", ["one", "two", "new"])
async def test_a_tag_that_was_set_though_the_registry_failed_goes_back(pushing: Pushing, tag: str) -> None:
    pushing.memory.after = {tag: failing}
    with pytest.raises(errors.RegistryFailed, match=f"its tag {tag} was not set") as raised:
        await pushing(*TWO)
    assert pushing.memory.tags() == {"one": KEPT, "two": KEPT}
    assert "could not be put back" not in raised.value.fix


async def test_a_tag_that_cannot_be_taken_away_is_named(pushing: Pushing) -> None:
    pushing.memory.after, pushing.memory.deletes = {"new": failing}, False
    with pytest.raises(errors.RegistryFailed, match=r"may name the new image.* a\.example/app:new;"):
        await pushing(*TWO)


async def test_a_tag_that_a_registry_without_deletion_never_had_is_not_named(pushing: Pushing) -> None:
    async def lost() -> int:
        del pushing.memory.kept["app/manifests/new"]
        return 502

    pushing.memory.after, pushing.memory.deletes = {"new": lost}, False
    with pytest.raises(errors.RegistryFailed) as raised:
        await pushing(*TWO)
    assert "could not be put back" not in raised.value.fix


async def test_a_tag_that_was_refused_is_left_alone(pushing: Pushing) -> None:
    pushing.memory.refused = ("two",)
    with pytest.raises(errors.TagRefused) as raised:
        await pushing(*TWO)
    assert pushing.memory.tags() == {"one": KEPT, "two": KEPT}
    assert "could not be put back" not in raised.value.fix


@pytest.mark.parametrize("tag", ["one", "two"])
async def test_an_interrupted_push_puts_its_tags_back(pushing: Pushing, tag: str) -> None:
    with anyio.CancelScope() as scope:

        async def interrupt() -> int:
            scope.cancel()
            return 201

        pushing.memory.after = {tag: interrupt}
        await pushing(*TWO)
    assert scope.cancelled_caught
    assert pushing.memory.tags() == {"one": KEPT, "two": KEPT}
    assert pushing.said == []


@pytest.mark.parametrize("seconds", [10, 0])
async def test_an_interrupted_push_says_which_tags_it_left(
    pushing: Pushing, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.CancelScope() as scope:

        async def interrupt() -> int:
            scope.cancel()
            pushing.memory.refused = ("one",)
            return 201

        monkeypatch.setattr("pipeline.registry.tagging.PUT_BACK_SECONDS", seconds)
        pushing.memory.after = {"one": interrupt}
        await pushing(*TWO)
    assert ["a.example/app:one" in line for line in pushing.said] == [True]


async def test_a_push_that_is_interrupted_by_a_signal_does_so_too(pushing: Pushing) -> None:
    """On Ctrl-C, asyncio cancels its main task, not a cancel scope."""
    task = asyncio.ensure_future(pushing(*TWO))

    async def interrupt() -> int:
        task.cancel()
        return 201

    pushing.memory.after = {"one": interrupt}
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pushing.memory.tags() == {"one": KEPT, "two": KEPT}


async def test_the_receipt_names_the_referrers_that_are_there(pushing: Pushing) -> None:
    """Regression: with a signature of another key, the manifest of both has another digest."""
    theirs = artifact(pushing.layout.root, "x/y", (Layer("a/b", b"theirs"),))
    pushing.memory.kept["other/manifests/signed"] = theirs.body
    receipt = await pushing("a.example/app:one", "a.example/other:one", signed=True)
    mine, both = receipt.referrers
    assert mine == pushing.memory.tags()["signed"] != both == pushing.memory.tags("other")["signed"]
    assert {f"app/manifests/{mine}", f"other/manifests/{both}"} <= pushing.memory.kept.keys()


THEIRS = b'{"theirs":1}'
MOVED = digest_of(THEIRS)
BOTH = pytest.mark.parametrize("conditions", ["", "yes"])


def then(act: Callable[[], None], status: int = 201) -> Fault:
    async def fault() -> int:
        act()
        return status

    return fault


@BOTH
@pytest.mark.parametrize("tag", ["one", "new"])
async def test_a_tag_that_somebody_moved_since_is_theirs(pushing: Pushing, conditions: str, tag: str) -> None:
    """Regression: a rollback took the tags of others away, and deleted those that this push created."""
    memory = pushing.memory
    memory.conditions = conditions
    memory.after = {tag: then(memory.moves(tag, THEIRS)), "two": failing}
    with pytest.raises(errors.RegistryFailed):
        await pushing("a.example/app:one", "a.example/app:new", "a.example/app:two")
    before = {"one": KEPT, "two": KEPT}
    assert memory.tags() == before | {tag: MOVED}


@BOTH
async def test_a_tag_goes_back_to_what_it_named_when_it_was_set(pushing: Pushing, conditions: str) -> None:
    """Regression: it went back to what it named before, and another client's tag was lost."""
    memory = pushing.memory
    memory.conditions = conditions
    memory.after = {"one": then(memory.moves("two", THEIRS)), "new": failing}
    with pytest.raises(errors.RegistryFailed):
        await pushing(*TWO)
    assert memory.tags() == {"one": KEPT, "two": MOVED}


async def test_a_tag_that_is_moved_between_reading_and_setting_is_read_again(pushing: Pushing) -> None:
    memory = pushing.memory
    memory.conditions = "yes"
    memory.between = {"one": [memory.moves("one", THEIRS)], "new": [memory.moves("new", THEIRS)]}
    memory.after = {"two": failing}
    with pytest.raises(errors.RegistryFailed):
        await pushing("a.example/app:one", "a.example/app:new", "a.example/app:two")
    assert memory.tags() == {"one": MOVED, "new": MOVED, "two": KEPT}
    memory.between["one"] = [memory.moves("one", BEFORE)]
    receipt = await pushing(*TWO)
    assert set(memory.tags().values()) == {receipt.digest}


@pytest.mark.parametrize("tag", ["one", "new"])
async def test_no_clobber_holds_between_reading_and_setting(pushing: Pushing, tag: str) -> None:
    memory = pushing.memory
    memory.kept.clear()
    memory.conditions = "yes"
    memory.between = {tag: [memory.moves(tag, THEIRS)]}
    with pytest.raises(errors.TagExists, match=f"its tag {tag} was not set.*{MOVED}") as raised:
        await pushing("a.example/app:one", "a.example/app:new", clobber=False)
    assert memory.tags() == {tag: MOVED}
    assert "choose a new tag" in raised.value.fix


async def test_a_tag_that_is_moved_between_reading_and_restoring_is_theirs(pushing: Pushing) -> None:
    memory = pushing.memory
    memory.conditions = "yes"
    nothing = [lambda: None]
    memory.between = {
        "one": [*nothing, memory.moves("one", THEIRS)],
        "new": [*nothing, memory.moves("new", THEIRS)],
    }
    memory.after = {"two": failing}
    with pytest.raises(errors.RegistryFailed) as raised:
        await pushing("a.example/app:one", "a.example/app:new", "a.example/app:two")
    assert memory.tags() == {"one": MOVED, "new": MOVED, "two": KEPT}
    assert "could not be put back" not in raised.value.fix


@pytest.mark.parametrize("unmet", [412, 501])
async def test_a_condition_that_is_never_met_does_not_stop_a_push(pushing: Pushing, unmet: int) -> None:
    """A proxy that compresses may change entity tags; storage may not know conditions."""
    memory = pushing.memory
    memory.conditions, memory.unmet = "odd", unmet
    receipt = await pushing(*TWO)
    assert set(memory.tags().values()) == {receipt.digest}
    memory.kept.update({"app/manifests/one": BEFORE, "app/manifests/two": BEFORE})
    del memory.kept["app/manifests/new"]
    memory.after = {"new": failing}
    with pytest.raises(errors.RegistryFailed):
        await pushing(*TWO)
    assert memory.tags() == {"one": KEPT, "two": KEPT}


async def test_a_tag_that_others_move_all_the_time_is_an_error(pushing: Pushing) -> None:
    memory = pushing.memory
    memory.conditions = "yes"
    memory.between = {"one": [memory.moves("one", b'{"theirs":%d}' % number) for number in range(30)]}
    with pytest.raises(errors.RegistryFailed, match="10 attempts"):
        await pushing(*TWO)
    assert memory.tags() == {"one": digest_of(b'{"theirs":9}'), "two": KEPT}


async def test_a_lost_response_to_a_conditional_request_is_not_a_conflict(pushing: Pushing) -> None:
    memory = pushing.memory
    memory.conditions = "yes"
    memory.after = {"one": failing, "new": failing}
    receipt = await pushing(*TWO, attempts=2)
    assert set(memory.tags().values()) == {receipt.digest}


@BOTH
async def test_a_signature_of_others_at_the_same_time_is_kept(pushing: Pushing, conditions: str) -> None:
    memory = pushing.memory
    memory.conditions = conditions
    theirs = artifact(pushing.layout.root, "x/y", (Layer("a/b", b"theirs"),))
    write = memory.moves("signed", theirs.body)
    if conditions:
        memory.between = {"signed": [write]}
    else:
        memory.after = {"signed": then(write)}
    receipt = await pushing("a.example/app:one", signed=True)
    both = json.loads(memory.kept["app/manifests/signed"])["layers"]
    assert [layer["digest"] for layer in both] == [digest_of(b"theirs"), digest_of(b"mine")]
    assert receipt.referrers == (memory.tags()["signed"],)
