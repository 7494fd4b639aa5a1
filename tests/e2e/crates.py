"""Generate small crates for tests that need a particular project."""

from pathlib import Path

import dagger
from dagger import dag

LOCK = """version = 3

[[package]]
name = "{name}"
version = "0.1.0"
"""

MANIFEST = """[package]
name = "{name}"
version = "0.1.0"
edition = "2021"
"""

# Prints the build's settings, so that a test can distinguish builds by running them.
MAIN = """
fn main() {
    println!("arch={}", std::env::consts::ARCH);
    println!("debug={}", cfg!(debug_assertions));
    println!("extra={}", cfg!(feature = "extra"));
    println!("base={}", cfg!(feature = "base"));
    println!("commit={}", option_env!("GIT_COMMIT_SHA").unwrap_or("none"));
    println!("greeting={}", std::env::var("GREETING").unwrap_or_default());
    println!("arguments={}", std::env::args().skip(1).collect::<Vec<_>>().join(","));
    println!("lto={}", cfg!(marked));
}
"""

FEATURES = """
[features]
default = ["base"]
base = []
extra = []

[lints.rust]
unexpected_cfgs = "allow"
"""


# Compiles with the variables that the `cc` crate reads, and links like it.
_BUILD = """
use std::{{env, process::Command}};

fn run(program: String, arguments: &[&str]) {{
    assert!(Command::new(&program).args(arguments).status().unwrap().success(), "{{program}}");
}}

fn main() {{
    let out = env::var("OUT_DIR").unwrap();
    let target = env::var("TARGET").unwrap().replace('-', "_");
    let tool = |name: &str| env::var(format!("{{name}}_{{target}}")).unwrap();
    let (object, archive) = (format!("{{out}}/{stem}.o"), format!("{{out}}/lib{stem}.a"));
    run(tool("{compiler}"), &[{flags}, "-c", "{source}", "-o", &object]);
    run(tool("AR"), &["rcs", &archive, &object]);
    println!("cargo:rustc-link-search=native={{out}}");
{links}
}}
"""


def compiling(source: str, compiler: str, flags: tuple[str, ...], libraries: tuple[str, ...] = ()) -> str:
    """Return a build script that compiles a file with `CC` or `CXX`, and links it and more libraries."""
    stem = source.partition(".")[0]
    names = [f"static={stem}", *libraries]
    links = "\n".join(f'    println!("cargo:rustc-link-lib={name}");' for name in names)
    quoted = ", ".join(f'"{flag}"' for flag in flags)
    return _BUILD.format(stem=stem, compiler=compiler, flags=quoted, source=source, links=links)


def directory(files: dict[str, str]) -> dagger.Directory:
    """Return a directory of text files."""
    made = dag.directory()
    for path, text in files.items():
        made = made.with_new_file(path, text)
    return made


def hello_files(name: str = "hello", main: str = MAIN, extra: str = FEATURES) -> dict[str, str]:
    """Return the files of a package with one binary and no dependencies."""
    return {
        "Cargo.toml": MANIFEST.format(name=name) + extra,
        "Cargo.lock": LOCK.format(name=name),
        "src/main.rs": main,
    }


def hello(name: str = "hello", main: str = MAIN, extra: str = FEATURES) -> dagger.Directory:
    """Return a package with one binary and no dependencies."""
    return directory(hello_files(name, main, extra))


def written(path: Path, name: str = "hello", main: str = MAIN, extra: str = FEATURES) -> Path:
    """Write a package with one binary and no dependencies to a directory."""
    for file, text in hello_files(name, main, extra).items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text(text)
    return path


def workspace() -> dagger.Directory:
    """Return a workspace of two packages: `server` with one binary, `tools` with two."""
    files = {"Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["server", "tools"]\n'}
    files["Cargo.lock"] = LOCK.format(name="server") + LOCK.format(name="tools").removeprefix("version = 3\n")
    programs = {"server": ["src/main.rs"], "tools": ["src/bin/import.rs", "src/bin/export.rs"]}
    for package, paths in programs.items():
        files[f"{package}/Cargo.toml"] = MANIFEST.format(name=package)
        for path in paths:
            files[f"{package}/{path}"] = f'fn main() {{ println!("{package}/{path}"); }}\n'
    return directory(files)
