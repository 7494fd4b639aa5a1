"""Test what a rebase reads of an image's own layers, and its addresses."""

import gzip
import io
import tarfile
from pathlib import Path

import layouts
import pytest
import strict_registry

from pipeline import rebasing
from pipeline.cli.rebase import asked
from pipeline.errors import InvalidAddress, NotRebasable
from pipeline.oci.layout import Layout
from pipeline.oci.rebase import PublishedPlatform
from pipeline.registry import dial, pushing
from pipeline.registry.address import Destination, parse_source


def written(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """Write a layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(gzip.compress(out.getvalue()))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o4000
    return info


def image(entrypoint: str) -> PublishedPlatform:
    return PublishedPlatform("linux/amd64", None, {}, {"config": {"Entrypoint": [entrypoint]}})  # type: ignore[arg-type]


def test_programs_are_those_on_path_and_the_entrypoint(tmp_path: Path) -> None:
    elf = b"\x7fELF..."
    layer = written(
        tmp_path / "layer",
        (member("usr/local/bin/app"), elf),
        (member("usr/local/bin/script"), b"#!/bin/sh"),
        (member("opt/main"), elf),
        (member("opt/other"), elf),
        (member("dev/null", tarfile.CHRTYPE), b""),
    )
    root = tmp_path / "root"
    rebasing.unpack(layer, root)
    assert rebasing.programs(image("/opt/main"), root) == ("/usr/local/bin/app", "/opt/main")
    assert rebasing.programs(image("sh"), root) == ("/usr/local/bin/app",)
    assert not (root / "dev/null").exists()
    assert (root / "usr/local/bin/app").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize(
    "members",
    [
        [(member("../outside"), b"x")],
        [(member("up", tarfile.SYMTYPE, ".."), b""), (member("up/outside"), b"x")],
        [(member("up", tarfile.SYMTYPE, "/"), b""), (member("up/tmp/outside"), b"x")],
    ],
    ids=["a path", "a relative link", "an absolute link"],
)
def test_a_layer_cannot_write_outside_of_its_directory(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    layer, root = written(tmp_path / "layer", *members), tmp_path / "inner/root"
    root.mkdir(parents=True)
    with pytest.raises(NotRebasable, match="a layer cannot be read"):
        rebasing.unpack(layer, root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inner", "layer"]


def test_a_program_that_is_a_link_out_of_the_image_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin/app").symlink_to("/proc/self/exe")
    assert rebasing.programs(image("/usr/local/bin/app"), tmp_path) == ()


@pytest.mark.parametrize(
    "content",
    [b"no archive", gzip.compress(b"x" * 600, mtime=0), gzip.compress(b"y", mtime=0)[:8]],
    ids=["text", "no tar", "cut off"],
)
def test_a_damaged_layer_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "layer").write_bytes(content)
    with pytest.raises(NotRebasable):
        rebasing.unpack(tmp_path / "layer", tmp_path / "root")


def test_a_large_layer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebasing, "MAX_LAYER_BYTES", 1000)
    layer = written(tmp_path / "layer", (member("a"), bytes(600)), (member("b"), bytes(600)))
    with pytest.raises(NotRebasable, match="more than 1000 bytes"):
        rebasing.unpack(layer, tmp_path / "root")


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("name", "tags", "wanted"),
    [
        ("host.example/app:1", [], ("host.example/app:1",)),
        (f"host.example/app:1@{DIGEST}", [], ("host.example/app:1",)),
        (f"host.example/app@{DIGEST}", ["host.example/app:2"], ("host.example/app:2",)),
    ],
)
def test_the_images_own_tag_is_the_default_address(
    name: str, tags: list[str], wanted: tuple[str, ...]
) -> None:
    request = asked(name, tags, True, ["host.example"], True)
    assert request.addresses == wanted
    assert (request.clobber, request.plain_http, request.as_json) == (False, ("host.example",), True)


@pytest.mark.parametrize("name", ["host.example/app", f"host.example/app@{DIGEST}"])
def test_an_image_without_a_tag_needs_an_address(name: str) -> None:
    with pytest.raises(InvalidAddress, match="no tag"):
        asked(name, [], False, [], False)


@pytest.mark.anyio
async def test_a_tag_is_read_once(tmp_path: Path) -> None:
    """It may be moved while its image is read."""
    with strict_registry.running() as registry:
        async with dial.registries() as registries:
            to = Destination(registry.address, "me/app", ("1",))
            layout = await Layout.open(layouts.sample(tmp_path))
            await pushing.push(layout, [to], registries)
            registry.seen.clear()
            found = await rebasing.read(parse_source(f"{registry.address}/me/app:1"), registries)
    assert found.platforms == list(layouts.PLATFORMS)
    assert registry.lines("manifests/1$") == ["GET /v2/me/app/manifests/1"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("onto", "platforms", "said"),
    [
        ("{}/me/base:2", ["linux/amd64"], "cannot be read: {} has no me/base with 2"),
        ("{}/me/base:1", ["linux/amd64", "linux/riscv64"], "the base has no image for linux/riscv64"),
        ("scratch", ["linux/amd64"], "scratch is no image"),
    ],
)
async def test_a_base_that_cannot_be_used_says_why(
    tmp_path: Path, onto: str, platforms: list[str], said: str
) -> None:
    with strict_registry.running() as registry:
        async with dial.registries() as registries:
            layout = await Layout.open(layouts.sample(tmp_path))
            await pushing.push(layout, [Destination(registry.address, "me/base", ("1",))], registries)
            with pytest.raises(NotRebasable) as raised:
                await rebasing.new_base(onto.format(registry.address), platforms, registries, {})
    assert said.format(registry.address) in raised.value.what
    assert raised.value.where == f"--onto {onto.format(registry.address)}"
