"""Test that a project's cargo configuration gets none of the credentials of its fetch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest
from cargo_registry import CONFIGURATION, NAME, Fetched, Registry, fetch, project, served
from test_inputs import write

from pipeline.build import plan
from pipeline.config import fetching
from pipeline.config.credentials import RegistryToken, token_variable
from pipeline.config.project_files import OnDisk
from pipeline.errors import InvalidArgument

TOKEN = "token-canary"
CODE = 'pub fn said() -> &\'static str { "official" }\n'
SPY = '#!/bin/sh\nenv >"$0.ran"\nexit 1\n'


@pytest.fixture
def registry() -> Iterator[Registry]:
    with served(TOKEN) as started:
        yield started


@pytest.fixture
def evil(registry: Registry) -> Iterator[Registry]:
    """Serve the same index at another address."""
    with served() as started:
        started.files |= {path: content for path, content in registry.files.items() if "config" not in path}
        yield started


def source_of(registry: Registry, top: Path) -> Path:
    return write(top / "source", project(registry, {"needed": registry.add("needed", CODE)}))


def fetched(
    registry: Registry,
    source: Path,
    everywhere: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> Fetched:
    """Fetch like `plan`, with a token for the registry."""
    token = RegistryToken(NAME, registry.index, None)  # type: ignore[arg-type]
    chosen = anyio.run(fetching.configuration, OnDisk(source), "", everywhere, [token])
    top = source.parent
    arguments, number = [], 0
    for word in chosen.arguments:
        if word == fetching.FILE:
            (top / f"given-{number}.toml").write_text(chosen.given[number])
            word, number = str(top / f"given-{number}.toml"), number + 1
        arguments.append(word)
    variables = {
        **fetching.variables(environment or {}),
        token_variable(NAME): TOKEN,
        f"CARGO_REGISTRIES_{NAME.upper()}_INDEX": registry.index,
        "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS": "cargo:token",
    }
    return fetch(source, top / "home", top / "volume", "", variables, chosen.files, arguments)


def test_a_registry_with_a_token(registry: Registry, tmp_path: Path) -> None:
    done = fetched(registry, source_of(registry, tmp_path)).done
    assert done.returncode == 0, done.stderr
    assert registry.seen[-1] == ("/dl/needed", TOKEN)


PROGRAMS = {
    "credential provider": '[registries.corp]\nindex = "{index}"\ncredential-provider = ["{spy}"]\n',
    "rustc": '[build]\nrustc = "{spy}"\n',
    "wrapper": '[build]\nrustc-wrapper = "{spy}"\n',
    "workspace wrapper": '[build]\nrustc-workspace-wrapper = "{spy}"\n',
    "include": 'include = ["more.toml"]\n',
}


@pytest.mark.parametrize("where", [CONFIGURATION, ".cargo/config"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_project_names_no_program(registry: Registry, tmp_path: Path, name: str, where: str) -> None:
    source, spy = source_of(registry, tmp_path), tmp_path / "spy"
    spy.write_text(SPY)
    spy.chmod(0o755)
    (source / where).write_text(PROGRAMS[name].format(index=registry.index, spy=spy))
    (source / ".cargo/more.toml").write_text(PROGRAMS["rustc"].format(spy=spy))
    done = fetched(registry, source).done
    assert not Path(f"{spy}.ran").exists(), Path(f"{spy}.ran").read_text()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ["text", "file"])
def test_arguments_name_no_program(registry: Registry, tmp_path: Path, form: str) -> None:
    """A project gives arguments in the table `rust-multiarch` of its Cargo.toml."""
    source, spy = source_of(registry, tmp_path), tmp_path / "spy"
    spy.write_text(SPY)
    spy.chmod(0o755)
    (source / "more.toml").write_text(f'[build]\nrustc = "{spy}"\n[net]\nretry = 1\n')
    value = {"text": f'build.rustc="{spy}"', "file": "more.toml"}[form]
    done = fetched(registry, source, ["--config", value]).done
    assert not Path(f"{spy}.ran").exists()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTC",
        "CARGO_BUILD_RUSTC_WRAPPER",
        "CARGO_REGISTRIES_CORP_CREDENTIAL_PROVIDER",
        "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS",
        "CARGO_HTTP_CAINFO",
        "CARGO_HOME",
        "CARGO_NET_GIT_FETCH_WITH_CLI",
        "CARGO",
        "RUSTFLAGS",
    ],
)
def test_build_arguments_name_no_program(name: str) -> None:
    assert fetching.variables({name: "x", "RUSTC_BOOTSTRAP": "1", "https_proxy": "http://p"}) == {
        "RUSTC_BOOTSTRAP": "1",
        "https_proxy": "http://p",
    }


@pytest.mark.parametrize("name", [NAME, "CORP", "Corp"])
def test_a_registry_at_another_address_is_an_error(
    registry: Registry, evil: Registry, tmp_path: Path, name: str
) -> None:
    source = source_of(registry, tmp_path)
    (source / CONFIGURATION).write_text(f'[registries.{name}]\nindex = "{evil.index}"\n')
    with pytest.raises(InvalidArgument, match="its token is for") as raised:
        fetched(registry, source)
    assert evil.index in str(raised.value) and f"{name}@{evil.index}=VARIABLE" in raised.value.fix
    with pytest.raises(InvalidArgument, match="its token is for"):
        (source / CONFIGURATION).unlink()
        fetched(registry, source, ["--config", f'registries.{name}.index="{evil.index}"'])


REPLACEMENTS = {
    "source": '[source.corp]\nregistry = "{good}"\nreplace-with = "evil"\n'
    '[source.evil]\nregistry = "{bad}"\n',
    "second name": '[registries.evil]\nindex = "{bad}"\n[source.corp]\nregistry = "{good}"\n'
    'replace-with = "evil"\n[source.evil]\nregistry = "{bad}"\n',
}


@pytest.mark.parametrize("name", REPLACEMENTS)
def test_another_registry_gets_no_token(
    registry: Registry, evil: Registry, tmp_path: Path, name: str
) -> None:
    source = source_of(registry, tmp_path)
    evil.files |= {path: content for path, content in registry.files.items() if "config" not in path}
    text = REPLACEMENTS[name].format(good=registry.index, bad=evil.index)
    (source / CONFIGURATION).write_text(text)
    fetched(registry, source)
    assert evil.seen, "the replacement itself is used"
    assert {sent for _, sent in evil.seen} == {""}
    evil.token = "required"
    evil.configure()
    evil.seen.clear()
    shutil.rmtree(source.parent / "home")
    shutil.rmtree(source.parent / "volume")
    write(source, project(registry, {"needed": registry.add("needed", CODE)}))
    (source / CONFIGURATION).write_text(text)
    assert fetched(registry, source).done.returncode != 0
    assert {sent for _, sent in evil.seen} == {""}, "not even if it requires one"


def test_links_to_a_configuration(registry: Registry, tmp_path: Path) -> None:
    source, spy = source_of(registry, tmp_path), tmp_path / "spy"
    spy.write_text(SPY)
    spy.chmod(0o755)
    shutil.rmtree(source / ".cargo")
    (source / "other").mkdir()
    (source / "other/config.toml").write_text(f'[build]\nrustc = "{spy}"\n')
    for target in ("other", str(source / "other")):
        (source / ".cargo").symlink_to(target)
        assert fetched(registry, source).done.returncode == 0
        assert not Path(f"{spy}.ran").exists()
        assert (source / "other/config.toml").exists(), "nothing is written through a link"
        shutil.rmtree(source / ".cargo")
        shutil.rmtree(source.parent / "home")


def test_what_decides_on_the_dependencies_is_kept() -> None:
    document = {
        "registries": {"corp": {"index": "a", "token": "b"}, "other": {"index": "c", "protocol": "git"}},
        "source": {"crates-io": {"replace-with": "near"}, "near": {"directory": "vendor", "x": 1}},
        "patch": {"crates-io": {"one": {"path": "one"}}},
        "net": {"retry": 3, "git-fetch-with-cli": False, "ssh": {"known-hosts": ["x"]}},
        "http": {"timeout": 3, "cainfo": "evil.pem", "proxy": "evil"},
        "unstable": {"build-std": ["std"]},
        "paths": ["elsewhere"],
        "build": {"target": "x"},
    }
    token = RegistryToken(NAME, "a", None)  # type: ignore[arg-type]
    assert fetching.kept(document, [token]) == {
        "registries": {"other": {"index": "c", "protocol": "git"}},
        "source": {"crates-io": {"replace-with": "near"}, "near": {"directory": "vendor"}},
        "patch": {"crates-io": {"one": {"path": "one"}}},
        "net": {"retry": 3},
        "http": {"timeout": 3},
        "unstable": {"build-std": ["std"]},
    }
    assert fetching.kept({"registries": {"Corp": {"index": "x"}, "corp": 1}}, [token]) == {}
    assert fetching.kept({"source": "x", "patch": 1, "net": [1]}) == {"patch": 1}


def test_the_configuration_of_each_directory(tmp_path: Path) -> None:
    files = {
        "deep/.cargo/config": '[source.a]\ndirectory = "a"\n[build]\nrustc = "x"\n',
        "deep/.cargo/config.toml": "unused = 1\n",
        ".cargo/config.toml": 'include = [{ path = "more.toml" }, "gone.toml", "../../outside.toml"]\n',
        ".cargo/more.toml": 'include = "more.toml"\n[source.b]\ndirectory = "b"\n',
    }
    source = write(tmp_path / "source", files)
    chosen = anyio.run(fetching.configuration, OnDisk(source), "deep", ("-Z", "bindeps", "-Zscript"), ())
    assert chosen.files == {
        "deep/.cargo/config.toml": '"source" = { "a" = { "directory" = "a" } }\n',
        ".cargo/config.toml": '"source" = { "b" = { "directory" = "b" } }\n',
    }
    assert chosen.arguments == ("-Z", "bindeps", "-Zscript")
    container, words = plan._configured(
        Container(), fetching.FetchConfiguration({}, ("a", "b"), ("x", "\0", "\0"))
    )  # type: ignore[arg-type]
    assert words == ["x", f"{plan.CONFIGURATION}-0.toml", f"{plan.CONFIGURATION}-1.toml"]
    assert container.files == dict(zip(words[1:], "ab", strict=True))  # type: ignore[attr-defined]


class Container:
    """A container, as far as files are added to it."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def with_directory(self, *_: object) -> Container:
        return self

    def with_new_file(self, path: str, text: str) -> Container:
        self.files[path] = text
        return self
