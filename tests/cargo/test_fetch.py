"""Test the downloads that projects share: what is in cargo's home after a fetch, and what may not be."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cargo_project import manifest
from cargo_registry import CONFIGURATION, NAME, TIME, Fetched, Registry, environment, fetch, project, served
from test_inputs import write

CODE = 'pub fn said() -> &\'static str { "official" }\n'
MAIN = 'fn main() { println!("{}", needed::said()) }\n'


@pytest.fixture
def registry() -> Iterator[Registry]:
    with served() as started:
        yield started


def cargo(fetched: Fetched, source: Path, *words: str) -> str:
    """Run cargo with a fetched home and without a network."""
    command = ["cargo", *words, "--offline", "--locked"]
    done = subprocess.run(
        command, cwd=source, env=environment(fetched.home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_home_has_what_its_project_needs(registry: Registry, tmp_path: Path) -> None:
    sums = {name: registry.add(name, CODE) for name in ("needed", "other")}
    homes = {}
    for name in sums:
        main = MAIN.replace("needed", name)
        source = write(tmp_path / "source" / name, project(registry, {name: sums[name]}, main))
        homes[name] = fetch(source, tmp_path / "home" / name, tmp_path / "volume")
        assert homes[name].done.returncode == 0, homes[name].done.stderr
        assert cargo(homes[name], source, "run", "--quiet") == "official\n"
    found = {path.name for path in homes["other"].home.rglob("*")}
    assert found.isdisjoint({"needed", "needed-0.1.0", "needed-0.1.0.crate"}), "other projects' dependencies"
    volume = tmp_path / "volume/public"
    assert {path.name for path in volume.rglob("*.crate")} == {"needed-0.1.0.crate", "other-0.1.0.crate"}
    assert {path.name for path in volume.iterdir()} == {"registry", "git", "lock"}, "no sources, no programs"


def test_downloads_are_shared(registry: Registry, tmp_path: Path) -> None:
    source = write(tmp_path / "source", project(registry, {"needed": registry.add("needed", CODE)}, MAIN))
    for number in range(2):
        fetched = fetch(source, tmp_path / str(number), tmp_path / "volume")
        assert fetched.done.returncode == 0
    assert registry.downloads() == ["/dl/needed"]
    assert cargo(fetched, source, "run", "--quiet") == "official\n"


def test_sources_have_the_same_time_in_each_home(registry: Registry, tmp_path: Path) -> None:
    source = write(tmp_path / "source", project(registry, {"needed": registry.add("needed", CODE)}, MAIN))
    fetched = fetch(source, tmp_path / "home", tmp_path / "volume")
    code = fetched.code("needed")
    assert {int(path.stat().st_mtime) for path in (code, code.parent, code.parent.parent)} == {TIME}


def test_another_archive_in_the_downloads_is_replaced(registry: Registry, tmp_path: Path) -> None:
    """Cargo checks only what it downloads: an archive that is there already was unpacked unchecked."""
    source = write(tmp_path / "source", project(registry, {"needed": registry.add("needed", CODE)}, MAIN))
    good = registry.files["/dl/needed"]
    fetch(source, tmp_path / "first", tmp_path / "volume")
    (there,) = tmp_path.glob("volume/public/registry/cache/*/needed-0.1.0.crate")
    registry.add("needed", CODE.replace("official", "planted"))
    there.write_bytes(registry.files["/dl/needed"])
    registry.files["/dl/needed"] = good
    fetched = fetch(source, tmp_path / "second", tmp_path / "volume")
    assert fetched.archive("needed").read_bytes() == good
    assert cargo(fetched, source, "run", "--quiet") == "official\n"


def test_what_a_build_changes_in_its_home_is_in_no_other(registry: Registry, tmp_path: Path) -> None:
    source = write(tmp_path / "source", project(registry, {"needed": registry.add("needed", CODE)}, MAIN))
    first = fetch(source, tmp_path / "first", tmp_path / "volume")
    first.code("needed").write_text(CODE.replace("official", "planted"))
    for name in ("config.toml", "bin/git"):
        (first.home / name).parent.mkdir(exist_ok=True)
        (first.home / name).write_text("exit 1\n")
    second = fetch(source, tmp_path / "second", tmp_path / "volume")
    assert {path.name for path in second.home.iterdir()} == {"registry", "git"}
    assert cargo(second, source, "run", "--quiet") == "official\n"


@pytest.mark.parametrize("name", ["config.toml", "config", "bin/git", "credentials.toml"])
def test_a_home_has_no_configuration(registry: Registry, tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "source", project(registry, {"needed": registry.add("needed", CODE)}, MAIN))
    for place in ("volume/public", "volume"):
        planted = tmp_path / place / name
        planted.parent.mkdir(parents=True, exist_ok=True)
        planted.write_text("[build]\nrustc = '/nowhere'\n")
    fetched = fetch(source, tmp_path / "home", tmp_path / "volume")
    assert fetched.done.returncode == 0
    assert not (fetched.home / name).exists()


def test_downloads_with_credentials_are_apart(registry: Registry, tmp_path: Path) -> None:
    source = write(tmp_path / "source", project(registry, {"needed": registry.add("needed", CODE)}, MAIN))
    tokens = ({}, {"GIT_TOKEN_0": "one"}, {"GIT_TOKEN_0": "two"}, {"CARGO_REGISTRIES_CORP_TOKEN": "one"})
    for number, variables in enumerate(tokens):
        fetch(source, tmp_path / str(number), tmp_path / "volume", variables=variables)
        assert len(registry.downloads()) == number + 1, "nothing that another's credentials have fetched"
    fetch(source, tmp_path / "again", tmp_path / "volume", variables=tokens[1])
    assert len(registry.downloads()) == len(tokens)
    assert not [path for path in (tmp_path / "volume").rglob("*") if "one" in path.name]


def repository(folder: Path, name: str) -> tuple[str, str]:
    """Make a git repository with a crate; return its address and its commit."""
    write(folder, {"Cargo.toml": manifest(name), "src/lib.rs": CODE})
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    )
    return f"file://{folder}", done.stdout.strip()


def test_a_git_dependency(tmp_path: Path) -> None:
    homes = {}
    for name in ("needed", "other"):
        url, commit = repository(tmp_path / "repositories" / name, name)
        lock = 'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\n'
        lock += f'dependencies = [\n "{name}",\n]\n\n[[package]]\nname = "{name}"\nversion = "0.1.0"\n'
        lock += f'source = "git+{url}#{commit}"\n'
        files = {
            "Cargo.toml": manifest("app", f'[dependencies]\n{name} = {{ git = "{url}" }}\n'),
            "Cargo.lock": lock,
            "src/main.rs": MAIN.replace("needed", name),
        }
        source = write(tmp_path / "source" / name, files)
        homes[name] = fetch(source, tmp_path / "home" / name, tmp_path / "volume")
        assert homes[name].done.returncode == 0, homes[name].done.stderr
        assert cargo(homes[name], source, "run", "--quiet") == "official\n"
    assert not list(homes["other"].home.glob("git/*/needed-*"))
    (code,) = homes["other"].home.glob("git/checkouts/other-*/*/src/lib.rs")
    assert int(code.stat().st_mtime) == TIME
    shutil.rmtree(tmp_path / "repositories")
    again = fetch(source, tmp_path / "home/again", tmp_path / "volume")
    assert again.done.returncode == 0, "the database is shared"


def test_a_failed_fetch_says_why(registry: Registry, tmp_path: Path) -> None:
    checksum = hashlib.sha256(b"other").hexdigest()
    registry.add("needed", CODE)
    source = write(tmp_path / "source", project(registry, {"needed": checksum}, MAIN))
    fetched = fetch(source, tmp_path / "home", tmp_path / "volume")
    assert fetched.done.returncode == 101
    assert "checksum for `needed v0.1.0" in fetched.done.stderr


def test_a_registry_in_the_project(registry: Registry, tmp_path: Path) -> None:
    files = project(registry, {"needed": registry.add("needed", CODE)}, MAIN)
    files[CONFIGURATION] += f'[source.{NAME}]\nregistry = "{registry.index}"\nreplace-with = "near"\n'
    files[CONFIGURATION] += '[source.near]\nlocal-registry = "near"\n'
    files["near/index/ne/ed/needed"] = registry.files["/index/ne/ed/needed"].decode()
    source = write(tmp_path / "source", files)
    (source / "near/needed-0.1.0.crate").write_bytes(registry.files["/dl/needed"])
    fetched = fetch(source, tmp_path / "home", tmp_path / "volume")
    assert fetched.done.returncode == 0, fetched.done.stderr
    assert cargo(fetched, source, "run", "--quiet") == "official\n"
    assert registry.seen == []


def test_a_project_without_dependencies(tmp_path: Path) -> None:
    lock = 'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\n'
    files = {"Cargo.toml": manifest("app"), "Cargo.lock": lock, "src/main.rs": "fn main() {}\n"}
    source = write(tmp_path / "source", files)
    fetched = fetch(source, tmp_path / "home", tmp_path / "volume")
    assert fetched.done.returncode == 0, fetched.done.stderr
    assert cargo(fetched, source, "run") == ""
