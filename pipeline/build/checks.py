"""The project's own checks in the builder: tests, clippy and formatting, natively or for a target."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import dagger

from pipeline.build import compile as build
from pipeline.build import plan_file, scripts
from pipeline.build.plan import Plan
from pipeline.errors import ChecksFailed, printed
from pipeline.native import natives
from pipeline.progress import events
from pipeline.project import diagnostics, packages, selection
from pipeline.project.diagnostics import Failure
from pipeline.project.metadata import relocated
from pipeline.targets import Target
from pipeline.toolchain import builder as toolchain

# Each with what shows that the project's own text is in the output, where words of cargo's mean nothing.
# What cargo says of the compiler ("Running `rustc …`") does not: that is a build that tells more of itself.
_TESTED = r"(?m)^(?: {5}Running (?!`)| {3}Doc-tests |running \d+ tests?$|test result: )"
TESTS = Failure(_TESTED, ChecksFailed, "the project's tests fail", "correct the tests that cargo names above")
LINTS = Failure("", ChecksFailed, "clippy has objections", "correct what clippy names above")
FORMAT = Failure("(?m)^Diff in ", ChecksFailed, "the sources are not formatted", "run `cargo fmt --all`")


def test_command(plan: Plan, triple: str = "") -> list[str]:
    """`cargo test` over the chosen packages, or those cargo chooses, for the build platform or a triple."""
    choice = plan.request.choice
    packages = selection.chosen_package(plan.project, choice, plan.lock)
    packages = packages or selection.package_arguments(plan.binaries, plan.lock)
    command = [
        "cargo",
        "test",
        "--locked",
        *relocated(packages, toolchain.SOURCE, toolchain.WORK),
        *selection.feature_arguments(choice),
        *choice.everywhere,
    ]
    return command + (["--target", triple] if triple else [])


def lint_command(plan: Plan, deny_warnings: bool) -> list[str]:
    """`cargo clippy` over every target of the workspace."""
    command = ["cargo", "clippy", "--locked", "--workspace", "--all-targets"]
    command += [*selection.feature_arguments(plan.request.choice), *plan.request.choice.everywhere]
    return command + (["--", "--deny", "warnings"] if deny_warnings else [])


def format_command() -> list[str]:
    """`cargo fmt` that only looks."""
    return ["cargo", "fmt", "--all", "--check"]


async def test(plan: Plan, targets: Sequence[Target] = ()) -> str:
    """Run the project's tests natively, or for each target under QEMU; what they printed.

    Raises:
        ChecksFailed: a test fails; its output is carried whole.
        CompileError and its kin: see `diagnostics.explain`.
        PackageUnavailable, BaseImageUnavailable, RustMultiarchError: see `build.ready`.
    """
    container = build.builder(plan)
    if not targets:
        return await _run(plan, container, test_command(plan), TESTS)
    printed = []
    for target in targets:
        # The emulator looks for the target's loader and libraries below this directory.
        emulated = container.with_env_variable("QEMU_LD_PREFIX", f"/usr/{target.tools}")
        triple = target.triple(plan.request.libc)
        printed.append(await _run(plan, emulated, test_command(plan, triple), TESTS, target))
    return "\n".join(printed)


async def lint(plan: Plan, deny_warnings: bool = False) -> str:
    """Run clippy; what it said.

    Raises:
        ChecksFailed: clippy finds an error, or anything at all with `deny_warnings`.
    """
    container = build.builder(plan).with_exec(["rustup", "component", "add", "clippy"])
    return await _run(plan, container, lint_command(plan, deny_warnings), LINTS)


async def fmt(plan: Plan) -> str:
    """Check the formatting without changing a file; what rustfmt would change.

    Raises:
        ChecksFailed: a file is not formatted.
    """
    container = build.builder(plan).with_exec(["rustup", "component", "add", "rustfmt"])
    return await _run(plan, container, format_command(), FORMAT)


async def _run(
    plan: Plan,
    container: dagger.Container,
    command: Sequence[str],
    otherwise: Failure,
    target: Target | None = None,
) -> str:
    """Run a check's command once its container is ready, so that what makes that fail is no failed check.

    Raises:
        ChecksFailed: the check fails.
        CompileError and its kin: see `diagnostics.explain`.
        PackageUnavailable, BaseImageUnavailable, RustMultiarchError: see `build.ready`.
    """
    events.enter(f"running {shlex.join(command[:2])}")
    await build.ready(container, plan)
    try:
        described = (
            await build.builder(plan, plan.outline)
            .with_exec([*packages.COMMAND, *plan.request.choice.everywhere])
            .stdout()
        )
        local = packages.read(described, toolchain.SOURCE)
        checking = build.with_plan(container, plan_file.checking(plan, local, command, target))
        return await checking.with_exec(scripts.command("check.sh", *build.PLACES)).combined_output()
    except dagger.ExecError as error:
        output = printed(error)
        theirs = otherwise.pattern and re.search(otherwise.pattern, output)
        rows = () if theirs else diagnostics.FAILURES
        raise diagnostics.explain(
            output, shlex.join(command), otherwise=otherwise, suggest=natives.suggest, rows=rows
        ) from error
