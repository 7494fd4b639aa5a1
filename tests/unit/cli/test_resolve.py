"""Test which binary a reference means, and what is checked before an engine is started."""

from pathlib import Path

import anyio
import pytest
import typer
from test_cli import Done, run

from pipeline import cli, errors
from pipeline.cli import resolve
from pipeline.cli.manifests import Reference
from pipeline.config.project_files import OnDisk
from pipeline.config.settings import Member, Settings, members

__all__ = ["Done", "run"]

MEMBERS = [
    Member("api", frozenset({"api"})),
    Member("jobs", frozenset({"import", "export"})),
    Member("tools", frozenset({"lint", "tools"}), default_run="lint"),
    Member("more", frozenset({"one", "two"}), default_run="two"),
    Member("single", frozenset({"program"})),
    Member("core"),
]


@pytest.mark.parametrize(
    ("name", "binary"),
    [("api", "api"), ("import", "import"), ("tools", "tools"), ("more", "two"), ("single", "program")],
)
def test_a_binary_else_what_cargo_runs_of_a_package(name: str, binary: str) -> None:
    assert resolve.binaries([Reference(name, "x", 1)], MEMBERS) == {name: binary}


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("aip", errors.UnknownBinary, "did you mean rust-multiarch://api? choose one of api, export"),
        ("zzzzz", errors.UnknownBinary, "choose one of api, export"),
        ("", errors.UnknownBinary, "choose one of api"),
        ("api:1.2", errors.UnknownBinary, "write rust-multiarch://api: the digest is added"),
        ("jobs", errors.BinaryNotChosen, "rust-multiarch://export"),
        ("core", errors.NoBinary, "refer to a package with a binary: api"),
    ],
)
def test_a_name_that_means_no_binary(name: str, error: type[errors.RustMultiarchError], words: str) -> None:
    with pytest.raises(error) as raised:
        resolve.binaries([Reference(name, "deploy.yaml", 7)], MEMBERS)
    assert raised.value.where == "deploy.yaml:7" and words in raised.value.fix


def test_a_binary_of_two_packages_is_not_clear() -> None:
    with pytest.raises(errors.BinaryNotChosen, match="a, b"):
        resolve.binaries([Reference("x", "x", 1)], [Member("a", frozenset("x")), Member("b", frozenset("x"))])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for package, paths in {
        "api": ["main.rs"],
        "jobs": ["bin/import.rs", "bin/export.rs"],
        "core": ["lib.rs"],
    }.items():
        for path in paths:
            (tmp_path / package / "src" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / package / "src" / path).touch()
        (tmp_path / package / "Cargo.toml").write_text(f'[package]\nname = "{package}"\nversion = "1.0.0"\n')
    (tmp_path / "Cargo.toml").write_text('[workspace]\nmembers = ["api", "jobs", "core"]\n')
    (tmp_path / "Cargo.lock").write_text("version = 3\n")
    (tmp_path / "deploy.yaml").write_text("image: rust-multiarch://api\nother: rust-multiarch://import\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_packages_of_a_workspace_with_their_binaries(workspace: Path) -> None:
    (workspace / "jobs/Cargo.toml").write_text('[package]\nname = "jobs"\ndefault-run = "import"\n')
    assert anyio.run(members, OnDisk(workspace)) == [
        Member("api", frozenset({"api"})),
        Member("jobs", frozenset({"import", "export"}), "import"),
        Member("core"),
    ]


FILE = ("--file", "deploy.yaml")
TO = ("--repository", "localhost/me")


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ((), errors.InvalidArgument, "no YAML file is given"),
        (FILE, errors.InvalidArgument, "no repository for the images is given"),
        ((*FILE, "--repository", "localhost/me:1"), errors.InvalidAddress, "localhost/me:1/bin"),
        ((*FILE, "--tag", "localhost/app:1"), errors.InvalidArgument, "all images would get the address"),
        ((*FILE, *TO, "--output", "api"), errors.InvalidArgument, "this is a directory: api"),
        ((*FILE, *TO, "--password", "NOT_SET"), errors.InvalidArgument, "NOT_SET"),
        (("--file", "Cargo.toml", *TO), errors.MalformedYaml, "Cargo.toml:2"),
        (("--file", "parts.yaml", *TO), errors.InvalidArgument, "an address has no part 'tag'"),
        (("--file", "digest.yaml", "--local"), errors.InvalidArgument, "digest.yaml:2"),
        (("--file", "other", *TO), errors.NoReference, "in 1 file\n"),
        (("--file", "other", "--file", "other/below", *TO), errors.NoReference, "in 2 files\n"),
    ],
)
def test_errors_come_before_an_engine(run, workspace: Path, words, error, message: str) -> None:
    (workspace / "other/below").mkdir(parents=True)
    (workspace / "other/x.yaml").write_text("image: debian\n")
    (workspace / "other/below/x.yaml").write_text("image: debian\n")
    (workspace / "parts.yaml").write_text("image: rust-multiarch://api#tag\n")
    (workspace / "digest.yaml").write_text("x: rust-multiarch://api\ny: rust-multiarch://api#digest\n")
    done = run("resolve", *words)
    assert done.returncode == error.exit_code and message in done.stderr, done.stderr
    assert "engine:" not in done.stderr and done.stdout == ""


def test_references_to_other_workspaces_may_stay(run, workspace: Path) -> None:
    (workspace / "both.yaml").write_text("x: rust-multiarch://other\ny: rust-multiarch://api\n")
    (workspace / "others.yaml").write_text("x: rust-multiarch://other\n")
    assert run("resolve", "--file", "both.yaml", *TO).returncode == errors.UnknownBinary.exit_code
    options = resolve.ResolveOptions(["both.yaml"], repository="localhost/me", partial=True)
    (asked,) = resolve.prepare(Settings(), workspace, options=options).values()
    assert asked.binaries == {"api": "api"} and [one.name for one in asked.references] == ["api"]
    done = run("resolve", "--file", "others.yaml", *TO, "--partial")
    assert done.returncode == errors.NoReference.exit_code and "refer to one of them: api" in done.stderr


def test_the_repository_comes_from_the_environment(run, workspace: Path) -> None:
    done = run("resolve", *FILE, RUST_MULTIARCH_IMAGE_REPOSITORY="localhost/Me")
    assert done.returncode == errors.InvalidAddress.exit_code and "localhost/Me/bin" in done.stderr


def test_a_program_to_load_with_is_checked_first(run, workspace: Path) -> None:
    done = run("resolve", *FILE, "--local", PATH="/nowhere")
    assert done.returncode == errors.InvalidArgument.exit_code
    assert "where: --local" in done.stderr and "publish the images with --repository" in done.stderr


def test_directories_below_are_read_on_request(run, workspace: Path) -> None:
    (workspace / "k8s/below").mkdir(parents=True)
    (workspace / "k8s/below/x.yaml").write_text("image: rust-multiarch://aip\n")
    assert run("resolve", "--file", "k8s", *TO).returncode == errors.NoReference.exit_code
    done = run("resolve", "--file", "k8s", "--recursive", *TO)
    assert done.returncode == errors.UnknownBinary.exit_code and "k8s/below/x.yaml:1" in done.stderr


def test_there_is_no_option_for_a_binary() -> None:
    """The references choose the binaries."""
    (command,) = [one for name, one in typer.main.get_command(cli.app).commands.items() if name == "resolve"]
    names = {flag for one in command.params for flag in one.opts}
    assert names.isdisjoint({"--bin", "--package"}) and "--platform" in names
