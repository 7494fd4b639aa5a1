"""Test the module's interface: every part has a description, and every option is also on the command line."""

import dataclasses
import inspect
import re
import tomllib
from pathlib import Path

import pytest
import schema
from dagger import mod

import pipeline.image
import pipeline.main
from pipeline import RustMultiarch, errors
from pipeline.config.request import listed, pairs

OBJECTS = [
    name
    for module in (pipeline.main, pipeline.image)
    for name, value in inspect.getmembers(module, inspect.isclass)
    if value.__module__ == module.__name__
]


@pytest.mark.parametrize("name", sorted(set(OBJECTS)))
def test_every_function_and_argument_is_described(name: str) -> None:
    described = mod.default_module().get_object(name)
    for function in described.functions.values():
        assert function.doc, function
        for parameter in function.parameters.values():
            assert parameter.doc, (function, parameter.name)


def test_every_constructor_argument_is_described() -> None:
    module = mod.default_module()
    constructor = module.get_object("RustMultiarch").get_constructor(module._converter)
    for name, parameter in constructor.parameters.items():
        assert parameter.doc and len(parameter.doc) > 10, name


def test_only_the_source_is_required_in_python() -> None:
    required = [
        field.name
        for field in dataclasses.fields(RustMultiarch)  # type: ignore[arg-type]
        if field.init and field.default is field.default_factory is dataclasses.MISSING
    ]
    assert required == ["source"]


def test_pairs() -> None:
    assert pairs("runtime-env", ["A=1", "B=x=y", "C="]) == (("A", "1"), ("B", "x=y"), ("C", ""))


@pytest.mark.parametrize("item", ["A", "", "=1"])
def test_pairs_that_are_none(item: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="--runtime-env"):
        pairs("runtime-env", [item])


def test_listed_splits_at_commas_and_drops_nothing_else() -> None:
    assert listed(["a,b", "c"]) == ("a", "b", "c")
    assert listed([]) == ()


def test_the_interface_is_the_one_that_is_committed() -> None:
    """After an intended change, run `make schema` and add a changelog entry."""
    assert schema.schema().splitlines() == schema.SNAPSHOT.read_text().splitlines()


def test_an_ignore_pattern_meets_no_default() -> None:
    """Dagger v0.21.8 fails to apply one to an argument whose default is null."""
    module = mod.default_module()
    constructor = module.get_object("RustMultiarch").get_constructor(module._converter)
    ignoring = {name: one for name, one in constructor.parameters.items() if one.ignore}
    assert list(ignoring) == ["source"]
    assert ignoring["source"].is_optional and not ignoring["source"].has_default


def test_the_constructor_takes_every_field() -> None:
    module = mod.default_module()
    constructor = module.get_object("RustMultiarch").get_constructor(module._converter)
    fields = [one.name for one in dataclasses.fields(RustMultiarch) if one.init and one.name != "source"]
    assert list(constructor.parameters) == ["ws", "source", *fields]
    required = [name for name, one in constructor.parameters.items() if not one.is_optional]
    assert required == ["ws"], "which Dagger gives"


OPTIONS = tomllib.loads((Path(__file__).parents[1] / "data/dagger_options.toml").read_text())


@pytest.mark.parametrize("version", OPTIONS)
@pytest.mark.parametrize("name", ["RustMultiarch", "Image", "Variant"])
def test_no_argument_has_the_name_of_an_option_of_dagger(name: str, version: str) -> None:
    """Dagger's command line would use it itself: `env` and `profile` were arguments before Dagger 1.0."""
    module = mod.default_module()
    described = module.get_object(name)
    if name == "RustMultiarch":
        described.get_constructor(module._converter)
    options = {option.replace("-", "_") for option in OPTIONS[version]["options"]}
    for function in described.functions.values():
        assert not options & {re.sub("(?<!^)([A-Z])", r"_\1", each).lower() for each in function.parameters}
