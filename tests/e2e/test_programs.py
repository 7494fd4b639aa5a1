"""Programs of other people, from the crate registry: built with no configuration, started, and used."""

import dagger
import outcomes
import pytest
from dagger import dag
from programs import PROGRAMS, SUITE, Program

from pipeline.toolchain import builder as toolchain
from pipeline.toolchain.versions import PYTHON

pytestmark = [pytest.mark.anyio, pytest.mark.programs]

RUST = "1.96"

# cargo downloads what a project depends on, so there has to be one.
FETCH = """
mkdir -p /fetching/src && cd /fetching && touch src/lib.rs
cat >Cargo.toml <<END
[package]
name = "fetching"
version = "0.0.0"
edition = "2021"

[dependencies]
$1 = "=$2"
END
cargo fetch --quiet
mv "$CARGO_HOME"/registry/src/*/"$1-$2" /program
cd /program
rm -rf .cargo-ok .cargo_vcs_info.json Cargo.toml.orig
"""

ASK = """
import sys, time, urllib.request
url, wanted = sys.argv[1:]
for attempt in range(100):
    try:
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        break
    except OSError as error:
        text = str(error)
        time.sleep(0.2)
print("ok" if wanted in text else "it answered " + text[:200])
"""


def source(program: Program) -> dagger.Directory:
    """The package as its authors published it, with their lock file."""
    rust = dag.container().from_(toolchain.rust_image(RUST))
    command = ["sh", "-euc", FETCH, "sh", program.crate, program.version]
    return rust.with_exec(command).directory("/program")


def answering(program: Program) -> outcomes.Try:
    """A try of a server: what it answers to one request."""

    async def tried(container: dagger.Container) -> str:
        server = container.with_exposed_port(8080).as_service(
            args=list(program.arguments), use_entrypoint=True
        )
        client = dag.container().from_(PYTHON).with_service_binding("program", server)
        asked = client.with_exec(["python3", "-c", ASK, program.url, program.prints])
        try:
            return (await asked.stdout()).strip()
        except dagger.QueryError as error:
            print(error)
            return f"it did not answer: {outcomes.last(str(error))}"

    return tried


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.crate)
async def test_a_program(session, program: Program) -> None:
    printing = outcomes.printing(program.prints, program.arguments, program.stdin)
    tried = answering(program) if program.url else printing
    found = await outcomes.of(source(program), SUITE.platforms, tried)
    SUITE.record(program.crate, found)
    assert found == dict.fromkeys(SUITE.platforms, "ok")
