import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from pipeline.oci import normalize
from pipeline.oci.base import RegistryBase
from pipeline.oci.normalize import ImageReader, LayoutWriter, Terms

EPOCH = 1_700_000_000


def layer(*members: tarfile.TarInfo, contents: dict[str, bytes] | None = None) -> bytes:
    """Return a tar of the members, with the contents of files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            content = (contents or {}).get(member.name, b"")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _layer(before: io.IOBase, epoch: int | None = None) -> bytes:
    out = io.BytesIO()
    normalize.normalize_layer(before, out, epoch)  # type: ignore[arg-type]
    return out.getvalue()


def compressed(*pieces: bytes) -> bytes:
    out = io.BytesIO()
    layer = normalize.LayerWriter(normalize.BlobWriter(out))
    for piece in pieces:
        layer.write(piece)
    layer.finish()
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mtime = 1234.5
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def members(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.getmembers()


def read(content: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        stream = tar.extractfile(name)
        assert stream is not None
        return stream.read()


def test_a_layer_is_sorted_and_has_one_time() -> None:
    made = layer(member("b"), member("a", uname="me", gname="us"), contents={"a": b"A", "b": b"B"})
    normalized = _layer(io.BytesIO(made), EPOCH)
    assert [(m.name, m.mtime, m.uname, m.gname) for m in members(normalized)] == [
        ("a", EPOCH, "", ""),
        ("b", EPOCH, "", ""),
    ]
    assert (read(normalized, "a"), read(normalized, "b")) == (b"A", b"B")


def test_a_bases_files_keep_their_time_to_the_second() -> None:
    (only,) = members(_layer(io.BytesIO(layer(member("a")))))
    assert only.mtime == 1234
    assert "mtime" not in only.pax_headers


def test_the_order_and_spelling_of_names_do_not_matter() -> None:
    one = layer(member("./", tarfile.DIRTYPE), member("./b/", tarfile.DIRTYPE), member("./a"))
    two = layer(member("a"), member("b", tarfile.DIRTYPE))
    assert _layer(io.BytesIO(one), 0) == _layer(io.BytesIO(two), 0)


def test_hard_links_refer_to_the_first_name() -> None:
    one = layer(member("b", mode=0o755), member("a", tarfile.LNKTYPE, linkname="b"), contents={"b": b"same"})
    two = layer(
        member("a", mode=0o755), member("b", tarfile.LNKTYPE, linkname="./a"), contents={"a": b"same"}
    )
    normalized = _layer(io.BytesIO(one), 0)
    assert normalized == _layer(io.BytesIO(two), 0)
    assert [(m.name, m.islnk(), m.linkname, m.mode) for m in members(normalized)] == [
        ("a", False, "", 0o755),
        ("b", True, "a", 0o755),
    ]
    assert read(normalized, "b") == b"same"


def test_a_hard_link_to_a_lower_layer_is_kept() -> None:
    made = layer(member("b", tarfile.LNKTYPE, linkname="./usr/lower"), member("a"))
    normalized = _layer(io.BytesIO(made), 0)
    assert [(m.name, m.islnk(), m.linkname) for m in members(normalized)] == [
        ("a", False, ""),
        ("b", True, "usr/lower"),
    ]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.FIFOTYPE])
def test_a_hard_link_to_a_special_file(kind: bytes) -> None:
    named = {"linkname": "where"} if kind == tarfile.SYMTYPE else {}
    made = layer(member("b", kind, **named), member("a", tarfile.LNKTYPE, linkname="b"))
    first, second = members(_layer(io.BytesIO(made), 0))
    assert (first.name, first.type, first.linkname) == ("a", kind, named.get("linkname", ""))
    assert (second.name, second.islnk(), second.linkname) == ("b", True, "a")


def test_a_hard_link_to_a_hard_link() -> None:
    one = layer(
        member("c"),
        member("b", tarfile.LNKTYPE, linkname="c"),
        member("a", tarfile.LNKTYPE, linkname="b"),
        contents={"c": b"same"},
    )
    normalized = _layer(io.BytesIO(one), 0)
    assert [(m.name, m.linkname) for m in members(normalized)] == [("a", ""), ("b", "a"), ("c", "a")]
    assert read(normalized, "c") == b"same"


def test_a_cycle_of_hard_links_is_kept() -> None:
    made = layer(member("a", tarfile.LNKTYPE, linkname="b"), member("b", tarfile.LNKTYPE, linkname="a"))
    assert [m.name for m in members(_layer(io.BytesIO(made), 0))] == ["a", "b"]


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_sparse_file_becomes_a_regular_file(tmp_path: Path, form: str) -> None:
    """GNU tar's sparse member type is invalid in a PAX archive, and Go's reader refuses the layer."""
    content = bytes(1 << 20) + b"end"
    with (tmp_path / "holes").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    command = ["tar", f"--format={form}", "--sparse", "--hole-detection=raw", "-cf", "x.tar", "holes"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with (tmp_path / "x.tar").open("rb") as file:
        normalized = _layer(file, 0)
    (only,) = members(normalized)
    assert (only.name, only.type, only.size) == ("holes", tarfile.REGTYPE, len(content))
    assert not any("sparse" in key.lower() for key in only.pax_headers)
    assert read(normalized, "holes") == content


def test_only_extended_attributes_are_kept_in_pax_headers() -> None:
    kept = {"SCHILY.xattr.security.capability": "x"}
    made = layer(member("ping", pax_headers=kept | {"comment": "made by me"}))
    (only,) = members(_layer(io.BytesIO(made), 0))
    assert only.pax_headers == kept


def test_compression_is_reproducible() -> None:
    """The size of the pieces does not matter: an export may come in others on another engine."""
    packed, other = compressed(b"con", b"tent"), compressed(b"content")
    assert packed == other == gzip.compress(b"content", compresslevel=6, mtime=0)
    assert packed[4:8] == bytes(4), "gzip's own time field"
    assert gzip.decompress(packed) == b"content"


@pytest.mark.parametrize(("epoch", "text"), [(0, "1970-01-01T00:00:00Z"), (EPOCH, "2023-11-14T22:13:20Z")])
def test_times_are_rfc_3339(epoch: int, text: str) -> None:
    assert normalize.timestamp(epoch) == text


def test_a_config_has_only_the_given_time() -> None:
    debian = {"created": "2024-01-02T00:00:00Z", "created_by": "# debian.sh", "comment": "debuerreotype 0.16"}
    before = {
        "architecture": "arm64",
        "os": "linux",
        "config": {"User": "app"},
        "created": "2026-11-24T10:26:00.08Z",
        "history": [{"created": "2026-11-24T10:26:00.02Z", "created_by": "x"}],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:old"]},
    }
    after = normalize.normalized_config(before, ["sha256:new"], 0, history=[debian])
    assert after["created"] == "1970-01-01T00:00:00Z"
    assert after["rootfs"]["diff_ids"] == ["sha256:new"]
    assert after["history"] == [debian]
    assert after["config"] == {"User": "app"}
    assert before["rootfs"] == {"type": "layers", "diff_ids": ["sha256:old"]}, "the argument is left alone"


def generated(what: str) -> dict[str, str]:
    """Return an entry of a history as the engine generates it, with the current time."""
    return {
        "created": "2026-11-24T10:26:00.02Z",
        "created_by": what,
        "comment": "buildkit.exporter.image.v0",
    }


def test_the_history_says_what_made_each_layer() -> None:
    debian = {"created": "2024-01-02T00:00:00Z", "created_by": "# debian.sh"}
    command = {"created": "2024-01-02T00:00:00Z", "created_by": "CMD bash", "empty_layer": True}
    own = {"created": "2025-01-02T00:00:00Z", "created_by": "RUN make"}
    made = [generated("import"), generated("Directory.withDirectory"), generated("exec"), own]
    found = normalize.history_of({"history": made}, [debian, command], Terms(0, layers=["programs app"]))
    then = normalize.timestamp(0)
    assert found == [
        debian,
        command,
        {"created": then, "created_by": "rust-multiarch: programs app"},
        {"created": then, "created_by": "rust-multiarch: a layer of a custom container"},
        own,
    ]


@pytest.mark.parametrize("history", [[], [{"created_by": "one"}], [{"empty_layer": True}]])
def test_a_base_with_an_incomplete_history_gets_one(history: list[dict[str, object]]) -> None:
    base = normalize.KnownBase("debian:x", [{}, {}], ["a", "b"], history)
    entry = {"created": normalize.timestamp(7), "created_by": "a layer of debian:x"}
    assert base.past(7) == [entry, entry]


def test_terms_are_read_as_written() -> None:
    asked = Terms(7, {"a": "b"}, {"linux/arm64": {"c": "d"}}, layers=["e"])
    assert normalize.terms(asked.as_json()) == asked


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


CHECKED = digest(b"program")


def archive(path: Path, architecture: str, layers: list[bytes], clock: str = "2026-01-01T00:00:00Z") -> Path:
    """Write an OCI archive like the engine's: an index in index.json, uncompressed layers."""
    blobs: dict[str, bytes] = {}

    def add(content: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    config = {
        "architecture": architecture,
        "os": "linux",
        "variant": "v7" if architecture == "arm" else "",
        "created": clock,
        "config": {},
        "history": [{"created": clock, "created_by": "x", "comment": "buildkit.exporter.image.v0"}],
        "rootfs": {
            "type": "layers",
            "diff_ids": [digest(tar) for tar in layers],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "config": add(json.dumps(config).encode(), normalize.CONFIG),
        "layers": [add(content, "application/vnd.oci.image.layer.v1.tar") for content in layers],
    }
    entry = add(json.dumps(manifest).encode(), normalize.MANIFEST)
    index = {
        "schemaVersion": 2,
        "manifests": [add(json.dumps({"manifests": [entry]}).encode(), normalize.INDEX)],
    }
    blobs["index.json"] = json.dumps(index).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in blobs.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


BASE = layer(member("etc/passwd"), contents={"etc/passwd": b"root"})
REMADE = layer(member("./"), member("./etc/passwd"), contents={"./etc/passwd": b"root"})
PROGRAM = layer(member("app"), contents={"app": b"program"})


def normalized(tmp_path: Path, name: str, base: bytes, clock: str, terms: Terms) -> Path:
    """Run the program like the engine, and return the layout of an arm image with a base."""
    folder = tmp_path / name
    folder.mkdir()
    normalize.main(["base", str(folder / "base"), str(archive(folder / "base.tar", "arm", [base], clock))])
    image = archive(folder / "image.tar", "arm", [base, PROGRAM], clock)
    (folder / "terms.json").write_text(terms.as_json())
    normalize.main(["image", str(folder / "out"), str(folder / "terms.json"), f"{image}={folder}/base"])
    return folder / "out"


FOREIGN = {
    "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
    "digest": digest(b"zstd"),
    "size": 4,
    "annotations": {"kept": "yes"},
}


def in_registry(tmp_path: Path, layers: list[bytes], terms: Terms, base: RegistryBase) -> tuple[dict, dict]:
    """Return the manifest and the config of an amd64 image on a base in a registry."""
    image = archive(tmp_path / "image.tar", "amd64", layers)
    (tmp_path / "base.json").write_text(base.as_json())
    (tmp_path / "terms.json").write_text(terms.as_json())
    out = tmp_path / "out"
    normalize.main(["image", str(out), str(tmp_path / "terms.json"), f"{image}={tmp_path}/base.json"])
    (top,) = json.loads((out / "index.json").read_text())["manifests"]
    manifest = json.loads((out / "blobs" / top["digest"].replace(":", "/")).read_bytes())
    return manifest, json.loads((out / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_bytes())


def known(*descriptors: dict[str, object], **changes: str) -> RegistryBase:
    diff_ids = tuple(f"sha256:{number}" for number, _ in enumerate(descriptors))
    base = RegistryBase("debian:x", "sha256:0", "way", "host", "debian", json.dumps(descriptors), diff_ids)
    return replace(base, **changes)


def test_the_layers_of_a_base_in_a_registry_are_listed_untouched(tmp_path: Path) -> None:
    history = json.dumps([{"created_by": "them", "created": "2024-01-01T00:00:00Z"}])
    terms = Terms(EPOCH, layers=["programs app"])
    manifest, config = in_registry(tmp_path, [REMADE, PROGRAM], terms, known(FOREIGN, history=history))
    assert manifest["layers"][0] == FOREIGN
    assert len(manifest["layers"]) == 2
    assert config["rootfs"]["diff_ids"][0] == "sha256:0"
    stored = {path.name for path in (tmp_path / "out/blobs/sha256").iterdir()}
    assert FOREIGN["digest"].removeprefix("sha256:") not in stored
    assert manifest["layers"][1]["digest"].removeprefix("sha256:") in stored
    assert config["history"][0]["created_by"] == "them"


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ([PROGRAM], {"/app": CHECKED}),
        ([BASE], {}),
        ([layer(member("app"), contents={"app": b"other"})], {"/app": digest(b"other")}),
        ([layer(member(".wh.app"))], {"/app": ""}),
        ([layer(member(".wh..wh..opq"))], {"/app": ""}),
    ],
    ids=["in our layer", "in the base", "replaced", "removed", "removed with its directory"],
)
def test_a_base_in_a_registry_is_not_searched_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], own: list[bytes], found: dict[str, str]
) -> None:
    """The digest of the base proves the programs in it."""
    terms = Terms(EPOCH, programs={"linux/amd64": ["/app"]})
    in_registry(tmp_path, [REMADE, *own], terms, known(FOREIGN))
    assert json.loads(capsys.readouterr().out) == {"linux/amd64": found}


def test_unchanged_layers_are_taken_from_the_engines_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = archive(tmp_path / "base.tar", "amd64", [BASE])
    (tmp_path / "base.json").write_text(known({"digest": digest(BASE)}, FOREIGN).as_json())
    out = tmp_path / "blobs"
    normalize.main(["blobs", str(out), str(tmp_path / "base.json"), str(export)])
    assert capsys.readouterr().out.split() == [FOREIGN["digest"]]
    assert [digest(path.read_bytes()) for path in out.iterdir()] == [digest(BASE)]


def contents(layout: Path) -> dict[str, bytes]:
    return {str(f.relative_to(layout)): f.read_bytes() for f in layout.rglob("*") if f.is_file()}


def test_the_result_does_not_depend_on_the_engines_times(tmp_path: Path) -> None:
    terms = Terms(EPOCH)
    one = normalized(tmp_path, "one", BASE, "2026-01-01T00:00:00Z", terms)
    two = normalized(tmp_path, "two", REMADE, "2026-02-02T00:00:00Z", terms)
    assert contents(one) == contents(two)


def test_every_blob_matches_its_digest_and_is_used(tmp_path: Path) -> None:
    layout = normalized(
        tmp_path,
        "one",
        BASE,
        "x",
        Terms(EPOCH, {"top": "1"}, {"linux/arm/v7": {"low": "2"}}, always_index=True),
    )
    for path, content in contents(layout).items():
        if path.startswith("blobs"):
            assert hashlib.sha256(content).hexdigest() == path.rsplit("/", 1)[1]

    def document(descriptor: dict[str, str]) -> dict[str, object]:
        return json.loads((layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes())

    (top,) = json.loads((layout / "index.json").read_text())["manifests"]
    index = document(top)
    assert index["annotations"] == {"top": "1"}
    (entry,) = index["manifests"]
    assert entry["platform"] == {"architecture": "arm", "os": "linux", "variant": "v7"}
    manifest = document(entry)
    assert manifest["annotations"] == {"low": "2"}
    config = document(manifest["config"])
    assert config["created"] == normalize.timestamp(EPOCH)
    layers = [
        gzip.decompress((layout / "blobs" / x["digest"].replace(":", "/")).read_bytes())
        for x in manifest["layers"]
    ]
    assert config["rootfs"]["diff_ids"] == [digest(tar) for tar in layers]
    assert [[(m.name, m.mtime) for m in members(tar)] for tar in layers] == [
        [("etc/passwd", 1234)],
        [("app", EPOCH)],
    ]


def test_an_image_without_a_base_and_without_annotations(tmp_path: Path) -> None:
    image = archive(tmp_path / "image.tar", "amd64", [PROGRAM])
    (tmp_path / "terms.json").write_text(Terms(EPOCH).as_json())
    normalize.main(["image", str(tmp_path / "out"), str(tmp_path / "terms.json"), str(image)])
    (top,) = json.loads((tmp_path / "out/index.json").read_text())["manifests"]
    assert (top["mediaType"], top["platform"]) == (
        normalize.MANIFEST,
        {"architecture": "amd64", "os": "linux"},
    )
    manifest = json.loads((tmp_path / "out/blobs" / top["digest"].replace(":", "/")).read_bytes())
    assert "annotations" not in manifest


@pytest.mark.parametrize(
    ("platforms", "always", "kind"),
    [
        (["amd64"], False, normalize.MANIFEST),
        (["amd64"], True, normalize.INDEX),
        (["amd64", "arm64"], False, normalize.INDEX),
    ],
)
def test_one_platform_is_a_plain_manifest(
    tmp_path: Path, platforms: list[str], always: bool, kind: str
) -> None:
    """Lambda and similar services for one platform refuse an index (case 31)."""
    images = [str(archive(tmp_path / f"{name}.tar", name, [PROGRAM])) for name in platforms]
    (tmp_path / "terms.json").write_text(Terms(EPOCH, always_index=always).as_json())
    normalize.main(["image", str(tmp_path / "out"), str(tmp_path / "terms.json"), *images])
    (top,) = json.loads((tmp_path / "out/index.json").read_text())["manifests"]
    document = json.loads((tmp_path / "out/blobs" / top["digest"].replace(":", "/")).read_bytes())
    assert top["mediaType"] == document["mediaType"] == kind


def test_settings_are_added_to_the_config(tmp_path: Path) -> None:
    layout = normalized(tmp_path, "one", BASE, "x", Terms(EPOCH, config={"StopSignal": "SIGINT"}))
    (top,) = json.loads((layout / "index.json").read_text())["manifests"]
    blobs = layout / "blobs"
    manifest = json.loads((blobs / top["digest"].replace(":", "/")).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"].replace(":", "/")).read_bytes())
    assert config["config"] == {"StopSignal": "SIGINT"}


@pytest.mark.parametrize(
    ("layers", "answer"),
    [([BASE], "same"), ([BASE, PROGRAM], "same"), ([PROGRAM, BASE], "different"), ([], "different")],
    ids=["itself", "more", "other", "less"],
)
def test_compare_checks_that_an_image_starts_with_a_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layers: list[bytes], answer: str
) -> None:
    normalize.main(["base", str(tmp_path / "base"), str(archive(tmp_path / "base.tar", "amd64", [BASE]))])
    image = archive(tmp_path / "image.tar", "amd64", layers)
    normalize.main(["compare", str(tmp_path / "base"), str(image)])
    assert capsys.readouterr().out == f"{answer}\n"


LINKED = layer(
    member("bin/app", tarfile.LNKTYPE, linkname="app"), member("app"), contents={"app": b"program"}
)


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ([PROGRAM], {"/app": CHECKED}),
        ([PROGRAM, BASE], {"/app": CHECKED}),
        ([BASE, layer(member("app"), contents={"app": b"other"}), PROGRAM], {"/app": CHECKED}),
        ([PROGRAM, layer(member("app"), contents={"app": b"other"})], {"/app": digest(b"other")}),
        ([PROGRAM, layer(member(".wh.app"))], {"/app": ""}),
        ([BASE], {}),
    ],
    ids=["a program", "below", "over another", "replaced", "removed", "never there"],
)
def test_the_digests_of_programs_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layers: list[bytes], found: dict[str, str]
) -> None:
    image = archive(tmp_path / "image.tar", "amd64", layers)
    terms = Terms(EPOCH, programs={"linux/amd64": ["/app"]})
    (tmp_path / "terms.json").write_text(terms.as_json())
    normalize.main(["image", str(tmp_path / "out"), str(tmp_path / "terms.json"), str(image)])
    assert json.loads(capsys.readouterr().out) == {"linux/amd64": found}


def test_a_hard_link_has_the_digest_of_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = archive(tmp_path / "image.tar", "amd64", [LINKED])
    terms = Terms(EPOCH, programs={"linux/amd64": ["/bin/app", "/app"]})
    (tmp_path / "terms.json").write_text(terms.as_json())
    normalize.main(["image", str(tmp_path / "out"), str(tmp_path / "terms.json"), str(image)])
    assert json.loads(capsys.readouterr().out) == {"linux/amd64": {"/bin/app": CHECKED, "/app": CHECKED}}


def test_a_layer_with_many_programs_is_read_once(tmp_path: Path) -> None:
    programs = {f"/bin/{number}": f"program {number}".encode() for number in range(9)}
    upper = layer(
        *(member(path[1:]) for path in programs), contents={path[1:]: text for path, text in programs.items()}
    )
    layout = LayoutWriter(tmp_path)
    layers = [layout.add(normalize.LAYER, gzip.compress(content)) for content in (PROGRAM, BASE, upper)]
    opened: list[str] = []

    class Counted(ImageReader):
        def open(self, digest: str) -> IO[bytes]:
            opened.append(digest)
            return super().open(digest)

    image = Counted(lambda name: (tmp_path / name).open("rb"))
    found = normalize.program_digests(image, layers, [*programs, "/app", "/absent"])
    assert found == {**{path: digest(text) for path, text in programs.items()}, "/app": CHECKED}
    assert opened == [each["digest"] for each in reversed(layers)]


def test_volumes_are_added_to_those_of_the_base() -> None:
    config = {"config": {"Volumes": {"/base": {}}, "User": "1"}, "rootfs": {}}
    new = normalize.normalized_config(config, [], EPOCH, {"Volumes": {"/var/lib/app": {}}})
    assert new["config"] == {"Volumes": {"/base": {}, "/var/lib/app": {}}, "User": "1"}
    assert config["config"]["Volumes"] == {"/base": {}}
