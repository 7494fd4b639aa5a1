"""Test the rules of the ABI check, each met and each broken, and the messages."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pipeline.abi import symbols as abi
from pipeline.abi import verify
from pipeline.abi.elf import Elf, Need
from pipeline.abi.loader import Root
from pipeline.abi.symbols import Case, Finding, check
from pipeline.errors import VerificationError
from pipeline.targets import TARGETS, Target, parse

AMD64 = parse("linux/amd64")
APP = "/usr/local/bin/sample-app"
BUSTER = "debian:buster-slim"


def made(target: Target = AMD64, **rest: Any) -> Elf:
    return Elf(target.machine, target.bits, target.little_endian, **rest)


def glibc(*versions: str, target: Target = AMD64, exports: tuple[str, ...] = ()) -> dict[str, Elf]:
    """Build a runtime with a C library and a loader."""
    return {
        f"/usr/lib/{target.multiarch}/libc.so.6": made(target, defines=versions, exports=frozenset(exports)),
        target.loader: made(target, defines=("GLIBC_2.3",)),
    }


def app(target: Target = AMD64, needed: tuple[str, ...] = ("libc.so.6",), **rest: Any) -> Elf:
    return made(target, interpreter=target.loader, needed=needed, **rest)


def findings(
    binary: Elf | None,
    files: Mapping[str, Elf],
    target: Target = AMD64,
    static: bool = False,
    floor: str = "",
) -> list[Finding]:
    root = Root({**files, **({APP: binary} if binary else {})})
    return check(Case(APP, root, target, BUSTER, static, floor))


def only(found: list[Finding], rule: str) -> Finding:
    assert [finding.rule for finding in found] == [rule]
    assert found[0].fix
    return found[0]


GOOD = glibc("GLIBC_2.17", "GLIBC_2.34", "GLIBC_2.36", exports=("fstat", "fstat@GLIBC_2.34"))
FSTAT = (Need("libc.so.6", "GLIBC_2.34", ("fstat",)),)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
def test_a_program_that_fits(target: Target) -> None:
    runtime = glibc("GLIBC_2.34", target=target, exports=("fstat@GLIBC_2.34", "fstat"))
    assert findings(app(target, needs=FSTAT, imports=frozenset({"fstat@GLIBC_2.34"})), runtime, target) == []


@pytest.mark.parametrize("kind", ["ET_EXEC", "ET_DYN"])
def test_a_static_program_fits_any_runtime(kind: str) -> None:
    assert findings(made(kind=kind), {}, static=True) == []


@pytest.mark.parametrize("floor", ["", "2.34", "2.36", "3.0"])
def test_a_program_within_the_requested_glibc(floor: str) -> None:
    assert findings(app(needs=FSTAT, imports=frozenset({"fstat@GLIBC_2.34"})), GOOD, floor=floor) == []


@pytest.mark.parametrize("floor", ["2.17", "2.28", "2.33"])
def test_a_program_above_the_requested_glibc_fails_even_if_the_runtime_has_it(floor: str) -> None:
    old = Need("libc.so.6", "GLIBC_2.17", ("read",))
    finding = only(findings(app(needs=(old, *FSTAT)), GOOD, floor=floor), "floor")
    assert finding.what == f"sample-app should run on glibc {floor} and needs fstat@GLIBC_2.34"
    assert "glibc 2.34 or newer" in finding.fix


def test_weak_versions_do_not_count_for_the_requested_glibc() -> None:
    weak = (Need("libc.so.6", "GLIBC_2.34", ("fstat",), weak=True),)
    assert findings(app(needs=weak), GOOD, floor="2.17") == []


def test_not_in_the_image() -> None:
    assert only(findings(None, GOOD), "program").what == f"{APP} is not in {BUSTER}"


@pytest.mark.parametrize("elf", [made(kind="ET_REL"), made(needed=("libc.so.6",))])
def test_not_a_program(elf: Elf) -> None:
    assert "not a program" in only(findings(elf, GOOD), "program").what


@pytest.mark.parametrize("other", [t for t in TARGETS if t is not AMD64], ids=lambda target: target.platform)
def test_another_machine(other: Target) -> None:
    finding = only(findings(app(other), GOOD), "platform")
    assert f"sample-app is for {other.machine}" in finding.what
    assert "linux/amd64 is EM_X86_64 (64-bit, little-endian)" in finding.what
    assert AMD64.gnu in finding.fix


@pytest.mark.parametrize(("bits", "little"), [(32, True), (64, False)])
def test_another_class_or_endianness(bits: int, little: bool) -> None:
    only(findings(Elf("EM_X86_64", bits, little), GOOD), "platform")


@pytest.mark.parametrize("binary", [app(), app(needed=())])
def test_a_dynamic_program_fails_if_static_is_required(binary: Elf) -> None:
    finding = only(findings(binary, GOOD, static=True), "static")
    assert finding.what.startswith("sample-app should be static and needs ")
    assert AMD64.musl in finding.fix


def test_a_missing_interpreter_is_reported() -> None:
    finding = only(findings(app(), {}), "interpreter")
    assert finding.what == f"sample-app is started by {AMD64.loader}, which {BUSTER} does not have"
    assert "debian:trixie-slim" in finding.fix and "musl" in finding.fix
    musl = made(interpreter="/lib/ld-musl-x86_64.so.1")
    assert "statically" in only(findings(musl, GOOD), "interpreter").fix


def test_an_interpreter_of_another_platform_is_reported() -> None:
    arm = parse("linux/arm64")
    assert "EM_AARCH64" in only(findings(app(), {AMD64.loader: made(arm)}), "interpreter").what


def test_a_missing_library_is_reported() -> None:
    finding = only(findings(app(needed=("libpq.so.5", "libc.so.6")), GOOD), "libraries")
    assert finding.what == f"sample-app needs libpq.so.5, which {BUSTER} does not have"
    assert "libpq5" in finding.fix


def test_a_missing_indirect_library_is_reported() -> None:
    path = "/usr/lib/x86_64-linux-gnu/libpq.so.5"
    files = {**GOOD, path: made(needed=("libssl.so.3",))}
    finding = only(findings(app(needed=("libpq.so.5",)), files), "libraries")
    assert finding.what == f"{path} needs libssl.so.3, which {BUSTER} does not have"


def test_a_library_outside_the_search_path_is_reported() -> None:
    files = {**GOOD, "/opt/libpq.so.5": made()}
    finding = only(findings(app(needed=("libpq.so.5",)), files), "libraries")
    assert f"is at /opt/libpq.so.5 in {BUSTER}, where its loader does not look" in finding.what
    assert "ldconfig" in finding.fix


def test_a_library_of_another_platform_is_reported() -> None:
    files = {**GOOD, "/usr/lib/libpq.so.5": made(parse("linux/arm64"))}
    finding = only(findings(app(needed=("libpq.so.5",)), files), "libraries")
    assert f"/usr/lib/libpq.so.5 in {BUSTER} is for EM_AARCH64" in finding.what


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libssl.so.3", "libssl3"),
        ("libsqlite3.so.0", "libsqlite3-0"),
        ("libgcc_s.so.1", "libgcc-s1"),
        ("libstdc++.so.6", "libstdc++6"),
        ("libfoo.so", "libfoo"),
    ],
)
def test_library_names_map_to_debian_packages(library: str, package: str) -> None:
    assert abi.debian_package(library) == package


def test_an_older_glibc_is_reported() -> None:
    """The most common failure: the builder is newer than the runtime."""
    needs = (
        Need("libc.so.6", "GLIBC_2.17", ("clock_gettime",)),
        Need("libc.so.6", "GLIBC_2.33", ("fstat", "stat")),
        Need("libc.so.6", "GLIBC_2.34", ("dlsym", "pthread_create")),
    )
    finding = only(findings(app(needs=needs), glibc("GLIBC_2.17", "GLIBC_2.28", "GLIBC_2.4")), "versions")
    assert finding.what == (
        "sample-app needs dlsym@GLIBC_2.34, pthread_create@GLIBC_2.34, fstat@GLIBC_2.33 and 1 more "
        "of libc.so.6; debian:buster-slim has up to GLIBC_2.28"
    )
    assert "glibc 2.34 or newer (debian:bookworm-slim has it)" in finding.fix
    assert "compile for its glibc (--glibc 2.28)" in finding.fix
    assert "libc musl" in finding.fix


def test_a_glibc_newer_than_every_known_base_is_reported() -> None:
    finding = only(findings(app(needs=(Need("libc.so.6", "GLIBC_9.1"),)), GOOD), "versions")
    assert "glibc 9.1 or newer, compile" in finding.fix


def test_a_release_with_the_glibc_of_the_base_is_named() -> None:
    newer = app(needs=(Need("libc.so.6", "GLIBC_2.38"),))
    finding = only(findings(newer, glibc("GLIBC_2.17", "GLIBC_2.36")), "versions")
    assert "(debian:trixie-slim has it)" in finding.fix and "(--debian bookworm)" in finding.fix


def test_a_version_is_matched_by_name_not_by_number() -> None:
    needs = (Need("libc.so.6", "GLIBC_2.35", ("x",)), Need("libc.so.6", "GLIBC_ABI_DT_RELR"))
    finding = only(findings(app(needs=needs), GOOD), "versions")
    assert "x@GLIBC_2.35, GLIBC_ABI_DT_RELR of libc.so.6" in finding.what
    finding = only(findings(app(needs=needs[1:]), GOOD), "versions")
    assert "a newer glibc" in finding.fix


def test_an_older_cxx_library_is_reported() -> None:
    path = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
    files = {**GOOD, path: made(defines=("CXXABI_1.3", "GLIBCXX_3.4.25", "GLIBCXX_3.4.9"))}
    needs = (Need("libstdc++.so.6", "GLIBCXX_3.4.29", ("_ZSt4x",)),)
    finding = only(findings(app(needed=("libstdc++.so.6",), needs=needs), files), "versions")
    assert (
        "_ZSt4x@GLIBCXX_3.4.29 of libstdc++.so.6; debian:buster-slim has up to GLIBCXX_3.4.25" in finding.what
    )
    assert "newer libstdc++.so.6" in finding.fix


def test_a_missing_version_family_is_reported() -> None:
    files = {**GOOD, "/usr/lib/libssl.so.3": made(defines=("LIBRESSL_1", "LIBRESSL_2"))}
    needs = (Need("libssl.so.3", "OPENSSL_3.0.0", ("SSL_new",)),)
    finding = only(findings(app(needed=("libssl.so.3",), needs=needs), files), "versions")
    assert finding.what.endswith("debian:buster-slim has up to LIBRESSL_1, LIBRESSL_2")


def test_an_inconsistent_runtime_is_reported() -> None:
    path = "/usr/lib/x86_64-linux-gnu/libpq.so.5"
    needs = (Need("libc.so.6", "GLIBC_2.38", ("strlcpy",)),)
    files = {**GOOD, path: made(needed=("libc.so.6",), needs=needs)}
    finding = only(findings(app(needed=("libpq.so.5",)), files), "versions")
    assert finding.what.startswith(f"{path} needs strlcpy@GLIBC_2.38 of libc.so.6")


def test_a_missing_weak_version_is_allowed() -> None:
    needs = (Need("libc.so.6", "GLIBC_9", ("maybe",), weak=True),)
    assert findings(app(needs=needs), GOOD) == []


def test_a_library_without_versions_is_checked_by_symbol() -> None:
    needs = (Need("libfoo.so.1", "FOO_2", ("foo", "bar")),)
    binary = app(needed=("libfoo.so.1",), needs=needs, imports=frozenset({"foo@FOO_2", "bar@FOO_2", "plain"}))
    exports = frozenset({"foo", "bar", "plain"})
    assert findings(binary, {**GOOD, "/usr/lib/libfoo.so.1": made(exports=exports)}) == []
    finding = only(
        findings(binary, {**GOOD, "/usr/lib/libfoo.so.1": made(exports=frozenset({"foo"}))}), "symbols"
    )
    assert finding.what == f"sample-app needs bar@FOO_2, plain, which none of libfoo.so.1 in {BUSTER} has"


def test_a_symbol_may_come_from_another_library() -> None:
    """glibc 2.34 moved libpthread into libc; any loaded file may define the symbol."""
    path = "/usr/lib/x86_64-linux-gnu/libpthread.so.0"
    needs = (Need("libpthread.so.0", "GLIBC_2.17", ("fstat",)),)
    binary = app(
        needed=("libpthread.so.0", "libc.so.6"), needs=needs, imports=frozenset({"fstat@GLIBC_2.34"})
    )
    assert findings(binary, {**GOOD, path: made(defines=("GLIBC_2.17",))}) == []


def test_independent_findings_are_reported_together() -> None:
    binary = app(needed=("libpq.so.5", "libc.so.6"), needs=FSTAT)
    assert [f.rule for f in findings(binary, glibc("GLIBC_2.28"))] == ["libraries", "versions"]


def case(binary: Elf, files: Mapping[str, Elf], target: Target = AMD64) -> Case:
    return Case(APP, Root({**files, APP: binary}), target, BUSTER)


def test_one_finding_makes_a_one_line_error() -> None:
    bad = case(app(), {})
    error = verify.failure([(bad, finding) for finding in check(bad)])
    assert isinstance(error, VerificationError) and error.exit_code == 40
    assert str(error).splitlines()[0] == (
        f"VerificationError: linux/amd64: sample-app is started by {AMD64.loader}, "
        "which debian:buster-slim does not have"
    )
    assert error.where == "runtime debian:buster-slim"


def test_findings_of_all_platforms_share_one_error() -> None:
    arm = parse("linux/arm64")
    cases = [case(app(), {}), case(app(arm), {}, arm)]
    error = verify.failure([(bad, finding) for bad in cases for finding in check(bad)])
    assert error.what.splitlines()[0] == "2 checks failed"
    assert "linux/amd64: " in error.what and "linux/arm64: " in error.what
    assert len(error.fix.splitlines()) == 1, "equal fixes are shown once"


def test_report_of_a_passing_program() -> None:
    needs = (*FSTAT, Need("libc.so.6", "GLIBC_2.17", ("x",)), Need("libc.so.6", "GLIBC_PRIVATE", ("y",)))
    good = case(app(needs=needs, imports=frozenset({"fstat@GLIBC_2.34"}), build_id="c0ffee"), GOOD)
    static = case(made(kind="ET_EXEC"), {})
    verified = [verify.describe(good), verify.describe(static)]
    first, second = json.loads(verify.as_json(verified))["verified"]
    assert first == {
        "platform": "linux/amd64",
        "program": "sample-app",
        "runtime": BUSTER,
        "machine": "EM_X86_64 (64-bit, little-endian)",
        "linkage": "dynamic",
        "interpreter": AMD64.loader,
        "libraries": {"libc.so.6": "/usr/lib/x86_64-linux-gnu/libc.so.6"},
        "versions": {"GLIBC": ["GLIBC_2.34", "GLIBC_2.36"]},
        "symbols": 1,
        "build_id": "c0ffee",
        "path": APP,
        "digest": "",
    }
    assert (second["linkage"], second["interpreter"], second["libraries"]) == ("static", "", {})
    lines = verify.as_text(verified).splitlines()
    assert lines[0] == (
        "linux/amd64  sample-app fits debian:buster-slim: EM_X86_64 (64-bit, little-endian); dynamic; "
        "ld-linux-x86-64.so.2; libc.so.6; GLIBC_2.34 of GLIBC_2.36; 1 symbols found"
    )
    assert lines[1].endswith("(64-bit, little-endian); static")


def test_a_repeated_check_replaces_the_platforms_report() -> None:
    arm = parse("linux/arm64")
    programs = [case(made(kind="ET_EXEC"), {}), case(made(arm, kind="ET_EXEC"), {}, arm)]
    both = [verify.describe(each) for each in programs]
    again = [replace(both[1], runtime="scratch")]
    report = json.loads(verify.replaced(verify.as_json(both), "linux/arm64", again))["verified"]
    assert [(each["platform"], each["runtime"]) for each in report] == [
        ("linux/amd64", BUSTER),
        ("linux/arm64", "scratch"),
    ]


def test_the_digests_of_a_report_are_those_of_its_programs() -> None:
    root = Root({**GOOD, APP: app()}, digests={APP: "sha256:ab"})
    one = verify.describe(Case(APP, root, AMD64, BUSTER))
    assert verify.digests(verify.as_json([one])) == {"linux/amd64": {APP: "sha256:ab"}}


CHECKED = {"linux/amd64": {"/app": "sha256:ab"}}


@pytest.mark.parametrize(
    ("packed", "known"),
    [({"/app": "sha256:ab"}, ()), ({"/app": "sha256:ab", "/b": "sha256:0"}, ()), ({}, ("linux/amd64",))],
    ids=["as checked", "with others", "in a base that its digest proves"],
)
def test_what_is_packed_is_what_was_checked(packed: dict[str, str], known: tuple[str, ...]) -> None:
    verify.compare(CHECKED, {"linux/amd64": packed}, known)


@pytest.mark.parametrize(
    ("packed", "known", "found"),
    [
        ({"linux/amd64": {"/app": "sha256:cd"}}, (), "sha256:cd"),
        ({"linux/amd64": {"/app": "sha256:cd"}}, ("linux/amd64",), "sha256:cd"),
        ({"linux/amd64": {"/app": ""}}, ("linux/amd64",), "missing"),
        ({"linux/amd64": {}}, ("linux/arm64",), "missing"),
        ({"linux/arm64": {"/app": "sha256:ab"}}, (), "missing"),
    ],
    ids=["another", "over that of the base", "removed", "never there", "another platform's"],
)
def test_a_program_that_was_not_checked_is_refused(
    packed: dict[str, dict[str, str]], known: tuple[str, ...], found: str
) -> None:
    """A caller's step may give another program if the engine runs it again after the check."""
    with pytest.raises(VerificationError, match=f"checked as sha256:ab, and is {found} in") as caught:
        verify.compare(CHECKED, packed, known)
    assert caught.value.where == "linux/amd64"
