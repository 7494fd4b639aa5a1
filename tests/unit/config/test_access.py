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


def test_git_itself_reads_user_and_password_of_each_host(tmp_path: Path) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(credentials.gitconfig([("one.example:8443", "me"), ("two.example", "you")]))
    for host, answer in [("one.example:8443", ("me", "s3cret")), ("two.example", ("you", "t0ken"))]:
        done = subprocess.run(
            ["git", "credential", "fill"],
            input=f"protocol=https\nhost={host}\n\n",
            env={
                "GIT_CONFIG_GLOBAL": str(config),
                "GIT_TOKEN_0": "s3cret",
                "GIT_TOKEN_1": "t0ken",
                "PATH": "/usr/bin:/bin",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert {f"username={answer[0]}", f"password={answer[1]}"} <= set(done.stdout.splitlines())


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
