import subprocess
from pathlib import Path

import pytest

from pipeline import access
from pipeline.errors import InvalidArgument


@pytest.mark.parametrize(
    ("name", "variable"),
    [("corp", "CARGO_REGISTRIES_CORP_TOKEN"), ("my-corp_2", "CARGO_REGISTRIES_MY_CORP_2_TOKEN")],
)
def test_the_variable_of_a_registry(name: str, variable: str) -> None:
    assert access.registry_variable(name) == variable


@pytest.mark.parametrize("name", ["", "a b", "1st", "x=y"])
def test_no_registry_has_such_a_name(name: str) -> None:
    with pytest.raises(InvalidArgument, match="registry"):
        access.registry_variable(name)


def test_git_itself_reads_user_and_password_of_each_host(tmp_path: Path) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(access.gitconfig([("one.example:8443", "me"), ("two.example", "you")]))
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
    ("host", "username"), [('x"]', "me"), ("", "me"), ("a.example", "me; rm -rf /"), ("a", "")]
)
def test_neither_a_host_nor_a_user_name(host: str, username: str) -> None:
    with pytest.raises(InvalidArgument):
        access.gitconfig([(host, username)])


@pytest.mark.parametrize(
    ("source", "packages"),
    [
        ("registry+https://crates.example", []),
        ("git+https://a.example/b#c", ["git"]),
        ("git+ssh://git@a.example/b#c", ["git", "openssh-client"]),
    ],
)
def test_what_a_lock_is_fetched_with(source: str, packages: list[str]) -> None:
    assert access.programs(f'[[package]]\nname = "a"\nsource = "{source}"\n') == packages
