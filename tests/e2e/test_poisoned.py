"""Attack the caches of an engine from one build, and check that another build is unharmed."""

import secrets

import crates
import dagger
import pytest

from pipeline import RustMultiarch, errors
from pipeline.releases import DEFAULT

pytestmark = pytest.mark.anyio

ITOA = """[[package]]
name = "itoa"
version = "1.0.19"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "3bd1574e617a9a6c1f8f8181bd7e841e1f20e4277607ef28945765188d6284d4"
"""

# Edits unpacked sources and archives of crates, and leaves a configuration and a program in cargo's home.
POISON = """
use std::{fs, path::Path};
fn poison(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let text = path.to_string_lossy().into_owned();
        if path.is_dir() {
            poison(&path);
        } else if text.contains("itoa-") && text.ends_with("/lib.rs") {
            fs::write(&path, "compile_error!(\\"poisoned\\");").unwrap();
        } else if text.ends_with(".crate") {
            fs::write(&path, "poisoned").unwrap();
        }
    }
}
fn main() {
    for home in ["/cargo", "/downloads", "/usr/local/cargo"] {
        poison(Path::new(home));
        fs::create_dir_all(format!("{home}/bin")).unwrap();
        fs::write(format!("{home}/config.toml"), "[build]\\nrustc = '/poisoned'\\n").unwrap();
        fs::write(format!("{home}/bin/git"), "exit 1\\n").unwrap();
    }
}
"""


def project(name: str, script: str = "fn main() {}\n") -> dagger.Directory:
    """Return a program with a dependency and a build script."""
    lock = crates.LOCK.format(name=name) + f'dependencies = ["itoa"]\n\n{ITOA}'
    main = f'fn main() {{ println!("{{}} {secrets.token_hex(8)}", itoa::Buffer::new().format(17)); }}\n'
    return crates.directory(
        {
            "Cargo.toml": crates.MANIFEST.format(name=name) + '[dependencies]\nitoa = "1.0.19"\n',
            "Cargo.lock": lock,
            "build.rs": script,
            "src/main.rs": main,
        }
    )


async def says(source: dagger.Directory, name: str, untrusted: bool = False) -> str:
    module = RustMultiarch(source=source, platforms=["linux/amd64"], untrusted=untrusted)
    program = await module.binary("linux/amd64", name)
    container = dagger.dag.container().from_(DEFAULT.base).with_file("/program", program)
    return await container.with_exec(["/program"]).stdout()


async def test_what_a_build_script_changes_reaches_no_other_project(session) -> None:
    try:
        assert (await says(project("attacker", POISON), "attacker")).startswith("17 ")
    except errors.CompileError as error:
        # Its own dependency was compiled after its build script ran.
        assert "poisoned" in error.output
    assert (await says(project("victim"), "victim")).startswith("17 ")


# Leaves a file in each directory that outlives the build, and prints whether one was there.
MARK = """
use std::{fs, path::Path};
fn main() {
    let mut found = Vec::new();
    for folder in ["/build/target", "/build/state", "/build", "/cargo", "/downloads/public"] {
        let file = Path::new(folder).join("poisoned-NAME");
        if file.exists() { found.push(folder); }
        let _ = fs::write(file, "");
    }
    println!("cargo:rustc-env=FOUND={}", found.join(" "));
}
"""


async def test_an_untrusted_build_reaches_no_trusted_one(session) -> None:
    """Build the same project: a pull request twice, then the main branch twice."""
    name = f"marked-{secrets.token_hex(4)}"

    async def found(untrusted: bool) -> list[str]:
        # Other code each time, so that the build script runs.
        script = MARK.replace("NAME", name) + f"// {secrets.token_hex(8)}\n"
        source = project(name, script).with_new_file(
            "src/main.rs", f'fn main() {{ println!("{{}}", env!("FOUND")); }} // {secrets.token_hex(8)}\n'
        )
        return (await says(source, name, untrusted)).split()

    assert await found(untrusted=True) == []
    assert "/build/target" in await found(untrusted=True), "the attack works"
    assert await found(untrusted=False) == []
    assert "/build/target" in await found(untrusted=False)
    assert "/cargo" not in await found(untrusted=False)


async def test_an_untrusted_image_is_not_published(session) -> None:
    module = RustMultiarch(source=project("stranger"), platforms=["linux/amd64"], untrusted=True)
    with pytest.raises(errors.Untrusted):
        await module.publish("127.0.0.1:1/stranger:1")
    image = await module.build()
    with pytest.raises(errors.Untrusted):
        await image.publish("127.0.0.1:1/stranger:1")
