"""Spreading platforms over engines, with engines that are functions and legs that are real processes."""

from __future__ import annotations

import base64
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.abc
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from repositories import repository

from pipeline import errors, fleet
from pipeline.cli import fleet as cli_fleet
from pipeline.cli import project
from pipeline.config.settings import Settings
from pipeline.fleet import EngineLost, Legs
from pipeline.registry.address import Destination
from pipeline.registry.receipt import Receipt

pytestmark = pytest.mark.anyio
TASKS = ["linux/amd64", "linux/arm64", "linux/arm/v7"]


class Engines:
    """Engines that take some time for each task, and fail where they are told to."""

    def __init__(self, **failures: Exception) -> None:
        self.failures = failures
        self.did: list[tuple[str, str]] = []
        self.said: list[str] = []

    async def run(self, engine: str, task: str) -> str:
        self.did.append((engine, task))
        await anyio.sleep(0.01)
        if engine in self.failures:
            raise self.failures[engine]
        return f"{task} by {engine}"


async def spread(engines: Engines, *names: str) -> dict[str, str]:
    return await fleet.spread(TASKS, names, engines.run, engines.said.append)


async def test_every_engine_takes_the_next_task_and_results_keep_their_order() -> None:
    engines = Engines()
    done = await spread(engines, "a", "b")
    assert list(done) == TASKS
    assert engines.did[:2] == [("a", "linux/amd64"), ("b", "linux/arm64")]
    assert len(engines.did) == 3 and engines.said == []


async def test_more_engines_than_tasks() -> None:
    engines = Engines()
    assert len(await spread(engines, "a", "b", "c", "d", "e")) == 3
    assert sorted(task for _, task in engines.did) == sorted(TASKS)


async def test_the_work_of_a_lost_engine_moves_to_another() -> None:
    engines = Engines(a=EngineLost("connection refused"))
    done = await spread(engines, "a", "b")
    assert done == {task: f"{task} by b" for task in TASKS}
    assert engines.did.count(("a", "linux/amd64")) == 1, "a lost engine gets nothing more"
    assert engines.said == ["a is lost; linux/amd64 goes to another engine"]


async def test_an_idle_engine_waits_for_what_may_come_back() -> None:
    """One task, on the engine that is lost after the other has found nothing to do."""
    engines = Engines(a=EngineLost("gone"))
    assert await fleet.spread(["x"], ["a", "b"], engines.run, engines.said.append) == {"x": "x by b"}


async def test_no_engine_left() -> None:
    engines = Engines(a=EngineLost("refused"), b=EngineLost("reset by peer"))
    with pytest.raises(errors.NoEngineLeft, match=r"linux/amd64, linux/arm64, linux/arm/v7") as raised:
        await spread(engines, "a", "b")
    assert raised.value.where == "a, b"
    assert raised.value.output == "a:\nrefused\nb:\nreset by peer"


async def test_a_project_that_does_not_build_is_not_tried_elsewhere() -> None:
    engines = Engines(a=errors.CompileError("mismatched types"))
    with pytest.raises(errors.CompileError):
        await spread(engines, "a", "b")
    assert len(engines.did) == 2


PROGRAM = """
import os, sys
print("noise"); print("compiling", file=sys.stderr); print(os.environ["%s"], file=sys.stderr)
print(os.environ["RUST_MULTIARCH_PLATFORMS"], os.environ.get("RUST_MULTIARCH_BIN"), os.environ.get("OTHER"))
sys.exit(int(os.environ.get("CODE", "0")))
""".replace("%s", fleet.RUNNER)


async def leg(**environment: str) -> tuple[str, list[str]]:
    said: list[str] = []
    legs = Legs((sys.executable, "-c", PROGRAM), environment, said.append)
    return await legs.run("ssh://one", "linux/arm64"), said


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
async def test_an_engine_that_listens_is_told_from_one_that_does_not(scheme: str, tmp_path: Path) -> None:
    if scheme == "unix":
        address = f"unix://{tmp_path}/s"
        listener = await anyio.create_unix_listener(tmp_path / "s")
    else:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        address = f"tcp://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    async with listener:
        await fleet.reach(address)
    with pytest.raises(EngineLost, match=f"nothing listens at {address}"):
        await fleet.reach(address)
    await fleet.reach("ssh://nobody@nowhere")


async def test_a_leg_is_a_command_with_its_engine_and_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUST_MULTIARCH_BIN", "from the caller's environment")
    answer, said = await leg(OTHER="x")
    assert answer == "linux/arm64 None x"
    assert said == ["linux/arm64 on ssh://one", "linux/arm64 | compiling", "linux/arm64 | ssh://one"]


@pytest.mark.parametrize("code", [1, errors.EngineError.exit_code, 139])
async def test_a_leg_that_ends_without_an_error_of_the_projects_lost_its_engine(code: int) -> None:
    with pytest.raises(EngineLost, match="compiling"):
        await leg(CODE=str(code))


@pytest.mark.parametrize("kind", [errors.CompileError, errors.RegistryDenied, errors.LockMissing])
async def test_a_leg_that_ends_with_an_error_of_the_projects(kind: type[errors.RustMultiarchError]) -> None:
    with pytest.raises(kind, match=r"linux/arm64 cannot be built") as raised:
        await leg(CODE=str(kind.exit_code))
    assert "compiling" in raised.value.output


async def test_a_leg_that_a_signal_ended() -> None:
    assert isinstance(fleet.failure(-9, "linux/amd64", "x", ""), EngineLost)
    assert "exit code -9" in str(fleet.failure(-9, "linux/amd64", "x", ""))


def test_addresses_of_engines() -> None:
    fleet.check(["unix:///run/engine.sock", "tcp://host:1234", "kube-pod://name?namespace=ci"])
    fleet.check(["ssh://me@host", "docker-container://engine"])


@pytest.mark.parametrize("engines", [["host:1234"], ["http://host"], ["tcp://"], ["tcp://a:1", "tcp://a:1"]])
def test_what_is_no_address_of_an_engine(engines: list[str]) -> None:
    with pytest.raises(errors.InvalidArgument) as raised:
        fleet.check(engines)
    assert raised.value.where == "--engine"


def test_it_can_call_itself() -> None:
    command = fleet.by_itself("publish", "--engine", "x")
    assert command[0] == sys.executable and command[-3:] == ("publish", "--engine", "x")


@pytest.mark.parametrize("ignored", [True, False])
def test_a_leg_is_given_the_same_source(ignored: bool) -> None:
    command = cli_fleet.leg(Path("/p"), Path("/f"), ignored, "host/app", "me", "VARIABLE", ["host"])
    assert ("--include-ignored" in command) is ignored
    words = " ".join(command)
    for option in (
        "publish /p --by-digest --tag host/app",
        "--files /f",
        "--username me",
        "--plain-http host",
    ):
        assert option in words
    assert "--password VARIABLE" in words


def test_a_key_that_no_engine_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    encryption = BestAvailableEncryption(b"good")
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()
    (tmp_path / "key.pem").write_text(pem)
    monkeypatch.setenv("KEY", pem)
    monkeypatch.setenv("GOOD", "good")
    for place in (str(tmp_path / "key.pem"), f"file://{tmp_path}/key.pem", "env://KEY"):
        made.public_key().verify(
            base64.b64decode(cli_fleet._signer(place, "GOOD").sign(b"x")), b"x", ec.ECDSA(hashes.SHA256())
        )
    for place, password in (("op://vault/key", "GOOD"), ("/no/such/key", "GOOD"), ("env://KEY", "NOT_SET")):
        with pytest.raises(errors.UnusableKey, match="cannot be read"):
            cli_fleet._signer(place, password)


NAMES = inspect.signature(project.publish_apart).parameters
ASKED = {name: None for name in NAMES if name not in ("settings", "_")} | {
    "cache_from": "",
    "cache_to": "",
    "tag": ["a.example/x:1"],
    "source": Path(),
    "engine": ["tcp://a:1", "tcp://b:1"],
}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sbom": True, "tag": ["a.example/x:1", "b.example/x:1"]}, "one repository"),
        ({"provenance": True}, "each engine does one of its own"),
        ({"by_digest": True}, "one index under tags"),
        ({"cache_to": "x"}, "the state of one engine"),
        ({"tag": ["a.example/{bin}:1"]}, "which binary"),
        ({"password": "NOT_SET"}, "no environment variable has this name"),
        ({"sign_password": "NOT_SET"}, "no environment variable has this name"),
    ],
)
def test_what_several_engines_cannot_do(options: dict[str, object], message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        project.publish_apart(Settings(), **{**ASKED, **options})  # type: ignore[arg-type]


@pytest.fixture
def spreading(monkeypatch: pytest.MonkeyPatch):
    """Publishes on several engines that do nothing: the leg's command, and where the index goes."""

    def publish(settings: Settings, **options: object) -> tuple[tuple[str, ...], Sequence[Destination]]:
        found: list[object] = []

        async def spread(_platforms: object, _engines: object, run: object, _log: object) -> dict[str, str]:
            found.append(run.__self__.command)  # type: ignore[attr-defined]
            return {}

        async def join(_sources: object, to: object, *_: object, **__: object) -> Receipt:
            found.append(to)
            return Receipt("", "", (), (), ())

        monkeypatch.setattr(fleet, "spread", spread)
        monkeypatch.setattr(cli_fleet, "join", join)
        nothing = {"registry_tokens": None, "git_tokens": None, "ssh": False}
        asked = {**ASKED, "sign_key": "", "json": True, "plain_http": [], "opened": nothing, **options}
        project.publish_apart(settings, **asked)  # type: ignore[arg-type]
        command, to = found
        return command, to  # type: ignore[return-value]

    return publish


def test_a_leg_opens_what_the_command_was_given(spreading) -> None:
    opened = {"registry_tokens": ["corp=A"], "git_tokens": ["git.example.com=B"], "ssh": True}
    command, _ = spreading(Settings(), opened=opened)
    assert command[-5:] == ("--registry-token", "corp=A", "--git-token", "git.example.com=B", "--ssh")


def test_the_reference_that_was_set_names_the_index(spreading, tmp_path: Path) -> None:
    settings = Settings(ref="refs/heads/there", tag_rules=["type=ref,event=branch"])
    _, to = spreading(settings, source=repository(tmp_path), tag=["a.example/x"])
    assert [each.tags for each in to] == [("there",)]


def test_the_binary_that_was_chosen_names_the_index(spreading) -> None:
    command, to = spreading(Settings(bin=["My App"]), tag=["a.example/{bin}:1"])
    assert [each.name for each in to] == ["a.example/my-app"]
    assert "a.example/my-app" in command
