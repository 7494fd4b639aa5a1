import json
import sys
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from repositories import repository
from typer.testing import CliRunner
from typing_extensions import Doc

from engine.config import RUNNER
from engine.record import BaseImages
from pipeline import cli
from pipeline.attestation import attest
from pipeline.cli import loading, merge, options, output, project, session
from pipeline.cli.output import Output
from pipeline.cli.publish_options import PublishOptions
from pipeline.config import settings
from pipeline.config.settings import NAMES, Settings
from pipeline.errors import (
    EngineUnreachable,
    InvalidAddress,
    InvalidArgument,
    LinkError,
    NotACargoProject,
    NotAGitRepository,
    RustMultiarchError,
    UnusableKey,
)
from pipeline.main import RustMultiarch
from pipeline.preview import readiness as doctor
from pipeline.publishing import PublishRequest
from pipeline.targets import BY_MACHINE, BY_PLATFORM

NOWHERE = "tcp://127.0.0.1:9"
SAMPLE = str(Path(__file__).parents[3] / "sample_app")
COMMAND = typer.main.get_command(cli.app)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process, like its entry point."""

    def call(*words: str, **environment: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["rust-multiarch", *words])
        if "--show-completion" not in words:
            # What `app()` makes on each call, where a process calls it once.
            monkeypatch.setattr(cli, "app", COMMAND)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return call


def commands() -> dict[str, typer.core.TyperCommand]:
    """Yield every command, those of groups by both names."""
    found = {}
    for name, command in COMMAND.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found


def described(argument: str) -> str:
    """Return the description of an argument of the constructor."""
    hints = typing.get_type_hints(RustMultiarch, include_extras=True)
    return next(note.documentation for note in typing.get_args(hints[argument]) if isinstance(note, Doc))


@pytest.mark.parametrize(
    "name", ["build", "publish", "plan", "natives", "binary", "run", "smoke", "lint", "fmt", "test"]
)
def test_project_commands_have_every_setting_as_an_option(name: str) -> None:
    parameters = {parameter.name: parameter for parameter in commands()[name].params}
    for setting in NAMES:
        if (name, setting) != ("test", "platforms"):  # which are those to run the tests for
            assert parameters[setting].help == described(setting)
            assert parameters[setting].default is None
    assert parameters["source"].help == described("source")


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
    assert seen.pop("whole_repository") is False
    assert set(seen.values()) == {None}
    CliRunner().invoke(
        app, [], env={"RUST_MULTIARCH_INCLUDE_IGNORED": "1", "RUST_MULTIARCH_WHOLE_REPOSITORY": "1"}
    )
    assert seen["include_ignored"] is seen["whole_repository"] is True


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
    assert done.stderr.startswith("InvalidArgument: Dockerfiles are not used")
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
        ["run", "--publish", "x"],
        # No change of a file mends it, so it does not wait for one.
        ["run", "--publish", "x", "--watch"],
    ],
)
def test_what_cannot_work_is_refused_before_there_is_an_engine(run, words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == InvalidArgument.exit_code
    assert "engine" not in done.stderr


@pytest.mark.parametrize("watch", [[], ["--watch"]], ids=["once", "watch"])
def test_a_directory_that_does_not_exist_is_named(run, tmp_path: Path, watch: list[str]) -> None:
    done = run("run", str(tmp_path / "none"), *watch)
    assert done.returncode == NotACargoProject.exit_code
    assert "this directory does not exist" in done.stderr


@pytest.mark.parametrize("address", ["there", "http://a:1", "tcp://"])
def test_an_engine_address_without_a_known_scheme_is_refused(run, address: str) -> None:
    done = run("build", "--engine", address)
    assert done.returncode == InvalidArgument.exit_code
    assert f"{address!r} is not the address of an engine" in done.stderr


@pytest.mark.parametrize("words", [["fmt"], ["publish", "--tag", "ghcr.io/me/app:1"]], ids=" ".join)
def test_the_engine_that_is_named_is_used_and_is_not_there(run, words: list[str]) -> None:
    done = run(*words, SAMPLE, "--engine", NOWHERE, **{RUNNER: "tcp://other:1"})
    assert done.returncode == EngineUnreachable.exit_code
    assert f"no engine responds at {NOWHERE}" in done.stderr


@pytest.mark.parametrize("passed", [True, False])
def test_flags_of_the_environment_that_the_build_does_not_see(run, passed: bool) -> None:
    words = ["--build-arg", "RUSTFLAGS"] if passed else []
    done = run("build", SAMPLE, "--engine", NOWHERE, *words, RUSTFLAGS="-g")
    assert ("warning: the build does not see RUSTFLAGS of this environment" in done.stderr) is not passed
    assert ("--build-arg RUSTFLAGS passes it" in done.stderr) is not passed


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name an engine that does not answer, so that a command fails there."""
    monkeypatch.setenv(RUNNER, NOWHERE)


@pytest.mark.parametrize("command", ["build", "publish"])
@pytest.mark.parametrize("option", ["--password", "--sign-password"])
def test_a_password_in_no_variable_is_refused_first(run, no_engine, command: str, option: str) -> None:
    done = run(command, SAMPLE, "--tag", "a.example/x:1", option, "RM_NOT_SET")
    assert done.returncode == InvalidArgument.exit_code
    assert "is not set" in done.stderr and option in done.stderr


@pytest.mark.parametrize("command", ["build", "publish"])
def test_passwords_and_files_that_exist_are_accepted(run, tmp_path: Path, command: str) -> None:
    """The engine, which is asked last, is not there."""
    words = ["--password", "RM_SET", "--sign-password", "RM_SET", "--files", str(tmp_path)]
    done = run(command, SAMPLE, "--tag", "a.example/x:1", *words, "--engine", NOWHERE, RM_SET="x")
    assert done.returncode == EngineUnreachable.exit_code


@pytest.mark.parametrize("command", ["build", "doctor"])
@pytest.mark.parametrize("name", ["gone", "file"])
def test_a_missing_directory_is_refused_first(
    run, no_engine, tmp_path: Path, command: str, name: str
) -> None:
    (tmp_path / "file").touch()
    done = run(command, str(tmp_path / name))
    assert done.returncode == NotACargoProject.exit_code and str(tmp_path / name) in done.stderr


@pytest.mark.parametrize("name", ["gone", "file"])
def test_files_that_are_in_no_directory_are_refused_first(run, no_engine, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    done = run("build", SAMPLE, "--files", str(tmp_path / name))
    assert done.returncode == InvalidArgument.exit_code
    assert f"this directory does not exist: {tmp_path / name}" in done.stderr and "--files" in done.stderr


def test_the_platforms_to_test_for_are_made_ready_too(run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def choose(_say: object, images: BaseImages) -> None:
        asked.append([*images.platforms])
        raise EngineUnreachable("none", where="", fix="")

    monkeypatch.setattr(session.choice, "choose", choose)
    monkeypatch.setenv(RUNNER, "")
    run("test", SAMPLE, "--platform", "linux/riscv64,linux/amd64", RUST_MULTIARCH_PLATFORMS="linux/amd64")
    run("test", SAMPLE, RUST_MULTIARCH_PLATFORMS="linux/amd64")
    assert asked == [["linux/amd64", "linux/riscv64"], ["linux/amd64"]]


class Unbuilt:
    """A project that must not be built."""

    async def assembled(self) -> None:
        raise AssertionError("it was built")


@pytest.mark.anyio
@pytest.mark.parametrize(("command", "options"), [(project.publish, {}), (project.build, {"push": True})])
async def test_a_wrong_key_is_refused_before_the_build(
    command: Callable[..., Awaitable[str]], options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def text(*_: object) -> str:
        return "no key"

    monkeypatch.setattr(attest, "_text", text)
    with pytest.raises(UnusableKey):
        await command(Unbuilt(), to=PublishOptions(tag=["a.example/x:1"], sign_key="env://KEY"), **options)


def test_an_address_may_ask_for_the_binarys_name() -> None:
    project.check_publish(Settings(), source=Path(), tag=["a.example/{bin}:1"])


def test_doctor_looks_at_the_registry_of_such_an_address(run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def examine(subject: doctor.CheckContext, _checks: object) -> list[doctor.Result]:
        seen.extend(subject.tags)
        return []

    monkeypatch.setattr(doctor, "examine", examine)
    run("doctor", SAMPLE, "--tag", "a.example/{bin}:1", "--json")
    assert seen == ["a.example/bin:1"]


def test_an_address_is_checked_first() -> None:
    with pytest.raises(InvalidAddress):
        project.check_publish(Settings(), source=Path(), tag=["ok/a:1", "NOT/ok"])


def test_settings_that_are_wrong_are_refused_before_there_is_an_engine(run, tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text('[package.metadata.rust-multiarch]\nplatfroms = ["linux/amd64"]\n')
    done = run("build", str(tmp_path))
    assert done.returncode == 7
    assert "did you mean platforms?" in done.stderr and "engine" not in done.stderr


def test_an_expected_error_prints_no_stack_trace(run) -> None:
    done = run("verify", "/nowhere", "--platform", "linux/amd64")
    assert done.stderr.splitlines()[0] == "InvalidArgument: this file does not exist"
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
    assert loading.chosen(image("linux/amd64", "linux/arm64")) == "linux/arm64"  # type: ignore[arg-type]
    assert loading.chosen(image("linux/s390x")) == "linux/s390x"  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="linux/arm64"):
        loading.chosen(image("linux/amd64", "linux/386"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("i686", "linux/386"),
        ("ppc64le", "linux/ppc64le"),
        ("s390x", "linux/s390x"),
        ("riscv64", "linux/riscv64"),
    ],
)
def test_a_machines_own_variant_by_the_name_uname_has(
    monkeypatch: pytest.MonkeyPatch, machine: str, platform: str
) -> None:
    monkeypatch.setattr(loading.platform, "machine", lambda: machine)
    assert loading.chosen(image(*BY_PLATFORM)) == platform  # type: ignore[arg-type]


def test_every_platform_is_some_machines() -> None:
    assert {target.platform for target in BY_MACHINE.values()} == set(BY_PLATFORM)


def test_nothing_to_load_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidArgument, match="neither docker nor podman"):
        loading.tool()


def test_a_tool_whose_daemon_does_not_run_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "docker", "[ $1 != version ]")
    with pytest.raises(InvalidArgument, match="neither docker nor podman") as error:
        loading.check(["linux/amd64"], "--local", "publish it")
    assert (error.value.where, error.value.fix) == ("--local", "install or start one of them, or publish it")
    program(tmp_path, "podman", "")
    loading.check(["linux/amd64"])
    assert loading.tool() == "podman"


def test_the_platform_to_load_is_checked_before_the_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(loading.platform, "machine", lambda: "aarch64")
    program(tmp_path, "docker", "")
    with pytest.raises(InvalidArgument, match="linux/arm64") as error:
        loading.check(["linux/amd64", "linux/386"], "--local")
    assert error.value.where == "--local"


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
    with pytest.raises(RustMultiarchError, match="cannot load the image") as raised:
        await loading._run([str(tmp_path / "docker"), "load"])
    assert raised.value.output == "no daemon"


def _goals(settings: Settings, *, source: Path, tag: list[str]) -> None:
    merge.goals(PublishRequest(tuple(tag)), settings, source)


def test_a_checkout_that_git_cannot_read_gives_no_image_its_name(tmp_path: Path) -> None:
    """Regression: with another user's checkout in a container, `latest` was moved instead."""
    broken = tmp_path / "checkout"
    (broken / ".git").mkdir(parents=True)
    for check in (project.check_publish, _goals):
        check(Settings(), source=broken, tag=["ok/a:1"])
        check(Settings(), source=tmp_path, tag=["ok/a"])
        with pytest.raises(NotAGitRepository):
            check(Settings(), source=broken, tag=["ok/a:1", "ok/b"])


def test_rules_that_give_no_tag_are_refused_before_the_build(tmp_path: Path) -> None:
    repository(tmp_path)
    releases = Settings(tag_rules=["type=semver,pattern={{version}}"])
    project.check_publish(Settings(), source=tmp_path, tag=["ok/a"])
    project.check_publish(releases, source=tmp_path, tag=["ok/a:1"])
    project.check_publish(releases, source=tmp_path, tag=["ok/a"], by_digest=True)
    with pytest.raises(InvalidArgument, match="give no tag"):
        project.check_publish(releases, source=tmp_path, tag=["ok/a:1", "ok/b"])


@pytest.mark.parametrize("words", [["build"], ["build", "--push"], ["publish"]])
def test_one_image_of_several_binaries_has_no_binarys_name(run, words: list[str]) -> None:
    """Regression: `--tag …/{bin}:1 --bin a --bin b` silently gave one image with both."""
    done = run(*words, SAMPLE, "--tag", "localhost/{bin}:1", "--bin", "a", "--bin", "b")
    assert done.returncode == InvalidArgument.exit_code
    assert "use the command `images`" in done.stderr and "engine" not in done.stderr


@pytest.mark.parametrize(
    "words", [("publish", SAMPLE), ("build", SAMPLE, "--push"), ("merge", "localhost/a:1")]
)
@pytest.mark.parametrize("option", ["--sbom=rpm", "--sbom-format=rpm"])
def test_an_sbom_has_a_format_that_exists(run, words: tuple[str, ...], option: str) -> None:
    done = run(*words, "--tag", "localhost/app:1", option)
    assert done.returncode == InvalidArgument.exit_code
    assert "'rpm' is no format of an SBOM" in done.stderr and "cyclonedx or spdx" in done.stderr


def test_images_of_several_binaries_have_different_addresses(run) -> None:
    done = run("images", SAMPLE, "--push", "--tag", "localhost/app:1")
    assert done.returncode == InvalidArgument.exit_code
    assert "all images would get the address localhost/app:1" in done.stderr


@pytest.mark.parametrize("option", [True, False])
def test_files_are_relative_to_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: bool
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "member/files").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    path, origin = ("files", "option --files") if option else ("member/files", "member/Cargo.toml [x]")
    merged = settings.merge({"files_from": settings.Value(path, origin)})
    workspace = tmp_path / "elsewhere" if option else tmp_path
    assert session._files(workspace, merged) == {path: tmp_path / path}
    with pytest.raises(InvalidArgument, match="does not exist"):
        session._files(workspace, settings.merge({"files_from": settings.Value("gone", origin)}))
