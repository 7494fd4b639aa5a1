import subprocess
from pathlib import Path

import pytest

from pipeline import cargo_toml
from pipeline.config import credentials
from pipeline.errors import InvalidArgument

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
MIRROR = '[source.mirror]\nregistry = "https://mirror.example/index.git"\n'


def lock(source: str) -> str:
    return f'[[package]]\nname = "a"\nsource = "{source}"\n'


@pytest.mark.parametrize(
    ("name", "variable"),
    [("corp", "CARGO_REGISTRIES_CORP_TOKEN"), ("my-corp_2", "CARGO_REGISTRIES_MY_CORP_2_TOKEN")],
)
def test_the_variable_of_a_registry(name: str, variable: str) -> None:
    assert credentials.registry_variable(name) == variable


@pytest.mark.parametrize("name", ["", "a b", "1st", "x=y"])
def test_no_registry_has_such_a_name(name: str) -> None:
    with pytest.raises(InvalidArgument, match="registry"):
        credentials.registry_variable(name)


def filled(folder: Path, tokens: list[tuple[str, str]], url: str) -> set[str]:
    """Return what git itself fills in for a URL, with tokens of hosts and users."""
    config = folder / "gitconfig"
    config.write_text(credentials.gitconfig(tokens))
    values = {"GIT_TOKEN_0": "s3cret", "GIT_TOKEN_1": "t0ken", "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["git", "credential", "fill"],
        input=f"url={url}\n\n",
        env={"GIT_CONFIG_GLOBAL": str(config), "PATH": "/usr/bin:/bin", **values},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(done.stdout.splitlines())


def test_git_itself_reads_user_and_password_of_each_host(tmp_path: Path) -> None:
    for host, answer in [("one.example:8443", ("me", "s3cret")), ("two.example", ("you", "t0ken"))]:
        found = filled(tmp_path, [("one.example:8443", "me"), ("two.example", "you")], f"https://{host}")
        assert {f"username={answer[0]}", f"password={answer[1]}"} <= found


@pytest.mark.parametrize(
    ("host", "asked", "answered"),
    [
        ("one.example", "https://one.example/a", True),
        ("one.example", "http://one.example/a", False),
        ("one.example", "https://two.example/a", False),
        ("one.example", "https://one.example:444/a", False),
        ("one.example", "https://sub.one.example/a", False),
        ("https://one.example", "https://one.example/a", True),
        ("http://one.example", "http://one.example/a", True),
        ("http://one.example", "https://one.example/a", False),
    ],
)
def test_a_token_is_for_its_host_and_https(tmp_path: Path, host: str, asked: str, answered: bool) -> None:
    assert ("password=s3cret" in filled(tmp_path, [(host, "me")], asked)) == answered


def test_a_project_chooses_no_program_of_git() -> None:
    """`ext::` runs a command, and `file:` reads repositories of the container."""
    allowed = {**credentials.VARIABLES, "PATH": "/usr/bin:/bin"}
    for address in ("ext::sh -c 'echo ran >&2'", "file:///"):
        done = subprocess.run(
            ["git", "ls-remote", address], env=allowed, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0 and "not allowed" in done.stderr


class Container:
    """A container, as far as its variables and files are set."""

    def __init__(self) -> None:
        self.set: dict[str, object] = {}

    def with_env_variable(self, name: str, value: object) -> "Container":
        self.set[name] = value
        return self

    with_secret_variable = with_new_file = with_env_variable


def test_a_registry_with_a_token_is_at_the_callers_address() -> None:
    token = credentials.RegistryToken("my-corp", "sparse+https://one.example/", "secret")  # type: ignore[arg-type]
    granted = credentials.Access(registries=(token,)).grant(Container())  # type: ignore[arg-type]
    assert granted.set == {  # type: ignore[attr-defined]
        "CARGO_REGISTRIES_MY_CORP_TOKEN": "secret",
        "CARGO_REGISTRIES_MY_CORP_INDEX": "sparse+https://one.example/",
        "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS": "cargo:token",
        **credentials.VARIABLES,
    }


@pytest.mark.parametrize(
    "index", ["", "one.example", "file:///index", "sparse+ssh://x", 'https://x"', "https://a b"]
)
def test_not_the_address_of_an_index(index: str) -> None:
    with pytest.raises(InvalidArgument, match="address of a registry"):
        credentials.registry_index("corp", index)


@pytest.mark.parametrize(
    "token", ["a\tb", "two  spaces", "*", "-n", r"back\slash", "$HOME", "'\"`x`", " end "]
)
def test_a_token_reaches_git_as_it_is(tmp_path: Path, token: str) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(credentials.gitconfig([("one.example", "me")]))
    done = subprocess.run(
        ["git", "credential", "fill"],
        input="protocol=https\nhost=one.example\n\n",
        env={"GIT_CONFIG_GLOBAL": str(config), "GIT_TOKEN_0": token, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"password={token}" in done.stdout.split("\n")


@pytest.mark.parametrize(
    ("host", "username"), [('x"]', "me"), ("", "me"), ("a.example", "me; rm -rf /"), ("a", "")]
)
def test_neither_a_host_nor_a_user_name(host: str, username: str) -> None:
    with pytest.raises(InvalidArgument):
        credentials.gitconfig([(host, username)])


@pytest.mark.parametrize(
    ("source", "packages"),
    [
        (CRATES_IO, []),
        ("sparse+https://crates.example/", []),
        ("registry+https://crates.example", ["git"]),
        ("registry+https://github.com/rust-lang/crates.io-index-mirror", ["git"]),
        ("registry+ssh://git@crates.example/index.git", ["git", "openssh-client"]),
        ("git+https://a.example/b#c", ["git"]),
        ("git+ssh://git@a.example/b#c", ["git", "openssh-client"]),
    ],
)
def test_what_a_lock_is_fetched_with(source: str, packages: list[str]) -> None:
    """Regression: cargo runs git for a registry with a git index, and git was not installed."""
    assert credentials.programs(lock(source)) == packages
    assert credentials.programs(lock(CRATES_IO) + lock(source)) == packages


MIRRORED = '[source.crates-io]\nreplace-with = "mirror"\n'


@pytest.mark.parametrize(
    ("configuration", "packages"),
    [
        ('[source.mirror]\nregistry = "https://mirror.example/index.git"\n', ["git"]),
        ('[source.mirror]\nregistry = "ssh://git@mirror.example/index.git"\n', ["git", "openssh-client"]),
        ('[registries.mirror]\nindex = "https://mirror.example/index.git"\n', ["git"]),
        ('[source.mirror]\ngit = "https://mirror.example/crates.git"\n', ["git"]),
        ('[source.mirror]\nregistry = "sparse+https://mirror.example/"\n', []),
        ('[registries.mirror]\nindex = "sparse+https://mirror.example/"\n', []),
        ('[source.mirror]\ndirectory = "vendor"\n', []),
        ('[source.other]\nregistry = "https://mirror.example/index.git"\n', []),
        ("[source]\nmirror = 1\n", []),
        ("no TOML", []),
    ],
)
def test_what_takes_the_place_of_a_source_is_fetched_with(configuration: str, packages: list[str]) -> None:
    assert credentials.programs(lock(CRATES_IO), cargo_toml.read(MIRRORED + configuration)) == packages
