import json
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from graphs import AMD64, ARM64, GIT, HASHES, PACKAGES, graphs, identifier, lock, metadata, units

from pipeline import errors, programs
from pipeline.project import unit_graph
from pipeline.project.unit_graph import CRATES_IO, Answer, Graph, Kind

PROGRAM = programs.PIPELINE / "project/unit_graph.sh"


def by_name(graph: Graph) -> dict[str, unit_graph.GraphCrate]:
    return {crate.name: crate for crate in graph.crates}


def test_a_graph_for_every_binary_and_triple() -> None:
    found = [(graph.binary, graph.triple) for graph in graphs()]
    assert found == [("app", AMD64), ("extra", AMD64), ("app", ARM64), ("extra", ARM64)]
    assert all(graph.root == identifier("app") for graph in graphs())


def test_only_what_a_binary_is_built_from() -> None:
    app, extra, *_ = graphs()
    assert list(by_name(app)) == ["app", "cc", "derive", "fork", "serde", "shared", "syn"]
    assert "inner" not in by_name(app) and "inner" in by_name(extra)
    assert all("windows" not in by_name(graph) for graph in graphs()), "in the lock for another platform"


def test_what_is_in_the_binary_and_what_only_built_it() -> None:
    kinds = {name: crate.kind for name, crate in by_name(graphs()[0]).items()}
    build = {name for name, kind in kinds.items() if kind is Kind.BUILD}
    assert build == {"cc", "derive", "syn"}


def test_features_are_those_of_the_code_in_the_binary() -> None:
    shared = by_name(graphs()[0])["shared"]
    assert shared.kind is Kind.RUNTIME, "although a proc-macro uses it too"
    assert shared.features == ("alloc", "std")


def test_what_each_crate_says() -> None:
    found = by_name(graphs()[1])
    assert (found["serde"].license, found["fork"].license) == ("MIT OR Apache-2.0", "")
    assert (found["serde"].checksum, found["fork"].checksum) == (HASHES["serde"], "")
    assert (found["app"].source, found["fork"].source) == ("", GIT)
    names = {identifier(name): name for name in PACKAGES}
    assert {names[i] for i in found["app"].dependencies} == {"cc", "fork", "inner", "serde"}
    assert {names[i] for i in found["serde"].dependencies} == {"derive", "shared"}


def with_std() -> str:
    """Return the units with `-Z build-std`: each crate of the triples needs std, which is not a package."""
    document = json.loads(units())
    made = document["units"]
    own = len(made)
    for name, needs in (("core", []), ("std", [own])):
        made.append(
            {
                "pkg_id": f"path+file:///canary/library/{name}#0.0.0",
                "target": {"kind": ["lib"], "name": name},
                "platform": AMD64,
                "mode": "build",
                "features": [],
                "is_std": True,
                "dependencies": [{"index": index} for index in needs],
            }
        )
    for unit in made[:own]:
        unit["is_std"] = False
        unit["dependencies"] += [{"index": own}, {"index": own + 1}] if unit["platform"] else []
    document["roots"].append(own + 1)
    return json.dumps(document)


def test_a_standard_library_built_along_is_no_crate() -> None:
    assert unit_graph.read([with_std()], metadata(), lock()) == graphs()


def test_graphs_of_several_commands() -> None:
    assert len(unit_graph.read([units(), units()], metadata(), lock())) == 8


def test_another_version_of_the_format_is_refused() -> None:
    with pytest.raises(errors.UnknownUnitGraph, match="is 2 instead of 1"):
        unit_graph.read([units(version=2)], metadata(), lock())


def test_checksums_of_a_first_version_lock_file() -> None:
    text = f"""
    [[package]]
    name = "serde"
    version = "1.0.0"
    source = "{CRATES_IO}"

    [metadata]
    "checksum serde 1.0.0 ({CRATES_IO})" = "ab"
    """
    assert unit_graph.read_checksums(text) == {("serde", "1.0.0", CRATES_IO): "ab"}


def test_a_lock_file_without_packages() -> None:
    assert unit_graph.read_checksums("version = 4") == {}


def test_the_union_has_each_crate_once() -> None:
    app, extra, *_ = graphs()
    found = unit_graph.union([app, extra])
    assert [crate.name for crate in found] == sorted({*by_name(app), *by_name(extra)})
    needs = {crate.name: crate.dependencies for crate in found}
    assert identifier("inner") in needs["app"] and identifier("serde") in needs["app"]
    assert unit_graph.union([extra, app]) == found


def test_at_runtime_in_one_binary_is_at_runtime() -> None:
    (app, *_) = graphs()
    crate = by_name(app)["shared"]
    only_built = Graph("x", AMD64, "", (replace(crate, kind=Kind.BUILD, features=("host",)),))
    for order in ([app, only_built], [only_built, app]):
        (found,) = (c for c in unit_graph.union(order) if c.name == "shared")
        assert (found.kind, found.features) == (Kind.RUNTIME, ("alloc", "std"))
    (alone,) = unit_graph.union([only_built])
    assert (alone.kind, alone.features) == (Kind.BUILD, ("host",))


def test_the_graphs_of_a_triple() -> None:
    answer = Answer(graphs(), "1.96.0")
    assert [graph.triple for graph in answer.of(ARM64)] == [ARM64, ARM64]


def test_cargo_is_asked_with_the_commands_of_the_build() -> None:
    one = ["cargo", "build", "--locked", "--target", "t1"]
    two = ["env", "A=b c", "cargo", "build", "--target", "t2"]
    metadata, *asked = uncounted(unit_graph.arguments([one, two], ["--config", "a=1"]))
    assert metadata == [
        "cargo",
        "metadata",
        "--locked",
        "--all-features",
        "--format-version",
        "1",
        "--config",
        "a=1",
    ]
    added = ["--unit-graph", "-Z", "unstable-options"]
    assert asked == [[*one[:2], *added, *one[2:]], [*two[:4], *added, *two[4:]]]


def uncounted(words: list[str]) -> list[list[str]]:
    found = []
    while words:
        end = int(words[0]) + 1
        found.append(words[1:end])
        words = words[end:]
    return found


CONFIGURATION = """
# For the nightly builds on a laptop.
[unstable]
build-std = ["std"]
[build]
rustflags = ["--cfg", "a=\\"b\\"", "\\u007f"]
[target.'cfg(all(unix, not(target_arch = "x")))']
runner = "r"
[net]
retry = 3
offline = false
[x]
float = 1.5
when = 2026-01-01
"""


def test_a_stable_cargo_passes_over_the_unstable_table() -> None:
    text = unit_graph.stable(CONFIGURATION)
    assert text is not None
    expected = tomllib.loads(CONFIGURATION)
    del expected["unstable"]
    assert tomllib.loads(text) == expected
    assert unit_graph.stable(text) is None
    assert unit_graph.stable("not toml") is None
    assert unit_graph.stable("unstable.build-std = []") == ""


@pytest.mark.parametrize("unstable", [True, False])
def test_the_graph_is_of_the_stable_configuration(tmp_path: Path, unstable: bool) -> None:
    """Regression: a stable cargo ignores `[unstable] build-std`, but the graph required rust-src."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cargo").write_text(
        "#!/bin/sh\ncase $* in\n"
        "locate-project*) echo $PWD/Cargo.toml ;;\n"
        f"'-Z unstable-options locate-project') exit {int(not unstable)} ;;\n"
        f'build*) cat .cargo/config.toml; echo "$RUSTC_BOOTSTRAP${unit_graph.CHANNEL}"\n'
        'printf "%s\\n" "$@" ;;\nesac\n'
    )
    (tmp_path / "bin/rustc").write_text("#!/bin/sh\n")
    for program in ("cargo", "rustc"):
        (tmp_path / "bin" / program).chmod(0o755)
    project = tmp_path / "source"
    for place, text in ((project, "unstable\n"), (tmp_path / f"stable{project}", "stable\n")):
        (place / ".cargo").mkdir(parents=True)
        (place / ".cargo/config.toml").write_text(text)
    (project / "Cargo.lock").touch()
    places = (tmp_path / "crates", tmp_path / "stable", unit_graph.CHANNEL)
    words = unit_graph.arguments([["cargo", "build"], ["cargo", "build", "--config", "a b"]])
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", unit_graph.CHANNEL: "stable"}
    subprocess.run(["bash", PROGRAM, *places, *words], cwd=project, env=env, check=True)
    found = [(tmp_path / f"crates/units-{number}.json").read_text().splitlines() for number in (0, 1)]
    start = ["unstable" if unstable else "stable", "1", "build", "--unit-graph", "-Z", "unstable-options"]
    assert found == [start, [*start, "--config", "a b"]]
