import gzip
import json
import tarfile
from pathlib import Path

import layouts
import pytest

from pipeline.oci import docker_archive


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]


def test_one_platform_and_its_names(tmp_path: Path) -> None:
    layout = layouts.sample(tmp_path / "layout")
    out = tmp_path / "image.tar"
    docker_archive.write(layout, out, "linux/arm64", ["me/app", "host:5000/app", "app:1"])
    files = read(out)
    ((image,), others) = json.loads(files["manifest.json"]), set(files) - {"manifest.json"}
    assert image["RepoTags"] == ["me/app:latest", "host:5000/app:latest", "app:1"]
    assert {image["Config"], *image["Layers"]} == others
    assert json.loads(files[image["Config"]])["architecture"] == "arm64"
    diff_ids = json.loads(files[image["Config"]])["rootfs"]["diff_ids"]
    assert [layouts.digest_of(gzip.decompress(files[layer])) for layer in image["Layers"]] == diff_ids


def test_a_layout_of_one_manifest(tmp_path: Path) -> None:
    layout = layouts.layout(tmp_path, layouts.image(tmp_path, "linux/arm64", [b"x"]))
    docker_archive.write(layout, tmp_path / "image.tar", "linux/arm64", ["app"])
    assert json.loads(read(tmp_path / "image.tar")["manifest.json"])[0]["RepoTags"] == ["app:latest"]


def test_the_archive_is_reproducible(tmp_path: Path) -> None:
    layout = layouts.sample(tmp_path / "layout")
    for name in ("a.tar", "b.tar"):
        docker_archive.write(layout, tmp_path / name, "linux/amd64", [])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert json.loads(read(tmp_path / "a.tar")["manifest.json"])[0]["RepoTags"] == []


def test_a_missing_platform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StopIteration):
        docker_archive.write(layouts.sample(tmp_path / "l"), tmp_path / "a.tar", "linux/s390x", [])
