"""Test that a build of the uploaded files prints what `cargo build --locked` in a clean clone prints."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cargo_driver as driver
import pytest
from cargo_driver import Volume
from cargo_project import manifest

from pipeline.build import plan as planning
from pipeline.cli import source
from pipeline.config.request import Choice
from pipeline.config.settings import Settings
from pipeline.git import absent
from pipeline.native.natives import Needs
from pipeline.project import metadata, selection

PRINTS = 'fn main() { println!("{}", %s) }\n'


@dataclass(frozen=True)
class Sample:
    """A repository and a build in it.

    Attributes:
        files: the files of the repository.
        links: its symbolic links, with their targets.
        place: the directory to build in.
        chosen: the settings.
        words: the same for `cargo build` in the clone.
        program: the program to start.
    """

    files: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    place: str = "app"
    chosen: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    program: str = "app"


def app(rest: str = "", says: str = '"hello"') -> dict[str, str]:
    """Return the files of the package `app`, which prints an expression."""
    return {"app/Cargo.toml": manifest("app", rest), "app/src/main.rs": PRINTS % says}


def library(folder: str, name: str, says: str = '"library"', rest: str = "") -> dict[str, str]:
    said = f"pub fn said() -> String {{ String::from({says}) }}\n"
    return {f"{folder}/Cargo.toml": manifest(name, rest), f"{folder}/src/lib.rs": said}


SAYS_BUILD = (
    'fn main() {{ let said = std::fs::read_to_string({}).unwrap_or("fallback".into());'
    ' println!("cargo:rustc-env=SAID={{}}", said.trim()) }}\n'
)
SAID = 'env!("SAID")'
FEATURES = "[features]\none = []\ntwo = []\n"
LIB = '[dependencies]\nlib = { path = "%s" }\n'
WHICH = 'format!("{}{}", cfg!(feature = "one"), cfg!(feature = "two"))'

SAMPLES: Mapping[str, Sample] = {
    "a directory beside, in a build script": Sample(
        {**app(says=SAID), "app/build.rs": SAYS_BUILD.format('"../proto/a.txt"'), "proto/a.txt": "proto"}
    ),
    "a directory higher up, through a link": Sample(
        {**app(says=SAID), "app/build.rs": SAYS_BUILD.format('"data/a.txt"'), "far/real/a.txt": "through"},
        {"app/data": "../far/current", "far/current": "real"},
    ),
    "a file beside the packages in the code": Sample(
        {**app(says='include_str!("../../assets/a.txt")'), "assets/a.txt": "asset"}
    ),
    "a path dependency": Sample(
        {**app(LIB % "../libs/lib", "lib::said()"), **library("libs/lib", "lib")}
    ),
    "a path dependency through a link": Sample(
        {**app(LIB % "../linked/lib", "lib::said()"), **library("libs/lib", "lib")},
        {"linked": "libs"},
    ),
    "a renamed dependency": Sample(
        {
            **app('[dependencies]\nother = { path = "../lib", package = "lib" }\n', "other::said()"),
            **library("lib", "lib"),
        }
    ),
    "a dependency of one platform": Sample(
        {
            **app("[target.'cfg(unix)'.dependencies]\nlib = { path = \"../lib\" }\n", "lib::said()"),
            **library("lib", "lib"),
        }
    ),
    "inherited from the workspace": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["app"]\n[workspace.package]\nversion = "3.2.1"\n'
            '[workspace.dependencies]\nlib = { path = "lib" }\n',
            "app/Cargo.toml": '[package]\nname = "app"\nversion.workspace = true\nedition = "2024"\n'
            "[dependencies]\nlib.workspace = true\n",
            "app/src/main.rs": PRINTS % 'format!("{} {}", lib::said(), env!("CARGO_PKG_VERSION"))',
            **library("lib", "lib"),
        }
    ),
    "a package of another workspace": Sample(
        {
            **app(LIB % "../other/lib", "lib::said()"),
            "other/Cargo.toml": '[workspace]\nmembers = ["*"]\n[workspace.package]\nedition = "2021"\n'
            '[workspace.dependencies]\nmore = { path = "more" }\n',
            "other/lib/Cargo.toml": '[package]\nname = "lib"\nedition.workspace = true\n'
            "[dependencies]\nmore.workspace = true\n",
            "other/lib/src/lib.rs": "pub use more::said;\n",
            **library("other/more", "more"),
        }
    ),
    "members by patterns, and one excluded": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["a*", "libs/*/lib"]\nexclude = ["abc"]\nresolver = "2"\n',
            **app('[dependencies]\nlib = { path = "../libs/deep/lib" }\n', "lib::said()"),
            **library("libs/deep/lib", "lib"),
            "abc/Cargo.toml": "no manifest",
        }
    ),
    "an excluded package with a workspace of its own": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["other"]\nexclude = ["app"]\n',
            **library("other", "other"),
            **app("[workspace]\n"),
        }
    ),
    "the default members": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["app", "more"]\ndefault-members = ["app"]\n',
            **app(),
            "more/Cargo.toml": manifest("more"),
            "more/src/main.rs": "fn main() {}\n",
        },
        place="",
    ),
    "features of one member are not those of another": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["app", "more"]\nresolver = "1"\n',
            **app('[dependencies]\nlib = { path = "../lib", features = ["one"] }\n', "lib::said()"),
            "more/Cargo.toml": manifest(
                "more", '[dependencies]\nlib = { path = "../lib", features = ["two"] }\n'
            ),
            "more/src/main.rs": "fn main() {}\n",
            **library("lib", "lib", WHICH, FEATURES),
        }
    ),
    **{
        f"features that another default member enables, {words or 'by default'}": Sample(
            {
                "Cargo.toml": '[workspace]\nmembers = ["app", "more", "far"]\n'
                'default-members = ["app", "more"]\nresolver = "2"\n',
                **app('[dependencies]\nlib = { path = "../lib", features = ["one"] }\n', "lib::said()"),
                **library(
                    "more", "more", rest='[dependencies]\nlib = { path = "../lib", features = ["two"] }\n'
                ),
                "far/Cargo.toml": manifest("far", '[dependencies]\nlib = { path = "../lib" }\n'),
                "far/src/main.rs": PRINTS % "lib::said()",
                **library("lib", "lib", WHICH, FEATURES),
            },
            place="",
            chosen=chosen,
            words=words,
            program=program,
        )
        for chosen, words, program in (
            ({}, (), "app"),
            ({"bin": ["app"]}, ("--bin", "app"), "app"),
            ({"package": "app"}, ("--package", "app"), "app"),
            ({"bin": ["far"]}, ("--package", "far", "--bin", "far"), "far"),
        )
    },
    "the readme and the license of the workspace": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["app"]\n[workspace.package]\nreadme = "docs/ABOUT.md"\n',
            "app/Cargo.toml": manifest("app").replace(
                "edition", 'readme.workspace = true\nlicense-file = "../COPYING"\nedition'
            ),
            "app/src/main.rs": PRINTS
            % 'concat!(include_str!(concat!("../", env!("CARGO_PKG_README"))), '
            'include_str!(concat!("../", env!("CARGO_PKG_LICENSE_FILE"))))',
            "docs/ABOUT.md": "about",
            "COPYING": "license",
        },
    ),
    **{
        f"features of build dependencies, resolver {number}": Sample(
            {
                "Cargo.toml": f'[workspace]\nmembers = ["app"]\nresolver = "{number}"\n',
                **app(
                    '[dependencies]\nlib = { path = "../lib", features = ["one"] }\n'
                    '[build-dependencies]\nlib = { path = "../lib", features = ["two"] }\n',
                    "lib::said()",
                ),
                "app/build.rs": "fn main() { lib::said(); }\n",
                **library("lib", "lib", WHICH, FEATURES),
            }
        )
        for number in (1, 2, 3)
    },
    "a program outside of src": Sample(
        {
            "app/Cargo.toml": manifest("app", '[[bin]]\nname = "tool"\npath = "../tools/tool.rs"\n'),
            "tools/tool.rs": PRINTS % '"outside"',
        },
        program="tool",
    ),
    "a build script outside of the package": Sample(
        {
            "app/Cargo.toml": manifest("app").replace("edition", 'build = "../scripts/build.rs"\nedition'),
            "app/src/main.rs": PRINTS % SAID,
            "scripts/build.rs": 'fn main() { println!("cargo:rustc-env=SAID=shared") }\n',
        }
    ),
    "required features": Sample(
        {
            "app/Cargo.toml": manifest(
                "app", '[features]\none = []\n[[bin]]\nname = "app"\nrequired-features = ["one"]\n'
            ),
            "app/src/main.rs": PRINTS % 'cfg!(feature = "one")',
        },
        chosen={"features": ["one"]},
        words=("--features", "one"),
    ),
    "programs with the same name in two packages": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["app", "more"]\nresolver = "2"\n',
            **app(says='"the first"'),
            "more/Cargo.toml": manifest("more", '[[bin]]\nname = "app"\npath = "src/main.rs"\n'),
            "more/src/main.rs": PRINTS % '"the second"',
        },
        place="",
        chosen={"package": "more"},
        words=("--package", "more"),
    ),
    "a program with another name than its package": Sample(
        {
            "app/Cargo.toml": manifest("package", '[[bin]]\nname = "app"\npath = "src/main.rs"\n'),
            "app/src/main.rs": PRINTS % 'env!("CARGO_PKG_NAME")',
        }
    ),
    "a program in a directory of src/bin": Sample(
        {"app/Cargo.toml": manifest("app"), "app/src/bin/tool/main.rs": "mod more;\n" + PRINTS % "more::X",
         "app/src/bin/tool/more.rs": "pub const X: u8 = 7;\n"},
        program="tool",
    ),
    "a configuration without .toml above the package": Sample(
        {**app(says='env!("FROM")'), ".cargo/config": '[env]\nFROM = "configuration"\n'}
    ),
    "a relative path in the configuration": Sample(
        {
            **app(says='include_str!(env!("DATA"))'),
            ".cargo/config.toml": '[env]\nDATA = { value = "data/a.txt", relative = true }\n',
            "data/a.txt": "relative",
        }
    ),
    "a profile in the configuration": Sample(
        {
            **app(says="cfg!(debug_assertions)"),
            ".cargo/config.toml": "[profile.release]\ndebug-assertions = true\n",
        }
    ),
    "target directories in the configuration": Sample(
        {**app(), ".cargo/config.toml": '[build]\ntarget-dir = "out"\n'}
    ),
    "flags in the configuration": Sample(
        {**app(says="cfg!(marked)"), ".cargo/config.toml": "[build]\nrustflags = ['--cfg', 'marked']\n"}
    ),
    "an overridden build script": Sample(
        {
            **app(LIB % "../lib", 'lib::said().unwrap_or("overridden")'),
            "lib/Cargo.toml": manifest("lib").replace("edition", 'links = "native"\nedition'),
            "lib/src/lib.rs": 'pub fn said() -> Option<&\'static str> { option_env!("SAID") }\n',
            "lib/build.rs": 'fn main() { println!("cargo:rustc-env=SAID=ran") }\n',
            ".cargo/config.toml": f"[target.{driver.triple()}.native]\nroot = '/'\n",
        }
    ),
    "a patch by the workspace": Sample(
        {
            "Cargo.toml": '[workspace]\nmembers = ["app"]\n[patch.crates-io]\nlib = { path = "patched" }\n',
            **app('[dependencies]\nlib = "0.1"\n', "lib::said()"),
            **library("patched", "lib", '"patched"'),
        }
    ),
    "a patch by the configuration": Sample(
        {
            ".cargo/config.toml": '[patch.crates-io]\nlib = { path = "patched" }\n',
            **app('[dependencies]\nlib = "0.1"\n', "lib::said()"),
            **library("patched", "lib", '"patched"', '[dependencies]\nmore = { path = "../more" }\n'),
            **library("more", "more"),
        }
    ),
    "a default program": Sample(
        {
            "app/Cargo.toml": manifest("app").replace("edition", 'default-run = "two"\nedition'),
            "app/src/bin/one.rs": PRINTS % 1,
            "app/src/bin/two.rs": PRINTS % 2,
        },
        program="two",
    ),
    "a member that is outside of the root's directory": Sample(
        {
            "root/Cargo.toml": '[workspace]\nmembers = ["../app", "../li*"]\nresolver = "2"\n',
            "app/Cargo.toml": manifest("app", "[dependencies]\nlib = { path = '../lib' }\n").replace(
                "edition", 'workspace = "../root"\nedition'
            ),
            "app/src/main.rs": PRINTS % "lib::said()",
            "lib/Cargo.toml": manifest("lib").replace("edition", 'workspace = "../root"\nedition'),
            "lib/src/lib.rs": "pub fn said() -> u8 { 9 }\n",
        }
    ),
    "names of other directories, listed by a build script": Sample(
        {
            **app(says=SAID),
            "app/build.rs": 'fn main() { let docs = [".", "./docs"].concat();\n'
            "let found = std::fs::read_dir(docs).map(|it| it.count()).unwrap_or(0);\n"
            'println!("cargo:rustc-env=SAID={found}") }\n',
            "docs/a": "",
            "docs/b": "b",
        }
    ),
}  # fmt: skip


def make(sample: Sample, folder: Path) -> Path:
    """Make the repository of a sample, with its lock file."""
    for name, text in sample.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name, target in sample.links.items():
        (folder / name).symlink_to(target)
    git(folder, "init", "--quiet")
    cargo(folder / sample.place, "generate-lockfile", "--offline")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=me", "-c", "user.email=me@example.invalid", "commit", "-qm", "all")
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


def cargo(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["cargo", *words], cwd=folder, env=driver.ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected(sample: Sample, repository: Path, folder: Path) -> str:
    """Return what the program of `cargo build --locked` in a clean clone prints."""
    git(repository, "clone", "--quiet", str(repository), str(folder))
    target = folder.parent / "target"
    common = ("build", "--locked", "--offline", "--release", "--target-dir", str(target))
    cargo(folder / sample.place, *common, *sample.words)
    return printed(target / "release" / sample.program)


def printed(program: Path) -> str:
    return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout


def uploaded(found: source.Upload, folder: Path) -> Path:
    """Copy the files of an upload to a directory, as the engine does."""
    for path in [each.replace("\\", "") for each in found.include] or ["."]:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if (found.root / path).is_dir() and not (found.root / path).is_symlink():
            left = shutil.ignore_patterns(".git")
            shutil.copytree(found.root / path, place, symlinks=True, ignore=left, dirs_exist_ok=True)
        else:
            shutil.copy2(found.root / path, place, follow_symlinks=False)
    return folder


@pytest.mark.parametrize("name", SAMPLES)
def test_a_build_is_that_of_a_clean_clone(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    repository = make(sample, tmp_path / "repository")
    said = expected(sample, repository, tmp_path / "clone")
    here = source.find(repository / sample.place)
    found = source.upload(here, Settings(**sample.chosen))
    part = uploaded(found, tmp_path / "part")
    described = cargo(part / found.directory, "metadata", "--no-deps", "--offline", "--format-version", "1")
    choice = Choice(
        package=sample.chosen.get("package", here.package),
        bins=tuple(sample.chosen.get("bin", ())),
        features=tuple(sample.chosen.get("features", ())),
    )
    lock = (part / here.workspace.relative_to(found.root) / "Cargo.lock").read_text()
    binaries = selection.choose(metadata.read_metadata(described), choice)
    assert [binary.name for binary in binaries] == [sample.program]
    built = driver.plan(
        [sample.program],
        absent=absent.listed(found.root, found.absent),
        digests=absent.digests(found.root, found.sent, found.others),
    )
    request = replace(built.request, choice=choice)
    commands = planning.build_commands(request, binaries, (Needs(),), lock)
    volume = Volume(tmp_path)
    volume.build(part, replace(built, request=request, commands=commands), place=found.directory).check()
    assert volume.prints(sample.program) == said
