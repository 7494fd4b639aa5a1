"""Test the variants of a small service: their binaries, and that they respond."""

import hashlib
import io
import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import PLATFORMS, check_answers
from elftools.elf.elffile import ELFFile

from pipeline import errors
from pipeline.image import export
from pipeline.oci.normalize import ImageReader
from pipeline.targets import parse

pytestmark = pytest.mark.anyio


async def elf(file, path: Path) -> ELFFile:
    await file.export(str(path))
    return ELFFile(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_binary_is_of_its_platform(service_image, platform: str, tmp_path: Path) -> None:
    target, variant = parse(platform), service_image.variant(platform)
    binary = await elf(variant.binaries.file("service"), tmp_path / "service")
    assert binary["e_machine"] == target.machine
    assert binary.elfclass == target.bits
    assert binary.little_endian == target.little_endian
    assert binary.get_section_by_name(".interp").data().rstrip(b"\0").decode() == target.loader
    needed = {t.needed for t in binary.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
    assert "libc.so.6" in needed
    assert needed <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", Path(target.loader).name}
    assert binary.get_section_by_name(".symtab") is None, "stripped"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_symbols_belong_to_the_binary(service_image, platform: str, tmp_path: Path) -> None:
    variant = service_image.variant(platform)
    binary = await elf(variant.binaries.file("service"), tmp_path / "binary")
    symbols = await elf(variant.symbols.file("service.debug"), tmp_path / "symbols")
    notes = [f.get_section_by_name(".note.gnu.build-id").data() for f in (binary, symbols)]
    assert notes[0] == notes[1]
    assert symbols.get_section_by_name(".symtab").num_symbols() > 1000
    link = binary.get_section_by_name(".gnu_debuglink").data()
    assert link.split(b"\0")[0] == b"service.debug"


@pytest.mark.parametrize(("platform", "arch"), [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")])
async def test_the_variant_answers_for_its_architecture(service_image, platform: str, arch: str) -> None:
    await check_answers(service_image, platform, arch)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_images_root_certificates_are_the_distributions(service_image, platform: str) -> None:
    """A CA of the build machine must never get into an image."""
    bundle = (
        await service_image.variant(platform).container.file("/etc/ssl/certs/ca-certificates.crt").contents()
    )
    assert bundle.count("BEGIN CERTIFICATE") > 100
    for local in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        assert local.read_text().strip() not in bundle


async def test_an_archive_holds_both(service_image, tmp_path: Path) -> None:
    assert sorted(await (await service_image.layout()).entries()) == ["blobs/", "index.json", "oci-layout"]
    await (await service_image.tarball()).export(str(tmp_path / "image.tar"))
    assert (tmp_path / "image.tar").stat().st_size > 10_000_000


async def test_a_variant_that_was_not_built(service_image) -> None:
    with pytest.raises(errors.UnsupportedPlatform, match="linux/amd64, linux/arm64"):
        service_image.variant("linux/386")


@pytest.mark.parametrize(
    ("platform", "wanted"), [("", "amd64"), ("linux/arm64", "arm64")], ids=["this engine's", "arm64"]
)
async def test_an_archive_for_docker(service_image, tmp_path: Path, platform: str, wanted: str) -> None:
    archive = await service_image.docker_archive(platform, ["me/app:1"])
    await archive.export(str(tmp_path / "image.tar"))
    reader = ["skopeo", "inspect", f"docker-archive:{tmp_path}/image.tar:docker.io/me/app:1"]
    found = json.loads(subprocess.run(reader, capture_output=True, check=True).stdout)
    assert found["Architecture"] == wanted and found["Os"] == "linux"
    layout = await service_image.layout()
    (row,) = (row for row in await service_image.rows() if row.platform == f"linux/{wanted}")
    manifest = json.loads(await layout.file(f"blobs/{row.digest.replace(':', '/')}").contents())
    config = ["skopeo", "inspect", "--raw", "--config", f"docker-archive:{tmp_path}/image.tar"]
    raw = subprocess.run(config, capture_output=True, check=True).stdout
    assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == manifest["config"]["digest"]


@pytest.mark.parametrize(
    ("base_bytes", "compressed"), [(0, False), (64_000_000, False), (64_000_001, True), (None, True)]
)
async def test_the_layers_of_a_large_base_stay_compressed(
    service_image, tmp_path: Path, base_bytes: int | None, compressed: bool
) -> None:
    tarball = export(service_image.variants[0].container, base_bytes)
    await tarball.export(str(tmp_path / "image.tar"))
    with ExitStack() as opened:
        layers = ImageReader.archived(tmp_path / "image.tar", opened).manifest()["layers"]
    assert {layer["mediaType"].endswith("+gzip") for layer in layers} == {compressed}


async def test_a_base_in_a_registry_has_a_size(service_image) -> None:
    for variant in service_image.variants:
        (base,) = variant.registry_base.blobs
        assert variant.base_bytes == base.size > 1_000_000
