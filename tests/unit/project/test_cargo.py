import json
from collections.abc import Sequence

import pytest

from pipeline import errors
from pipeline.config.request import Choice
from pipeline.project import selection
from pipeline.project.metadata import (
    Binary,
    Project,
    crates_of,
    read_metadata,
    relocated,
    specification,
)


def metadata(*packages: dict, default: list[str] | None = None) -> str:
    """Return the output of `cargo metadata --no-deps` for a workspace of these packages."""
    entries = [
        {
            "id": f"path+file:///w/{p['name']}#0.1.0",
            "name": p["name"],
            "version": "0.1.0",
            "targets": [
                {"name": b, "kind": ["bin"], **p.get("required", {}).get(b, {})} for b in p.get("bins", [])
            ]
            + [{"name": p["name"], "kind": ["lib"]}, {"name": "t", "kind": ["test"]}],
            "features": dict(p.get("features", {})),
            "default_run": p.get("default_run"),
        }
        for p in packages
    ]
    ids = {e["name"]: e["id"] for e in entries}
    return json.dumps(
        {
            "packages": entries,
            "workspace_members": list(ids.values()),
            "workspace_default_members": [ids[name] for name in default or ids],
        }
    )


ONE = {"name": "app", "bins": ["app"], "features": {"default": [], "tls": []}}
TWO = {"name": "tools", "bins": ["import", "export"]}
LIB = {"name": "core"}
HELPED = {
    "name": "app",
    "bins": ["app", "make-completions"],
    "required": {"make-completions": {"required-features": ["cli", "help"]}},
    "features": {"default": ["web"], "web": ["help"], "help": [], "cli": ["dep:clap"], "all": ["cli"]},
}


def choose(*packages: dict, default: list[str] | None = None, **choice) -> tuple[Binary, ...]:
    return selection.choose(read_metadata(metadata(*packages, default=default)), Choice(**choice))


def test_the_only_binary_is_chosen() -> None:
    assert choose(ONE, LIB) == (Binary("app", "app", "0.1.0"),)


def test_a_default_run_is_chosen() -> None:
    assert choose({**TWO, "default_run": "export"})[0].name == "export"


def test_default_members_are_what_counts() -> None:
    assert choose(ONE, TWO, default=["app"])[0].name == "app"


def test_bins_are_found_in_every_member_and_keep_their_order() -> None:
    found = choose(ONE, TWO, default=["app"], bins=("export", "app"))
    assert [(b.package, b.name) for b in found] == [("tools", "export"), ("app", "app")]


def test_a_package_narrows_the_choice() -> None:
    assert choose(ONE, {**TWO, "bins": ["import"]}, package="tools")[0].name == "import"


def test_several_and_none_chosen_lists_them() -> None:
    with pytest.raises(errors.BinaryNotChosen) as raised:
        choose(ONE, TWO)
    assert "app, import (package tools), export (package tools)" in str(raised.value)
    assert "--bin app" in raised.value.fix
    assert choose(ONE, TWO, bins=("app",))[0].name == "app"


def test_of_several_with_one_name_the_package_is_chosen() -> None:
    """Regression: the advice was --bin, which two packages have."""
    with pytest.raises(errors.BinaryNotChosen) as raised:
        choose(ONE, {**ONE, "name": "other"})
    assert "--package app" in raised.value.fix
    assert choose(ONE, {**ONE, "name": "other"}, package="app")[0].package == "app"


def test_every_binary_is_chosen_where_each_is_to_have_an_image() -> None:
    assert [binary.name for binary in choose(ONE, TWO, every=True)] == ["app", "import", "export"]
    assert [binary.name for binary in choose(ONE, TWO, every=True, bins=("export",))] == ["export"]
    assert [binary.name for binary in choose(HELPED, every=True)] == ["app"], "what the features allow"


def test_two_binaries_of_one_name_are_not_made_into_two_images() -> None:
    """cargo puts both into one file, and both images had the same program."""
    with pytest.raises(
        errors.BinaryNotChosen, match=r"several packages have a binary 'app': app, other[\s\S]*--package"
    ):
        choose(ONE, {**ONE, "name": "other"}, every=True)
    assert choose(ONE, {**ONE, "name": "other"}, every=True, package="other")[0].package == "other"


def test_checks_need_no_binary_and_keep_to_those_that_are_named() -> None:
    several = read_metadata(metadata(ONE, TWO))
    assert selection.named(several, Choice()) == ()
    assert selection.named(read_metadata(metadata(LIB)), Choice()) == ()
    assert selection.named(several, Choice(bins=("import",))) == (Binary("tools", "import", "0.1.0"),)
    for choice, error in (
        (Choice(package="nope"), errors.UnknownPackage),
        (Choice(bins=("nope",)), errors.UnknownBinary),
        (Choice(features=("nope",)), errors.UnknownFeature),
    ):
        with pytest.raises(error):
            selection.named(several, choice)


def test_the_same_name_in_two_packages() -> None:
    with pytest.raises(errors.BinaryNotChosen, match="app, other"):
        choose(ONE, {"name": "other", "bins": ["app"]}, bins=("app",))


def test_an_unknown_binary_lists_the_known() -> None:
    with pytest.raises(errors.UnknownBinary, match=r"'nope'[\s\S]*choose one of app"):
        choose(ONE, bins=("nope",))


def test_a_library_is_not_a_binary() -> None:
    with pytest.raises(errors.UnknownBinary, match="not only a library"):
        choose(LIB, bins=("core",))
    with pytest.raises(errors.NoBinary, match="core"):
        choose(LIB)


def test_an_unknown_package_lists_the_known() -> None:
    with pytest.raises(errors.UnknownPackage, match=r"'nope'[\s\S]*app, core"):
        choose(ONE, LIB, package="nope")


def test_features() -> None:
    assert choose(ONE, features=("tls",))
    assert choose(ONE, features=("app/tls", "serde/derive"))
    with pytest.raises(errors.UnknownFeature, match=r"'tsl'[\s\S]*use one of tls"):
        choose(ONE, features=("tsl",))
    with pytest.raises(errors.UnknownFeature, match="declares no features"):
        choose({"name": "x", "bins": ["x"]}, features=("y",))


def test_a_binary_whose_features_are_not_on_is_not_there() -> None:
    assert [binary.name for binary in choose(HELPED)] == ["app"]
    with pytest.raises(errors.BinaryNotChosen, match="app, make-completions"):
        choose(HELPED, features=("all",))
    assert choose(HELPED, features=("cli",), no_default_features=True)[0].name == "app"
    with pytest.raises(errors.BinaryNotChosen):
        choose(HELPED, all_features=True)


def test_a_binary_that_is_named_says_which_features_it_lacks() -> None:
    named = ("make-completions",)
    assert choose(HELPED, bins=named, features=("app/cli",))[0].name == "make-completions"
    with pytest.raises(errors.NoBinary, match=r"make-completions needs a feature that is not enabled: cli\b"):
        choose(HELPED, bins=named)
    with pytest.raises(errors.NoBinary, match="needs features that are not enabled: cli, help") as raised:
        choose(HELPED, bins=named, no_default_features=True)
    assert raised.value.fix == "pass --features cli,help"
    with pytest.raises(errors.NoBinary, match="not enabled: cli"):
        choose({**HELPED, "bins": ["make-completions"]})


@pytest.mark.parametrize(
    ("asked", "enabled"),
    [
        (["serde/derive"], {"serde/derive", "serde", "dep:serde"}),
        (["serde?/derive"], {"serde?/derive"}),
        (["full", "other"], {"full", "serde", "dep:serde", "other"}),
        ([], set()),
    ],
)
def test_what_a_feature_switches_on(asked: list[str], enabled: set[str]) -> None:
    declared = {"full": ["serde", "full"], "serde": ["dep:serde"]}
    assert selection.enabled(declared, asked) == enabled


def test_identity_does_not_depend_on_order() -> None:
    one, two = (read_metadata(metadata(*p)) for p in ((ONE, LIB), (LIB, ONE)))
    assert one.identity == two.identity == "app+core"


def test_older_cargo_has_no_default_members() -> None:
    document = json.loads(metadata(ONE))
    del document["workspace_default_members"]
    assert read_metadata(json.dumps(document)).packages[0].is_default


BINARIES = (
    Binary("app", "app", "1", is_default=True),
    Binary("app", "two", "1", is_default=True),
)


def test_build_command() -> None:
    command = selection.build_command(Choice(package="app"), BINARIES, ["t1", "t2"])
    assert " ".join(command) == (
        "cargo build --locked --profile release --package app --bin app --bin two --target t1 --target t2"
    )


@pytest.mark.parametrize(
    ("choice", "binaries", "expected"),
    [
        (Choice(), BINARIES, []),
        (Choice(bins=("two",)), BINARIES[1:], []),
        (Choice(package="app"), BINARIES, ["--package", "app"]),
        (Choice(bins=("tool",)), [Binary("tool", "tool", "1")], ["--package", "tool"]),
        (Choice(), [Binary("app", "app", "2")], ["--package", "app"]),
        (Choice(), [BINARIES[0], Binary("far", "far", "1")], ["--package", "app", "--package", "far"]),
    ],
)
def test_cargo_selects_the_default_members_unless_a_package_is_chosen(
    choice: Choice, binaries: Sequence[Binary], expected: list[str]
) -> None:
    assert selection.package_arguments(choice, binaries) == expected


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(features=("a", "b")), "--features a,b"),
        (Choice(all_features=True), "--all-features"),
        (Choice(no_default_features=True), "--no-default-features"),
        (Choice(profile="dev"), "--profile dev"),
        (Choice(arguments=("--config", "x=1")), "--config x=1"),
    ],
)
def test_every_choice_reaches_the_command(choice: Choice, words: str) -> None:
    assert words in " ".join(selection.build_command(choice, BINARIES, ["t"]))


LOCKED = """version = 4
[[package]]
name = "hex"
version = "0.1.0"
[[package]]
name = "hex"
version = "0.4.3"
source = "registry+https://github.com/rust-lang/crates.io-index"
[[package]]
name = "twin"
version = "1.0.0"
[[package]]
name = "twin"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
[[package]]
name = "app"
version = "0.1.0"
"""


@pytest.mark.parametrize(
    ("name", "version", "named"),
    [
        ("app", "0.1.0", "app"),
        ("hex", "0.1.0", "hex@0.1.0"),
        ("twin", "1.0.0", "path+file:///source/my%20twin#twin@1.0.0"),
    ],
)
def test_a_package_is_named_so_that_cargo_finds_one(name: str, version: str, named: str) -> None:
    """Regression: for a command `hex` that uses the library `hex`, the name alone is ambiguous."""
    assert specification(name, version, "/source/my twin", LOCKED) == named
    command = selection.build_command(Choice(), [Binary(name, name, version, "/source/my twin")], [], LOCKED)
    assert command[command.index("--package") + 1] == named


def test_an_id_with_a_path_follows_the_project_to_where_it_is_compiled() -> None:
    there = relocated(["--package", "path+file:///source/a#twin@1.0.0", "/source"], "/source", "/build/src")
    assert there == ("--package", "path+file:///build/src/a#twin@1.0.0", "/source")


@pytest.mark.parametrize("lock", ["", "no toml", "package = 3", "package = [1]"])
def test_a_lock_file_that_says_nothing_leaves_the_name(lock: str) -> None:
    assert specification("hex", "0.1.0", "/source", lock) == "hex"


def test_a_package_may_be_chosen_with_its_version() -> None:
    project = read_metadata(metadata(ONE))
    assert selection.choose(project, Choice(package="app@0.1.0"))[0].package == "app"
    assert selection.chosen_package(project, Choice(package="app"), "") == ["--package", "app"]
    assert selection.chosen_package(project, Choice(), "") == []


def test_a_packages_name_and_directory() -> None:
    packages = [
        {"name": name, "manifest_path": f"/src/{path}Cargo.toml"} for name, path in (("a", ""), ("b", "x/y/"))
    ]
    project = Project((), json.dumps({"packages": packages, "workspace_root": "/src"}))
    assert crates_of(project, "a") == ("a",)
    assert crates_of(project, "b") == ("b", "x/y")
