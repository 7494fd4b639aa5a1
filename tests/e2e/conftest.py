"""Share an engine session, a registry and a build of a small service between the end-to-end tests."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import dagger
import debian_tools
import pytest
import quick
from dagger import dag
from faulty import Proxy, proxy

from engine import choice, config, lifecycle, registry
from engine.paths import Paths
from engine.record import BaseImages
from pipeline import RustMultiarch
from pipeline.build.plan import IGNORED
from pipeline.image import Image

# Background processes of a script ignore it, and so would the commands that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[2]
SESSION_LOG = ROOT / f".e2e{os.environ.get('PYTEST_XDIST_WORKER', '')}.log"
PLATFORMS = ["linux/amd64", "linux/arm64"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


# Suites that are too long for every change, each with its option.
LONG = {
    "zoo": "build all of tests/data/zoo, for every platform",
    "programs": "build and start programs of other people from the crate registry",
    "emulated": "run the compiler itself under QEMU",
    "documents": "run the commands of every page, not of README.md alone",
    "systems": "check and run what `ci init` writes, and the GitHub action, with programs compiled for it",
    "stores": "share compiled dependencies by Debian's Redis",
    "peers": "verify signatures with the real cosign, which is compiled first",
    "musl": "build and start static programs, for which the standard library may be compiled first",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, what in LONG.items():
        parser.addoption(f"--{name}", action="store_true", help=what)
    parser.addoption("--quick", action="store_true", help="leave out what tests/e2e/quick.py names")


def pytest_configure(config: pytest.Config) -> None:
    for name in LONG:
        config.addinivalue_line("markers", f"{name}: what only --{name} runs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    unasked = [name for name in LONG if not config.getoption(f"--{name}")]
    left_out = [item for item in items if any(map(item.get_closest_marker, unasked))]
    if config.getoption("--quick"):
        left_out += [item for item in items if item not in left_out and quick.left_out(item.nodeid)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """Install the programs that tests inspect images with."""
    debian_tools.ensure()


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> choice.Choice:
    more = ["linux/arm/v7"] if request.config.getoption("--zoo") else []
    chosen = choice.choose(images=BaseImages([*PLATFORMS, *more]))
    os.environ.update(chosen.environment)
    return chosen


@pytest.fixture(scope="module")
async def session(engine: choice.Choice, anyio_backend: str) -> AsyncIterator[dagger.Client]:
    """Open a session for the tests of a file.

    Dagger's client looks at all steps of its session twenty times a second: in a session of all tests it took
    a fifth of a processor.
    """
    with SESSION_LOG.open("w") as log:
        async with dagger.connection(dagger.Config(log_output=log)):
            yield dag


@pytest.fixture(scope="session")
def loopback(engine: choice.Choice) -> str:
    """Return the registry on this machine, reachable from the engine."""
    if engine.kind != "embedded":
        pytest.skip("this engine does not share this machine's loopback")
    return lifecycle.publishing_registry()


@pytest.fixture(scope="session")
def mirror(engine) -> str:
    """Return the registry with the stand-ins of Docker Hub's images."""
    found = config.mirrors(Paths.default()).get("docker.io") if engine.kind == "embedded" else None
    if not found:
        pytest.skip("this engine has no stand-ins")
    return found


@pytest.fixture
def private_registry(engine: choice.Choice) -> Iterator[registry.Throwaway]:
    """Run a registry that requires a user name and a password."""
    if engine.kind != "embedded":
        pytest.skip("this engine does not share this machine's loopback")
    with registry.throwaway(users={"me": "s3cret"}) as private:
        yield private


@pytest.fixture(scope="module")
def plain() -> Iterator[registry.Throwaway]:
    """Run a registry for the tests of a file, without an engine."""
    with registry.throwaway() as made:
        yield made


@pytest.fixture
def faulty(plain: registry.Throwaway) -> Iterator[Proxy]:
    """Run a proxy in front of the registry that injects faults and records requests."""
    with proxy(plain.address) as made:
        yield made


@pytest.fixture(scope="module")
async def service_image(session: dagger.Client) -> Image:
    """Build tests/data/service, which has no dependencies, for both default platforms."""
    return await built(session, ROOT / "tests/data/service")


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Return as soon as a condition holds; fail if it takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


async def built(session: dagger.Client, project: Path) -> Image:
    """Build a project whose program listens on port 8080, for both default platforms."""
    source = session.host().directory(str(project), exclude=IGNORED)
    commit = [f"GIT_COMMIT_SHA={COMMIT}"]
    return await RustMultiarch(source=source, platforms=PLATFORMS, ports=[8080], build_args=commit).build()


async def check_answers(image: Image, platform: str, arch: str) -> None:
    """Start a variant as a service, and check its architecture, its commit and its health."""
    service = image.variant(platform).container.as_service(use_entrypoint=True)
    address = await service.endpoint(port=8080, scheme="http")
    answer = await dag.http(f"{address}/version", experimental_service_host=service).contents()
    document = json.loads(answer)
    assert (document["arch"], document["commit"]) == (arch, COMMIT)
    health = await dag.http(f"{address}/healthz", experimental_service_host=service).contents()
    assert json.loads(health) == {"status": "ok"}
