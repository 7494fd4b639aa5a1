"""Test the skeleton: it does not depend on the code, and cargo describes the project from it."""

import uuid
from pathlib import Path

import dagger
import pytest
from crates import LOCK, MANIFEST, directory, hello, workspace, written
from dagger import dag

from pipeline import releases
from pipeline.build import compile as build
from pipeline.build import plan
from pipeline.config.request import BuildRequest, Choice
from pipeline.project.skeleton import skeleton
from pipeline.releases import DEFAULT, RUST
from pipeline.targets import select
from pipeline.toolchain import builder as toolchain

pytestmark = pytest.mark.anyio

TARGETS = select(["linux/amd64"])


async def digest(source: dagger.Directory) -> str:
    made = await skeleton(source, toolchain.native(releases.RUST, releases.DEFAULT))
    return await made.digest()


async def test_a_change_of_code_does_not_change_the_skeleton(session: dagger.Client) -> None:
    before = await digest(hello())
    assert await digest(hello().with_new_file("src/main.rs", "fn main() {}")) == before
    assert await digest(hello().with_new_file("README.md", "text")) == before


async def test_what_cargo_reads_changes_it(session: dagger.Client) -> None:
    changes = {
        "Cargo.toml": MANIFEST.format(name="hello") + "description = 'other'\n",
        "Cargo.lock": LOCK.format(name="hello") + "\n",
        ".cargo/config.toml": "[net]\nretry = 3\n",
        "rust-toolchain.toml": f'[toolchain]\nchannel = "{RUST}"\n',
        "src/bin/second.rs": "fn main() {}",
    }
    found = [await digest(hello()), *[await digest(hello().with_new_file(*each)) for each in changes.items()]]
    assert len(set(found)) == len(found)


async def test_code_is_there_and_empty(session: dagger.Client) -> None:
    odd = {"src/-a b.rs": "// text", "src/deep/er/'quoted'.rs": "// text"}
    source = hello()
    for path, text in odd.items():
        source = source.with_new_file(path, text)
    made = await skeleton(source, toolchain.native(releases.RUST, releases.DEFAULT))
    assert set(await made.glob("**/*.rs")) == {"src/main.rs", *odd}
    for path in ("src/main.rs", *odd):
        assert await made.file(path).size() == 0
    assert await made.file("Cargo.toml").contents() == await source.file("Cargo.toml").contents()


async def test_targets_through_symbolic_links_are_there(session: dagger.Client) -> None:
    source = hello().directory("src")
    linked = (
        hello()
        .without_directory("src")
        .with_directory("code", source)
        .with_symlink("code", "src")
        .with_new_file("shared/tool.rs", "fn main() {}")
        .with_symlink("../../shared/tool.rs", "code/bin/tool.rs")
    )
    planned = await plan.plan(BuildRequest(linked, TARGETS, Choice(bins=("hello", "tool"))))
    assert [binary.name for binary in planned.binaries] == ["hello", "tool"]


async def test_the_plan_of_a_workspace_is_that_of_the_whole_project(session: dagger.Client) -> None:
    planned = await plan.plan(BuildRequest(workspace(), TARGETS, cargo_choice("server")))
    assert [binary.name for binary in planned.binaries] == ["server"]
    assert [package.name for package in planned.project.packages] == ["server", "tools"]
    assert {name for package in planned.project.packages for name in package.bins} == {
        "server",
        "import",
        "export",
    }


def cargo_choice(package: str) -> Choice:
    return Choice(package=package)


async def test_after_a_change_of_code_cargo_is_not_asked_again_what_it_builds(
    session: dagger.Client, tmp_path: Path
) -> None:
    project = written(tmp_path / "hello")

    async def answered() -> str:
        """Change the code, and return the times of cargo's outputs, which show whether they were cached."""
        (project / "src/main.rs").write_text(f'fn main() {{ println!("{uuid.uuid4()}") }}')
        source = session.host().directory(str(project), no_cache=True)
        output = await build.compile(await plan.plan(BuildRequest(source, TARGETS)))
        listing = (
            dag.container().from_(DEFAULT.base).with_mounted_directory("/said", output.directory("crates"))
        )
        return await listing.with_exec(["find", "/said", "-type", "f", "-printf", "%p %T@\n"]).stdout()

    first = await answered()
    assert "metadata.json" in first and "units-0.json" in first
    assert await answered() == first


async def test_a_member_behind_a_symbolic_link_is_found_all_the_same(session: dagger.Client) -> None:
    linked = workspace().with_symlink("elsewhere", "linked")
    member = directory({"Cargo.toml": MANIFEST.format(name="linked"), "src/main.rs": "fn main() {}"})
    source = (
        dag.directory()
        .with_directory("/", linked)
        .with_directory("elsewhere", member)
        .with_new_file("Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["server", "tools", "linked"]\n')
        .with_new_file(
            "Cargo.lock", await workspace().file("Cargo.lock").contents() + LOCK.format(name="linked")[13:]
        )
    )
    planned = await plan.plan(BuildRequest(source, TARGETS, cargo_choice("linked")))
    assert [binary.name for binary in planned.binaries] == ["linked"]


async def test_a_module_called_target_is_source_and_what_cargo_wrote_is_not(
    session: dagger.Client, tmp_path: Path
) -> None:
    written(tmp_path)
    kept = ("src/target/mod.rs", "members/target/Cargo.toml")
    left_out = (
        "target/release/hello",
        "fuzz/target/debug/one",
        "fuzz/target/aarch64-unknown-linux-gnu/release/one",
        "fuzz/target/.rustc_info.json",
    )
    for name in (*kept, *left_out):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = session.host().directory(str(tmp_path), exclude=plan.IGNORED)
    files = {name for name in await source.glob("**") if not name.endswith("/")}
    assert files == {"Cargo.toml", "Cargo.lock", "src/main.rs", *kept}
