"""Run the project's checks in the builder: tests, clippy and formatting, natively or for a target."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from pipeline.build import compile as build
from pipeline.build import compile_cache, plan_file, scripts
from pipeline.build.plan import Plan
from pipeline.errors import ChecksFailed, printed
from pipeline.native import natives
from pipeline.progress import events
from pipeline.project import diagnostics, packages, selection
from pipeline.project.diagnostics import KnownMessage
from pipeline.project.metadata import relocated
from pipeline.sdk import dagger
from pipeline.targets import Target
from pipeline.toolchain import builder as toolchain

# Each pattern shows that the output contains text of the project, in which cargo's messages have no meaning.
# cargo's own "Running `rustc …`" in a verbose build does not match.
_TESTED = r"(?m)^(?: {5}Running (?!`)| {3}Doc-tests |running \d+ tests?$|test result: )"
TESTS = KnownMessage(_TESTED, ChecksFailed, "the project's tests failed", "fix the failed tests above")
LINTS = KnownMessage("", ChecksFailed, "clippy failed", "fix the warnings and errors of clippy above")
FORMAT = KnownMessage("(?m)^Diff in ", ChecksFailed, "the sources are not formatted", "run `cargo fmt --all`")


def test_command(plan: Plan, triple: str = "") -> list[str]:
    """Return the `cargo test` command for the chosen packages, for the build platform or a triple."""
    choice = plan.request.choice
    packages = selection.chosen_package(plan.project, choice, plan.lock)
    packages = packages or selection.packages_of(plan.binaries, plan.lock)
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
    """Return the `cargo clippy` command for all targets of the workspace."""
    command = ["cargo", "clippy", "--locked", "--workspace", "--all-targets"]
    command += [*selection.feature_arguments(plan.request.choice), *plan.request.choice.everywhere]
    return command + (["--", "--deny", "warnings"] if deny_warnings else [])


def format_command() -> list[str]:
    """Return the `cargo fmt` command that checks the formatting."""
    return ["cargo", "fmt", "--all", "--check"]


async def test(plan: Plan, targets: Sequence[Target] = ()) -> str:
    """Run the project's tests natively, or for each target with QEMU, and return their output.

    Raises:
        ChecksFailed: a test failed; the error has the complete output.
        CompileError and its subclasses: see `diagnostics.explain`.
        PackageUnavailable, BaseImageUnavailable, RustMultiarchError: see `build.ready`.
    """
    container = build.builder(plan)
    if not targets:
        return await _run(plan, container, test_command(plan), TESTS)
    printed = []
    for target in targets:
        # QEMU looks for the target's loader and libraries in this directory.
        emulated = container.with_env_variable("QEMU_LD_PREFIX", f"/usr/{target.tools}")
        triple = target.triple(plan.request.libc)
        printed.append(await _run(plan, emulated, test_command(plan, triple), TESTS, target))
    return "\n".join(printed)


async def lint(plan: Plan, deny_warnings: bool = False) -> str:
    """Run clippy and return its output.

    Raises:
        ChecksFailed: clippy found an error, or a warning with `deny_warnings`.
    """
    container = build.builder(plan).with_exec(["rustup", "component", "add", "clippy"])
    return await _run(plan, container, lint_command(plan, deny_warnings), LINTS)


async def fmt(plan: Plan) -> str:
    """Check the formatting without changing files, and return rustfmt's output.

    Raises:
        ChecksFailed: a file is not formatted.
    """
    container = build.builder(plan).with_exec(["rustup", "component", "add", "rustfmt"])
    return await _run(plan, container, format_command(), FORMAT)


async def _run(
    plan: Plan,
    container: dagger.Container,
    command: Sequence[str],
    otherwise: KnownMessage,
    target: Target | None = None,
) -> str:
    """Prepare the container, then run a check's command, so that only its own failure is a failed check.

    Raises:
        ChecksFailed: the check failed.
        CompileError and its subclasses: see `diagnostics.explain`.
        PackageUnavailable, BaseImageUnavailable, RustMultiarchError: see `build.ready`.
    """
    events.enter(f"running {shlex.join(command[:2])}")
    plan = await compile_cache.prepared(plan)
    await build.ready(container, plan)
    try:
        described = (
            await build.builder(plan, plan.skeleton)
            .with_exec([*packages.COMMAND, *plan.request.choice.everywhere])
            .stdout()
        )
        local = packages.read(described, toolchain.SOURCE)
        written = plan_file.checking(plan, local, command, target)
        checking = build.with_plan(compile_cache.mounted(container, plan.request), written, plan.request)
        folder = (build.OUTPUT,) if compile_cache.outside(plan.request) else ()
        ran = checking.with_exec(scripts.command("check.sh", *build.PLACES, *folder))
        output = await ran.combined_output()
    except dagger.ExecError as error:
        output = printed(error)
        is_projects = otherwise.pattern and re.search(otherwise.pattern, output)
        rows = diagnostics.OWN_MESSAGES if is_projects else diagnostics.KNOWN_MESSAGES
        raise diagnostics.explain(
            output, shlex.join(command), otherwise=otherwise, suggest=natives.suggest, rows=rows
        ) from error
    if folder:
        await compile_cache.kept(ran.directory(build.OUTPUT), plan)
    return output
