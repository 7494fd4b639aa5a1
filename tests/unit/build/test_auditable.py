import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from graphs import AMD64, PRIVATE, graphs

from pipeline.build import auditable
from pipeline.project.unit_graph import CRATES_IO, Graph, GraphCrate, Kind


def test_the_document_of_a_binary() -> None:
    extra = graphs()[1]
    document = json.loads(zlib.decompress(auditable.section(extra)))
    packages = document["packages"]
    names = [package["name"] for package in packages]
    assert names == ["app", "cc", "derive", "fork", "inner", "serde", "shared", "syn"]
    assert document["format"] == 1
    app = packages[0]
    assert app == {
        "name": "app",
        "version": "0.1.0",
        "source": "local",
        "root": True,
        "dependencies": [1, 3, 4, 5],
    }
    assert packages[1] == {"name": "cc", "version": "1.1.0", "source": "crates.io", "kind": "build"}
    assert packages[3] == {"name": "fork", "version": "0.2.0", "source": "git"}
    assert packages[4] == {"name": "inner", "version": "4.0.0+meta", "source": "registry"}
    assert "canary" not in json.dumps(document)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("", "local"),
        (CRATES_IO, "crates.io"),
        (PRIVATE, "registry"),
        ("git+ssh://git@git.example/x#1", "git"),
    ],
)
def test_sources(source: str, word: str) -> None:
    (crate, *_) = graphs()[0].crates
    assert auditable.source(replace(crate, source=source)) == word


def test_content_longer_than_one_block() -> None:
    many = tuple(
        GraphCrate(str(n), f"crate-{n:05}", "1.0.0", CRATES_IO, "", "", Kind.RUNTIME, (), ())
        for n in range(3000)
    )
    section = auditable.section(Graph("app", AMD64, "0", many))
    assert len(json.loads(zlib.decompress(section))["packages"]) == 3000
    assert len(section) > 2 * 0xFFFF


def test_the_bytes_do_not_depend_on_a_zlib() -> None:
    section = auditable.section(graphs()[0])
    assert section[:3] == b"\x78\x01\x01", "one block, the last, stored"
    assert auditable.document(graphs()[0])["packages"][0]["name"].encode() in section


def test_the_section_is_added_to_the_binary_it_is_of(tmp_path: Path) -> None:
    (graph, *_) = graphs()
    places = {place: tmp_path / file for file, place in auditable.write(graphs(), tmp_path).items()}
    argument = auditable.add(graph.triple, graph.binary)
    option, _, file = argument.partition("=")
    assert option == "--add-section .dep-v0"
    assert places[file.removeprefix("/auditable/")].read_bytes() == auditable.section(graph)
