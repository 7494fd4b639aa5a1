"""Check the import order of `pipeline`: a folder imports itself, earlier folders and the ground floor."""

import ast
import fnmatch
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PIPELINE = Path(__file__).parents[2] / "pipeline"

GROUND = (
    "sdk",
    "printable",
    "errors",
    "targets",
    "releases",
    "cargo_toml",
    "concurrent",
    "host_files",
    "text_table",
    "upload",
    "programs",
    "progress",
)
STAGES = (
    "config",
    "project",
    "toolchain",
    "native",
    "build",
    "git",
    "oci",
    "abi",
    "registry",
    "attestation",
    "ci",
    "preview",
)
ABOVE = ("publishing", "rebasing", "image", "main", "cli")
ORDER = (*GROUND, *STAGES, *ABOVE)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Yield the folders and modules of `pipeline` that a module imports, at the top or in a function."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "pipeline":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipeline."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (n.name.split(".")[1] for n in node.names if n.name.startswith("pipeline."))


def modules() -> Iterator[tuple[str, Path]]:
    for path in PIPELINE.rglob("*.py"):
        part = path.relative_to(PIPELINE).parts[0].removesuffix(".py")
        if part != "__init__":
            yield part, path


def test_every_folder_is_in_the_order() -> None:
    assert {part for part, _ in modules()} == set(ORDER)


def test_imports_follow_the_order() -> None:
    wrong = [
        f"{path.relative_to(PIPELINE)} imports {other}"
        for part, path in modules()
        for other in imports(path)
        if other in ORDER and ORDER.index(other) > ORDER.index(part)
    ]
    assert wrong == []


def test_only_the_command_line_imports_typer_and_opens_connections() -> None:
    for part, path in modules():
        if part == "cli":
            continue
        text = path.read_text()
        assert "import typer" not in text and "from typer" not in text, path
        assert "dagger.connection" not in text and "dagger.Config" not in text, path


def test_a_class_name_exists_once() -> None:
    names = Counter(
        node.name
        for _, path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_every_file_of_tests_is_collected(pytestconfig: pytest.Config) -> None:
    """pytest leaves out directories named `build` by default, and tests/unit/build was never run."""
    tests = PIPELINE.parent / "tests"
    left_out = pytestconfig.getini("norecursedirs")
    for path in tests.rglob("test_*.py"):
        folders = path.relative_to(tests).parts[:-1]
        assert not [name for name in folders for pattern in left_out if fnmatch.fnmatch(name, pattern)], path
