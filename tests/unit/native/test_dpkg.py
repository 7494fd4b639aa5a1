from pathlib import Path

from pipeline.native import dpkg
from pipeline.native.dpkg import DebianPackage, OperatingSystem

STATUS = """Package: libc6
Status: install ok installed
Priority: optional
Architecture: arm64
Multi-Arch: same
Source: glibc
Version: 2.36-9+deb12u9
Description: GNU C Library
 Package: not-a-field
Homepage: https://www.gnu.org/software/libc/libc.html

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1.0

Package: base-files
Essential: yes
Status: install ok installed
Architecture: arm64
Version: 12.4+deb12u9

Package: libattr1
Status: install ok installed
Architecture: arm64
Source: attr (1:2.5.1-4)
Version: 1:2.5.1-4+b1
"""
RELEASE = (
    'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'
)


def test_installed_packages_with_their_sources() -> None:
    assert dpkg.packages(STATUS) == (
        DebianPackage("base-files", "12.4+deb12u9", "arm64", "base-files", "12.4+deb12u9"),
        DebianPackage("libattr1", "1:2.5.1-4+b1", "arm64", "attr", "1:2.5.1-4"),
        DebianPackage("libc6", "2.36-9+deb12u9", "arm64", "glibc", "2.36-9+deb12u9"),
    )


def test_distroless_packages_have_one_file_each_and_no_status() -> None:
    tzdata = "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n"
    netbase = "Package: netbase\nVersion: 6.4\nArchitecture: all\n"
    found = dpkg.system(RELEASE, [tzdata, netbase])
    assert [package.name for package in found.packages] == ["netbase", "tzdata"]


def test_reads_the_operating_system() -> None:
    found = dpkg.system(RELEASE, [STATUS])
    assert (found.id, found.version, found.distribution) == ("debian", "12", "debian-12")
    assert len(found.packages) == 3


def test_an_image_from_scratch_has_no_packages() -> None:
    assert dpkg.system("", []) == OperatingSystem()
    assert OperatingSystem().distribution == ""


def test_a_missing_file_has_no_text(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=debian")
    (tmp_path / "link").symlink_to("nowhere")
    names = ("os-release", "link", "none")
    assert [dpkg._text(tmp_path, tmp_path / name) for name in names] == ["ID=debian", "", ""]


STATES = """\
Package: libssl3
Status: install ok installed

Package: zlib1g
Status: hold ok installed

Package: libhalf
Status: install ok half-configured
"""


def test_only_installed_packages_count() -> None:
    assert [package.name for package in dpkg.packages(STATES)] == ["libssl3", "zlib1g"]
    distroless = dpkg.packages("Package: base-files\nVersion: 12\n\n\nPackage: python3.11\n")
    assert [package.name for package in distroless] == ["base-files", "python3.11"]
    assert dpkg.packages("") == ()
