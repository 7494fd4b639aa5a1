from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import anyio
import dagger
import pytest
from dagger._exceptions import QueryErrorValue
from test_build import plan

from pipeline import errors
from pipeline.build import checks
from pipeline.build import compile as build
from pipeline.build.plan import Plan
from pipeline.errors import SmokeFailed
from pipeline.oci import smoke
from pipeline.oci.smoke import Outcome


def test_commands() -> None:
    assert " ".join(checks.test_command(plan())) == "cargo test --locked --package app"
    chosen = replace(plan(package="app"), binaries=())
    assert checks.test_command(chosen)[2:] == ["--locked", "--package", "app"]
    assert "-Zx --config a=1" in " ".join(
        checks.test_command(plan(arguments=("-Zx", "--config", "a=1", "-v")))
    )
    assert checks.lint_command(plan(arguments=("-Z", "x", "-v")), False)[-2:] == ["-Z", "x"]
    assert checks.test_command(replace(plan(), binaries=())) == ["cargo", "test", "--locked"]
    assert checks.test_command(plan(), "t1")[-2:] == ["--target", "t1"]
    assert "--features a" in " ".join(checks.test_command(plan(features=("a",))))
    assert "--workspace --all-targets" in " ".join(checks.lint_command(plan(), False))
    assert checks.lint_command(plan(), True)[-3:] == ["--", "--deny", "warnings"]
    assert checks.format_command() == ["cargo", "fmt", "--all", "--check"]


def failed(stderr: str, stdout: str = "") -> dagger.ExecError:
    """Return the error of a failed command with some output."""
    extensions = {"_type": "EXEC_ERROR", "cmd": [], "exitCode": 1, "stdout": stdout, "stderr": stderr}
    value = QueryErrorValue("it failed", extensions=extensions)
    return dagger.QueryError([value], SimpleNamespace(document=None))  # type: ignore[arg-type,return-value]


@dataclass(frozen=True)
class Container:
    """A fake container: like the engine's, it runs nothing before a result is requested.

    Attributes:
        unready: the error before the check's command.
        failing: the error of the check's command.
    """

    unready: dagger.QueryError | None = None
    failing: dagger.ExecError | None = None

    def with_exec(self, command: list[str]) -> "Container":
        return self

    def with_env_variable(self, name: str, value: str) -> "Container":
        return self

    async def sync(self) -> "Container":
        if self.unready:
            raise self.unready
        return self

    def with_new_file(self, path: str, contents: str) -> "Container":
        return self

    async def stdout(self) -> str:
        return '{"packages": [], "resolve": {"nodes": []}}'

    async def combined_output(self) -> str:
        if error := self.unready or self.failing:
            raise error
        return "all is well"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Plan], Awaitable[str]], Container], str]:
    """Run a check in a container."""

    def run(check: Callable[[Plan], Awaitable[str]], container: Container) -> str:
        monkeypatch.setattr(build, "builder", lambda plan, source=None: container)
        return anyio.run(check, plan())

    return run


async def _foreign(planned: Plan) -> str:
    return await checks.test(planned, planned.request.targets)


CHECKS = [checks.test, _foreign, checks.lint, checks.fmt]


@pytest.mark.parametrize("check", CHECKS)
def test_what_a_check_prints_is_returned(ran, check) -> None:
    assert ran(check, Container()).startswith("all is well")


@pytest.mark.parametrize("check", CHECKS)
def test_a_builder_that_cannot_be_made_is_not_a_check_that_failed(ran, check) -> None:
    """Regression: if a component of Rust was not available, the error said that clippy had failed."""
    offline = failed("error: component download failed for clippy: error sending request")
    with pytest.raises(errors.RustMultiarchError, match="cannot be prepared") as raised:
        ran(check, Container(unready=offline))
    assert "component download failed" in raised.value.output
    assert type(raised.value) is errors.RustMultiarchError
    with pytest.raises(errors.PackageUnavailable, match="libnope-dev"):
        ran(check, Container(unready=failed("E: Unable to locate package libnope-dev")))
    gone = dagger.QueryError([QueryErrorValue("no such image")], SimpleNamespace(document=None))  # type: ignore[arg-type]
    with pytest.raises(errors.BaseImageUnavailable, match=r"rust:1\.96"):
        ran(check, Container(unready=gone))


COMPILED = "   Compiling app v1.0.0 (/build/src)\n    Finished `test` profile in 0.96s\n"
RUNNING = f"{COMPILED}     Running unittests src/main.rs (/build/target/debug/deps/app-4a99a53287a4b62f)\n"
DOC_TESTS = f"{COMPILED}   Doc-tests app\n"
VERBOSE = "     Running `rustc --crate-name app src/main.rs`\n"
"""cargo's output for every compile with `term.verbose`."""

SAID = [
    "authentication required",
    "could not execute process `x`: Exec format error (os error 8)",
    "error[E0554]: `#![feature]` may not be used on the stable release channel",
    "E: Unable to locate package libnope-dev",
]


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize(
    ("stderr", "stdout"),
    [
        (RUNNING, "{}\n"),
        (f"{RUNNING}{{}}\n", "\nrunning 1 test\n"),
        (DOC_TESTS, "{}\n"),
        (f"{COMPILED}{VERBOSE}", "\nrunning 2 tests\n{}\ntest result: FAILED. 0 passed; 2 failed\n"),
    ],
)
def test_what_a_failing_test_prints_does_not_explain_it(ran, stderr: str, stdout: str, said: str) -> None:
    """Regression: the output of a client's test was explained as missing credentials."""
    with pytest.raises(errors.ChecksFailed, match="tests failed") as raised:
        ran(checks.test, Container(failing=failed(stderr.format(said), stdout.format(said))))
    assert said in raised.value.output


def test_what_rustfmt_would_change_does_not_explain_it(ran) -> None:
    diff = 'Diff in /build/src/src/main.rs:1:\n-fn main( ){ panic!("authentication required") }\n'
    with pytest.raises(errors.ChecksFailed, match="not formatted"):
        ran(checks.fmt, Container(failing=failed("", diff)))


@pytest.mark.parametrize("check", [checks.test, checks.lint])
@pytest.mark.parametrize("before", ["", VERBOSE, "  --- stderr\n  Running configure\n  Doc-tests are off\n"])
def test_what_fails_ahead_of_every_test_is_explained_as_of_a_build(ran, check, before: str) -> None:
    printed = f"   Compiling app v1.0.0\n{before}/usr/bin/ld: cannot find -lssl: No such file or directory\n"
    with pytest.raises(errors.LinkError, match="'ssl'"):
        ran(check, Container(failing=failed(printed)))


@pytest.mark.parametrize("check", CHECKS)
def test_what_no_pattern_knows_is_the_checks_own(ran, check) -> None:
    with pytest.raises(errors.ChecksFailed):
        ran(check, Container(failing=failed("error: could not compile `app`")))


def test_smoke_text() -> None:
    outcomes = [Outcome("linux/amd64", "ok", "a\nb"), Outcome("linux/s390x", "skipped", "no emulator")]
    assert smoke.as_text(outcomes).splitlines() == [
        "linux/amd64: ok", "  a", "  b", "linux/s390x: skipped", "  no emulator",
    ]  # fmt: skip


def test_only_failures_raise() -> None:
    smoke._raise_failures([Outcome("linux/amd64", "skipped", "")], [])
    with pytest.raises(SmokeFailed, match="linux/arm64") as raised:
        smoke._raise_failures([Outcome("linux/arm64", "failed", "boom")], ["--x"])
    assert raised.value.where == "--x"
    assert "boom" in raised.value.output
