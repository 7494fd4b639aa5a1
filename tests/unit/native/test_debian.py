"""Test reading the Debian packages of a base image from dpkg's status files."""

from pipeline.native import debian

STATUS = """\
Package: libssl3
Status: install ok installed
Architecture: amd64

Package: libsqlite3-0
Status: deinstall ok config-files
Version: 3.40

Package: zlib1g
Status: hold ok installed
Description: a library
 Package: not-this-one

Package: libhalf
Status: install ok half-configured
"""


def test_what_was_removed_is_not_installed() -> None:
    assert debian.installed(STATUS) == {"libssl3", "zlib1g"}


def test_distroless_images_have_no_status() -> None:
    assert debian.installed("Package: base-files\nVersion: 12\n\n\nPackage: tzdata\n") == {
        "base-files",
        "tzdata",
    }


def test_nothing_is_installed() -> None:
    assert debian.installed("") == set()
