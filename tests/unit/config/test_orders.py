"""What settings amount to."""

from typing import Any

import anyio
import pytest

from pipeline import errors
from pipeline.build import custom_containers, plan
from pipeline.config import request
from pipeline.config.credentials import Access
from pipeline.config.request import BuildRequest, Choice
from pipeline.config.settings import Settings
from pipeline.git import context
from pipeline.targets import Libc, Strategy, select

SOURCE: Any = None


def test_an_order_has_every_setting_of_a_build() -> None:
    settings = Settings(
        platforms=["linux/arm64"], package="a", bin=["x,y"], features=["f"], all_features=True,
        no_default_features=True, profile="dev", cargo_args=["--frozen"], build_args=["A=1"],
        rust_version="1.90", libc=Libc.MUSL, glibc="2.28", target_packages=["libfoo-dev"],
        builder_packages=["git"], strategy=Strategy.EMULATED, build_platform="linux/arm64/v8",
    )  # fmt: skip
    access = Access()
    assert request.build_request(settings, SOURCE, access, 7) == BuildRequest(
        source=SOURCE,
        targets=select(["linux/arm64"]),
        choice=Choice("a", ("x", "y"), ("f",), True, True, "dev", ("--frozen",)),
        libc=Libc.MUSL,
        glibc="2.28",
        rust="1.90",
        build_args=(("SOURCE_DATE_EPOCH", "7"), ("A", "1")),
        packages=("git",),
        access=access,
        target_packages=("libfoo-dev",),
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
    """Found with a checkout that another user owns: it counted as clean."""
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
    assert "one of each" in custom_containers.not_emulated().what


def test_features_are_separated_by_commas_and_spaces_as_cargo_takes_them() -> None:
    for features in (["a", "b", "c"], ["a,b", "c"], ["a b  c"], [" a, b\n", "c,"]):
        choice = request.build_request(Settings(features=features), SOURCE, Access(), 0).choice
        assert choice.features == ("a", "b", "c")
