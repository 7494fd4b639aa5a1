"""Make a small workspace whose program prints every input of its build, and the expected output."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

CHECKSUM = "0" * 64
VARIABLES = ("STAMP", "MACRO_VARIABLE", "OPTION", "VENDORED_VARIABLE", "NOBODY_READS")

MACROS = r"""
use proc_macro::TokenStream;
fn string(text: &str) -> TokenStream { format!("{text:?}").parse().unwrap() }
fn argument(input: TokenStream) -> String { input.to_string().trim_matches('"').to_string() }
#[proc_macro]
pub fn listed(input: TokenStream) -> TokenStream {
    let top = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let folder = std::path::Path::new(&top).join(argument(input));
    let mut said: Vec<String> = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        format!("{}={}", path.file_name().unwrap().to_str().unwrap(), std::fs::read_to_string(&path).unwrap())
    }).collect();
    said.sort();
    string(&said.join(","))
}
#[proc_macro]
pub fn variable(input: TokenStream) -> TokenStream {
    string(&std::env::var(argument(input)).unwrap_or("none".into()))
}
"""

BASE_BUILD = r"""
use std::{env, fs, path::Path};
fn main() {
    println!("cargo:rerun-if-changed=schema.txt");
    let read = |name: &str| fs::read_to_string(name).unwrap();
    let stamp = env::var("STAMP").unwrap_or("none".into());
    // What generators do that were written for clean checkouts.
    if !Path::new("src/generated.rs").exists() {
        let said = format!("{}/{}/{stamp}", read("schema.txt"), read("data.txt"));
        fs::write("src/generated.rs", format!("pub const GENERATED: &str = {said:?};")).unwrap();
    }
    let seed = format!("{}!", read("seed.txt"));
    fs::write("seed.txt", &seed).unwrap();
    println!("cargo:rustc-env=SEED={seed}");
    let kept = Path::new(&env::var("OUT_DIR").unwrap()).join("kept");
    if !kept.exists() { fs::write(&kept, read("data.txt")).unwrap(); }
    println!("cargo:rustc-env=KEPT={}", fs::read_to_string(kept).unwrap());
}
"""

APP_BUILD = r"""
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let above = Path::new("..");
    let read = |name: &str| fs::read_to_string(above.join(name)).unwrap();
    println!("cargo:rustc-env=NOTE={}", read("note.txt"));
    println!("cargo:rustc-env=EXTRA={}", read("base/extra.txt"));
    println!("cargo:rustc-env=CODE={}", read("base/src/consts.rs").lines().next().unwrap());
    let mode = fs::metadata("tool.sh").unwrap().permissions().mode() & 0o111 != 0;
    println!("cargo:rustc-env=TOOL={mode}");
    println!("cargo:rustc-env=LINK={}", fs::read_to_string("linked").unwrap());
}
"""

APP = r"""
fn main() {
    println!("code {}", "CODE-0");
    println!("generated {}", base::GENERATED);
    println!("seed {}", base::SEED);
    println!("kept {}", base::KEPT);
    println!("consts {}", base::consts::VALUE);
    println!("listed {}", macros::listed!("assets"));
    println!("macro {}", macros::variable!("MACRO_VARIABLE"));
    println!("option {}", option_env!("OPTION").unwrap_or("none"));
    println!("note {}", env!("NOTE"));
    println!("extra {}", env!("EXTRA"));
    println!("first {}", env!("CODE"));
    println!("tool {}", env!("TOOL"));
    println!("link {}", env!("LINK"));
    println!("included {}", include_str!("../../base/extra.txt"));
    println!("vendored {}", vendored::VALUE);
}
"""

VENDORED_BUILD = r"""
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=VENDORED={}", std::env::var("VENDORED_VARIABLE").unwrap_or("none".into()));
}
"""


def manifest(name: str, rest: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n{rest}'


def lock(*packages: tuple[str, tuple[str, ...]]) -> str:
    text = "version = 4\n"
    for name, dependencies in sorted(packages):
        text += f'\n[[package]]\nname = "{name}"\nversion = "0.1.0"\n'
        if name == "vendored":
            text += 'source = "registry+https://github.com/rust-lang/crates.io-index"\n'
            text += f'checksum = "{CHECKSUM}"\n'
        if dependencies:
            text += "dependencies = [\n" + "".join(f' "{one}",\n' for one in dependencies) + "]\n"
    return text


FILES = {
    "Cargo.toml": '[workspace]\nmembers = ["app", "base", "macros"]\nresolver = "2"\n',
    "Cargo.lock": lock(
        ("app", ("base", "macros", "vendored")), ("base", ()), ("macros", ()), ("vendored", ())
    ),
    ".cargo/config.toml": '[source.crates-io]\nreplace-with = "near"\n[source.near]\ndirectory = "vendor"\n',
    "note.txt": "note-0",
    "macros/Cargo.toml": manifest("macros", "[lib]\nproc-macro = true\n"),
    "macros/src/lib.rs": MACROS,
    "base/Cargo.toml": manifest("base"),
    "base/build.rs": BASE_BUILD,
    "base/src/lib.rs": "mod generated;\npub use generated::GENERATED;\npub mod consts;\n"
    'pub const SEED: &str = env!("SEED");\npub const KEPT: &str = env!("KEPT");\n',
    "base/src/consts.rs": '// first-0\npub const VALUE: &str = "value-0";\n',
    "base/schema.txt": "schema-0",
    "base/data.txt": "data-0",
    "base/extra.txt": "extra-0",
    "base/seed.txt": "seed-0",
    "app/Cargo.toml": manifest(
        "app",
        '[dependencies]\nbase = { path = "../base" }\nmacros = { path = "../macros" }\nvendored = "0.1"\n',
    ),
    "app/build.rs": APP_BUILD,
    "app/src/main.rs": APP,
    "app/tool.sh": "true\n",
    "app/one.txt": "one",
    "app/two.txt": "two",
    "app/assets/first.txt": "first",
    "vendor/vendored/.cargo-checksum.json": json.dumps({"files": {}, "package": CHECKSUM}),
    "vendor/vendored/Cargo.toml": manifest("vendored"),
    "vendor/vendored/build.rs": VENDORED_BUILD,
    "vendor/vendored/src/lib.rs": 'pub const VALUE: &str = env!("VENDORED");\n',
}


@dataclass
class Project:
    """A commit of the workspace, and the variables of its build."""

    files: dict[str, str] = field(default_factory=lambda: dict(FILES))
    links: dict[str, str] = field(default_factory=lambda: {"app/linked": "one.txt"})
    executable: set[str] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Project:
        return Project(dict(self.files), dict(self.links), set(self.executable), dict(self.variables))

    def write(self, folder: Path, time: float | None = None) -> None:
        """Write exactly these files to a directory, with a time stamp if one is given."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name in self.executable else 0o644)
            if time is not None:
                os.utime(path, (time, time))
        for name, target in self.links.items():
            (folder / name).symlink_to(target)

    def prints(self) -> dict[str, str]:
        """Return the program's output after a clean build, by line."""
        said = {name: self.variables.get(name, "none") for name in VARIABLES}
        folder = "app/assets/"
        assets = {
            name.removeprefix(folder): text for name, text in self.files.items() if name.startswith(folder)
        }
        consts = self.files["base/src/consts.rs"]
        data = self.files["base/data.txt"]
        return {
            "code": self.files["app/src/main.rs"]
            .partition('"CODE-')[2]
            .partition('"')[0]
            .join(("CODE-", "")),
            "generated": f"{self.files['base/schema.txt']}/{data}/{said['STAMP']}",
            "seed": self.files["base/seed.txt"] + "!",
            "kept": data,
            "consts": consts.partition('"')[2].partition('"')[0],
            "listed": ",".join(f"{name}={text}" for name, text in sorted(assets.items())),
            "macro": said["MACRO_VARIABLE"],
            "option": said["OPTION"],
            "note": self.files["note.txt"],
            "extra": self.files["base/extra.txt"],
            "first": consts.splitlines()[0],
            "tool": str("app/tool.sh" in self.executable).lower(),
            "link": self.files[f"app/{self.links['app/linked']}"],
            "included": self.files["base/extra.txt"],
            "vendored": said["VENDORED_VARIABLE"],
        }
