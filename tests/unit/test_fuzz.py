"""Test that malformed input of every kind gives an error or is ignored, and never a traceback."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from environments import to_environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import cargo_toml, targets
from pipeline.ci import config as ci_config
from pipeline.cli import output, source
from pipeline.config import credentials, request, workspace
from pipeline.config import settings as configured
from pipeline.config.project_files import OnDisk
from pipeline.config.settings import NAMES, Settings
from pipeline.errors import RustMultiarchError
from pipeline.git import absent, tags
from pipeline.git.ci import Event
from pipeline.git.context import BuildContext
from pipeline.git.facts import Facts
from pipeline.native import configuration
from pipeline.project import unit_graph
from pipeline.registry import address
from pipeline.toolchain import channel

pytestmark = pytest.mark.anyio
FUZZ = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
AT = BuildContext(
    Facts(revision="a" * 40, time=0, branch="main", tags=("v1.2.3",), all_tags=("v1.2.3",)), Event()
)

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(["cfg(unix)", "gnu", "a=b", "../x", "**x", "[", "1.70", "nightly", "\0"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
WORDS = [
    "type",
    "=",
    ",",
    "semver",
    "pattern",
    "{{",
    "}}",
    "{bin}",
    "ghcr.io",
    "/",
    ":",
    "@",
    "sha256:",
    "99999",
]
TEXT = st.text(max_size=30) | st.lists(
    st.sampled_from([*WORDS, "match", "(", "group", "raw", "linux", "v7", "[", "]", "\n", "-", "A", "date"]),
    max_size=9,
).map("".join)


@contextlib.contextmanager
def no_traceback() -> Iterator[None]:
    """Accept errors of the tree, which have a message and a next step."""
    try:
        yield
    except RustMultiarchError as error:
        assert error.what and error.fix, error


def toml(value: Any) -> str:
    """Return a value as TOML has it; text where TOML has no such value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(str(value) if value is None else value)


def document(paths: list[str]) -> st.SearchStrategy[str]:
    """Return TOML documents in which each of some places may have any value."""
    pairs = st.dictionaries(st.sampled_from(paths), VALUES, max_size=len(paths))
    return pairs.map(lambda found: "\n".join(f"{path} = {toml(value)}" for path, value in found.items()))


MANIFEST = (
    document(["package", "workspace", "dependencies", "target"])
    | document(
        [
            "package.name",
            "package.metadata",
            "package.workspace",
            "workspace.exclude",
            "workspace.members",
            "workspace.metadata.rust-multiarch",
            "target.x",
        ]
    )
    | document(
        ["package.metadata.rust-multiarch", "dependencies.a", "dependencies.b.path", "target.y.dependencies"]
    )
    | document([f"package.metadata.rust-multiarch.{configured.key(name)}" for name in NAMES])
)
CONFIGURATION = document(
    ["target", "build", "source", "registries"]
) | document(
    ["target.x86_64-unknown-linux-gnu", "build.rustflags", "source.crates-io", "source.a", "registries.b"]
) | document(
    ["target.x86_64-unknown-linux-gnu.rustflags", "target.'cfg(all(unix, not(a = \"b\")))'.rustflags",
     "source.crates-io.replace-with", "unstable"]
)  # fmt: skip
TOOLCHAIN = document(["toolchain"]) | document(
    ["toolchain.channel", "toolchain.components", "toolchain.targets", "toolchain.path", "toolchain.profile"]
)


@FUZZ
@given(table=st.dictionaries(st.sampled_from([configured.key(name) for name in NAMES]), VALUES, max_size=4))
def test_settings_of_a_table(table: dict[str, Any]) -> None:
    with no_traceback():
        _use(configured.from_table(table, "here"))


@FUZZ
@given(
    environment=st.dictionaries(
        st.sampled_from([*map(configured.variable, NAMES), "SOURCE_DATE_EPOCH"]), TEXT, max_size=4
    )
)
def test_settings_of_the_environment(environment: dict[str, str]) -> None:
    with no_traceback():
        _use(configured.from_environment(environment))


def _use(layer: configured.Layer) -> None:
    """Do with settings what a build does before it has an engine."""
    merged = configured.merge(layer).settings
    request.build_request(merged, None, credentials.Access(), 0)  # type: ignore[arg-type]
    request.builders(merged)
    tags.parse(merged.tag_rules)
    again = configured.from_environment(to_environment(merged))
    for name, value in configured.merge(again).settings.__dict__.items():
        assert value == getattr(merged, name) or getattr(merged, name) == "", name


@FUZZ
@given(items=st.lists(st.text(max_size=5), max_size=4))
def test_any_words_survive_the_environment(items: list[str]) -> None:
    for name in sorted(configured.WORDS):
        found = configured.from_environment(to_environment(Settings(**{name: items})))
        assert getattr(configured.merge(found).settings, name) == items


@FUZZ
@given(manifest=MANIFEST | TEXT, package=st.sampled_from(["", "a"]))
def test_manifests(tmp_path: Path, manifest: str, package: str) -> None:
    (tmp_path / "Cargo.toml").write_text(manifest, errors="replace")
    with no_traceback():
        anyio.run(workspace.find, OnDisk(tmp_path), "")
        (tmp_path / "member").mkdir(exist_ok=True)
        (tmp_path / "member/Cargo.toml").write_text('[package]\nname = "member"\n')
        anyio.run(workspace.find, OnDisk(tmp_path), "member")
        anyio.run(configured.from_project, OnDisk(tmp_path), package)


PLACES = st.sampled_from(
    ["../a", "/", ".", "..", "**", "[", "~", "a\0b", "x" * 5000, "../" * 99, "*/[!", "a/../b"]
)
OF_PATHS = (
    *("workspace.members", "workspace.exclude", "workspace.default-members", "workspace.dependencies.a.path"),
    *("package.build", "package.workspace", "dependencies.a.path", "dependencies.a", "lib.path", "bin"),
    *("patch.crates-io.a.path", "patch", "replace.a.path", "source.a.directory"),
)
PATHS = st.builds(
    lambda key, place: f"package.name = 'a'\n{key} = {toml(place)}",
    st.sampled_from(OF_PATHS),
    PLACES | st.lists(PLACES, max_size=2),
)


@settings(FUZZ, max_examples=40)
@given(manifest=MANIFEST | PATHS | TEXT, configuration=CONFIGURATION | PATHS | TEXT)
def test_the_choice_of_uploaded_files(tmp_path: Path, manifest: str, configuration: str) -> None:
    project = tmp_path / "top/project"
    (project / ".cargo").mkdir(parents=True, exist_ok=True)
    (project / "Cargo.toml").write_text(manifest, errors="replace")
    (project / ".cargo/config.toml").write_text(configuration, errors="replace")
    (project / "build.rs").write_text(f"fn main() {{ read({toml(manifest)}) }}", errors="replace")
    with no_traceback():
        found = source.upload(source.find(project), Settings())
        absent.listed(found.root, found.absent)


@FUZZ
@given(text=CONFIGURATION | TEXT)
def test_cargos_configuration(text: str) -> None:
    with no_traceback():
        configuration.flags([cargo_toml.read(text)], "x86_64-unknown-linux-gnu")
        written = unit_graph.stable(text)
        assert written is None or cargo_toml.read(written) or not written
        credentials.programs("", workspace.merged([(".cargo/config.toml", text), (".cargo/config", text)]))


@FUZZ
@given(text=TOOLCHAIN | TEXT)
def test_toolchain_files(text: str) -> None:
    with no_traceback():
        found = channel.read(text, channel.FILES[0])
        assert channel.by_rustup(found.channel) or found.is_version or not found.channel
        channel.read(text, channel.FILES[1])


@FUZZ
@given(text=MANIFEST | CONFIGURATION | TOOLCHAIN)
def test_the_documents_here_are_toml(text: str) -> None:
    """Otherwise they would test nothing."""
    assert cargo_toml.read(text) or not text.strip() or "\\u" in text or "\\ud" in text


@pytest.mark.parametrize(
    "parse",
    [
        lambda text: address.destinations([text], [text]),
        address.parse_source,
        address.parse_tag,
        lambda text: address.tagged([address.named(text, text)], [text]),
        targets.parse,
        lambda text: tags.from_text([text], AT),
        lambda text: tags.from_text([f"type=match,pattern={text}"], AT),
        lambda text: tags.from_text([f"type=semver,pattern={text}", f"type=raw,value={text}"], AT),
        output.parse,
        ci_config.image_of,
        lambda text: credentials.gitconfig([(text, text)]),
        credentials.registry_variable,
        lambda text: request.pairs("env", [text]),
    ],
)
@FUZZ
@given(text=TEXT)
def test_addresses_platforms_and_tag_rules(parse: Callable[[str], object], text: str) -> None:
    with no_traceback():
        parse(text)


@pytest.mark.parametrize(
    "text", ["x = " + "9" * 5000, "x = " + "[" * 5000, "x = 2026-99-99", '"\\ud800" = 1']
)
def test_toml_beyond_what_python_takes(text: str) -> None:
    assert cargo_toml.read(text) == {}
