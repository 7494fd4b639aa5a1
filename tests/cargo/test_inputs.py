"""Test inputs that cargo does not track: which packages are compiled again, and which are not."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import cargo_driver as driver
import pytest
from cargo_driver import Done, Volume
from cargo_project import manifest

from pipeline.build.plan import Plan
from pipeline.project.metadata import Binary

LOCK = 'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\n'
LOCK_TWO = (
    'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\ndependencies = [\n "core-lib",\n]\n'
    '\n[[package]]\nname = "core-lib"\nversion = "0.1.0"\n'
)
STAMP = (
    'fn main() { println!("cargo:rerun-if-changed=build.rs"); println!("cargo:rustc-env=SAID={}", %s); }\n'
)
APP: Mapping[str, str] = {
    "Cargo.toml": manifest("app"),
    "Cargo.lock": LOCK,
    "src/main.rs": 'fn main() { println!("{}", env!("SAID")) }\n',
}
TWO: Mapping[str, str] = {
    "Cargo.toml": '[workspace]\nmembers = ["app", "core"]\nresolver = "2"\n',
    "Cargo.lock": LOCK_TWO,
    "app/Cargo.toml": manifest("app", '[dependencies]\ncore-lib = { path = "../core" }\n'),
    "app/src/main.rs": 'fn main() { println!("{}", core_lib::said()) }\n',
    "core/Cargo.toml": manifest("core-lib"),
    "core/src/lib.rs": 'pub fn said() -> &\'static str { "core" }\n',
}

SAYS = (
    """pub fn said() -> &'static str { if cfg!(one) { "one" } else if cfg!(two) { "two" } else { "none" } }"""
)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def build(volume: Volume, source: Path, **chosen: object) -> Done:
    return volume.build(source, driver.plan(**chosen)).check()  # type: ignore[arg-type]


def compiled(done: Done) -> set[str]:
    """Return the packages that a build compiled."""
    found = re.findall(r"^ +(Built|Fresh) (.+) for ", done.stdout, re.MULTILINE)
    assert found
    return {
        re.split(r"[/#]", identifier.partition("@")[0])[-1 if "@" in identifier else -2]
        for word, identifier in found
        if word == "Built"
    }


def test_nothing_is_compiled_where_nothing_changed(volume: Volume, source: Path) -> None:
    write(source, TWO)
    assert compiled(build(volume, source)) == {"app", "core-lib"}
    assert volume.prints() == "core\n"
    write(source, TWO)
    assert compiled(build(volume, source)) == set()
    assert volume.prints() == "core\n"


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"app/src/main.rs": TWO["app/src/main.rs"] + "// more\n"}, {"app"}),
        ({"core/src/lib.rs": TWO["core/src/lib.rs"] + "// more\n"}, {"app", "core-lib"}),
        ({"app/src/unused.rs": ""}, {"app"}),
        ({"app/data.json": "{}"}, {"app", "core-lib"}),
        pytest.param({"README.md": "read"}, {"app", "core-lib"}, marks=pytest.mark.later),
        pytest.param({"code.rs": ""}, {"app", "core-lib"}, marks=pytest.mark.later),
        ({".cargo/config.toml": "[net]\nretry = 2\n"}, {"app", "core-lib"}),
    ],
    # The order of a set differs between processes, which must have the same names of tests.
    ids=lambda value: " ".join(sorted(value)),
)
def test_packages_whose_inputs_changed_are_compiled(
    volume: Volume, source: Path, change: dict[str, str], again: set[str]
) -> None:
    build(volume, write(source, TWO))
    assert compiled(build(volume, write(source, {**TWO, **change}))) == again
    assert compiled(build(volume, write(source, TWO))) == again


@pytest.mark.parametrize(
    "leading",
    [
        'const _: &str = "../app/src/main.rs";\n',
        'const _: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../app");\n',
    ],
)
def test_code_that_leads_out_of_its_package_is_compiled_with_any_other(
    volume: Volume, source: Path, leading: str
) -> None:
    files = {**TWO, "core/src/lib.rs": TWO["core/src/lib.rs"] + leading}
    build(volume, write(source, files))
    changed = {**files, "app/src/main.rs": TWO["app/src/main.rs"] + "// more\n"}
    assert compiled(build(volume, write(source, changed))) == {"app", "core-lib"}


@pytest.mark.parametrize(
    "line",
    ['const _: &str = include_str!("../Cargo.toml");', '// "../x"', "const _: std::ops::RangeFull = ..;"],
)
def test_code_that_stays_in_its_package_is_not(volume: Volume, source: Path, line: str) -> None:
    files = {**TWO, "core/src/lib.rs": TWO["core/src/lib.rs"] + line + "\n"}
    build(volume, write(source, files))
    changed = {**files, "app/src/main.rs": TWO["app/src/main.rs"] + "// more\n"}
    assert compiled(build(volume, write(source, changed))) == {"app"}


WALK = """
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let top = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let said = std::fs::read_to_string(top.parent().unwrap().join("app/src/main.rs")).unwrap();
    println!("cargo:rustc-env=SAID={}", said.lines().last().unwrap());
}
"""


def test_a_build_script_that_looks_beyond_its_package(volume: Volume, source: Path) -> None:
    files = {
        **TWO,
        "core/build.rs": WALK,
        "core/src/lib.rs": 'pub fn said() -> &\'static str { env!("SAID") }\n',
    }
    for number in (1, 2):
        files["app/src/main.rs"] = TWO["app/src/main.rs"] + f"// {number}"
        build(volume, write(source, files))
        assert volume.prints() == f"// {number}\n"


@pytest.mark.parametrize("declared", ["build.rs", pytest.param("src", marks=pytest.mark.later)])
def test_variables_of_build_scripts(volume: Volume, source: Path, declared: str) -> None:
    script = STAMP % 'std::env::var("STAMP").unwrap_or("none".into())'
    write(source, {**APP, "build.rs": script.replace("=build.rs", f"={declared}")})
    for value in ("1", "2", "two\nlines\\n\t", "", "1"):
        build(volume, source, variables={"STAMP": value})
        assert volume.prints() == value.splitlines()[0] + "\n" if value else "\n"
    build(volume, source)
    assert volume.prints() == "none\n"


def test_a_variable_compiles_only_what_can_read_it(volume: Volume, source: Path) -> None:
    said = 'pub fn more() -> &\'static str { option_env!("STAMP").unwrap_or("none") }\n'
    for files, again in (
        (TWO, set()),
        ({**TWO, "app/src/main.rs": TWO["app/src/main.rs"] + said}, {"app"}),
        ({**TWO, "core/build.rs": "fn main() {}\n"}, {"app", "core-lib"}),
    ):
        write(source, files)
        build(volume, source, variables={"STAMP": "1"})
        assert compiled(build(volume, source, variables={"STAMP": "2"})) == again


def test_arguments_can_set_variables(volume: Volume, source: Path) -> None:
    write(source, {**APP, "build.rs": STAMP % 'std::env::var("STAMP").unwrap()'})
    for value in ("1", "2"):
        build(volume, source, arguments=["--config", f'env.STAMP="{value}"'])
        assert volume.prints() == f"{value}\n"


CONFIGURATIONS = {
    "build-dir": '[build]\nbuild-dir = "/nowhere/at/all"\n',
    "target-dir": '[build]\ntarget-dir = "elsewhere"\n',
    "relative": '[build]\nbuild-dir = "{workspace-root}/made"\n',
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_state_stays_in_the_volume(volume: Volume, source: Path, name: str) -> None:
    write(source, {**TWO, ".cargo/config.toml": CONFIGURATIONS[name]})
    build(volume, source)
    assert volume.prints() == "core\n"
    assert compiled(build(volume, source)) == set()
    assert not list((volume.state / "src").glob("*/debug"))


def test_a_target_directory_in_the_arguments(volume: Volume, source: Path, tmp_path: Path) -> None:
    arguments = ["--target-dir", str(tmp_path / "other-place")]
    for word in ("first", "second"):
        code = TWO["core/src/lib.rs"].replace('"core"', f'"{word}"')
        write(source, {**TWO, "core/src/lib.rs": code})
        assert "core-lib" in compiled(build(volume, source, arguments=arguments))
        assert volume.prints() == f"{word}\n"


def test_the_newer_layout_of_cargo(volume: Volume, source: Path) -> None:
    script = STAMP % 'std::fs::read_to_string("data.txt").unwrap()'
    arguments = ["-Zbuild-dir-new-layout"]
    for value in ("1", "2"):
        write(source, {**APP, "build.rs": script, "data.txt": value})
        build(volume, source, arguments=arguments, variables={"RUSTC_BOOTSTRAP": "1"})
        assert volume.prints() == f"{value}\n"


NAMES = ["a b.txt", "tab\there", "line\nbreak", "-dash", "back\\slash", "quo\"te's", "é", "[a-z]*", "~", "=x"]


def test_file_names_of_any_kind(volume: Volume, source: Path) -> None:
    script = """std::fs::read_dir("data").unwrap().map(|entry| {
        std::fs::read_to_string(entry.unwrap().path()).unwrap().parse::<u32>().unwrap() }).sum::<u32>()"""
    files = {**APP, "build.rs": STAMP % script}
    for number in (1, 2):
        write(source, {**files, **{f"data/{name}": str(number) for name in NAMES}})
        build(volume, source)
        assert volume.prints() == f"{number * len(NAMES)}\n"
    (source / "data/empty").mkdir()
    (source / "data/empty/link").symlink_to("nowhere\ttab")
    write(source, {**files, "data/one": "1"})
    build(volume, source)
    assert volume.prints() == "1\n"


@pytest.mark.later
def test_what_changes_its_kind(volume: Volume, source: Path) -> None:
    kind = """{ let data = std::fs::symlink_metadata("data").unwrap();
        (data.is_dir(), data.is_symlink(), std::fs::metadata("data").map(|it| it.is_dir()).ok()) }"""
    files = {**APP, "build.rs": (STAMP % kind).replace("SAID={}", "SAID={:?}"), "other/x": ""}
    for made, said in (
        ("file", "(false, false, Some(false))"),
        ("folder", "(true, false, Some(true))"),
        ("link", "(false, true, Some(true))"),
        ("dangling", "(false, true, None)"),
        ("file", "(false, false, Some(false))"),
    ):
        write(source, files)
        if made == "file":
            (source / "data").write_text("")
        elif made == "folder":
            (source / "data/in").mkdir(parents=True)
        else:
            (source / "data").symlink_to("other" if made == "link" else "gone")
        build(volume, source)
        assert volume.prints() == f"{said}\n"


def test_a_package_that_went_and_came_back(volume: Volume, source: Path) -> None:
    without = {
        **{name: text for name, text in TWO.items() if not name.startswith("core/")},
        "Cargo.toml": TWO["Cargo.toml"].replace(', "core"', ""),
        "Cargo.lock": LOCK,
        "app/Cargo.toml": manifest("app"),
        "app/src/main.rs": 'fn main() { println!("alone") }\n',
    }
    again = {**TWO, "core/src/lib.rs": TWO["core/src/lib.rs"].replace('"core"', '"back"')}
    for files, said in ((TWO, "core"), (without, "alone"), (again, "back"), (TWO, "core")):
        build(volume, write(source, files))
        assert volume.prints() == f"{said}\n"


WRITES = """
fn main() {
    println!("cargo:rerun-if-changed=schema.txt");
    if !std::path::Path::new("src/made.rs").exists() {
        let said = std::fs::read_to_string("schema.txt").unwrap();
        std::fs::write("src/made.rs", format!("pub const SAID: &str = {said:?};")).unwrap();
    }
}
"""


def test_what_a_build_script_writes_into_the_sources(volume: Volume, source: Path) -> None:
    """Regression with tonic: `out_dir("src")`, and the generated file in .gitignore."""
    code = 'mod made;\nfn main() { println!("WORD {}", made::SAID) }\n'
    files = {**APP, "build.rs": WRITES, "schema.txt": "one", "src/main.rs": code}
    for word, schema, profile in (
        ("first", "one", "dev"),
        ("first", "one", "release"),
        ("second", "one", "dev"),
        ("second", "two", "dev"),
        ("first", "two", "release"),
        ("first", "one", "dev"),
    ):
        write(source, {**files, "schema.txt": schema, "src/main.rs": code.replace("WORD", word)})
        build(volume, source, profile=profile)
        assert volume.prints() == f"{word} {schema}\n"
    assert compiled(build(volume, source)) == set(), "it is the same source as before"


def test_a_build_that_fails_leaves_nothing_for_the_next(volume: Volume, source: Path) -> None:
    files = {**APP, "build.rs": STAMP % 'std::fs::read_to_string("data.txt").unwrap()', "data.txt": "1"}
    build(volume, write(source, files))
    broken = {**files, "src/main.rs": "fn main() { broken }\n", "data.txt": "2"}
    assert volume.build(write(source, broken), driver.plan()).status != 0
    for data in ("2", "1"):
        build(volume, write(source, {**files, "data.txt": data}))
        assert volume.prints() == f"{data}\n"


TESTED = (
    '#[test]\nfn writes() { std::fs::write("src/made.rs", '
    '"pub const SAID: &str = \\"by a test\\";").unwrap(); }\n'
)


def test_what_a_test_writes_is_not_in_the_program(volume: Volume, source: Path) -> None:
    code = f'mod made;\nfn main() {{ println!("{{}}", made::SAID) }}\n{TESTED}'
    write(source, {**APP, "build.rs": WRITES, "schema.txt": "one", "src/main.rs": code})
    build(volume, source)
    volume.check(source, driver.plan(), ["cargo", "test", "--locked"]).check()
    assert "by a test" in (volume.state / "src/src/made.rs").read_text()
    build(volume, source)
    assert volume.prints() == "one\n"


def test_checks_run_for_this_machine(volume: Volume, source: Path) -> None:
    """A project's default triple may be another one, whose tests do not start here."""
    command = ["sh", "-c", "echo target $CARGO_BUILD_TARGET"]
    for text in ('[build]\ntarget = "wasm32-unknown-unknown"\n', 'build.target = "thumbv7em-none-eabi"\n'):
        for name in (".cargo/config.toml", ".cargo/config"):
            write(source, {**TWO, name: text})
            said = volume.check(source, driver.plan(), command).check()
            assert said.stdout == f"target {driver.triple()}\n"
    write(source, {**TWO, ".cargo/config.toml": '[build]\ntarget-dir = "elsewhere"\n'})
    said = volume.check(source, driver.plan(), command).check()
    assert said.stdout == "target\n"


@pytest.mark.parametrize("given", ["", "RUSTC_WRAPPER"])
def test_a_wrapper_that_is_a_script_of_the_project_is_run(
    volume: Volume, source: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """The builder sets the variable to nothing; one of the user's takes precedence."""
    monkeypatch.setitem(driver.ENVIRONMENT, "RUSTC_WRAPPER", "")
    files = {
        **TWO,
        ".cargo/config.toml": '[build]\nrustc-wrapper = "tools/wrap.sh"\n',
        "app/src/main.rs": 'fn main() { println!("{}", cfg!(wrapped)) }\n',
        "tools/wrap.sh": '#!/bin/sh\nexec "$@" --cfg wrapped\n',
        "tools/other.sh": '#!/bin/sh\nexec "$@"\n',
    }
    for path in write(source, files).glob("tools/*"):
        path.chmod(0o755)
    variables = {given: str(source / "tools/other.sh")} if given else {}
    programs = [("RUSTC_WRAPPER", "tools/wrap.sh")]
    build(volume, source, variables=variables, programs=programs)
    assert volume.prints() == ("false\n" if given else "true\n")
    assert not compiled(build(volume, source, variables=variables, programs=programs))
    build(volume, source, variables=variables)
    assert volume.prints() == "false\n"


def test_everything_is_compiled_again_for_another_wrapper(
    volume: Volume, source: Path, tmp_path: Path
) -> None:
    """Regression: cargo takes what another wrapper compiled as fresh."""
    write(source, {**TWO, "core/src/lib.rs": SAYS})
    for word in ("one", "two"):
        wrapper = tmp_path / f"{word}.sh"
        wrapper.write_text(f'#!/bin/sh\nexec "$@" --cfg {word}\n')
        wrapper.chmod(0o755)
        build(volume, source, variables={"RUSTC_WRAPPER": str(wrapper)})
        assert volume.prints() == f"{word}\n"


def test_programs_are_collected(volume: Volume, source: Path) -> None:
    files = {**TWO, "app/src/bin/second.rs": "fn main() {}\n"}
    build(volume, write(source, files), binaries=["app"], arguments=["--bins"])
    folder = volume.output / driver.triple()
    assert [path.name for path in folder.iterdir()] == ["app"]
    listed = (volume.output / "programs" / driver.triple()).read_text().split()
    assert listed == ["app", str((folder / "app").stat().st_size)]
    assert (folder / "app").stat().st_mode & 0o777 == 0o755
    sections = subprocess.run(
        ["readelf", "-SW", str(folder / "app")], capture_output=True, text=True, check=True
    ).stdout
    assert {".dep-v0", ".gnu_debuglink"} <= set(re.findall(r"\] (\S+)", sections))
    assert ".symtab" not in sections
    assert (volume.output / "symbols" / driver.triple() / "app.debug").stat().st_mtime == 0


def of_app(*names: str) -> Plan:
    """Return a plan for programs of the package `app`; cargo builds all of them."""
    programs = tuple(Binary("app", name, "0.1.0") for name in names)
    return dataclasses.replace(driver.plan(arguments=["--bins"]), binaries=programs)


def test_several_programs_are_listed_in_the_plans_order(volume: Volume, source: Path) -> None:
    names = [f"bin-{number}" for number in (5, 3, 1, 4, 2)]
    project = write(source, {**TWO, **{f"app/src/bin/{name}.rs": "fn main() {}\n" for name in names}})
    volume.build(project, of_app("app", *names)).check()
    folder = volume.output / driver.triple()
    listed = (volume.output / "programs" / driver.triple()).read_text().splitlines()
    assert listed == [f"{name} {(folder / name).stat().st_size}" for name in ["app", *names]]


@pytest.mark.parametrize("place", [0, -1])
def test_a_program_that_cargo_did_not_build_is_an_error(volume: Volume, source: Path, place: int) -> None:
    names = ["app", "bin-1", "bin-2", "bin-3"]
    project = write(source, {**TWO, **{f"app/src/bin/{name}.rs": "fn main() {}\n" for name in names[1:]}})
    names.insert(place % 5, "missing")
    done = volume.build(project, of_app(*names))
    assert done.status == 1 and f"cargo built no program missing for {driver.triple()}" in done.stderr


def test_packages_of_libraries_are_those_that_the_program_links(volume: Volume, source: Path) -> None:
    names = volume.folder / "libraries" / driver.target().debian
    names.parent.mkdir()
    names.write_text("libc.so.6 libc-package\nlibpq.so.5 libpq5\nlibgcc_s.so.1 a-package\n")
    build(volume, write(source, TWO))
    listed = (volume.output / "programs" / driver.triple()).read_text().split()
    assert listed[2:] == ["a-package", "libc-package"]
