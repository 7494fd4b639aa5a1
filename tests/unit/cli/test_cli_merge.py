import functools
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from repositories import commit, repository

from pipeline import errors
from pipeline.attestation.attest import AttachmentOptions
from pipeline.attestation.signing import Signer
from pipeline.cli import merge as command
from pipeline.cli import session
from pipeline.cli.merge import FromEnvironment, named_by_git
from pipeline.cli.publish_options import PublishOptions
from pipeline.config.settings import Settings
from pipeline.git.ci import Event
from pipeline.publishing import PublishRequest
from pipeline.registry import publish
from pipeline.registry.receipt import Delivery, Receipt

pytestmark = pytest.mark.anyio

KEY = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_a_password_is_read_from_the_variable_of_its_name(monkeypatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    assert await FromEnvironment("TOKEN").plaintext() == "s3cret"


async def test_a_password_in_place_of_a_name_is_not_repeated(monkeypatch) -> None:
    monkeypatch.delenv("s3cret", raising=False)
    with pytest.raises(errors.InvalidArgument) as raised:
        await FromEnvironment("s3cret").plaintext()
    assert "s3cret" not in str(raised.value)


def test_a_password_in_no_variable_is_refused_before_anything_is_read(monkeypatch) -> None:
    monkeypatch.delenv("RM_NOT_SET", raising=False)
    monkeypatch.setattr(publish, "join", None)
    with pytest.raises(errors.InvalidArgument, match="--password"):
        command.merge(["a.example/x:1"], tag=["a.example/x:1"], password="RM_NOT_SET")


def test_outside_of_a_repository_nothing_is_named(tmp_path: Path) -> None:
    assert named_by_git(Settings(), tmp_path, {}) == ()


CARGO = '[package]\nname = "app"\n[package.metadata.rust-multiarch]\n'


@pytest.mark.parametrize(
    ("metadata", "environment", "given", "wanted"),
    [
        ('tag-rules = ["type=raw,value=cargo"]', {}, None, "cargo"),
        ('tag-rules = ["type=raw,value=cargo"]', {"TAG_RULES": "type=raw,value=env"}, None, "env"),
        ('tag-rules = ["type=raw,value=cargo"]', {}, ["type=raw,value=option"], "option"),
        ('ref = "refs/heads/there"', {}, ["type=ref,event=branch"], "there"),
    ],
)
def test_its_tags_are_those_that_publish_gives(
    metadata: str,
    environment: dict[str, str],
    given: list[str] | None,
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []

    async def join(_sources: object, to: object, *_: object, **__: object) -> Receipt:
        found.extend(to)
        return Receipt("", "", (), (), ())

    commit(repository(tmp_path), "Cargo.toml", CARGO + metadata)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publish, "join", join)
    for name, value in environment.items():
        monkeypatch.setenv(f"RUST_MULTIARCH_{name}", value)
    command.merge(["a.example/x:1"], tag=["a.example/x"], tag_rules=given, json=True)
    assert [(to.name, to.tags) for to in found] == [("a.example/x", (wanted,))]


def test_where_every_address_has_a_tag_git_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "named_by_git", None)
    assert [to.tags for to in command.goals(PublishRequest(("a.example/x:1",)), Settings(), Path())] == [
        ("1",)
    ]


def test_an_index_has_no_binary_to_name_an_address_after() -> None:
    with pytest.raises(errors.InvalidAddress):
        command.goals(PublishRequest(("a.example/{bin}:1",)), Settings(), Path())


def test_the_options_of_attachments_reach_the_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.pem").write_text(PEM)
    seen: dict[str, object] = {}

    async def join(*_: object, attach: functools.partial[object], **__: object) -> Receipt:
        seen.update(attach.keywords)
        return Receipt("sha256:1", "", (), (), (Delivery("a.example/x", ("1",)),))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publish, "join", join)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("KEY", PEM)
    for place in ("key.pem", "env://KEY"):
        command.merge(
            ["a.example/x:2"],
            tag=["a.example/x:1"],
            sbom_format="spdx",
            provenance=True,
            sign_key=place,
            legacy_signatures=True,
        )
        options, event = seen["options"], seen["event"]
        assert isinstance(options, AttachmentOptions) and isinstance(event, Event)
        assert (options.sbom, options.provenance, options.tags) == ("spdx", True, True)
        assert options.signer is not None and options.signer.hint == Signer(KEY).hint
        assert seen["name"] == "a.example/x" and event.system == "github"
    command.merge(["a.example/x:2"], tag=["a.example/x:1"], sbom=True)
    assert seen["options"] == AttachmentOptions(sbom="cyclonedx")


def test_a_key_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UnusableKey, match="no such file"):
        command.merge(["a.example/x:1"], tag=["a.example/x:1"], sign_key="nowhere.pem")
    with pytest.raises(errors.InvalidArgument, match="--sign-key"):
        command.merge(["a.example/x:1"], tag=["a.example/x:1"], sign_key="env://RM_NOT_SET")
    with pytest.raises(errors.InvalidArgument, match="--sign-password"):
        (tmp_path / "key.pem").write_text(PEM)
        command.merge(
            ["a.example/x:1"], tag=["a.example/x:1"], sign_key="key.pem", sign_password="RM_NOT_SET"
        )


async def test_the_options_of_attachments_reach_the_push() -> None:
    options = PublishOptions(tag=["a.example/x:1"], sbom_format="spdx", legacy_signatures=True)
    assert (await options.request()).attachments == AttachmentOptions(sbom="spdx", tags=True)
    options = PublishOptions(tag=["a.example/x:1"], sbom=True)
    assert (await options.request()).attachments == AttachmentOptions(sbom="cyclonedx")


def test_a_reference_does_not_hide_the_run_of_ci(tmp_path: Path) -> None:
    """Regression: with --ref, the provenance of a build in CI named a machine outside CI."""
    run = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "me/app"}
    at = session.situation(repository(tmp_path), "refs/tags/v1", run | {"GITHUB_RUN_ID": "7"})
    assert at is not None and at.event.tag == "v1"
    assert at.event.builder == "https://github.com/me/app"
    assert at.event.run == "https://github.com/me/app/actions/runs/7"
