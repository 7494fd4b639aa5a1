"""Test the native crate table and its consequences, without cargo or an engine."""

import json
import re
from collections import Counter
from functools import partial

import pytest

from pipeline import errors
from pipeline.native import debian, natives, preflight
from pipeline.native.native_table import LINKER_NAMES, NATIVES
from pipeline.native.natives import Needs, suggest
from pipeline.project import diagnostics, tree
from pipeline.project.tree import TreeCrate
from pipeline.targets import TARGETS, Libc, parse
from pipeline.toolchain import builder as toolchain

AMD64, ARM64, ARMV7 = parse("linux/amd64"), parse("linux/arm64"), parse("linux/arm/v7")

TREE = """\
app v0.1.0 (/source/app)|
|-- openssl v0.10.82|default
|   |-- openssl-macros v0.1.1 (proc-macro)|
|   |   `-- syn v2.0.119|default,full
|   `-- openssl-sys v0.9.118|
|       `-- libc v0.2.191|default,std
|       [build-dependencies]
|       |-- cc v1.11.3|parallel
|       |   `-- libc v0.2.191|default,std
|       `-- pkg-config v0.3.34|
|-- rusqlite v0.32.1|bundled,modern_sqlite
|   `-- libsqlite3-sys v0.30.1|bundled,cc,default
|       [build-dependencies]
|       `-- cc v1.11.3|parallel (*)
`-- openssl-sys v0.9.118| (*)
[build-dependencies]
`-- git2 v0.20.4|default
    `-- libgit2-sys v0.18.8+1.9.7|https
        `-- openssl-sys v0.9.118|vendored
            [build-dependencies]
            `-- openssl-src v300.6.1+3.6.3|default
"""


def needs(crates, target, libc=Libc.GNU, glibc="") -> Needs:
    return natives.needs(crates, target, libc, toolchain.compilers(target, libc, glibc))


def crate(
    name: str, *features: str, host: bool = False, users: tuple[tuple[str, bool], ...] = ()
) -> TreeCrate:
    return TreeCrate(name, "1.0.0", frozenset(features), host, frozenset(users))


def test_parses_the_tree_with_features_and_places() -> None:
    crates = {(c.name, c.host): c for c in tree.read(TREE)}
    assert crates["app", False].users == frozenset()
    assert crates["openssl-sys", False].features == frozenset()
    assert crates["openssl-sys", False].users == {("openssl", False), ("app", False)}
    assert crates["openssl-sys", True].features == {"vendored"}
    assert crates["libsqlite3-sys", False].features == {"bundled", "cc", "default"}
    assert crates["libgit2-sys", True].version == "0.18.8+1.9.7"
    assert ("libsqlite3-sys", True) not in crates


def test_dependencies_of_build_dependencies_are_for_the_host() -> None:
    places = {(c.name, c.host) for c in tree.read(TREE)}
    assert {("libc", False), ("libc", True)} <= places
    assert ("cc", False) not in places
    assert ("rusqlite", False) in places, "a node after the section, one level up"
    assert ("syn", True) in places, "a dependency of a proc-macro"
    assert ("syn", False) not in places


def test_dev_dependencies_are_built_for_the_target() -> None:
    text = "a v0.1.0 (/x)|\n[build-dependencies]\n`-- cc v1.11.3|\n[dev-dependencies]\n`-- ring v0.17.14|\n"
    assert {(c.name, c.host) for c in tree.read(text)} == {("a", False), ("cc", True), ("ring", False)}


def test_several_roots_in_one_tree() -> None:
    text = "a v0.1.0 (/x)|\n[build-dependencies]\n`-- cmake v0.1.58|\n\nb v0.1.0 (/y)|\n`-- ring v0.17.14|\n"
    assert {(c.name, c.host) for c in tree.read(text)} == {
        ("a", False), ("cmake", True), ("b", False), ("ring", False),
    }  # fmt: skip


MEMBERS = """\
gui v0.1.0 (/x)|
|-- common v0.2.0 (/y)|extra
|   |-- libc v0.2.191|default
|   `-- tool v1.0.0|
|       `-- libz-sys v1.1.0|
`-- gtk-sys v0.18.0|

app v0.1.0 (/z)|
|-- common v0.2.0 (/y)|extra (*)
`-- gtk-sys v0.19.0|
[build-dependencies]
`-- tool v1.0.0| (*)
"""


def test_the_crates_of_one_member_with_the_features_that_others_enable() -> None:
    """cargo prints all default members, and what a crate depends on only once."""
    crates = {(c.name, c.version, c.host): c for c in tree.read(MEMBERS, {("app", "0.1.0")})}
    assert set(crates) == {
        ("app", "0.1.0", False), ("common", "0.2.0", False), ("libc", "0.2.191", False),
        ("tool", "1.0.0", False), ("libz-sys", "1.1.0", False), ("gtk-sys", "0.19.0", False),
        ("tool", "1.0.0", True), ("libz-sys", "1.1.0", True),
    }  # fmt: skip
    assert crates["common", "0.2.0", False].features == {"extra"}
    assert crates["common", "0.2.0", False].users == {("app", False)}
    assert len(tree.read(MEMBERS)) == 10


def test_a_tree_that_leaves_out_what_it_refers_to() -> None:
    text = "r v1.0.0|\n`-- x v1.0.0|\n    `-- y v1.0.0|std (*)\n[build-dependencies]\n`-- x v1.0.0| (*)\n"
    crates = {(c.name, c.host): c.features for c in tree.read(text)}
    assert crates["y", True] == crates["y", False] == {"std"}


def test_an_empty_tree_needs_nothing() -> None:
    assert needs(tree.read(""), ARM64) == natives.Needs()


@pytest.mark.parametrize(
    ("crates", "host", "target", "runtime"),
    [
        ([crate("openssl-sys")], (), ("libssl-dev",), ()),
        ([crate("openssl-sys", "vendored"), crate("openssl-src", host=True)], ("perl", "make"), (), ()),
        ([crate("libsqlite3-sys", "bundled")], (), (), ()),
        ([crate("libsqlite3-sys")], (), ("libsqlite3-dev",), ()),
        ([crate("zstd-sys")], (), (), ()),
        ([crate("zstd-sys", "pkg-config")], (), ("libzstd-dev",), ()),
        ([crate("ring")], (), (), ()),
        ([crate("aws-lc-sys"), crate("cmake", host=True, users=(("aws-lc-sys", False),))], (), (), ()),
        ([crate("prost-build", host=True)], ("protobuf-compiler", "libprotobuf-dev"), (), ()),
        ([crate("prost-build", host=True), crate("protox", host=True)], (), (), ()),
        ([crate("clang-sys", host=True)], ("libclang-dev",), (), ()),
        ([crate("cxx")], ("g++-aarch64-linux-gnu",), (), ("libstdc++6",)),
        ([crate("nasm-rs", host=True)], (), (), ()),
        ([crate("yeslogic-fontconfig-sys", "dlopen")], (), (), ("libfontconfig1",)),
        ([crate("pq-sys")], (), ("libpq-dev",), ()),
    ],
    ids=lambda value: value[0].name if isinstance(value, list) else "",
)
def test_needs_on_arm64(crates, host, target, runtime) -> None:
    found = needs(crates, ARM64)
    assert (found.host, found.target, found.runtime) == (host, target, runtime)
    assert found.problems == ()


def test_nasm_is_only_needed_on_x86() -> None:
    assert needs([crate("nasm-rs", host=True)], AMD64).host == ("nasm",)


def test_a_build_tool_serves_the_crates_that_use_it() -> None:
    for_target = needs([crate("cmake", host=True, users=(("new-sys", False),))], ARM64)
    assert "g++-aarch64-linux-gnu" in for_target.host
    assert "g++" not in for_target.host
    for_host = needs([crate("cmake", host=True, users=(("new-sys", True),))], ARM64)
    assert "g++" in for_host.host
    assert for_host.runtime == ()


def test_libraries_of_build_dependencies_are_for_the_build_platform() -> None:
    found = needs([crate("openssl-sys", host=True)], ARM64)
    assert (found.host, found.target, found.runtime) == (("libssl-dev",), (), ())


def test_environment_variables_contain_the_triple() -> None:
    assert needs([crate("pq-sys")], ARM64).env == {
        "PQ_LIB_DIR_AARCH64_UNKNOWN_LINUX_GNU": "/usr/lib/aarch64-linux-gnu"
    }
    page = {"AARCH64_UNKNOWN_LINUX_GNU_JEMALLOC_SYS_WITH_LG_PAGE": "16"}
    assert needs([crate("tikv-jemalloc-sys")], ARM64).env == page
    assert needs([crate("tikv-jemalloc-sys")], AMD64).env == {}


def test_variables_without_a_triple_are_common() -> None:
    old = needs([crate("jemalloc-sys")], ARM64)
    assert (old.env, old.common) == ({}, {"JEMALLOC_SYS_WITH_LG_PAGE": "16"})
    assert not preflight.agree([old, needs([crate("jemalloc-sys")], AMD64)])
    assert preflight.agree([old, old])


def test_reasons_name_the_crate() -> None:
    reasons = [str(reason) for reason in needs([crate("openssl-sys")], ARM64).reasons]
    assert (
        reasons[0] == "openssl-sys 1.0.0: libssl-dev of the target, to link with (links the system's OpenSSL)"
    )


def test_needs_are_shown_with_their_platforms() -> None:
    graph = [crate("sasl2-sys"), crate("ring"), crate("tikv-jemalloc-sys"), crate("frobnicate-sys")]
    targets = [AMD64, ARM64]
    found = [needs(graph, target) for target in targets]
    lines = preflight.as_text(targets, found).splitlines()
    packages = "libsasl2-modules libsasl2-modules-gssapi-mit"
    assert f"sasl2-sys 1.0.0: {packages} in the image (links the system's library)" in lines
    assert "ring 1.0.0: nothing to install (compiles its bundled C and assembly)" in lines
    assert "frobnicate-sys: not in the table of native crates, built as it is" in lines
    page = "tikv-jemalloc-sys 1.0.0: AARCH64_UNKNOWN_LINUX_GNU_JEMALLOC_SYS_WITH_LG_PAGE set"
    assert [line for line in lines if line.startswith(page)] == [
        f"{page} (pages of up to 64 KiB) [linux/arm64]"
    ]
    document = json.loads(preflight.as_json(targets, found))["natives"]
    assert document["linux/arm64"]["runtime"] == ["libsasl2-modules", "libsasl2-modules-gssapi-mit"]
    assert document["linux/amd64"]["unknown"] == ["frobnicate-sys"]
    assert preflight.as_text(targets, [Needs(), Needs()]) == ""


def test_system_libraries_are_a_problem_with_musl() -> None:
    found = needs([crate("openssl-sys")], ARM64, Libc.MUSL)
    assert [(p.crate, p.fix) for p in found.problems] == [
        ("openssl-sys", "switch on the `vendored` feature of openssl")
    ]
    assert needs([crate("openssl-sys", "vendored")], ARM64, Libc.MUSL).problems == ()


def test_system_libraries_are_a_problem_with_an_older_glibc() -> None:
    (problem,) = needs([crate("pcap")], ARM64, glibc="2.28").problems
    assert "2.28" in problem.what and "libpcap-dev" in problem.what
    assert problem.fix == "build with libc gnu and no glibc version"


@pytest.mark.parametrize(("libc", "glibc"), [(Libc.MUSL, ""), (Libc.GNU, "2.28")])
def test_zig_includes_the_cxx_library(libc, glibc) -> None:
    found = needs([crate("cxx")], ARM64, libc, glibc)
    assert (found.host, found.runtime, found.problems) == ((), (), ())
    assert [str(reason) for reason in found.reasons] == ["cxx 1.0.0: nothing to install (compiles C++)"]


@pytest.mark.parametrize("name", ["v8", "ort-sys"])
def test_prebuilt_glibc_libraries_are_a_problem_with_musl(name) -> None:
    one = crate(name, "download-binaries")
    assert needs([one], ARM64).problems == ()
    assert needs([one], ARM64, Libc.MUSL).problems[0].fix == "build with libc gnu"


def test_an_impossible_crate_is_a_problem_with_a_fix() -> None:
    assert needs([crate("intel-mkl-src", "mkl-static-lp64-seq")], AMD64).problems == ()
    problem = needs([crate("intel-mkl-src")], ARM64).problems[0]
    assert problem.platform == "linux/arm64"
    assert "openblas-src" in problem.fix
    assert str(problem) == "intel-mkl-src 1.0.0 for linux/arm64: Intel MKL only exists for x86"


def test_a_sys_crate_without_a_row_is_a_warning() -> None:
    found = needs([crate("frobnicate-sys"), crate("windows-sys"), crate("linux-raw-sys")], ARM64)
    assert found.unknown == ("frobnicate-sys",)
    assert found.problems == ()


def test_configure_scripts_get_the_targets_compiler_as_cc() -> None:
    found = needs([crate("rdkafka-sys", "libz")], ARM64)
    assert found.common["CC"] == "aarch64-linux-gnu-gcc"
    assert found.common["AR"] == "aarch64-linux-gnu-ar"
    assert found.common["HOST_CC"] == "gcc", "the compiler of build scripts"
    static = needs([crate("rdkafka-sys", "libz")], ARM64, Libc.MUSL)
    assert static.common["CXX"].startswith("/opt/rust-multiarch/"), "zig"
    assert needs([crate("rdkafka-sys", "libz", "cmake-build")], ARM64).common == {}


def test_order_does_not_depend_on_the_graphs() -> None:
    crates = [crate("openssl-sys"), crate("pq-sys"), crate("cxx"), crate("clang-sys", host=True)]
    assert needs(crates, ARMV7) == needs(crates[::-1], ARMV7)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
@pytest.mark.parametrize("row", NATIVES, ids=lambda row: row.crate)
def test_every_row_is_complete(row, target) -> None:
    for package in (*row.host, *row.target, *row.loaded):
        assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package)
    compilers = toolchain.compilers(target, Libc.GNU)
    for text in (text for pair in row.env for text in pair):
        assert "{" not in natives.expand(text, target, Libc.GNU, compilers)
    assert row.why
    assert not row.impossible or row.advice, "impossible rows have advice"
    assert not row.links or row.target or row.crate == "bzip2-sys"


def test_rows_are_unique() -> None:
    assert [row for row, times in Counter(NATIVES).items() if times > 1] == []


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("ssl", "libssl-dev"), ("libssl", "libssl-dev"), ("pq", "libpq-dev"), ("dbus-1", "libdbus-1-dev"),
        ("z", "zlib1g-dev"), ("uuid", "uuid-dev"), ("expat.h", "libexpat1-dev"),
    ],
)  # fmt: skip
def test_a_known_library_suggests_its_package(library, package) -> None:
    assert f"--target-packages {package}" in suggest(library)


@pytest.mark.parametrize(
    ("header", "package"),
    [
        ("zlib.h", "zlib1g-dev"),
        ("openssl/ssl.h", "libssl-dev"),
        ("sqlite3.h", "libsqlite3-dev"),
        ("expat.h", "libexpat1-dev"),
    ],
)
def test_a_header_suggests_its_package(header: str, package: str) -> None:
    assert f"--target-packages {package}" in suggest(header)


def test_an_unknown_library_suggests_a_search() -> None:
    assert "apt-file search frobnicate" in suggest("frobnicate")


def test_packages_that_cannot_be_linked_are_not_suggested() -> None:
    assert "--target-packages" not in suggest("ssl", debian=False)
    error = diagnostics.explain(
        "/usr/bin/ld: cannot find -lpq", where="cargo build", suggest=partial(suggest, debian=False)
    )
    assert "bundled feature" in error.fix and "libpq-dev" not in error.fix


def test_linker_names_are_not_repeated_in_the_table() -> None:
    in_rows = {name for row in NATIVES if row.target for name in row.links}
    assert in_rows & LINKER_NAMES.keys() <= {"z", "gmp", "zstd", "usb-1.0"}


@pytest.mark.parametrize(
    ("output", "fix"),
    [
        ("/usr/bin/ld: cannot find -lpq: No such file or directory", "--target-packages libpq-dev"),
        ("rust-lld: error: unable to find library -lfrob", "apt-file search frob"),
        ("The system library `libsystemd` required by crate `x-sys` was not found.", "libsystemd-dev"),
        ("wrapper.h:1:10: fatal error: 'expat.h' file not found", "libexpat1-dev"),
        ("src/a.c:1:10: fatal error: frob/frob.h: No such file or directory", "apt-file search frob/frob.h"),
    ],
)
def test_a_linker_error_of_an_unknown_crate_suggests_a_package(output, fix) -> None:
    error = diagnostics.explain(output, where="cargo build", suggest=suggest)
    assert isinstance(error, errors.LinkError)
    assert fix in error.fix
    assert error.output == output


def test_cargo_tree_uses_the_builds_options() -> None:
    command = tree.command(["--package", "app", "--features", "x"], ARM64.gnu)
    assert command[:3] == ["cargo", "tree", "--locked"]
    assert "normal,build" in command
    assert "normal,build,dev" in tree.command(["--workspace"], ARM64.gnu, tests=True)
    assert command[command.index("--target") + 1] == ARM64.gnu


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("E: Unable to locate package nonesuch", "nonesuch"),
        ("E: Package 'gone' has no installation candidate", "gone"),
        ("E: Unable to locate package a\nE: Unable to locate package b", "a, b"),
    ],
)
def test_a_package_missing_in_apt_is_named(said: str, name: str) -> None:
    found = debian.unavailable(f"Reading package lists...\n{said}\n", "the builder")
    assert found is not None
    assert f"no package {name} for" in found.what
    assert (found.where, found.output.count(said)) == ("the builder", 1)


def test_other_apt_messages_are_not_missing_packages() -> None:
    assert debian.unavailable("E: Failed to fetch http://x", "the builder") is None
