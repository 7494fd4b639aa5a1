"""A hostile project by the names in its manifest: cargo lets a program be called `/etc/cron.d/x`."""

from __future__ import annotations

import json
from pathlib import Path

import graphs
import pytest

from pipeline.build import auditable
from pipeline.config import request
from pipeline.config.credentials import Access
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument, InvalidManifest
from pipeline.project.metadata import read_metadata

NAMES = (
    "/etc/cron.d/x",
    "../../x",
    "..",
    ".",
    ".bashrc",
    "a/b",
    "-o",
    "a b",
    "a;id",
    "$(id)",
    "`id`",
    "a'b",
    "a\nb",
    "a\n",
    "\x1b]52;c;aWQ=\x07",
    "::set-output name=x::y",
    "\u202ea",
    "",
    "a" * 201,
)


def metadata(kind: str, name: str) -> str:
    entry: dict[str, object] = {
        "id": "1",
        "name": "app",
        "version": "1.0.0",
        "manifest_path": "/src/Cargo.toml",
        "targets": [{"name": "app", "kind": ["bin"]}],
        "features": {"x": []},
        "default_run": None,
    }
    if kind == "package":
        entry["name"] = name
    elif kind == "feature":
        entry["features"] = {name: []}
    else:
        entry["targets"] = [{"name": name, "kind": [kind]}]
    return json.dumps({"packages": [entry], "workspace_members": ["1"]})


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("kind", ["package", "bin", "example", "feature"])
def test_a_name_is_a_file_name_and_a_word(kind: str, name: str) -> None:
    with pytest.raises(InvalidManifest, match="the name of a") as raised:
        read_metadata(metadata(kind, name))
    assert "\x1b" not in str(raised.value) and "\u202e" not in str(raised.value)


@pytest.mark.parametrize("name", ["app", "my_app-2", "größe", "a.b", "c++", "7zip", "日本"])
@pytest.mark.parametrize("kind", ["package", "bin", "feature"])
def test_names_that_people_have_are_taken(kind: str, name: str) -> None:
    assert read_metadata(metadata(kind, name)).packages


def test_a_librarys_name_cannot_name_another_file() -> None:
    assert read_metadata(metadata("lib", "odd name")).packages


@pytest.mark.parametrize("profile", ["../x", "a b", "$(id)", "", "-Z", "a/b"])
def test_a_profile_is_a_directory_of_cargo(profile: str) -> None:
    with pytest.raises(InvalidArgument, match="profile"):
        request.build_request(Settings(cargo_profile=profile), None, Access(), 0)  # type: ignore[arg-type]


def test_no_file_of_this_machine_has_a_name_of_the_projects(tmp_path: Path) -> None:
    """`name = "/abs/path"` of a program was written to on this machine."""
    places = auditable.write(graphs.graphs(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(places)
    assert all(name.isdecimal() for name in places)
