"""What a built image says of itself, read back by tools that are not ours."""

import json
from pathlib import Path
from typing import Any

import dagger
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from dagger import dag
from elftools.elf.elffile import ELFFile

from pipeline import RustMultiarch, crates, dpkg, sbom
from pipeline.image import Image

pytestmark = pytest.mark.anyio

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
    """The reader of `cargo auditable`'s own library."""
    built = await RustMultiarch(source=project(session, "reader"), platforms=[AMD64], profile="dev").build()
    return built.variant(AMD64).container


async def read(reader: dagger.Container, image: Image, platform: str) -> dict[str, dict[str, Any]]:
    """The packages that the reader finds in the binary of a platform, by name."""
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
    answer = await crates.load(variant.crates)
    system = await dpkg.read(variant.container)
    made = sbom.cyclonedx(
        sbom.Variant(
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
    assert "distro=debian-12" in found["libc6"]["purl"] and "arch=arm64" in found["libc6"]["purl"]


async def test_an_image_from_scratch_has_no_packages(session) -> None:
    assert await dpkg.read(dag.container()) == dpkg.System()
