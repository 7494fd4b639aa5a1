import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from pipeline.build import cache_archive, plan_file, scripts
from pipeline.build import compile as build
from pipeline.build import plan as planning
from pipeline.build.plan import Plan
from pipeline.config.request import BuildRequest, Choice
from pipeline.errors import InvalidArgument, UnsupportedLibc
from pipeline.native.natives import Needs
from pipeline.project.metadata import Binary, Package, Project
from pipeline.targets import BY_PLATFORM, Libc, Strategy, select

PROJECT = Project((Package("app", "1.0.0", {"app": (), "two": ()}, {}, None, True),))
BINARIES = (Binary("app", "app", "1.0.0"), Binary("app", "two", "1.0.0"))


def plan(project: Project = PROJECT, rust: str = "1.96", libc: Libc = Libc.GNU, **choice) -> Plan:
    request = BuildRequest(
        source=SimpleNamespace(),  # type: ignore[arg-type]
        targets=select(["linux/amd64,linux/arm64"]),
        choice=Choice(**choice),
        libc=libc,
    )
    needs = (Needs(), Needs())
    native = skeleton = fetched = SimpleNamespace()
    commands = planning.build_commands(request, BINARIES, needs)
    return Plan(request, rust, native, skeleton, fetched, project, BINARIES, commands, needs)


TRIPLE = "aarch64-unknown-linux-gnu"


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str], None]:
    """Return a function that runs lines with state.sh in a directory, with the test's programs."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "rustc").write_text(f"#!/bin/sh\necho {tmp_path}/std/$4\n")
    packages = "printf 'arm64 libz-dev 1\\namd64 libz-dev 1\\nall libc6-dev-arm64-cross 1\\n'"
    (tools / "dpkg-query").write_text(f"#!/bin/sh\ncat {tmp_path}/packages 2>/dev/null || {packages}\n")
    for machine in ("aarch64", "x86_64"):
        (tools / f"{machine}-linux-gnu-gcc").write_text("")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    rows = plan_file.checking(plan(), (), ["cargo", "test"])
    (tmp_path / "plan.tsv").write_text(rows)
    state = Path(scripts.__file__).with_name("state.sh")
    enter = f". {state}; state_open {tmp_path}/source {tmp_path}/build {tmp_path}/plan.tsv"

    def run(lines: str) -> None:
        command = ["bash", "-euo", "pipefail", "-c", f"{enter}\n{lines}"]
        subprocess.run(command, env={"PATH": f"{tools}:/usr/bin:/bin"}, check=True)

    return run


ARM64 = BY_PLATFORM["linux/arm64"]


@pytest.mark.parametrize("libc", Libc)
def test_what_another_standard_library_was_for_is_dropped(shell, tmp_path: Path, libc: Libc) -> None:
    """Regression: two builds of one crate had builders with different standard libraries for arm64."""
    triple = ARM64.triple(libc)
    lines = f"state_libraries {triple} arm64"
    library, target = tmp_path / "std" / triple, tmp_path / "build/target" / triple
    library.mkdir(parents=True)
    (library / "libcore-1.rlib").touch()
    shell(lines)
    (target / "crate").touch()
    shell(lines)
    assert (target / "crate").exists(), "the same library"
    (library / "libcore-1.rlib").rename(library / "libcore-2.rlib")
    shell(lines)
    assert not (target / "crate").exists()
    assert f"target\t{triple}\taarch64-linux-gnu\tarm64\n" in plan_file.compiling(plan(libc=libc), ())


@pytest.mark.parametrize(
    ("packages", "dropped"),
    [
        ("arm64 libz-dev 1\namd64 libz-dev 2\nall libc6-dev-armhf-cross 1\n", False),
        ("arm64 libz-dev 1\narm64 libpq-dev 1\n", True),
        ("arm64 libz-dev 2\n", True),
        ("", True),
    ],
)
def test_what_other_development_packages_were_for_is_dropped(
    shell, tmp_path: Path, packages: str, dropped: bool
) -> None:
    """A build script prints `-l z` once, and the next builder may not have the library."""
    target, lines = tmp_path / "build/target" / TRIPLE, f"state_libraries {TRIPLE} arm64"
    (tmp_path / "std" / TRIPLE).mkdir(parents=True)
    shell(lines)
    (target / "crate").touch()
    (tmp_path / "packages").write_text(packages)
    shell(lines)
    assert (target / "crate").exists() == (not dropped)


def test_a_builder_without_debians_tools_is_the_same_as_itself(shell, tmp_path: Path) -> None:
    target, lines = tmp_path / "build/target" / TRIPLE, f"state_libraries {TRIPLE} arm64"
    (tmp_path / "std" / TRIPLE).mkdir(parents=True)
    (tmp_path / "tools/dpkg-query").write_text("#!/bin/sh\nexit 1\n")
    shell(lines)
    (target / "crate").touch()
    shell(lines)
    assert (target / "crate").exists()


def test_programs_are_listed_with_size_and_packages() -> None:
    listed = build.programs("app 5120 libssl3 libpq5\ntwo 7\n")
    assert listed == {"app": build.Program(5120, ("libssl3", "libpq5")), "two": build.Program(7, ())}


def test_a_linker_is_set_for_every_platform_that_has_one(shell, tmp_path: Path) -> None:
    """A project's `linker = "clang"` is for its developers' machines, and build scripts are linked too."""
    own = "export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=own"
    shell(f"{own}\nstate_linkers\nenv >{tmp_path}/env")
    lines = (tmp_path / "env").read_text().splitlines()
    assert sorted(line for line in lines if "_LINKER=" in line) == [
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=own",
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc",
    ]


def test_the_cache_is_apart_for_projects_and_toolchains_and_shared_otherwise() -> None:
    other = Project((Package("other", "1.0.0", {"app": ()}, {}, None, True),))
    keys = [build.cache_key(p) for p in (plan(), plan(other), plan(rust="1.95"), plan(libc=Libc.MUSL))]
    assert len(set(keys)) == 4
    assert build.cache_key(plan(profile="dev")) == build.cache_key(plan())
    places = [{"origin": "https://example.com/a"}, {"origin": "https://example.com/b"}, {"directory": "api"}]
    keys = [build.cache_key(replace(plan(), request=replace(plan().request, **place))) for place in places]
    assert len({*keys, build.cache_key(plan())}) == 4


def test_triples_follow_the_libc() -> None:
    assert plan(libc=Libc.MUSL).request.triples == ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"]


def commands(*common: dict[str, str]) -> list[str]:
    request = plan().request
    found = planning.build_commands(request, BINARIES, [Needs(common=one) for one in common])
    return [" ".join(command) for command in found]


def test_one_cargo_call_where_targets_agree_about_common_variables() -> None:
    (command,) = commands({"LIBGSSAPI_IMPL": "mit"}, {"LIBGSSAPI_IMPL": "mit"})
    assert command.startswith("cargo build")
    assert command.count("--target") == 2


def test_a_cargo_call_for_each_where_they_do_not() -> None:
    first, second = commands({}, {"JEMALLOC_SYS_WITH_LG_PAGE": "16"})
    assert "x86_64" in first and "aarch64" not in first and "JEMALLOC" not in first
    assert second.startswith("env JEMALLOC_SYS_WITH_LG_PAGE=16 cargo build")
    assert "aarch64" in second and "x86_64" not in second


async def _planned(request: BuildRequest) -> None:
    await planning.plan(request)


@pytest.mark.parametrize("more", [{"libc": Libc.MUSL}, {"glibc": "2.28"}], ids=str)
def test_debians_packages_are_refused_where_they_cannot_be_linked(more) -> None:
    request = replace(plan().request, target_packages=("uuid-dev",), **more)
    with pytest.raises(UnsupportedLibc, match="uuid-dev"):
        anyio.run(_planned, request)


def test_emulated_every_target_has_a_leg_on_its_own_platform() -> None:
    crossed = plan()
    assert build.legs(crossed) == [crossed]
    request = replace(crossed.request, strategy=Strategy.EMULATED)
    emulated = replace(crossed, request=request)
    parts = build.legs(emulated)
    assert [part.request.targets for part in parts] == [(target,) for target in request.targets]
    assert [part.request.build_platform for part in parts] == [t.platform for t in request.targets]
    assert [part.commands[0][-1] for part in parts] == request.triples
    keys = {build.cache_key(part) for part in [crossed, *parts]}
    assert len(keys) == 1 + len(parts), "compiled build scripts of one platform do not run on another"


def test_state_is_unpacked_only_if_it_was_given() -> None:
    planned = plan()
    given = replace(planned, request=replace(planned.request, state=SimpleNamespace()))
    row = f"archive\t{cache_archive.ARCHIVE}\n"
    assert row not in plan_file.compiling(planned, ())
    assert row in plan_file.compiling(given, ())


def test_a_build_apart_shares_no_compiled_state() -> None:
    planned = plan()
    other = replace(planned, request=replace(planned.request, apart="x"))
    assert build.cache_key(planned) != build.cache_key(other)


def test_there_is_no_one_archive_of_an_emulated_build() -> None:
    planned = plan()
    emulated = replace(planned, request=replace(planned.request, strategy=Strategy.EMULATED))
    with pytest.raises(InvalidArgument, match="emulated"):
        anyio.run(build.archive, emulated)
