"""Test the build request of some settings."""

from typing import Any

import anyio
import pytest

from pipeline import errors
from pipeline.build import custom_containers, plan
from pipeline.config import request
from pipeline.config.compile_cache import CompileCache
from pipeline.config.credentials import Access
from pipeline.config.request import BuildRequest, Choice
from pipeline.config.settings import Settings
from pipeline.git import context
from pipeline.releases import RELEASES
from pipeline.targets import Libc, Strategy, select

SOURCE: Any = None


def test_an_order_has_every_setting_of_a_build() -> None:
    settings = Settings(
        platforms=["linux/arm64"], package="a", bin=["x,y"], features=["f"], all_features=True,
        no_default_features=True, cargo_profile="dev", cargo_args=["--frozen"], build_args=["A=1"],
        rust_version="1.90", libc=Libc.MUSL, glibc="2.28", debian="bookworm", target_packages=["libfoo-dev"],
        builder_packages=["git"], strategy=Strategy.EMULATED, build_platform="linux/arm64/v8",
    )  # fmt: skip
    access = Access()
    assert request.build_request(settings, SOURCE, access, 7) == BuildRequest(
        source=SOURCE,
        targets=select(["linux/arm64"]),
        choice=Choice("a", ("x", "y"), ("f",), True, True, "dev", ("--frozen",)),
        libc=Libc.MUSL,
        glibc="2.28",
        debian=RELEASES["bookworm"],
        rust="1.90",
        build_args=(("SOURCE_DATE_EPOCH", "7"), ("A", "1")),
        packages=("git",),
        access=access,
        target_packages=("libfoo-dev",),
        compile_cache=CompileCache(),
        build_platform="linux/arm64",
        strategy=Strategy.EMULATED,
    )
    assert request.build_request(Settings(), SOURCE, access, 0).build_platform == ""


@pytest.mark.parametrize("items", [["x,y"], ["x", "y"], [" x , y,", " "]])
def test_a_list_is_taken_apart_at_its_commas(items: list[str]) -> None:
    assert request.listed(items) == ("x", "y")


def test_the_platforms_that_a_compiler_runs_on() -> None:
    emulated = Settings(platforms=["linux/arm64", "linux/amd64"], strategy=Strategy.EMULATED)
    assert request.builders(emulated) == ["linux/arm64", "linux/amd64"]
    assert request.builders(Settings(build_platform="linux/arm64/v8")) == ["linux/arm64"]
    assert request.builders(Settings()) == []


def test_the_time_without_a_repository() -> None:
    assert context.time_of(Settings(source_date_epoch=5), None) == 5
    assert context.time_of(Settings(), None) == 0


def test_what_is_to_be_clean_has_a_checkout_that_git_reads() -> None:
    """Regression: a checkout owned by another user counted as clean."""
    with pytest.raises(errors.NotAGitRepository, match="cannot be known"):
        anyio.run(context.situation, Settings(require_clean=True), None, None)
    assert anyio.run(context.situation, Settings(), None, None) is None


def test_debians_packages_are_linked_by_debians_compilers() -> None:
    targets = select(["linux/amd64"])
    for order in (
        BuildRequest(SOURCE, targets, libc=Libc.MUSL, target_packages=("libfoo-dev",)),
        BuildRequest(SOURCE, targets, glibc="2.17", target_packages=("libfoo-dev",)),
    ):
        with pytest.raises(errors.UnsupportedLibc, match="libfoo-dev cannot be linked"):
            plan._check_target_packages(order)
    plan._check_target_packages(BuildRequest(SOURCE, targets, target_packages=("libfoo-dev",)))
    plan._check_target_packages(BuildRequest(SOURCE, targets, libc=Libc.MUSL))


def test_one_builder_is_not_one_for_each_platform() -> None:
    assert "needs a builder for each platform" in custom_containers.not_emulated().what


def test_features_are_separated_by_commas_and_spaces_as_cargo_takes_them() -> None:
    for features in (["a", "b", "c"], ["a,b", "c"], ["a b  c"], [" a, b\n", "c,"]):
        choice = request.build_request(Settings(features=features), SOURCE, Access(), 0).choice
        assert choice.features == ("a", "b", "c")


def of_arguments(*words: str) -> Choice:
    return request.build_request(
        Settings(cargo_args=list(words), features=["own"]), SOURCE, Access(), 0
    ).choice


@pytest.mark.parametrize(
    "words", [["--features=x,y"], ["--features", "x y"], ["-F", "x,y"], ["-Fx", "-F=y"], ["-Fx,y"]]
)
def test_features_among_cargos_arguments_are_features(words: list[str]) -> None:
    """Regression: the commands before the build did not get the feature in `--cargo-arg=--features=x`."""
    choice = of_arguments(*words, "-v")
    assert (choice.features, choice.arguments) == (("own", "x", "y"), ("-v",))


def test_all_features_and_none_among_cargos_arguments() -> None:
    choice = of_arguments("--all-features", "--no-default-features")
    assert choice.all_features and choice.no_default_features and choice.arguments == ()


def test_what_every_command_of_cargos_gets() -> None:
    choice = of_arguments("-Z", "a", "-Zb", "--config", "c=1", "--config=d=2", "--config", "file.toml", "-v")
    assert choice.everywhere == ("-Z", "a", "-Zb", "--config", "c=1", "--config=d=2", "--config", "file.toml")
    assert choice.configurations == ("c=1", "d=2")
    assert choice.arguments == (*choice.everywhere, "-v")
    assert of_arguments("--config", "--features").arguments == ("--config", "--features")


@pytest.mark.parametrize("word", sorted(request._TAKEN))
def test_arguments_that_have_an_option_here_name_it(word: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="is not passed on") as raised:
        of_arguments(f"{word}=x" if word.startswith("--") else word)
    assert raised.value.fix == request._TAKEN[word]


def test_the_variables_that_cargo_itself_reads() -> None:
    given = [
        "RUSTC_BOOTSTRAP=1",
        "RUSTFLAGS=-g",
        "CARGO_NET_RETRY=5",
        "https_proxy=p",
        "COMMIT=abc",
        "CARGO_PKG_X=1",
    ]
    found = request.build_request(Settings(build_args=given), SOURCE, Access(), 0).cargo_environment
    assert list(found) == ["RUSTC_BOOTSTRAP", "RUSTFLAGS", "CARGO_NET_RETRY", "https_proxy"]
