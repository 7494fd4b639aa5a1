"""Build, start and use third-party programs from the crate registry, without configuration."""

import dagger
import outcomes
import pytest
from dagger import dag
from programs import PROGRAMS, SUITE, Program

from pipeline.releases import DEFAULT, PYTHON, RUST
from pipeline.toolchain import builder as toolchain

pytestmark = [pytest.mark.anyio, pytest.mark.programs]


# `cargo info` downloads and unpacks one package, checked against the index, and resolves nothing. The
# program is then built with its authors' lock file; otherwise every dependency would be the newest version.
FETCH = """
mkdir /fetching && cd /fetching
cargo info --quiet "$1@$2" >/dev/null
mv "$CARGO_HOME"/registry/src/*/"$1-$2" /program
cd /program
test -f Cargo.lock || { echo "$1 $2 was published without a lock file" >&2; exit 1; }
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
    """Return the published package, with its lock file."""
    rust = dag.container().from_(toolchain.rust_image(RUST, DEFAULT))
    command = ["sh", "-euc", FETCH, "sh", program.crate, program.version]
    return rust.with_exec(command).directory("/program")


def answering(program: Program) -> outcomes.Try:
    """Return a try of a server: its response to one request."""

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
