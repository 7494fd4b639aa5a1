import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from pipeline.build import cache_archive
from pipeline.build import compile as build
from pipeline.build import plan as planning
from pipeline.build.plan import Plan
from pipeline.config.request import BuildRequest, Choice
from pipeline.errors import InvalidArgument, UnsupportedLibc
from pipeline.native.natives import Needs
from pipeline.project.metadata import Binary, Package, Project
from pipeline.targets import BY_PLATFORM, Libc, Strategy, select
from pipeline.toolchain import builder as toolchain

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
    native = outline = SimpleNamespace()
    commands = planning.build_commands(request, BINARIES, needs)
    return Plan(request, rust, native, outline, project, BINARIES, commands, needs)


def test_the_script_syncs_by_content_then_compiles_once() -> None:
    lines = build.compile_script(plan()).splitlines()
    sync = next(i for i, line in enumerate(lines) if line.startswith("rsync"))
    compiles = [i for i, line in enumerate(lines) if line.startswith("cargo build")]
    assert "--checksum" in lines[sync]
    assert "--times" not in lines[sync]
    assert "-a" not in lines[sync].split()
    assert "--delete" in lines[sync]
    assert len(compiles) == 1 and compiles[0] > sync


TRIPLE = "aarch64-unknown-linux-gnu"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Runs a build's lines in a directory, with programs that only the test makes."""
    monkeypatch.setattr(toolchain, "BUILD", str(tmp_path / "build"))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "rustc").write_text(f"#!/bin/sh\necho {tmp_path}/std/$4\n")
    (tools / "rsync").write_text(f"#!/bin/sh\nmkdir -p $6; cat {tmp_path}/synced 2>/dev/null || :\n")
    packages = "printf 'arm64 libz-dev 1\\namd64 libz-dev 1\\nall libc6-dev-arm64-cross 1\\n'"
    (tools / "dpkg-query").write_text(f"#!/bin/sh\ncat {tmp_path}/packages 2>/dev/null || {packages}\n")
    for machine in ("aarch64", "x86_64"):
        (tools / f"{machine}-linux-gnu-gcc").write_text("")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    path = f"{tools}:/usr/bin:/bin"

    def run(lines: list[str]) -> None:
        subprocess.run(["bash", "-ec", "\n".join(lines)], env={"PATH": path}, check=True)

    return run


ARM64 = BY_PLATFORM["linux/arm64"]


@pytest.mark.parametrize("libc", Libc)
def test_what_another_standard_library_was_for_is_dropped(shell, tmp_path: Path, libc: Libc) -> None:
    """Found with two builds of one crate, whose builders had different standard libraries for arm64."""
    triple, lines = ARM64.triple(libc), build.stale_lines(ARM64, libc)
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
    assert all(line in build.compile_script(plan(libc=libc)) for line in lines)


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
    """A build script says `-l z` once, and the library may be gone from the next builder."""
    target, lines = tmp_path / "build/target" / TRIPLE, build.stale_lines(ARM64, Libc.GNU)
    (tmp_path / "std" / TRIPLE).mkdir(parents=True)
    shell(lines)
    (target / "crate").touch()
    (tmp_path / "packages").write_text(packages)
    shell(lines)
    assert (target / "crate").exists() == (not dropped)


def test_a_builder_without_debians_tools_is_the_same_as_itself(shell, tmp_path: Path) -> None:
    target, lines = tmp_path / "build/target" / TRIPLE, build.stale_lines(ARM64, Libc.GNU)
    (tmp_path / "std" / TRIPLE).mkdir(parents=True)
    (tmp_path / "tools/dpkg-query").write_text("#!/bin/sh\nexit 1\n")
    shell(lines)
    (target / "crate").touch()
    shell(lines)
    assert (target / "crate").exists()


def test_programs_are_listed_with_size_and_packages() -> None:
    listed = build.programs("app 5120 libssl3 libpq5\ntwo 7\n")
    assert listed == {"app": build.Program(5120, ("libssl3", "libpq5")), "two": build.Program(7, ())}
    script = build.compile_script(plan())
    assert f"app $(stat --format=%s {build.OUTPUT}/{TRIPLE}/app)" in script
    assert script.count(f">>{build.OUTPUT}/{build.LISTED}/{TRIPLE}") == len(plan().binaries)


def test_a_linker_is_set_for_every_platform_that_has_one(shell, tmp_path: Path) -> None:
    """A project's `linker = "clang"` is for its author's machine, and build scripts are linked too."""
    own = "export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=own"
    shell([own, *build.sync_lines(), f"env >{tmp_path}/env"])
    lines = (tmp_path / "env").read_text().splitlines()
    assert sorted(line for line in lines if "_LINKER=" in line) == [
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=own",
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc",
    ]


@pytest.mark.parametrize(
    ("synced", "again"),
    [
        (">f+++++++++ migrations/2.sql", "all"),
        ("cL+++++++++ assets/logo.svg -> ../logo.svg", "all"),
        ("cLc........ assets -> assets-2", "all"),
        ("cLc.T...... one/src/config.rs -> config_b.rs", "all"),
        ("*deleting   migrations/1.sql", "all"),
        (">f+++++++++ one/src/a b/new.rs", "one"),
        (">f+++++++++ src/new.rs", "top one"),
        (">f+++++++++ new.rs", "top one"),
        (">f+++++++++ vendor/two/src/new.rs", ""),
        (">f+++++++++ one/src/new.rs\n>f+++++++++ migrations/2.sql", "all"),
        (">fcst...... migrations/1.sql", ""),
        ("*deleting   src/old/mod.rs\n*deleting   src/old/", ""),
        ("cd+++++++++ src/new/", ""),
        ("", ""),
    ],
)
def test_crates_are_compiled_again_where_a_file_came_or_went(
    shell, tmp_path: Path, synced: str, again: str
) -> None:
    """Found with a macro that lists a directory: the program lacked the file that was added."""
    sources = tmp_path / "build/src"
    own = {"top": sources / "src/main.rs", "one": sources / "one/src/a b/lib.rs"}
    vendored = sources / "vendor/two/src/lib.rs"
    others = [vendored, sources / "vendor/two/.cargo-checksum.json", sources / "build.sh"]
    manifests = [sources / folder / "Cargo.toml" for folder in (".", "one", "vendor/two")]
    for file in (*own.values(), *others, *manifests):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (1, 1))
    (sources / "gone.rs").symlink_to("not-there.rs")
    (tmp_path / "synced").write_text(f"{synced}\n")
    shell(build.sync_lines())
    touched = {name for name, file in own.items() if file.stat().st_mtime > 1}
    assert touched == set(again.replace("all", "top one").split())
    assert {file.stat().st_mtime for file in (*others, *manifests)} == {1}
    assert not (sources / "not-there.rs").exists()


def test_a_build_killed_while_it_synced_has_the_next_one_compile_again(shell, tmp_path: Path) -> None:
    own, synced = tmp_path / "build/src/src/main.rs", tmp_path / "build/synced"
    own.parent.mkdir(parents=True)
    own.touch()
    killed = build.sync_lines()
    (tmp_path / "synced").write_text(">f+++++++++ migrations/2.sql\n")
    shell(killed[: next(number for number, line in enumerate(killed) if "rsync" in line) + 1])
    (tmp_path / "synced").write_text("")
    for touched in (True, False):
        os.utime(own, (1, 1))
        shell(build.sync_lines())
        assert (own.stat().st_mtime > 1) == touched
        assert not synced.exists()


@pytest.mark.parametrize("name", ["app", "two"])
@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_every_binary_is_collected_with_its_symbols(name: str, triple: str) -> None:
    script = build.compile_script(plan())
    assert f"/build/target/{triple}/release/{name} /output/{triple}/{name}" in script
    assert f"cd /output/symbols/{triple}" in script
    assert f"--add-gnu-debuglink={name}.debug" in script


def test_the_profiles_directory_is_used() -> None:
    assert "/debug/app" in build.compile_script(plan(profile="dev"))


def test_the_tools_of_the_target_are_used() -> None:
    assert "aarch64-linux-gnu-objcopy --strip-all" in build.compile_script(plan())


def test_the_cache_is_apart_for_projects_and_toolchains_and_shared_otherwise() -> None:
    other = Project((Package("other", "1.0.0", {"app": ()}, {}, None, True),))
    keys = [build.cache_key(p) for p in (plan(), plan(other), plan(rust="1.95"), plan(libc=Libc.MUSL))]
    assert len(set(keys)) == 4
    assert build.cache_key(plan(profile="dev")) == build.cache_key(plan())


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


@pytest.mark.parametrize("further", [{"libc": Libc.MUSL}, {"glibc": "2.28"}], ids=str)
def test_debians_packages_are_refused_where_they_cannot_be_linked(further) -> None:
    request = replace(plan().request, target_packages=("uuid-dev",), **further)
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


def test_state_is_unpacked_before_anything_is_brought_in_and_only_if_it_was_given() -> None:
    planned = plan()
    assert cache_archive.ARCHIVE not in build.compile_script(planned)
    given = replace(planned, request=replace(planned.request, state=SimpleNamespace()))
    lines = build.compile_script(given).splitlines()
    assert lines[0].startswith(f"[ -e {toolchain.BUILD}/target ] || tar ")
    assert lines[1:] == build.compile_script(planned).splitlines()


def test_a_build_apart_shares_no_compiled_state() -> None:
    planned = plan()
    other = replace(planned, request=replace(planned.request, apart="x"))
    assert build.cache_key(planned) != build.cache_key(other)


def test_there_is_no_one_archive_of_an_emulated_build() -> None:
    planned = plan()
    emulated = replace(planned, request=replace(planned.request, strategy=Strategy.EMULATED))
    with pytest.raises(InvalidArgument, match="emulated"):
        anyio.run(build.archive, emulated)
