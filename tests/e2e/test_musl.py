"""Test static programs with musl, of Rust, C and C++, in an empty image; and an older glibc."""

import io
import json
from pathlib import Path

import crates
import dagger
import pytest
import zoo
from conftest import PLATFORMS, ROOT
from dagger import dag
from elftools.elf.elffile import ELFFile

from pipeline import RustMultiarch, errors
from pipeline.build.plan import IGNORED
from pipeline.image import Image
from pipeline.oci import runtime
from pipeline.releases import DEFAULT, PYTHON
from pipeline.targets import Libc, parse
from pipeline.toolchain.versions import highest, numbered

pytestmark = pytest.mark.anyio

ARCHITECTURES = [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")]

# Prints the features of the system it runs on, and unwinds a panic.
SYSTEM = """
fn main() {
    let size = |path: &str| std::fs::read(path).map_or(0, |bytes| bytes.len());
    println!("arch={}", std::env::consts::ARCH);
    println!("certificates={}", size("/etc/ssl/certs/ca-certificates.crt") > 100_000);
    println!("zone={}", size("/usr/share/zoneinfo/Europe/Berlin") > 500);
    println!("tmp={}", std::fs::write("/tmp/probe", "x").is_ok());
    println!("root={}", std::fs::write("/probe", "x").is_ok());
    println!("shell={}", std::path::Path::new("/bin/sh").exists());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("Uid:")).unwrap().replace('\\t', " "));
    std::panic::set_hook(Box::new(|_| {}));
    println!("caught={}", std::panic::catch_unwind(|| panic!("out")).is_err());
}
"""

BUILD = crates.compiling("shout.cc", "CXX", ("-std=c++17", "-O2"), ("stdc++",))
SHOUT = """
#include <algorithm>
#include <iostream>
#include <stdexcept>
#include <string>

extern "C" int shout(const char *text) {
    std::string word(text);
    std::transform(word.begin(), word.end(), word.begin(), ::toupper);
    std::cout << word << std::endl;
    try {
        throw std::runtime_error("thrown");
    } catch (const std::exception &error) {
        return error.what()[0];
    }
}
"""
CALLER = """
unsafe extern "C" { fn shout(text: *const core::ffi::c_char) -> i32; }
fn main() { println!("caught={}", unsafe { shout(c"hello".as_ptr()) } == 't' as i32); }
"""

UPSTREAM = """
import http.server, ssl, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"well")
plain, tls = (http.server.ThreadingHTTPServer(("", port), Answer) for port in (8000, 8443))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/cert.pem", "/tls/key.pem")
tls.socket = context.wrap_socket(tls.socket, server_side=True)
threading.Thread(target=plain.serve_forever).start()
tls.serve_forever()
"""


async def elf(file: dagger.File, path: Path) -> ELFFile:
    await file.export(str(path))
    return ELFFile(io.BytesIO(path.read_bytes()))


def assert_static(binary: ELFFile) -> None:
    assert not list(binary.iter_segments("PT_INTERP"))
    for dynamic in binary.iter_segments("PT_DYNAMIC"):
        assert not list(dynamic.iter_tags("DT_NEEDED"))


async def started(image: Image, platform: str) -> list[str]:
    container = image.variant(platform).container
    return (await container.with_exec([], use_entrypoint=True).stdout()).splitlines()


async def musl(source: dagger.Directory, **options) -> Image:
    return await RustMultiarch(source=source, platforms=PLATFORMS, libc=Libc.MUSL, **options).build()


@pytest.fixture(scope="module")
async def system(session) -> Image:
    return await musl(crates.hello(main=SYSTEM))


@pytest.fixture(scope="module")
async def static_sample(session) -> Image:
    """Build sample_app, which has C and assembler code (ring's)."""
    return await musl(dag.host().directory(str(ROOT / "sample_app"), exclude=IGNORED), ports=[8080])


@pytest.mark.musl
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_nothing_is_loaded(system, platform: str, tmp_path: Path) -> None:
    target, variant = parse(platform), system.variant(platform)
    assert variant.triple == target.musl
    binary = await elf(variant.binaries.file("hello"), tmp_path / "hello")
    assert_static(binary)
    assert binary["e_machine"] == target.machine
    assert binary.get_section_by_name(".symtab") is None, "stripped"
    symbols = await elf(variant.symbols.file("hello.debug"), tmp_path / "hello.debug")
    notes = [f.get_section_by_name(".note.gnu.build-id").data() for f in (binary, symbols)]
    assert notes[0] == notes[1]


@pytest.mark.musl
async def test_where_rustc_asks_for_position_independence_it_gets_it(system, tmp_path: Path) -> None:
    binary = await elf(system.variant("linux/amd64").binaries.file("hello"), tmp_path / "hello")
    assert binary["e_type"] == "ET_DYN"


@pytest.mark.musl
@pytest.mark.parametrize(("platform", "arch"), ARCHITECTURES)
async def test_it_runs_on_nothing_and_finds_what_programs_expect(system, platform: str, arch: str) -> None:
    lines = await started(system, platform)
    for line in (f"arch={arch}", "certificates=true", "zone=true", "tmp=true", "caught=true"):
        assert line in lines
    for line in ("root=false", "shell=false", "Uid: 10001 10001 10001 10001"):
        assert line in lines


@pytest.mark.musl
async def test_the_image_has_nothing_else(system) -> None:
    root = system.variant("linux/arm64").container.rootfs()
    files = {path for path in await root.glob("**") if not path.startswith("usr/share/zoneinfo/")}
    assert {path for path in files if not path.endswith("/")} == {
        "etc/group", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", "usr/local/bin/hello",
    }  # fmt: skip
    accounts = await root.file("etc/passwd").contents()
    assert [line.split(":")[0] for line in accounts.splitlines()] == ["root", "app"]
    verified = json.loads(system.verified)["verified"]
    assert {one["runtime"] for one in verified} == {runtime.SCRATCH}
    assert all(one["linkage"].startswith("static") for one in verified)


@pytest.mark.musl
async def test_a_base_of_the_callers_own_is_used(session) -> None:
    image = await RustMultiarch(
        source=crates.hello(main=SYSTEM), platforms=["linux/amd64"], libc=Libc.MUSL, runtime_base=DEFAULT.base
    ).build()
    assert "shell=true" in await started(image, "linux/amd64")


@pytest.mark.musl
@pytest.mark.zoo
async def test_cplusplus_is_linked_in(session, tmp_path: Path) -> None:
    source = crates.hello(main=CALLER).with_new_file("build.rs", BUILD).with_new_file("shout.cc", SHOUT)
    image = await musl(source)
    for platform in PLATFORMS:
        assert await started(image, platform) == ["HELLO", "caught=true"]
        assert_static(await elf(image.variant(platform).binaries.file("hello"), tmp_path / "hello"))


@pytest.mark.musl
async def test_a_library_that_a_crate_carries_is_linked_in(session) -> None:
    image = await musl(dag.host().directory(str(zoo.ZOO / "lz4"), exclude=IGNORED))
    for platform in PLATFORMS:
        assert zoo.expected("lz4") in "\n".join(await started(image, platform))


async def test_a_systems_library_is_refused_with_the_feature_that_makes_it_the_crates_own(session) -> None:
    with pytest.raises(errors.CannotCrossCompile, match="libssl-dev") as raised:
        await musl(dag.host().directory(str(zoo.ZOO / "openssl"), exclude=IGNORED))
    assert raised.value.fix == "switch on the `vendored` feature of openssl"


@pytest.fixture(scope="module")
def upstream(session) -> dagger.Service:
    """Run a server for HTTP on 8000, and for TLS with an untrusted certificate on 8443."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=upstream"]
    command += ["-addext", "subjectAltName=DNS:upstream", "-keyout", "/tls/key.pem", "-out", "/tls/cert.pem"]
    container = dag.container().from_(PYTHON).with_new_file("/upstream.py", UPSTREAM)
    container = container.with_exec(["mkdir", "/tls"]).with_exec(command)
    container = container.with_exposed_port(8000).with_exposed_port(8443)
    return container.as_service(args=["python3", "/upstream.py"])


@pytest.mark.musl
@pytest.mark.zoo
@pytest.mark.parametrize(("platform", "arch"), ARCHITECTURES)
async def test_sample_app_finds_hosts_and_speaks_tls(
    static_sample, upstream, platform: str, arch: str, tmp_path: Path
) -> None:
    variant = static_sample.variant(platform)
    assert_static(await elf(variant.binaries.file("sample-app"), tmp_path / "sample-app"))
    answers = {}
    for url in ("http://upstream:8000/", "https://upstream:8443/"):
        bound = variant.container.with_service_binding("upstream", upstream)
        service = bound.with_env_variable("UPSTREAM_URL", url).as_service(use_entrypoint=True)
        client = dag.container().from_(PYTHON).with_service_binding("app", service)
        script = (
            "import urllib.request as r, urllib.error as e\n"
            "def get(path):\n"
            "  try: return r.urlopen('http://app:8080' + path).read().decode()\n"
            "  except e.HTTPError as error: return error.read().decode()\n"
            "print(get('/version')); print(get('/upstream/health'))\n"
        )
        version, health = (await client.with_exec(["python3", "-c", script]).stdout()).splitlines()
        assert json.loads(version)["arch"] == arch
        answers[url] = json.loads(health)
    assert answers["http://upstream:8000/"]["upstream_status"] == 200, "the resolver works without glibc"
    # Its certificate is rejected, after a complete handshake.
    assert "unreachable" in json.dumps(answers["https://upstream:8443/"])


@pytest.mark.parametrize("floor", ["2.17", pytest.param("2.28", marks=pytest.mark.zoo)])
async def test_an_older_glibc_is_enough(session, floor: str, tmp_path: Path) -> None:
    image = await RustMultiarch(
        source=crates.hello(main=SYSTEM), platforms=PLATFORMS, glibc=floor, cargo_args=["-v"]
    ).build()
    for platform, arch in ARCHITECTURES:
        binary = await elf(image.variant(platform).binaries.file("hello"), tmp_path / "hello")
        wanted = [
            version.name
            for section in binary.iter_sections("SHT_GNU_verneed")
            for _, versions in section.iter_versions()
            for version in versions
        ]
        assert numbered(highest(wanted, "GLIBC"))[1] <= tuple(map(int, floor.split(".")))
        assert f"arch={arch}" in await started(image, platform)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"libc": Libc.MUSL, "platforms": ["linux/s390x"]}, errors.UnsupportedLibc),
        ({"libc": Libc.MUSL, "glibc": "2.17"}, errors.UnsupportedLibc),
        ({"glibc": "1.0"}, errors.UnsupportedLibc),
        ({"glibc": "new"}, errors.InvalidArgument),
    ],
    ids=str,
)
async def test_what_cannot_be_linked_is_refused_before_anything_is_compiled(session, options, error) -> None:
    with pytest.raises(error):
        await RustMultiarch(source=crates.hello(main="not Rust at all"), **options).build()
