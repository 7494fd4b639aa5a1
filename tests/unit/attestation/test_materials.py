import hashlib
import subprocess
from pathlib import Path

import pytest

from pipeline import programs
from pipeline.attestation import materials
from pipeline.attestation.materials import Material
from pipeline.git.metadata import Base
from pipeline.native.dpkg import DebianPackage, OperatingSystem

OLD = DebianPackage("libssl3", "3.0.1", "arm64", "openssl", "3.0.1")
NEW = DebianPackage("libssl3", "3.0.2", "arm64", "openssl", "3.0.2")
LIBC = DebianPackage("libc6", "2.41", "arm64", "glibc", "2.41")


def test_packages_that_were_added_are_named_with_their_version() -> None:
    before, after = OperatingSystem("debian", "13", (LIBC, OLD)), OperatingSystem("debian", "13", (LIBC, NEW))
    (only,) = materials.added(before, after)
    assert only.uri == "pkg:deb/debian/libssl3@3.0.2?arch=arm64&distro=debian-13&upstream=openssl"
    assert materials.added(after, after) == []


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_zig_is_named_by_its_wheels(platform: str) -> None:
    zig, zigbuild = materials.wheels(platform)
    assert zig.uri.startswith("pkg:pypi/ziglang@") and zigbuild.uri.startswith("pkg:pypi/cargo-zigbuild@")
    assert {len(one.digest) for one in (zig, zigbuild)} == {len("sha256:") + 64}
    assert materials.wheels("linux/amd64") != materials.wheels("linux/arm64")


def test_empty_parts_are_left_out() -> None:
    assert Material("a:b").as_json() == {"uri": "a:b"}
    assert Material(name="files", digest="dirHash:ab").as_json() == {
        "name": "files",
        "digest": {"dirHash": "ab"},
    }
    assert materials.image(Base("docker.io/x:1", "sha256:ab")).as_json() == {
        "uri": "oci://docker.io/x:1",
        "digest": {"sha256": "ab"},
    }


def digest(path: Path) -> str:
    ran = subprocess.run(
        ["sh", programs.PIPELINE / materials.DIGEST, path], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"content")
    assert digest(tmp_path / "state") == f"sha256:{hashlib.sha256(b'content').hexdigest()}"


def test_the_digest_of_a_directory_is_that_of_the_specification(tmp_path: Path) -> None:
    for name in ("b", "a dir/file", "C"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in ("C", "a dir/file", "b")]
    assert digest(tmp_path) == f"dirHash:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
    before = digest(tmp_path)
    (tmp_path / "b").rename(tmp_path / "d")
    assert digest(tmp_path) != before
