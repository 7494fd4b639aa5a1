"""The zoo: one tiny crate per kind of native dependency, built without any configuration and then run.

`pytest tests/e2e` builds a few; `pytest tests/e2e/test_natives.py --zoo` builds all for every platform and
writes what came of it to tests/data/zoo/results.json.
"""

import json
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime

import crates
import dagger
import pytest
from conftest import ROOT
from dagger import dag

from pipeline import RustMultiarch, errors
from pipeline.build import IGNORED

pytestmark = pytest.mark.anyio

ZOO = ROOT / "tests/data/zoo"
RESULTS = ZOO / "results.json"
ANIMALS = sorted(path.parent.name for path in ZOO.glob("*/Cargo.toml"))
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
ALWAYS = {("openssl", "linux/arm64"), ("pq", "linux/arm64"), ("bindgen", "linux/arm64")}
"""A system library, a package that cannot be installed for two architectures, and code from a C header."""

WHOLE_ZOO = pytest.mark.zoo
CASES = [
    pytest.param(crate, platform, marks=() if (crate, platform) in ALWAYS else WHOLE_ZOO)
    for crate in ANIMALS
    for platform in PLATFORMS
]


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, str]]]:
    """What came of each crate on each platform; written at the end where the whole zoo was asked for."""
    found: dict[str, dict[str, str]] = {}
    yield found
    if found and request.config.getoption("--zoo"):
        write_results(found)


def write_results(found: dict[str, dict[str, str]]) -> None:
    """Each outcome with the commit and day it was measured at; what was not measured now stays."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    measured = {"commit": commit, "date": datetime.now(UTC).date().isoformat()}
    for crate, platforms in found.items():
        rows = {platform: {"result": result, **measured} for platform, result in platforms.items()}
        known[crate] = known.get(crate, {}) | rows
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def source(crate: str) -> dagger.Directory:
    return dag.host().directory(str(ZOO / crate), exclude=IGNORED)


def prints(crate: str) -> str:
    manifest = tomllib.loads((ZOO / crate / "Cargo.toml").read_text())
    return manifest["package"]["metadata"]["zoo"]["prints"]


@pytest.mark.parametrize(("crate", "platform"), CASES)
async def test_the_zoo(session, results, crate: str, platform: str) -> None:
    outcome = results.setdefault(crate, {})
    outcome[platform] = "failed"
    try:
        image = await RustMultiarch(source=source(crate), platforms=[platform]).build()
        printed = await image.variants[0].container.with_exec([], use_entrypoint=True).stdout()
    except (errors.RustMultiarchError, dagger.QueryError) as error:
        outcome[platform] = str(error).splitlines()[0]
        raise
    assert prints(crate) in printed
    outcome[platform] = "ok"


async def test_one_build_for_two_platforms_with_a_package_that_is_not_multi_arch(session) -> None:
    """Debian's libpq-dev cannot be installed for two architectures at once."""
    platforms = ["linux/amd64", "linux/arm64"]
    image = await RustMultiarch(source=source("pq"), platforms=platforms).build()
    for variant in image.variants:
        assert prints("pq") in await variant.container.with_exec([], use_entrypoint=True).stdout()


async def test_what_cannot_work_is_reported_before_any_compile(session) -> None:
    manifest = '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\n'
    fake = '[package]\nname = "intel-mkl-src"\nversion = "0.8.1"\nedition = "2021"\n'
    lock = (
        'version = 3\n\n[[package]]\nname = "intel-mkl-src"\nversion = "0.8.1"\n\n[[package]]\nname = "x"\n'
    )
    files = {
        "Cargo.toml": manifest + 'intel-mkl-src = { path = "mkl" }\n',
        "Cargo.lock": lock + 'version = "0.1.0"\ndependencies = [\n "intel-mkl-src",\n]\n',
        "src/main.rs": "fn main() { this does not compile }\n",
        "mkl/Cargo.toml": fake,
        "mkl/src/lib.rs": "",
    }
    module = RustMultiarch(source=crates.directory(files), platforms=["linux/amd64", "linux/arm64"])
    with pytest.raises(errors.CannotCrossCompile, match=r"intel-mkl-src 0\.8\.1 for linux/arm64") as raised:
        await module.build()
    assert "openblas-src" in raised.value.fix


async def test_an_unknown_crates_library_is_suggested_and_the_suggestion_works(session) -> None:
    main = '#[link(name = "uuid")]\nunsafe extern "C" { fn uuid_is_null(id: *const [u8; 16]) -> i32; }\n'
    main += 'fn main() { println!("null {}", unsafe { uuid_is_null(&[0; 16]) }); }\n'
    source = crates.hello(main=main)
    with pytest.raises(errors.LinkError) as raised:
        await RustMultiarch(source=source, platforms=["linux/arm64"]).build()
    assert "--target-packages uuid-dev" in raised.value.fix
    module = RustMultiarch(source=source, platforms=["linux/arm64"], target_packages=["uuid-dev"])
    image = await module.build()
    container = image.variants[0].container
    assert await container.with_exec([], use_entrypoint=True).stdout() == "null 1\n"


async def test_what_was_added_to_the_image_is_on_record(session) -> None:
    image = await RustMultiarch(source=source("pq"), platforms=["linux/arm64"]).build()
    recorded = await image.variants[0].container.directory("/var/lib/dpkg/status.d").entries()
    assert "libpq5" in recorded
    assert "libpq-dev" not in recorded
    assert "libc6" not in recorded, "the base has it"
