"""Whatever bytes arrive, a parser gives a result or an error with a next step, and ends soon.

`--hypothesis-profile=thorough` tries many more examples; `make test-all` does.
"""

from __future__ import annotations

import functools
import io
import json
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import cargo_toml
from pipeline.abi import elf, loader
from pipeline.cli import engine_log
from pipeline.errors import InvalidManifest, RustMultiarchError
from pipeline.git import facts, semver
from pipeline.native import dpkg
from pipeline.oci import layout, normalize
from pipeline.printable import printable
from pipeline.project import metadata, rust_version, tree
from pipeline.registry import artifacts, authorization, distribution, refusals, retry

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
DIGEST = "sha256:" + "a" * 64


def tried(parse: Callable[[], object]) -> Any:
    """Return what a parser gives; errors of the tree have a message and a next step."""
    try:
        return parse()
    except RustMultiarchError as error:
        assert error.what and error.fix
        assert "\x1b" not in error.render()
        return None


@functools.cache
def program() -> bytes:
    return Path(str(shutil.which("true"))).read_bytes()


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 20_000))
def test_programs(seed: int, changes: int, cut: int) -> None:
    """Change bytes of a real program, most of them in its headers."""
    chance, data = random.Random(seed), bytearray(program())
    if cut < 10_000:
        del data[len(data) - cut :]
    for _ in range(changes):
        place = chance.randrange(len(data)) if chance.random() < 0.4 else chance.randrange(1024) % len(data)
        data[place] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    found = tried(lambda: elf.read(bytes(data), "app"))
    assert found is None or found.linkage in ("dynamic", "static", "static-pie")


@given(st.binary(max_size=200), st.booleans())
def test_the_loaders_cache(data: bytes, little: bool) -> None:
    loader.read_cache(b"glibc-ld.so.cache1.1" + data, little)


NAMES = st.sampled_from(
    ["a", "./a", "a/", "/a", "b/a", "../a", ".", "", "b", "a/b", "\u00e9", ".wh.a", "x" * 150]
)
TYPES = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)


@given(st.lists(st.tuples(NAMES, TYPES, NAMES, st.binary(max_size=20)), max_size=6))
def test_layers(members: list[tuple[str, bytes, str, bytes]]) -> None:
    """Links in cycles, names twice, names out of the root: the result is one layer, and stays so."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(content))
    once, twice = io.BytesIO(), io.BytesIO()
    made.seek(0)
    normalize.normalize_layer(made, once, 0)
    once.seek(0)
    normalize.normalize_layer(once, twice, 0)
    assert once.getvalue() == twice.getvalue()
    once.seek(0)
    with tarfile.open(fileobj=once) as tar:
        names = tar.getnames()
    assert names == sorted(set(names))


FIELDS = st.sampled_from(
    ["Package: a", "Package:", "Version: 1", "Status: install ok installed", "Status: x", "Source: a (", " x",
     "Source:", "", " ", "Architecture: \x1b", "Description: \u2028", "ID=\"debian", "VERSION_ID='12'"]
)  # fmt: skip


@given(st.lists(FIELDS | st.text(max_size=20), max_size=12).map("\n".join))
def test_package_lists(text: str) -> None:
    dpkg.system(text, [text, text])


@pytest.mark.parametrize("text", ["Package: a\n" * 20_000, "\n \t" * 50_000, "Source: " + "(" * 100_000])
def test_long_package_lists_end_soon(text: str) -> None:
    dpkg.packages(text)


DESCRIPTOR = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([layout.INDEX, layout.MANIFEST]) | JSON,
        "digest": st.just(DIGEST) | JSON,
        "size": st.integers() | JSON,
        "platform": st.fixed_dictionaries({}, optional={"os": JSON, "architecture": JSON}) | JSON,
        "annotations": JSON,
        "artifactType": JSON,
    },
)
MANIFEST = st.fixed_dictionaries(
    {},
    optional={
        "config": DESCRIPTOR | JSON,
        "layers": st.lists(DESCRIPTOR | JSON, max_size=3) | JSON,
        "manifests": st.lists(DESCRIPTOR | JSON, max_size=3) | JSON,
        "annotations": JSON,
        "artifactType": JSON,
        "subject": JSON,
    },
)
BODIES = MANIFEST.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=20)


@given(BODIES, st.sampled_from([layout.INDEX, layout.MANIFEST, ""]))
def test_manifests(body: bytes, media_type: str) -> None:
    named = layout.Descriptor(media_type, layout.digest_of(body), len(body))
    found = tried(lambda: layout.Manifest.parse(named, body))
    assert found is None or all(blob.size >= 0 for blob in (*found.blobs, *found.children))
    tried(lambda: distribution._entries(body))
    image = artifacts.artifact(named, "x/y", (artifacts.Layer("a/b", b"c"),), tag="t")
    tried(lambda: artifacts.joined(image, body))
    tried(lambda: layout.platform_name(layout.parsed(body)))


CLIENT = httpx.AsyncClient(verify=False)
CHALLENGE = st.lists(
    st.sampled_from(["Bearer", "Basic", " ", "realm", "=", '"', ",", "https://x", "service", "\\", "\x1b"]),
    max_size=9,
).map("".join)


@given(st.lists(CHALLENGE | st.text(max_size=20), max_size=3))
def test_challenges(headers: list[str]) -> None:
    challenge = authorization.parse_challenge(headers)
    base = httpx.URL("https://registry.example/v2/")
    tried(lambda: authorization.token_request(CLIENT, base, challenge, "repository:a:pull", None))


@given(st.text(max_size=12), st.text(max_size=30), st.sampled_from([400, 401, 403, 404, 413, 429, 500]))
def test_refusals(header: str, text: str, status: int) -> None:
    wait = retry.retry_after(header, 0)
    assert wait is None or wait >= 0
    assert "\x1b" not in refusals.explain(status, text, text, where=text, signed=True).render()


@pytest.mark.parametrize("header", ["\u00b2", "\u0663", "9" * 5000, "Mon, 99 Foo 99999 99:99:99 +9999"])
def test_waits_that_are_no_numbers(header: str) -> None:
    """A superscript two is a digit to Python, and no number."""
    assert (retry.retry_after(header, 0) or 0) >= 0


@given(BODIES)
def test_tokens(body: bytes) -> None:
    answer = httpx.Response(200, content=body, request=httpx.Request("GET", "https://registry.example"))
    tried(lambda: authorization.token_of(answer))


GIT = st.lists(
    st.sampled_from(
        ["revision abc", "time 7", "branch main", "change ?? \"a\\303\"", "change  M x", "in vendor/",
         "tag v1", "change", "change ?? \"", "change ?? \"\\", "remote git@x:y", "remote https://[x",
         "default x", ""]
    ) | st.text(max_size=20),
    max_size=8,
).map("\n".join)  # fmt: skip


@given(GIT)
def test_what_git_prints(text: str) -> None:
    facts.parse("revision abc\ntime 7\n" + text)
    for line in text.splitlines():
        facts.unquoted(f'"{line}"')
        assert "@" not in facts.browsable(line).partition("//")[2].partition("/")[0]
        semver.of_tag(line)


@given(
    st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))
)
def test_text_that_is_shown(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)
    assert printable(shown) == shown or "::" in text or "##" in text


@given(
    st.lists(
        st.sampled_from(["a", "=", "[", "]", '"', "'", "\n", "{", "}", ".", "1", "\\u", "#"]), max_size=20
    )
)
def test_toml(pieces: list[str]) -> None:
    assert isinstance(cargo_toml.read("".join(pieces)), dict)


TARGET = {"kind": ["bin"], "name": "app", "src_path": "/source/src/main.rs"}
PACKAGE: dict[str, Any] = {
    "id": "path+file:///source#app@1.0.0", "name": "app", "version": "1.0.0", "targets": [TARGET],
    "features": {"default": []}, "manifest_path": "/source/Cargo.toml",
}  # fmt: skip
EVIL = st.text(max_size=12) | st.sampled_from(
    ["../x", "/etc/x", "$(id)", "a\nb", "-x", "a b", "\x1b]52;c;x\x07"]
)


@given(EVIL, st.sampled_from(["name", "target", "feature", "default_run"]))
def test_names_in_cargos_answer(name: str, place: str) -> None:
    package = json.loads(json.dumps(PACKAGE))
    if place == "target":
        package["targets"][0]["name"] = name
    elif place == "feature":
        package["features"] = {name: []}
    else:
        package[place] = name
    text = json.dumps({"packages": [package], "workspace_members": [package["id"]]})
    try:
        found = metadata.read_metadata(text)
    except InvalidManifest:
        return
    (only,) = found.packages
    for each in (only.name, *only.bins, *only.features):
        assert each and not set(each) & set("/\\\n\x1b$`'\" ") and not each.startswith(("-", "."))


LINES = st.lists(
    st.sampled_from(
        ["Built", "Fresh", " ", "for", "a@1", "x86_64-unknown-linux-gnu", "70  : ", "[1s] |", "\u2506",
         "|   ", "   Compiling a v1", "- ", "(proc-macro)", "rustc 1.96.0", "\x1b[0m", "[build-dependencies]"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(LINES | st.text(max_size=40))
def test_lines_of_cargo(line: str) -> None:
    engine_log.crate(line)
    engine_log.parse(line)
    tree.read(line)
    rust_version.read(line)
