"""Test that a merged index has the attachments of its images, checked, and its own, in real registries."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import anyio
import crates
import dagger
import layouts
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from repositories import git, repository
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from test_cli import run
from test_signing import NEW, PASSWORD, Keys, pair

from engine import registry
from pipeline import RustMultiarch
from pipeline.attestation import attest, carried, provenance, referrers, sbom, signing
from pipeline.attestation.attest import AttachmentOptions, PlatformAttachments
from pipeline.errors import NotMergeable, UnusableKey, WrongKeyPassword
from pipeline.git.ci import Event
from pipeline.oci.layout import Descriptor, Layout, parsed
from pipeline.registry.address import destinations
from pipeline.registry.artifacts import Artifact
from pipeline.registry.dial import registries
from pipeline.registry.distribution import Repository
from pipeline.registry.merge import MergedIndex, merge
from pipeline.registry.pushing import push
from pipeline.registry.receipt import Receipt

pytestmark = pytest.mark.anyio

AMD64, ARM64 = layouts.PLATFORMS
EVENT = Event(builder="https://ci/merge", run="https://ci/run/9")


def signer() -> signing.Signer:
    return signing.Signer(ec.generate_private_key(ec.SECP256R1()))


KEY = signer()
EVERYTHING = AttachmentOptions(sbom="cyclonedx", provenance=True, symbols=True, signer=KEY)


def predicate(platform: str, commit: str = "1" * 40, builder: str = "https://ci/build") -> dict[str, Any]:
    source = {"name": "source", "digest": {"gitCommit": commit}}
    return {
        "buildDefinition": {
            "externalParameters": {"platforms": [platform], "profile": "release"},
            "resolvedDependencies": [source, {"uri": f"pkg:deb/{platform}"}],
        },
        "runDetails": {"builder": {"id": builder}, "metadata": {"invocationId": "https://ci/run/1"}},
    }


async def published(
    path: Path,
    platform: str,
    address: str,
    options: AttachmentOptions = EVERYTHING,
    said: dict[str, Any] | None = None,
    about: str = "",
    bill: dict[str, Any] | None = None,
) -> Receipt:
    """Push one platform's image with its attachments, like a separate runner."""
    path = path / platform.replace("/", "-")
    path.mkdir(parents=True, exist_ok=True)
    (path / "app.debug").write_bytes(b"symbols " * 1000)
    image = layouts.image(path, platform, [f"program of {platform}".encode()])
    layout = await Layout.open(layouts.layout(path, image))
    document = bill or {"bomFormat": "CycloneDX", "platform": platform}
    content = json.dumps(document).encode() if options.sbom else b""
    symbols = {"app.debug": path / "app.debug"} if options.symbols else {}
    known = [PlatformAttachments(platform, content, symbols)]
    root = layout.root
    of = Descriptor(root.media_type, about, root.size) if about else root
    made = await attest.attachments("x/app", of, {platform: of}, known, said or predicate(platform), options)
    made = [redirected(one, root) if about else one for one in made]
    async with registries() as every:
        return await push(layout, destinations([address]), every, artifacts=made)


def redirected(artifact: Artifact, subject: Descriptor) -> Artifact:
    """Return an artifact whose subject is another image, while its content is not."""
    from pipeline.registry.artifacts import Layer
    from pipeline.registry.artifacts import artifact as new

    layers = tuple(Layer(d.media_type, c) for d, c in artifact.blobs[1:])  # type: ignore[arg-type]
    return new(subject, artifact.descriptor.artifact_type, layers)


NOTHING = AttachmentOptions()


async def merged(sources: list[str], address: str, options: AttachmentOptions = NOTHING) -> Receipt:
    async def attach(index: MergedIndex) -> list[Artifact]:
        return await carried.attach(index, options, address, EVENT)

    async with registries() as every:
        return await merge(sources, destinations([f"{address}:x"]), every, attach=attach)


async def found(address: str, digest: str, key: signing.Signer = KEY) -> dict[str, list[Any]]:
    """Return the documents that refer to a digest, by artifact type; the statements of bundles."""
    host, _, name = address.partition("/")
    documents: dict[str, list[Any]] = {}
    async with registries() as every:
        repository = Repository(await every.registry(host), name)
        for entry in await repository.referrers(digest):
            manifest = await repository.manifest(entry.digest)
            assert manifest is not None
            layer = Descriptor.parse(parsed(manifest.body)["layers"][0])
            content = await repository.small_blob(layer)
            kind = entry.artifact_type or parsed(manifest.body)["artifactType"]
            if kind == signing.BUNDLE:
                envelope = json.loads(content)["dsseEnvelope"]
                payload = base64.b64decode(envelope["payload"])
                assert key.signed(signing.encoding(payload), envelope["signatures"][0]["sig"])
                content = payload
            documents.setdefault(kind, []).append(
                content if kind == referrers.SYMBOLS else json.loads(content)
            )
    return documents


async def test_attachments_are_carried_to_another_registry(tmp_path: Path, plain: registry.Throwaway) -> None:
    parts = {
        platform: await published(tmp_path, platform, f"{plain.address}/parts/{platform[-5:]}:x")
        for platform in (ARM64, AMD64)
    }
    sources = [f"{plain.address}/parts/arm64:x", f"{plain.address}/parts/amd64:x"]
    with registry.throwaway() as other:
        address = f"{other.address}/app"
        receipt = await merged(sources, address, EVERYTHING)
        assert set(receipt.referrers) > {digest for part in parts.values() for digest in part.referrers}
        for platform, part in parts.items():
            documents = await found(address, part.digest)
            (bill,) = documents[sbom.FORMATS["cyclonedx"].media_type]
            assert bill["platform"] == platform
            assert documents[referrers.SYMBOLS] == [b"symbols " * 1000]
            kinds = [one["predicateType"] for one in documents[signing.BUNDLE]]
            assert sorted(kinds) == sorted(
                [signing.SIGNED, provenance.PREDICATE_TYPE, "https://cyclonedx.org/bom"]
            )
        own = await found(address, receipt.digest)
        (statement,) = own[provenance.MEDIA_TYPE]
        digests = [f"sha256:{subject['digest']['sha256']}" for subject in statement["subject"]]
        assert digests == [receipt.digest, parts[AMD64].digest, parts[ARM64].digest]
        definition, details = (statement["predicate"][name] for name in ("buildDefinition", "runDetails"))
        assert definition["externalParameters"] == {"platforms": [AMD64, ARM64], "profile": "release"}
        assert [one.get("uri", "source") for one in definition["resolvedDependencies"]] == [
            "source", f"pkg:deb/{AMD64}", f"pkg:deb/{ARM64}",
        ]  # fmt: skip
        assert details["builder"]["id"] == "https://ci/build"
        assert [one["predicateType"] for one in own[signing.BUNDLE]] == [
            signing.SIGNED,
            provenance.PREDICATE_TYPE,
        ]
        again = await merged(sources, address, EVERYTHING)
        assert again == receipt or again.referrers == receipt.referrers


async def test_without_attachments_nothing_is_made(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/bare"
    for platform in (AMD64, ARM64):
        await published(tmp_path, platform, f"{name}:{platform[-5:]}", AttachmentOptions())
    receipt = await merged([f"{name}:amd64", f"{name}:arm64"], name)
    assert receipt.referrers == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (AttachmentOptions(sbom="cyclonedx"), "has no SBOM in the format cyclonedx"),
        (AttachmentOptions(provenance=True), "has no provenance"),
        (AttachmentOptions(signer=KEY), "is not signed with this key"),
    ],
)
async def test_an_image_must_have_the_required_attachments(
    tmp_path: Path, plain: registry.Throwaway, options: AttachmentOptions, message: str
) -> None:
    name = f"{plain.address}/lacking"
    await published(tmp_path, AMD64, f"{name}:amd64")
    await published(tmp_path, ARM64, f"{name}:arm64", AttachmentOptions())
    with pytest.raises(NotMergeable, match=message) as raised:
        await merged([f"{name}:amd64", f"{name}:arm64"], name, options)
    assert raised.value.where == f"{name}:arm64" and ARM64 in raised.value.what
    await merged([f"{name}:amd64"], name, options)
    if options.sbom:
        spdx = AttachmentOptions(sbom="spdx")
        with pytest.raises(NotMergeable, match="format spdx"):
            await merged([f"{name}:amd64"], name, spdx)


async def test_signatures_of_another_key_do_not_count(
    tmp_path: Path, plain: registry.Throwaway, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{plain.address}/forged"
    other = AttachmentOptions(provenance=True, signer=signer())
    await published(tmp_path, AMD64, f"{name}:amd64", other)
    with pytest.raises(NotMergeable, match="is not signed with this key"):
        await merged([f"{name}:amd64"], name, EVERYTHING)
    assert await merged([f"{name}:amd64"], name)
    assert "the index is not; pass --sign-key" in capsys.readouterr().err


async def test_unsigned_provenance_is_not_signed_later(tmp_path: Path, plain: registry.Throwaway) -> None:
    """Anybody who can push could otherwise have their provenance signed by the merge."""
    name = f"{plain.address}/unsigned"
    await published(tmp_path, AMD64, f"{name}:amd64", AttachmentOptions(signer=KEY))
    await published(tmp_path, AMD64, f"{name}:amd64", AttachmentOptions(provenance=True))
    with pytest.raises(NotMergeable, match="has provenance that is not signed"):
        await merged([f"{name}:amd64"], name, AttachmentOptions(signer=KEY))


@pytest.mark.parametrize("tags", [False, True])
async def test_attestations_of_another_image_are_refused(
    tmp_path: Path, plain: registry.Throwaway, tags: bool
) -> None:
    name = f"{plain.address}/swapped-{tags}".lower()
    options = AttachmentOptions(signer=KEY, tags=tags)
    await published(tmp_path, AMD64, f"{name}:amd64", options, about="sha256:" + "7" * 64)
    with pytest.raises(NotMergeable, match="about another image"):
        await merged([f"{name}:amd64"], name)


async def test_a_bill_of_another_image_is_refused(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/bill"
    of = {"metadata": {"component": {"hashes": [{"alg": "SHA-256", "content": "7" * 64}]}}}
    options = AttachmentOptions(sbom="cyclonedx")
    await published(tmp_path, AMD64, f"{name}:amd64", options, bill=of)
    with pytest.raises(NotMergeable, match="about another image: application/"):
        await merged([f"{name}:amd64"], name)


async def test_images_of_different_commits_are_refused(tmp_path: Path, plain: registry.Throwaway) -> None:
    name = f"{plain.address}/commits"
    await published(tmp_path, AMD64, f"{name}:amd64")
    await published(tmp_path, ARM64, f"{name}:arm64", said=predicate(ARM64, commit="2" * 40))
    with pytest.raises(NotMergeable, match="different commits") as raised:
        await merged([f"{name}:amd64", f"{name}:arm64"], name)
    assert raised.value.where == f"{name}:amd64 and {name}:arm64"


async def test_signatures_at_tags_are_carried(tmp_path: Path, plain: registry.Throwaway) -> None:
    options = AttachmentOptions(provenance=True, signer=KEY, tags=True)
    part = await published(tmp_path, AMD64, f"{plain.address}/tags/amd64:x", options)
    address = f"{plain.address}/tags/app"
    receipt = await merged([f"{plain.address}/tags/amd64:x"], address, options)
    async with registries() as every:
        repository = Repository(await every.registry(plain.address), "tags/app")
        for digest in (part.digest, receipt.digest):
            for suffix in ("sig", "att"):
                assert await repository.manifest(signing.tag(digest, suffix)), (digest, suffix)


@pytest.mark.peers
async def test_cosign_verifies_a_merged_index(tmp_path: Path, plain: registry.Throwaway) -> None:
    keys: Keys = pair(tmp_path)
    options = AttachmentOptions(sbom="spdx", provenance=True, signer=keys.signer)
    parts = [
        await published(tmp_path, one, f"{plain.address}/cosign/{one[-5:]}:x", options)
        for one in (AMD64, ARM64)
    ]
    address = f"{plain.address}/cosign/app"
    receipt = await merged(
        [f"{plain.address}/cosign/{one[-5:]}:x" for one in (AMD64, ARM64)], address, options
    )
    for digest in (receipt.digest, *(part.digest for part in parts)):
        image = f"{address}@{digest}"
        assert keys.verified("verify", image, client=NEW)
        assert keys.verified("verify-attestation", "--type", "slsaprovenance1", image, client=NEW)
    assert keys.verified(
        "verify-attestation", "--type", "spdxjson", f"{address}@{parts[0].digest}", client=NEW
    )


async def test_the_dagger_function_has_the_same_options(
    session: dagger.Client, loopback: str, tmp_path: Path
) -> None:
    name = f"{loopback}/dagger-{time.time_ns()}"
    pem = KEY.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    key = session.set_secret("merge-key", pem.decode())
    word = session.set_secret("merge-word", "word")
    module = RustMultiarch(source=session.directory())
    await published(tmp_path, AMD64, f"{name}:amd64", NOTHING)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"sbom": True}, "format cyclonedx"),
        ({"sbom_format": "spdx"}, "format spdx"),
        ({"provenance": True}, "has no provenance"),
        ({"sign_key": key, "sign_password": word}, "is not signed"),
    ]
    for options, message in refused:
        with pytest.raises(NotMergeable, match=message):
            await module.merge([f"{name}:amd64"], f"{name}:x", **options)
    with pytest.raises(WrongKeyPassword):
        await module.merge([f"{name}:amd64"], f"{name}:x", sign_key=key)
    await published(tmp_path, ARM64, f"{name}:arm64")
    signed = {"sign_key": key, "sign_password": word, "legacy_signatures": True}
    reference = await module.merge([f"{name}:arm64"], f"{name}:x", **signed)
    digest = reference.partition("@")[2]
    async with registries() as every:
        repository = Repository(await every.registry(loopback), name.partition("/")[2])
        assert await repository.manifest(signing.tag(digest, "sig"))
    assert (await found(name, digest))[signing.BUNDLE]


def test_the_digest_is_that_of_one_machine(loopback: str, tmp_path: Path) -> None:
    """Publish on one machine, then each platform as `ci init --matrix` does; merge by the command line."""
    made = repository(tmp_path / "merged")
    for path, text in crates.hello_files("merged").items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(text)
    git(made, "add", ".")
    git(made, "commit", "-qm", "program")
    git(made, "tag", "v1.2.3")
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    name = f"{loopback}/merged-{time.time_ns()}"  # signatures of an earlier run would stay
    attached = ("--sbom=spdx", "--provenance", "--sign-key", tmp_path / "key.pem")
    ci = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "me/app",
        "GITHUB_WORKFLOW_REF": "me/app/.github/workflows/image.yml@refs/tags/v1.2.3",
        "GITHUB_RUN_ID": "7",
        "GITHUB_REF": "refs/tags/v1.2.3",
    }
    whole = json.loads(run("publish", "--tag", f"{name}:whole", "--json", cwd=made, **ci).stdout)
    sources, digests = [], []
    for platform in (AMD64, ARM64):
        one = ("publish", "--platform", platform, "--tag", name, "--by-digest", *attached, "--json")
        receipt = json.loads(run(*one, cwd=made, **ci).stdout)
        sources.append(receipt["references"][0])
        digests.append(receipt["digest"])
    receipt = json.loads(run("merge", *sources, "--tag", name, *attached, "--json", cwd=made, **ci).stdout)
    assert receipt["digest"] == whole["digest"]
    assert f"{name}:1.2.3@{receipt['digest']}" in receipt["references"]
    key = signing.Signer(private)
    (statement,) = anyio.run(found, name, receipt["digest"], key)[provenance.MEDIA_TYPE]
    details = statement["predicate"]["runDetails"]
    assert details["builder"]["id"] == f"https://github.com/{ci['GITHUB_WORKFLOW_REF']}"
    assert details["metadata"]["invocationId"] == "https://github.com/me/app/actions/runs/7"
    for digest in digests:
        (bill,) = anyio.run(found, name, digest, key)["application/spdx+json"]
        assert validate_full_spdx_document(JsonLikeDictParser().parse(bill)) == []
        assert {"libc6", "merged", "rust-std"} <= {package["name"] for package in bill["packages"]}
    keyless = run("merge", *sources, "--tag", f"{name}:again", cwd=made)
    assert "pass --sign-key" in keyless.stderr
    missing = ("merge", *sources, "--tag", f"{name}:again", "--sign-key", "nowhere.pem")
    refused = run(*missing, cwd=made, code=UnusableKey.exit_code)
    assert "no such file" in refused.stderr and "where: nowhere.pem" in refused.stderr
    variable = (*missing[:-1], "env://KEY", "--sign-password", "WORD")
    assert run(*variable, cwd=made, KEY=pem.decode(), WORD="not needed").stdout
    assert PASSWORD not in keyless.stdout
