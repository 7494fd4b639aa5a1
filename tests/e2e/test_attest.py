"""Test SBOMs, provenance and dependency lists with third-party tools."""

import base64
import hashlib
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import crates as projects
import dagger
import gotools
import pytest
from conftest import SESSION_LOG
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from dagger import dag
from elftools.elf.elffile import ELFFile
from test_signing import Keys, pair

from pipeline import RustMultiarch, errors
from pipeline.attestation import sbom
from pipeline.image import Image
from pipeline.native import dpkg
from pipeline.project import unit_graph
from pipeline.releases import DEFAULT

pytestmark = pytest.mark.anyio

PASSWORD = "canary-of-a-password"

DATA = Path(__file__).parents[1] / "data/audit"
AMD64, ARM64 = "linux/amd64", "linux/arm64"


def project(session: dagger.Client, name: str) -> dagger.Directory:
    return session.host().directory(str(DATA / name))


@pytest.fixture(scope="module")
async def image(session) -> Image:
    module = RustMultiarch(source=project(session, "app"), platforms=[AMD64, ARM64], features=["text"])
    return await module.build()


@pytest.fixture(scope="module")
async def reader(session) -> dagger.Container:
    """Compile the reader with `cargo auditable`'s own library."""
    built = await RustMultiarch(
        source=project(session, "reader"), platforms=[AMD64], cargo_profile="dev"
    ).build()
    return built.variant(AMD64).container


async def read(reader: dagger.Container, image: Image, platform: str) -> dict[str, dict[str, Any]]:
    """Return the packages that the reader finds in a platform's binary, by name."""
    binary = image.variant(platform).binaries.file("audited")
    printed = await reader.with_file("/audited", binary).with_exec(["reader", "/audited"]).stdout()
    return {package["name"]: package for package in json.loads(printed)["packages"]}


async def test_scanners_find_the_crates_in_the_binary(image: Image, reader: dagger.Container) -> None:
    found = await read(reader, image, AMD64)
    assert {name: package.get("kind", "runtime") for name, package in found.items()} == {
        "audited": "runtime",
        "autocfg": "build",
        "itoa": "runtime",
    }
    assert found["audited"]["root"] is True
    assert (found["audited"]["source"], found["itoa"]["source"]) == ("local", "crates.io")


async def test_each_platforms_binary_has_its_own_crates(image: Image, reader: dagger.Container) -> None:
    assert set(await read(reader, image, ARM64)) == {"audited", "autocfg", "cfg-if", "itoa"}


async def test_the_section_leaves_program_and_symbols_as_they_were(image: Image, tmp_path: Path) -> None:
    variant = image.variant(AMD64)
    assert (await variant.container.with_exec(["audited"]).stdout()).strip() == "42"
    await variant.binaries.file("audited").export(str(tmp_path / "audited"))
    await variant.symbols.file("audited.debug").export(str(tmp_path / "audited.debug"))

    with (tmp_path / "audited").open("rb") as file, (tmp_path / "audited.debug").open("rb") as debug:
        program, symbols = ELFFile(file), ELFFile(debug)
        notes = [elf.get_section_by_name(".note.gnu.build-id") for elf in (program, symbols)]
        identifiers = {next(note.iter_notes())["n_desc"] for note in notes}
        assert len(identifiers) == 1
        assert program.get_section_by_name(".dep-v0")["sh_addr"] == 0, "it is not loaded into memory"
        assert program.get_section_by_name(".symtab") is None
        assert symbols.get_section_by_name(".symtab") is not None


async def test_a_bill_of_materials_of_what_ships(image: Image) -> None:
    variant = image.variant(ARM64)
    answer = await unit_graph.load(variant.crates)
    system = await dpkg.read(variant.container)
    made = sbom.cyclonedx(
        sbom.SbomSubject(
            "audited", "0.1.0", ARM64, 0, answer.of(variant.triple), system=system, rust=answer.rust
        ),
        "0.1.0",
    )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None
    found = {component["name"]: component for component in json.loads(made)["components"]}
    assert found["itoa"]["scope"] == "required" and found["autocfg"]["scope"] == "excluded"
    assert not {"ryu", "windows-link", "static_assertions"} & set(found), "in the lock, not in the build"
    assert len(found["itoa"]["hashes"][0]["content"]) == 64
    assert found["rust-std"]["version"].startswith("1.")
    image_says = await variant.container.with_exec(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n"]
    ).stdout()
    packages = dict(line.split(" ") for line in image_says.splitlines())
    assert packages["libc6"] == found["libc6"]["version"]
    assert {p.name: p.version for p in system.packages} == packages
    purl = found["libc6"]["purl"]
    assert f"distro=debian-{DEFAULT.number}" in purl and "arch=arm64" in purl


async def test_what_several_builders_say_is_joined(image: Image) -> None:
    """The emulated strategy has a builder for each platform."""
    said = image.variant(AMD64).crates
    (name,) = await said.entries()
    both = said.with_directory("another", said.directory(name))
    assert len((await unit_graph.load(both)).graphs) == 2 * len((await unit_graph.load(said)).graphs) == 4


async def test_an_image_from_scratch_has_no_packages(session) -> None:
    assert await dpkg.read(dag.container()) == dpkg.OperatingSystem()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return pair(tmp_path_factory.mktemp("keys"))


def secret(name: str, text: str) -> dagger.Secret:
    return dag.set_secret(f"attest-{name}", text)


def get(host: str, path: str) -> Any:
    accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(f"http://{host}/v2/{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def oras(verb: str, *arguments: str) -> str:
    command = [gotools.client("oras"), verb, "--plain-http", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def referrers(address: str, kind: str) -> list[dict[str, Any]]:
    """Return the referrers of a digest and a type, found by `oras`."""
    command = [
        gotools.client("oras"),
        "discover",
        "--plain-http",
        "--format",
        "json",
        "--artifact-type",
        kind,
    ]
    found = json.loads(subprocess.run([*command, address], capture_output=True, check=True).stdout)
    return list(found["referrers"])


@pytest.mark.peers
async def test_an_image_with_everything(image: Image, keys: Keys, loopback: str, tmp_path: Path) -> None:
    key = (keys.directory / "cosign.key").read_text()
    name = f"{loopback}/attest/everything"
    receipt = json.loads(
        await image.publish(
            f"{name}:x",
            sbom=True,
            provenance=True,
            symbols=True,
            sign_key=secret("key", key),
            sign_password=secret("password", PASSWORD),
            as_json=True,
        )
    )
    index = get(loopback, "attest/everything/manifests/x")
    assert receipt["attaching_seconds"] > 0
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]

    digests = [receipt["digest"], *(entry["digest"] for entry in index["manifests"])]
    assert set(receipt["signed"]) == set(digests)
    for digest in digests:
        assert keys.verified("verify", f"{name}@{digest}")
    (envelope,) = keys.verified("verify-attestation", "--type", "slsaprovenance1", f"{name}:x")
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert [f"sha256:{one['digest']['sha256']}" for one in statement["subject"]] == digests
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["features"] == ["text"]
    uris = [dependency.get("uri", "") for dependency in definition["resolvedDependencies"]]
    assert any(uri.startswith("oci://docker.io/library/rust:") for uri in uris)
    assert "oci://docker.io/library/debian:trixie-slim" in uris
    assert any(uri.startswith("pkg:cargo/itoa@") for uri in uris)

    for digest in digests[1:]:
        (envelope,) = keys.verified("verify-attestation", "--type", "cyclonedx", f"{name}@{digest}")
        (plain,) = referrers(f"{name}@{digest}", sbom.MEDIA_TYPE)
        manifest = get(loopback, f"attest/everything/manifests/{plain['digest']}")
        bill = get(loopback, f"attest/everything/blobs/{manifest['layers'][0]['digest']}")
        assert json.loads(base64.b64decode(envelope["payload"]))["predicate"] == bill
        assert bill["metadata"]["component"]["hashes"][0]["content"] == digest.removeprefix("sha256:")

    (symbols,) = referrers(f"{name}@{digests[1]}", "application/vnd.rust-multiarch.symbols.v1")
    pull = [
        gotools.client("oras"),
        "pull",
        "--plain-http",
        "-o",
        str(tmp_path),
        f"{name}@{symbols['digest']}",
    ]
    subprocess.run(pull, check=True, capture_output=True)
    with (tmp_path / "audited.debug").open("rb") as file:
        note = next(ELFFile(file).get_section_by_name(".note.gnu.build-id").iter_notes())
    verified = json.loads(image.verified)["verified"]
    assert note["n_desc"] == next(v["build_id"] for v in verified if v["platform"] == AMD64)

    log = SESSION_LOG.read_text()
    assert PASSWORD not in log and key.splitlines()[1] not in log


async def test_provenance_names_what_went_in_whatever_the_labels_say(session, loopback: str) -> None:
    """The base was read from a label that a user may set; files and packages were missing."""
    invented = f"sha256:{'0' * 64}"
    module = RustMultiarch(
        source=project(session, "app"),
        platforms=[AMD64, ARM64],
        features=["text"],
        labels=[f"org.opencontainers.image.base.digest={invented}"],
        runtime_packages=["media-types"],
    )
    module.files = dag.directory().with_new_file("etc/app.toml", "x")
    image = await module.build()
    other = image.variant(AMD64).container.with_new_file("/etc/other", "y")
    image = await image.with_variant(AMD64, other)
    receipt = json.loads(await image.publish(f"{loopback}/attest/inputs:x", provenance=True, as_json=True))
    (_, arm64) = get(loopback, "attest/inputs/manifests/x")["manifests"]
    (digest,) = receipt["referrers"]
    manifest = get(loopback, f"attest/inputs/manifests/{digest}")
    assert manifest["subject"]["digest"] == arm64["digest"]
    statement = get(loopback, f"attest/inputs/blobs/{manifest['layers'][0]['digest']}")
    assert [f"sha256:{one['digest']['sha256']}" for one in statement["subject"]] == [arm64["digest"]]
    inputs = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    (base,) = [one for one in inputs if one.get("uri") == "oci://docker.io/library/debian:trixie-slim"]
    assert base["digest"]["sha256"] not in invented
    (files,) = [one for one in inputs if one.get("name") == "files"]
    content = f"{hashlib.sha256(b'x').hexdigest()}  etc/app.toml\n"
    assert files["digest"] == {"dirHash": hashlib.sha256(content.encode()).hexdigest()}
    uris = [one.get("uri", "") for one in inputs]
    assert any(uri.startswith("pkg:deb/debian/media-types@") for uri in uris)
    assert any(uri.startswith("pkg:deb/debian/gcc-aarch64-linux-gnu@") for uri in uris), "of the builder"
    assert not any(uri.startswith("pkg:deb/debian/base-files@") for uri in uris), "of the base"


async def test_nothing_is_attached_unasked(image: Image, loopback: str) -> None:
    receipt = json.loads(await image.publish(f"{loopback}/attest/plain:x", as_json=True))
    assert receipt["referrers"] == []
    assert get(loopback, "attest/plain/tags/list")["tags"] == ["x"]


async def test_the_same_documents_again_are_not_sent_again(image: Image, loopback: str) -> None:
    first, second = [
        json.loads(
            await image.publish(f"{loopback}/attest/twice:x", sbom=True, provenance=True, as_json=True)
        )
        for _ in range(2)
    ]
    assert first["referrers"] == second["referrers"] and len(first["referrers"]) == 3
    assert first["digest"] == second["digest"]
    assert second["deliveries"][0]["uploaded_blobs"] == 0


@pytest.mark.parametrize(
    ("key", "password", "error"),
    [
        ("no key", PASSWORD, errors.UnusableKey),
        ("", "wrong", errors.WrongKeyPassword),
    ],
)
async def test_a_key_is_tried_before_anything_is_built(
    keys: Keys, session, key: str, password: str, error: type[errors.RustMultiarchError]
) -> None:
    text = key or (keys.directory / "cosign.key").read_text()
    module = RustMultiarch(source=projects.directory({}))
    with pytest.raises(error):
        await module.publish(
            "127.0.0.1:9/x/y:z", sign_key=secret(f"k-{password}", text), sign_password=secret("p", password)
        )


async def test_a_key_that_is_not_there(session) -> None:
    module = RustMultiarch(source=projects.directory({}))
    with pytest.raises(errors.UnusableKey, match="cannot be read"):
        await module.publish("127.0.0.1:9/x/y:z", sign_key=dag.secret("file:///no/such/key"))
