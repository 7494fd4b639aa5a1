"""Build and run a small crate for each kind of native dependency, without configuration.

`pytest tests/e2e` builds a few; `make zoo` builds all for every platform and records the results in
tests/data/zoo/results.json.
"""

import crates
import dagger
import outcomes
import pytest
import zoo
from dagger import dag

from pipeline import RustMultiarch, errors
from pipeline.build.plan import IGNORED

pytestmark = pytest.mark.anyio


def source(crate: str) -> dagger.Directory:
    return dag.host().directory(str(zoo.ZOO / crate), exclude=IGNORED)


async def built(crate: str, platforms: tuple[str, ...]) -> dict[str, str]:
    return await outcomes.of(source(crate), platforms, outcomes.printing(zoo.expected(crate)))


@pytest.mark.zoo
@pytest.mark.parametrize("crate", zoo.CRATES)
async def test_the_zoo(session, crate: str) -> None:
    found = await built(crate, zoo.SUITE.platforms)
    zoo.SUITE.record(crate, found)
    assert found == dict.fromkeys(zoo.SUITE.platforms, "ok")


@pytest.mark.parametrize("crate", ["openssl", "bindgen"])
async def test_a_systems_library_and_a_c_header_on_a_foreign_platform(session, crate: str) -> None:
    assert await built(crate, ("linux/arm64",)) == {"linux/arm64": "ok"}


async def test_one_build_for_two_platforms_with_a_package_that_is_not_multi_arch(session) -> None:
    """Debian's libpq-dev cannot be installed for two architectures at once."""
    platforms = ("linux/amd64", "linux/arm64")
    assert await built("pq", platforms) == dict.fromkeys(platforms, "ok")


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
