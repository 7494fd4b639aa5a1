"""Test that everything about a platform follows from its row: a platform is added in one place."""

from __future__ import annotations

import dataclasses

import pytest

from engine import bases, binfmt
from engine.recipes import debian
from pipeline import releases
from pipeline.errors import UnsupportedLibc
from pipeline.targets import BY_MACHINE, TARGETS, Libc, Target, parse
from pipeline.toolchain import zig

EACH = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
LOONG64 = parse("linux/loong64")


@EACH
def test_a_row_says_all_that_the_other_stages_need(target: Target) -> None:
    assert binfmt.EMULATORS[target.platform].startswith("qemu-")
    assert target.platform in binfmt.NATIVE[target.machines[0]]
    assert BY_MACHINE[target.machines[0]] is target
    assert zig.name(target, Libc.MUSL).startswith(target.zig.arch)


@EACH
def test_a_platform_without_a_port_of_debian_has_musl_only(target: Target) -> None:
    released = [release for release in releases.RELEASES.values() if release.has_port(target)]
    if released:
        zig.check([target], Libc.GNU, "", releases.DEFAULT.glibc)
        return
    zig.check([target], Libc.MUSL, "", releases.DEFAULT.glibc)
    with pytest.raises(UnsupportedLibc, match=f"Debian has no glibc for {target.platform}") as raised:
        zig.check([target], Libc.GNU, "", releases.DEFAULT.glibc)
    assert raised.value.fix == "build it with --libc musl"


def test_a_newer_port_is_a_number() -> None:
    future = dataclasses.replace(LOONG64, port=13)
    assert [name for name, each in releases.RELEASES.items() if each.has_port(future)] == ["trixie"]
    assert releases.with_port(releases.RELEASES["bookworm"], future).name == "trixie"


def test_no_stand_in_is_made_where_debian_has_no_port(tmp_path) -> None:
    jobs = bases.jobs_for([LOONG64], [], parse("linux/amd64"), tmp_path)
    assert (debian(releases.DEFAULT).image, "linux/loong64") not in [
        (job.base.image, job.target.platform) for job in jobs
    ]
