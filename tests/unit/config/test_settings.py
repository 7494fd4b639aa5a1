import dataclasses
import enum
import typing
from pathlib import Path
from typing import Any

import anyio
import pytest
from environments import to_environment

from pipeline import RustMultiarch
from pipeline.config import settings
from pipeline.config.project_files import Files, OnDisk
from pipeline.config.settings import NAMES, Settings, Value
from pipeline.errors import InvalidSetting
from pipeline.targets import Libc, Strategy

pytestmark = pytest.mark.anyio

VALUES = {
    "platforms": (["linux/386"], "linux/386"),
    "package": ("server", "server"),
    "bin": (["a", "b"], "a, b"),
    "features": (["x"], "x"),
    "all_features": (True, "true"),
    "no_default_features": (True, "1"),
    "cargo_profile": ("dev", "dev"),
    "cargo_args": (["--config", "a,b"], "--config\na,b"),
    "build_args": (["A=1,2", "B=3"], "A=1,2\nB=3"),
    "rust_version": ("1.90", "1.90"),
    "libc": (Libc.MUSL, "musl"),
    "glibc": ("2.17", "2.17"),
    "debian": ("bookworm", "bookworm"),
    "target_packages": (["libfoo-dev"], "libfoo-dev"),
    "builder_packages": (["git"], "git"),
    "strategy": (Strategy.EMULATED, "emulated"),
    "build_platform": ("linux/arm64", "linux/arm64"),
    "runtime_base": ("debian:trixie-slim", "debian:trixie-slim"),
    "runtime_packages": (["tzdata"], "tzdata"),
    "user": ("root", "root"),
    "ports": ([80, 443], "80,443"),
    "working_directory": ("/srv", "/srv"),
    "entrypoint": (["/bin/a", "b,c"], "/bin/a\nb,c"),
    "args": (["--x", "1,2"], "--x\n1,2"),
    "runtime_env": (["A=1"], "A=1"),
    "labels": (["a=b,c"], "a=b,c"),
    "volumes": (["/var/lib/app"], "/var/lib/app"),
    "files_from": ("deploy/files", "deploy/files"),
    "health_cmd": ('["app", "--check"]', '["app", "--check"]'),
    "health_interval": ("30s", "30s"),
    "health_timeout": ("3s", "3s"),
    "health_start_period": ("1m", "1m"),
    "health_start_interval": ("5s", "5s"),
    "health_retries": (3, "3"),
    "no_healthcheck": (True, "true"),
    "stop_signal": ("SIGINT", "SIGINT"),
    "index": (True, "true"),
    "source_date_epoch": (1700000000, "1700000000"),
    "ref": ("refs/tags/v1", "refs/tags/v1"),
    "builder_id": ("https://ci.example/builder", "https://ci.example/builder"),
    "invocation_id": ("https://ci.example/run/1", "https://ci.example/run/1"),
    "tag_rules": (["type=ref,event=tag", "type=sha"], "type=ref,event=tag\ntype=sha"),
    "require_clean": (True, "yes"),
    "allow_dirty": (True, "yes"),
    "git_metadata": (True, "yes"),
    "compile_cache": ("off", "off"),
    "untrusted": (True, "1"),
}
"""A value other than the default for every setting, and its text in the environment."""


def test_every_setting_is_tried_with_another_value_than_its_default() -> None:
    assert tuple(VALUES) == NAMES
    defaults = dataclasses.asdict(Settings())
    assert all(value != defaults[name] for name, (value, _) in VALUES.items())


def test_settings_are_the_constructors_arguments() -> None:
    hints = typing.get_type_hints(RustMultiarch)
    fields = [field for field in dataclasses.fields(RustMultiarch) if field.init]  # type: ignore[arg-type]
    names = [
        field.name for field in fields if field.name not in ("source", "repository", "files", "manifest_path")
    ]
    assert tuple(names) == NAMES
    assert {name: hints[name] for name in names} == {name: argument(name) | None for name in NAMES}
    assert all(field.default is None for field in fields if field.name != "source")


def argument(name: str) -> Any:
    """Return a setting's type as an argument, where an enum is a text."""
    kind = settings.TYPES[name]
    return str if isinstance(kind, type) and issubclass(kind, enum.Enum) else kind


def test_an_enum_given_as_text_is_one_of_its_members() -> None:
    layer = settings.given({"libc": "musl", "strategy": "emulated"}, lambda name: f"argument {name}")
    assert layer["libc"].value is Libc.MUSL
    assert layer["strategy"].value is Strategy.EMULATED
    assert settings.given({"libc": Libc.GNU}, str)["libc"].value is Libc.GNU
    with pytest.raises(InvalidSetting, match="'bionic'") as raised:
        settings.given({"libc": "bionic"}, lambda name: f"argument {name}")
    assert raised.value.where == "argument libc"


@pytest.mark.parametrize("name", NAMES)
def test_each_layer_is_over_the_one_before(name: str) -> None:
    default, value = getattr(Settings(), name), VALUES[name][0]
    assert settings.merge() == settings.Merged(Settings(), dict.fromkeys(NAMES, "default"))
    first = {name: Value(value, "Cargo.toml")}
    merged = settings.merge(first, {})
    assert (getattr(merged.settings, name), merged.origins[name]) == (value, "Cargo.toml")
    over = settings.merge(first, {name: Value(default, "option")})
    assert (getattr(over.settings, name), over.origins[name]) == (default, "option")


def test_none_means_not_given() -> None:
    values = {"package": None, "all_features": False, "ports": [], "source": "x"}
    layer = settings.given(values, lambda name: f"option {name}")
    assert layer == {
        "all_features": Value(False, "option all_features"),
        "ports": Value([], "option ports"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_environment(name: str) -> None:
    value, text = VALUES[name]
    variable = "RUST_MULTIARCH_" + name.upper()
    layer = settings.from_environment({variable: text, "HOME": "/root"})
    assert layer == {name: Value(value, f"environment {variable}")}
    assert settings.from_environment({variable: ""}) == {}


SHORT = [("cargo_profile", "profile"), ("runtime_env", "env")]


@pytest.mark.parametrize(("name", "short"), SHORT)
def test_a_shorter_name(name: str, short: str) -> None:
    """The module's arguments cannot have these names: they are global options of Dagger 1.0."""
    value, text = VALUES[name]
    variable = f"RUST_MULTIARCH_{short.upper()}"
    assert (settings.key(name), settings.variable(name)) == (short, variable)
    assert settings.from_environment({variable: text}) == {name: Value(value, f"environment {variable}")}
    assert settings.from_table({short: value}, "here") == {name: Value(value, "here")}
    assert to_environment(Settings(**{name: value}))[variable] == text


@pytest.mark.parametrize(("name", "short"), SHORT)
def test_both_names_of_a_setting_are_refused(name: str, short: str) -> None:
    value, text = VALUES[name]
    long = name.replace("_", "-")
    with pytest.raises(InvalidSetting, match=f"{short} and {long} are the same setting"):
        settings.from_table({short: value, long: value}, "here")
    variables = [f"RUST_MULTIARCH_{each.upper()}" for each in (short, name)]
    with pytest.raises(InvalidSetting, match=" and ".join(variables)):
        settings.from_environment(dict.fromkeys(variables, text))
    assert settings.from_environment({variables[0]: text, variables[1]: ""})[name].value == value


@pytest.mark.parametrize("word", ["0", "false", "no", "OFF"])
def test_words_for_no(word: str) -> None:
    assert settings.from_environment({"RUST_MULTIARCH_ALL_FEATURES": word})["all_features"].value is False


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("RUST_MULTIARCH_PLATFORM", "linux/amd64", "RUST_MULTIARCH_PLATFORMS"),
        ("RUST_MULTIARCH_PORTS", "80,http", "'http' is not a whole number"),
        ("RUST_MULTIARCH_ALL_FEATURES", "maybe", "'maybe' is not true or false"),
    ],
)
def test_an_environment_that_is_wrong(name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        settings.from_environment({name: text})


@pytest.mark.parametrize("text", ["--5", "5-", "9" * 5000, "1_000", "٣", "1.5"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(InvalidSetting, match="is not a whole number"):
        settings.from_environment({"RUST_MULTIARCH_SOURCE_DATE_EPOCH": text})


@pytest.mark.parametrize("value", [["gnu"], {}, 3, None])
def test_a_choice_of_words_that_is_no_word(value: object) -> None:
    with pytest.raises(InvalidSetting, match="use one of gnu, musl"):
        settings.from_table({"libc": value}, "here")


def test_the_standard_variable_of_the_time_counts_unless_ours_is_set() -> None:
    """The variable is defined by reproducible-builds.org, and other build tools read it too."""
    standard = {"SOURCE_DATE_EPOCH": "5"}
    layer = settings.from_environment(standard)
    assert layer == {"source_date_epoch": Value(5, "environment SOURCE_DATE_EPOCH")}
    assert settings.from_environment({"SOURCE_DATE_EPOCH": ""}) == {}
    for name in ({"RUST_MULTIARCH_SOURCE_DATE_EPOCH": "0"}, {}):
        both = settings.from_environment({**name, **standard})
        assert both["source_date_epoch"].value == (0 if name else 5)
    with pytest.raises(InvalidSetting, match="not a whole number") as raised:
        settings.from_environment({"SOURCE_DATE_EPOCH": "today"})
    assert raised.value.where == "SOURCE_DATE_EPOCH"


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("-c\n  indented", ["-c", "  indented"]),
        ("a\n\nb", ["a", "", "b"]),
        ("\na\r\nb\n", ["a", "b"]),
        ('["a\\nb", "", " c"]', ["a\nb", "", " c"]),
        ("[]", []),
    ],
)
def test_the_words_of_a_command_are_kept_as_they_are(text: str, items: list[str]) -> None:
    assert settings.from_environment({"RUST_MULTIARCH_ARGS": text})["args"].value == items


def test_blank_lines_between_pairs_mean_nothing() -> None:
    layer = settings.from_environment({"RUST_MULTIARCH_ENV": "A= 1\n\nB=2\n"})
    assert layer["runtime_env"].value == ["A= 1", "B=2"]


@pytest.mark.parametrize("text", ['["a"', "[a]", '["a", 1]', "[" * 100_000])
def test_what_starts_as_a_json_list_has_to_be_one(text: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        settings.from_environment({"RUST_MULTIARCH_ARGS": text})
    assert raised.value.where == "RUST_MULTIARCH_ARGS"


@pytest.mark.parametrize("items", [["a", ""], [""], [" x"], ["a\nb"], ["\n"], ["[x]"], ["a\r"]])
def test_any_items_survive_the_environment(items: list[str]) -> None:
    environment = to_environment(Settings(args=items, entrypoint=items))
    found = settings.merge(settings.from_environment(environment)).settings
    assert (found.args, found.entrypoint) == (items, items)


async def test_members_that_are_no_list(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text("[workspace]\nmembers = 3\n[workspace.metadata.rust-multiarch]\n")
    assert await merged(OnDisk(tmp_path), package="x") == settings.merge()


@pytest.mark.parametrize("name", ["INSTALL_FROM", "SOURCE"])
def test_variables_that_are_not_settings(name: str) -> None:
    assert settings.from_environment({f"RUST_MULTIARCH_{name}": "git+https://example.com/x"}) == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_table(name: str) -> None:
    value = VALUES[name][0]
    written = value.value if isinstance(value, enum.Enum) else value
    assert settings.from_table({name.replace("_", "-"): written}, "here") == {name: Value(value, "here")}


def test_pairs_may_be_a_table() -> None:
    layer = settings.from_table({"labels": {"a.b": "c", "d": "e=f"}}, "here")
    assert layer["labels"].value == ["a.b=c", "d=e=f"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"platform": ["linux/amd64"]}, "did you mean platforms"),
        ({"runtime_base": "x"}, "did you mean runtime-base"),
        ({"platforms": "linux/amd64"}, "platforms in here"),
        ({"platforms": [1]}, "a list of strings"),
        ({"ports": ["80"]}, "a list of whole numbers"),
        ({"ports": [True]}, "a list of whole numbers"),
        ({"all-features": 1}, "true or false"),
        ({"source-date-epoch": True}, "a whole number"),
        ({"profile": []}, "a string"),
        ({"labels": {"a": 1}}, "a list of strings"),
        ({"bin": {"a": "b"}}, "a list of strings"),
    ],
)
def test_a_table_that_is_wrong(table: dict, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said) as raised:
        settings.from_table(table, "here")
    assert "here" in raised.value.where and raised.value.fix


def test_an_unknown_key_says_which_and_where() -> None:
    with pytest.raises(InvalidSetting) as raised:
        settings.from_table({"portz": [1]}, "Cargo.toml [package.metadata.rust-multiarch]")
    assert "'portz'" in raised.value.what
    assert raised.value.where == "Cargo.toml [package.metadata.rust-multiarch]"
    assert raised.value.fix == "did you mean ports?"


ROOT = """
[workspace]
members = ["crates/*"]
[workspace.metadata.rust-multiarch]
profile = "dev"
user = "root"
[package]
name = "app"
[package.metadata.rust-multiarch]
user = "app"
ports = [80]
"""
MEMBER = '[package]\nname = "server"\n[package.metadata.rust-multiarch]\nports = [81]\n'


@pytest.fixture
def project(tmp_path: Path) -> OnDisk:
    (tmp_path / "Cargo.toml").write_text(ROOT)
    for name in ("server", "tools"):
        (tmp_path / "crates" / name).mkdir(parents=True)
        text = MEMBER if name == "server" else MEMBER.replace("server", "tools").replace("81", "82")
        (tmp_path / "crates" / name / "Cargo.toml").write_text(text)
    return OnDisk(tmp_path)


async def merged(files: Files, package: str = "") -> settings.Merged:
    return settings.merge(*await settings.from_project(files, package))


async def test_the_packages_table_is_over_the_workspaces(project: OnDisk) -> None:
    for package in ("", "app"):
        found = await merged(project, package)
        assert (found.settings.cargo_profile, found.settings.user, found.settings.ports) == (
            "dev",
            "app",
            [80],
        )
        assert found.origins["cargo_profile"] == "Cargo.toml [workspace.metadata.rust-multiarch]"
        assert found.origins["ports"] == "Cargo.toml [package.metadata.rust-multiarch]"


async def test_the_chosen_members_table(project: OnDisk) -> None:
    found = await merged(project, "tools")
    assert (found.settings.user, found.settings.ports) == ("root", [82])
    assert found.origins["ports"] == "crates/tools/Cargo.toml [package.metadata.rust-multiarch]"


@pytest.mark.parametrize(
    "dependencies",
    [
        '[workspace]\n[dependencies]\nserver = { path = "crates/server" }',
        '[workspace]\n[target."cfg(unix)".dev-dependencies]\nserver = { path = "./crates/server/" }',
        '[workspace.dependencies]\nserver = { path = "crates/server" }',
        '[workspace]\nmembers = ["crates/tools"]',
        '[workspace]\nmembers = ["/elsewhere/*", "../*", "crates/*"]',
    ],
)
async def test_a_path_dependency_is_a_member(project: OnDisk, dependencies: str) -> None:
    """Regression: with an empty [workspace], the member's settings were ignored silently."""
    (project.root / "Cargo.toml").write_text(f'[package]\nname = "app"\n{dependencies}\n')
    tools = project.root / "crates/tools/Cargo.toml"
    # Each depends on the other, and on what is outside.
    more = '[build-dependencies]\nserver = { path = "../server" }\nfar = { path = "../../../far" }\n'
    tools.write_text(f'{tools.read_text()}{more}log = "1"\n')
    (project.root / "crates/server/Cargo.toml").write_text(
        f'{MEMBER}[dependencies]\ntools = {{ path = "../tools" }}\n'
    )
    assert (await merged(project, "server")).settings.ports == [81]
    assert (await merged(project, "nowhere")).settings.ports == []


async def test_the_workspace_may_choose_the_member(project: OnDisk) -> None:
    text = ROOT.replace('profile = "dev"', 'package = "server"')
    (project.root / "Cargo.toml").write_text(text)
    assert (await merged(project)).settings.ports == [81]
    assert (await merged(project, "tools")).settings.ports == [82]


async def test_a_package_that_there_is_not_has_the_workspaces_table(project: OnDisk) -> None:
    found = await merged(project, "nowhere")
    assert (found.settings.cargo_profile, found.settings.ports) == ("dev", [])


@pytest.mark.parametrize("text", ["not toml", 'package = "x"', "", "[package]\nmetadata = 1"])
async def test_manifests_without_a_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "Cargo.toml").write_text(text)
    assert await merged(OnDisk(tmp_path)) == settings.merge()


async def test_no_manifest(tmp_path: Path) -> None:
    assert await merged(OnDisk(tmp_path)) == settings.merge()


def test_a_choice_of_words() -> None:
    with pytest.raises(InvalidSetting, match="use one of gnu, musl"):
        settings.from_table({"libc": "glibc"}, "here")
    with pytest.raises(InvalidSetting, match="use one of gnu, musl"):
        settings.from_environment({"RUST_MULTIARCH_LIBC": "glibc"})


@pytest.mark.parametrize("name", NAMES)
def test_settings_survive_the_environment(name: str) -> None:
    changed = dataclasses.replace(Settings(), **{name: VALUES[name][0]})
    environment = to_environment(changed)
    assert settings.merge(settings.from_environment(environment)).settings == changed


PACKAGE = '[package]\nname = "{}"\n'


@pytest.mark.parametrize(
    ("files", "package", "crates"),
    [
        ({"Cargo.toml": PACKAGE.format("server")}, "", ("server",)),
        ({"Cargo.toml": PACKAGE.format("server")}, "server", ("server",)),
        ({"Cargo.toml": PACKAGE.format("server")}, "other", ()),
        ({"Cargo.toml": "[workspace]\nmembers = ['*/*']", "a/b/src/main.rs": ""}, "", ("b", "a/b")),
        (
            {"Cargo.toml": "[workspace]\nmembers = ['*/*']", "a/b/src/bin/x.rs": "", "a/lib": ""},
            "",
            ("b", "a/b"),
        ),
        (
            {"Cargo.toml": "[workspace]\nmembers = ['*/*']", "a/b/src/main.rs": "", "a/c/src/main.rs": ""},
            "",
            (),
        ),
        ({"Cargo.toml": "[workspace]\nmembers = ['*/*']", "a/b": "", "a/c": ""}, "c", ("c", "a/c")),
        ({"Cargo.toml": "[workspace]\nmembers = ['*/*']", "a/b": ""}, "", ()),
        ({}, "", ()),
    ],
)
async def test_the_package_whose_name_git_tags_may_have(
    tmp_path: Path, files: dict[str, str], package: str, crates: tuple[str, ...]
) -> None:
    """A path without a file in it is a member with a library."""
    for path, text in files.items():
        name = tmp_path / path
        member = next((above for above in (name, *name.parents) if above.parent == tmp_path / "a"), None)
        name.parent.mkdir(parents=True, exist_ok=True)
        if member:
            member.mkdir(exist_ok=True)
            (member / "Cargo.toml").write_text(PACKAGE.format(member.name))
        if name.suffix:
            name.write_text(text)
    asked = dataclasses.replace(Settings(), package=package)
    assert await settings.crates_of(OnDisk(tmp_path), asked) == crates


@pytest.mark.parametrize(
    ("name", "meant"),
    [("expose", "ports"), ("workdir", "working-directory"), ("base-image", "runtime-base"), ("cmd", "args")],
)
def test_a_name_of_docker_is_understood(name: str, meant: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        settings.from_table({name: "x"}, "here")
    assert raised.value.fix == f"did you mean {meant}?"
    variable = settings.PREFIX + name.upper().replace("-", "_")
    with pytest.raises(InvalidSetting) as raised:
        settings.from_environment({variable: "x"})
    assert raised.value.fix == f"did you mean {settings.PREFIX}{meant.upper().replace('-', '_')}?"


VIRTUAL = '[workspace]\nmembers = ["crates/*"]\n'


@pytest.fixture
def virtual(project: OnDisk) -> OnDisk:
    """Write a virtual workspace with two programs of the same kind."""
    (project.root / "Cargo.toml").write_text(VIRTUAL)
    for name in ("server", "tools"):
        (project.root / f"crates/{name}/src").mkdir()
        (project.root / f"crates/{name}/src/main.rs").touch()
    return project


def layers_of(files: Files, **given: list[str]) -> settings.Merged:
    outright = settings.given(given, lambda name: f"option {name}")
    return settings.merge(*anyio.run(settings.under, files, outright), outright)


def test_the_table_of_the_member_with_the_binary(virtual: OnDisk) -> None:
    """Regression: from the root, the table of a member was ignored, and a typing error in it was silent."""
    assert layers_of(virtual).settings.ports == []
    assert layers_of(virtual, bin=["server"]).settings.ports == [81]
    assert layers_of(virtual, bin=["tools,server"]).settings.ports == [82]
    assert layers_of(virtual, bin=["unknown"]).settings.ports == []
    (virtual.root / "crates/server/Cargo.toml").write_text(MEMBER.replace("ports", "portz"))
    with pytest.raises(InvalidSetting, match="portz"):
        layers_of(virtual, bin=["server"])


@pytest.mark.parametrize("place", ["src/bin/other.rs", "src/bin/other/main.rs"])
def test_binaries_are_found_where_cargo_finds_them(virtual: OnDisk, place: str) -> None:
    file = virtual.root / "crates/tools" / place
    file.parent.mkdir(parents=True)
    file.touch()
    assert layers_of(virtual, bin=["other"]).settings.ports == [82]
    manifest = virtual.root / "crates/tools/Cargo.toml"
    manifest.write_text(manifest.read_text().replace("[package]\n", "[package]\nautobins = false\n"))
    assert layers_of(virtual, bin=["other"]).settings.ports == []
    manifest.write_text(manifest.read_text() + '[[bin]]\nname = "other"\n')
    assert layers_of(virtual, bin=["other"]).settings.ports == [82]


def test_the_table_of_the_only_member_with_a_binary(virtual: OnDisk) -> None:
    (virtual.root / "crates/tools/src/main.rs").unlink()
    assert layers_of(virtual).settings.ports == [81]


def test_the_table_of_the_only_default_member(virtual: OnDisk) -> None:
    (virtual.root / "Cargo.toml").write_text(VIRTUAL + 'default-members = ["crates/tools"]\n')
    assert layers_of(virtual).settings.ports == [82]


def test_the_table_of_the_only_member_with_a_default_binary(virtual: OnDisk) -> None:
    (virtual.root / "crates/server/Cargo.toml").write_text(
        MEMBER.replace("[package]", '[package]\ndefault-run = "server"')
    )
    assert layers_of(virtual).settings.ports == [81]


def test_the_binary_in_the_workspaces_table_chooses_the_member(virtual: OnDisk) -> None:
    (virtual.root / "Cargo.toml").write_text(
        VIRTUAL + '[workspace.metadata.rust-multiarch]\nbin = ["tools"]\n'
    )
    assert layers_of(virtual).settings.ports == [82]
    assert layers_of(virtual, bin=["server"]).settings.ports == [81]


def test_a_version_after_the_packages_name(virtual: OnDisk) -> None:
    outright = {"package": settings.Value("tools@1.0.0", "option")}
    assert settings.merge(*anyio.run(settings.under, virtual, outright)).settings.ports == [82]


async def test_a_packages_table_in_a_virtual_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text(VIRTUAL + "[package.metadata.rust-multiarch]\nports = [8080]\n")
    with pytest.raises(InvalidSetting, match="no root package") as raised:
        await settings.from_project(OnDisk(tmp_path))
    assert "[workspace.metadata.rust-multiarch]" in raised.value.fix


def test_files_of_a_members_table_are_relative_to_the_member(virtual: OnDisk) -> None:
    manifest = virtual.root / "crates/tools/Cargo.toml"
    manifest.write_text(manifest.read_text() + 'files = "../files"\n')
    assert layers_of(virtual, bin=["tools"]).settings.files_from == "crates/files"


async def test_the_packages_of_a_workspace(virtual: OnDisk, project: OnDisk) -> None:
    assert sorted(await settings.packages(virtual)) == ["server", "tools"]


def test_every_setting_of_the_compile_exists() -> None:
    assert set(settings.COMPILED) <= set(NAMES)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"build_args": ["A=1", "B"]}, "'B' is not NAME=value"),
        ({"runtime_env": ["=1"]}, "'=1' is not NAME=value"),
        ({"labels": [""]}, "'' is not NAME=value"),
        ({"ports": [80, 99999]}, "99999 is not a TCP port"),
        ({"ports": [0]}, "0 is not a TCP port"),
        *(({"volumes": [path]}, "is not an absolute path below /") for path in ("data", "/", "", "/x/..")),
    ],
)
def test_an_item_of_the_wrong_form_is_named_with_its_origin(values: dict, said: str) -> None:
    """Regression: a port of 99999 was in the image, and NAME without a value failed after the fetch."""
    with pytest.raises(InvalidSetting, match=said) as raised:
        settings.merge(settings.given(values, lambda name: f"option {name}"))
    assert raised.value.where == f"option {next(iter(values))}" and raised.value.fix


def test_items_of_the_right_form() -> None:
    values = {"labels": ["a="], "ports": [1, 65535], "volumes": ["/var/lib/app/"], "build_args": ["A==b"]}
    assert vars(settings.merge(settings.given(values, str)).settings).items() >= values.items()
