import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from pipeline import cli, fleet
from pipeline.cli import loading, options, output, project, session
from pipeline.cli.output import Output
from pipeline.errors import InvalidAddress, InvalidArgument, LinkError, NoEngineLeft, RustMultiarchError
from pipeline.main import RustMultiarch
from pipeline.settings import NAMES, Settings

COMMAND = typer.main.get_command(cli.app)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line as its entry point does, in this process."""

    def call(*words: str, **environment: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["rust-multiarch", *words])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return call


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command, those of groups by both names."""
    found = {}
    for name, command in COMMAND.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize(
    "name", ["build", "publish", "plan", "natives", "binary", "smoke", "lint", "fmt", "test"]
)
def test_project_commands_have_every_setting_as_an_option(name: str) -> None:
    parameters = {parameter.name: parameter for parameter in commands()[name].params}
    for setting in NAMES:
        if (name, setting) != ("test", "platforms"):  # which are those to run the tests for
            assert parameters[setting].help == options.doc(RustMultiarch, setting)
            assert parameters[setting].default is None
    assert parameters["source"].help == options.doc(RustMultiarch, "source")


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_described_and_has_json(name: str) -> None:
    command = commands()[name]
    assert command.help
    assert all(p.help for p in command.params if not p.hidden), [p.name for p in command.params]
    assert "--json" in [flag for parameter in command.params for flag in parameter.opts]


@pytest.mark.parametrize(
    "flags",
    ["--platform", "--bin", "--package -p", "--features -F", "--profile", "--tag -t", "--push", "--output -o",
     "--load", "--file -f", "--build-arg", "--label", "--json"],
)  # fmt: skip
def test_build_has_the_options_of_cargo_and_docker(flags: str) -> None:
    assert any(set(flags.split()) <= set(parameter.opts) for parameter in commands()["build"].params)


def test_options_that_are_not_given_are_none_and_lists_repeat() -> None:
    seen = {}

    def command(**given: object) -> None:
        seen.update(given)

    command.__signature__ = typer.main.inspect.Signature(options.project_parameters())
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["--platform", "a,b", "--platforms", "c", "--port", "1", "--port", "2"])
    assert done.exit_code == 0, done.output
    assert seen.pop("source") == Path()
    assert seen.pop("platforms") == ["a,b", "c"]
    assert seen.pop("ports") == [1, 2]
    assert seen.pop("include_ignored") is False
    assert set(seen.values()) == {None}
    CliRunner().invoke(app, [], env={"RUST_MULTIARCH_INCLUDE_IGNORED": "1"})
    assert seen["include_ignored"] is True


@pytest.mark.parametrize(
    ("words", "index", "wanted"),
    [
        ("rust-multiarch pl", "1", ["plan"]),
        ("rust-multiarch build --platform linux/arm", "3", ["linux/arm64", "linux/arm/v7"]),
        ("rust-multiarch engine st", "2", ["start", "stop", "status"]),
    ],
)
def test_bash_completes(run, words: str, index: str, wanted: list[str]) -> None:
    environment = {"COMP_WORDS": words, "COMP_CWORD": index, "_RUST_MULTIARCH_COMPLETE": "complete_bash"}
    assert run(**environment).stdout.split() == wanted


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_can_be_printed(run, shell: str) -> None:
    done = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0 and "_RUST_MULTIARCH_COMPLETE" in done.stdout


def test_no_dockerfile_no_engine(run) -> None:
    done = run("build", "--file", "Dockerfile", "--json")
    assert done.returncode == InvalidArgument.exit_code
    assert done.stderr.startswith("InvalidArgument: there is no Dockerfile")
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["exit_code"]) == ("InvalidArgument", InvalidArgument.exit_code)
    assert error["fix"] in done.stderr


def test_errors_are_json_only_where_asked(run) -> None:
    assert run("build", "--file", "Dockerfile").stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["build", "--push"],
        ["publish"],
        ["build", "--output", "type=registry"],
        ["build", "--output", "type=x"],
    ],
)
def test_what_cannot_work_is_refused_before_there_is_an_engine(run, words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == InvalidArgument.exit_code
    assert "engine" not in done.stderr


@pytest.mark.parametrize(
    ("engines", "message"),
    [(["there"], "is not an engine's address"), (["tcp://a:1", "tcp://b:1"], "only publish spreads")],
)
def test_engines_that_cannot_be_used(run, engines: list[str], message: str) -> None:
    done = run("build", *(word for engine in engines for word in ("--engine", engine)))
    assert done.returncode == InvalidArgument.exit_code and message in done.stderr


def test_the_engine_that_is_named_is_used(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(*_: object, **__: object) -> None:
        raise InvalidArgument(os.environ[fleet.RUNNER], where="", fix="")

    monkeypatch.setattr(session.choice, "choose", choose)
    monkeypatch.setenv(fleet.RUNNER, "tcp://other:1")
    sample = str(Path(__file__).parents[2] / "sample_app")
    for words in (["fmt", sample], ["publish", sample, "--tag", "ghcr.io/me/app:1"]):
        done = run(*words, "--engine", "docker-container://there")
        assert done.stderr.startswith("InvalidArgument: docker-container://there")


def test_an_engine_that_is_not_there(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fleet.RUNNER, "")
    done = run("fmt", str(Path(__file__).parents[2] / "sample_app"), "--engine", "tcp://127.0.0.1:9")
    assert done.returncode == NoEngineLeft.exit_code
    assert "nothing listens at tcp://127.0.0.1:9" in done.stderr


def test_an_address_is_checked_first() -> None:
    with pytest.raises(InvalidAddress):
        project.check_publish(Settings(), tag=["ok/a:1", "NOT/ok"])


def test_settings_that_are_wrong_are_refused_before_there_is_an_engine(run, tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text('[package.metadata.rust-multiarch]\nplatfroms = ["linux/amd64"]\n')
    done = run("build", str(tmp_path))
    assert done.returncode == 7
    assert "did you mean platforms?" in done.stderr and "engine" not in done.stderr


def test_an_error_of_ours_has_no_stack(run) -> None:
    done = run("verify", "/nowhere", "--platform", "linux/amd64")
    assert done.stderr.splitlines()[0] == "InvalidArgument: there is no such file"
    assert "Traceback" not in done.stderr


def test_an_error_as_json() -> None:
    error = json.loads(cli.as_json(LinkError("no library", where="here", fix="install it", output="ld")))
    assert error["error"] == {
        "type": "LinkError", "exit_code": 31, "what": "no library", "where": "here", "fix": "install it",
        "output": "ld",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("image.tar", Output("archive", "image.tar")),
        ("type=oci,dest=a/image.tar", Output("archive", "a/image.tar")),
        ("dest=image.tar", Output("archive", "image.tar")),
        ("type=oci,dest=out,tar=false", Output("layout", "out")),
        ("type=registry", Output("push")),
        ("type=image,push=true", Output("push")),
        ("type=docker", Output("load")),
        ("type=docker,dest=image.tar", Output("docker", "image.tar")),
    ],
)
def test_output(text: str, wanted: Output) -> None:
    assert output.parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "type=local,dest=x",
        "type=oci",
        "type=oci,dest=x,compression=zstd",
        "type=image",
        "type=docker,dest=x,tar=false",
    ],
)
def test_output_that_there_is_not(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        output.parse(text)
    assert raised.value.where == f"--output {text}"


def test_every_way_out_is_taken_once() -> None:
    found = project._ways(True, True, ["type=registry", "image.tar", "type=docker", "image.tar"])
    assert found == [Output("push"), Output("archive", "image.tar"), Output("load")]


def image(*platforms: str) -> SimpleNamespace:
    return SimpleNamespace(variants=[SimpleNamespace(platform=platform) for platform in platforms])


def test_this_machines_variant_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.platform, "machine", lambda: "aarch64")
    assert loading.chosen(image("linux/amd64", "linux/arm64")).platform == "linux/arm64"  # type: ignore[arg-type]
    assert loading.chosen(image("linux/s390x")).platform == "linux/s390x"  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="linux/arm64"):
        loading.chosen(image("linux/amd64", "linux/386"))  # type: ignore[arg-type]


def test_nothing_to_load_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidArgument, match="neither docker nor podman"):
        loading.tool()


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_docker_comes_before_podman(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "podman", "")
    assert loading.tool() == "podman"
    program(tmp_path, "docker", "")
    assert loading.tool() == "docker"


@pytest.mark.anyio
async def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    program(tmp_path, "docker", "echo no daemon >&2; exit 1")
    with pytest.raises(RustMultiarchError, match="did not take the image") as raised:
        await loading._run([str(tmp_path / "docker"), "load"])
    assert raised.value.output == "no daemon"


def test_an_error_that_is_not_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ExceptionGroup("several", [ValueError("a bug")])

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ExceptionGroup, match="several"):
        cli.main()
