"""Test how image references in YAML are found and replaced, and that every other byte stays."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.cli import manifests
from pipeline.cli.manifests import parse, replaced
from pipeline.errors import InvalidArgument, MalformedYaml

IMAGES = {name: f"ghcr.io/me/{name}@sha256:{'0' * 64}" for name in ("api", "web", "a+b")}

DEPLOYMENT = """\
# rust-multiarch://api in a comment stays
apiVersion: apps/v1
kind: Deployment   # kept
spec:
    containers:
    - {image: rust-multiarch://api, name: 'a'}
    -   image: "rust-multiarch://web" # the web
        args: [--sidecar=rust-multiarch://api, "-x"]
"""


def test_only_the_references_change() -> None:
    file = parse("deploy.yaml", DEPLOYMENT)
    assert [(one.name, str(one)) for one in file.references] == [
        ("api", "deploy.yaml:6"),
        ("web", "deploy.yaml:7"),
        ("api", "deploy.yaml:8"),
    ]
    lines = DEPLOYMENT.splitlines(keepends=True)
    wanted = [lines[0], *(line.replace("rust-multiarch://api", IMAGES["api"]) for line in lines[1:])]
    text = "".join(wanted).replace("rust-multiarch://web", IMAGES["web"])
    assert replaced(file, IMAGES) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: rust-multiarch://api\r\nb: 1\r\n", f"a: {IMAGES['api']}\r\nb: 1\r\n"),
        ("a: rust-multiarch://a+b", f"a: {IMAGES['a+b']}"),
        ("a: &it 'rust-multiarch://api'\nb: *it\n", f"a: &it '{IMAGES['api']}'\nb: *it\n"),
        ("a: !!str rust-multiarch://api\n", f"a: !!str {IMAGES['api']}\n"),
        (
            "a: |\n  x: rust-multiarch://api\n\n# rust-multiarch://no\n",
            f"a: |\n  x: {IMAGES['api']}\n\n# rust-multiarch://no\n",
        ),
        ("a: >-\n  x\n  rust-multiarch://api\n", f"a: >-\n  x\n  {IMAGES['api']}\n"),
        ("rust-multiarch://api: 1\n", f"{IMAGES['api']}: 1\n"),
        ("\ufeffa: rust-multiarch://api\n", f"\ufeffa: {IMAGES['api']}\n"),
        ("a: é🦀 # ü\nb: rust-multiarch://api # é\n", f"a: é🦀 # ü\nb: {IMAGES['api']} # é\n"),
        ('{"a": "rust-multiarch:\\/\\/api"}', f'{{"a": "{IMAGES["api"]}"}}'),
        ('a: &x "rust-multi\\\n  arch://api \\"q\\""\n', f'a: &x "{IMAGES["api"]} \\"q\\""\n'),
        ("a: 1\n---\na: rust-multiarch://api\n...\n", f"a: 1\n---\na: {IMAGES['api']}\n...\n"),
    ],
)
def test_every_form_of_a_scalar(text: str, wanted: str) -> None:
    file = parse("x", text)
    assert len(file.references) == 1
    assert replaced(file, IMAGES) == wanted


def test_parts_of_an_address() -> None:
    text = "".join(f"{name}: rust-multiarch://api#{name} # x\n" for name in manifests.PARTS)
    file = parse("x", text)
    assert {one.program for one in file.references} == {"api"}
    made = {one.name: manifests.part(IMAGES["api"], one.part) for one in file.references}
    assert YAML(typ="safe", pure=True).load(replaced(file, made)) == {
        "registry": "ghcr.io",
        "repository": "me/api",
        "name": "ghcr.io/me/api",
        "digest": f"sha256:{'0' * 64}",
    }
    assert manifests.part(IMAGES["api"], "") == IMAGES["api"]


def test_a_reference_without_an_address_stays() -> None:
    text = 'a: rust-multiarch://api\nb: "rust-multiarch:\\/\\/other"\nc: rust-multiarch://other\n'
    wanted = f'a: {IMAGES["api"]}\nb: "rust-multiarch://other"\nc: rust-multiarch://other\n'
    assert replaced(parse("x", text), IMAGES) == wanted


def test_json_with_tabs_is_read() -> None:
    text = '{\n\t"image": "rust-multiarch://api"\n}\n'
    assert json.loads(replaced(parse("x.json", text), IMAGES)) == {"image": IMAGES["api"]}


TEXT = st.text(" :#-'\"{}[]|>&*!%@`\\\n,.aé1~", max_size=8)
SCALAR = st.one_of(
    TEXT,
    st.integers(),
    st.none(),
    st.just("rust-multiarch://api"),
    TEXT.map(lambda text: f"{text} rust-multiarch://web, x"),
)
DOCUMENT = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(DOCUMENT)
def test_any_document_means_the_same_but_for_its_images(document: object) -> None:
    def put(value: object) -> object:
        if isinstance(value, str):
            return value.replace("rust-multiarch://api", IMAGES["api"]).replace(
                "rust-multiarch://web", IMAGES["web"]
            )
        if isinstance(value, list):
            return [put(one) for one in value]
        return {key: put(one) for key, one in value.items()} if isinstance(value, dict) else value

    yaml = YAML()
    for text in (_dumped(yaml, document), json.dumps(document)):
        assert YAML(typ="safe", pure=True).load(replaced(parse("x", text), IMAGES)) == put(document)


def _dumped(yaml: YAML, document: object) -> str:
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: b: c\n", "x.yaml:1:5"),
        ("a: 1\nb: [\n", "x.yaml:3:1"),
        ("a: 1\nb: \x01\n", "x.yaml:2"),
        ("a: {{ .Values.x }}: 1\n", "x.yaml:1"),
    ],
)
def test_what_is_not_yaml_has_its_line(text: str, where: str) -> None:
    with pytest.raises(MalformedYaml) as raised:
        parse("x.yaml", text)
    assert raised.value.where.startswith(where) and "helm template" in raised.value.fix


def test_other_encodings_have_their_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(MalformedYaml, match="UTF-8") as raised:
        manifests.read(str(tmp_path / "x.yaml"))
    assert raised.value.where.endswith("x.yaml:2")


def test_files_directories_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "d.txt", "below/e.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a: 1\n")
    monkeypatch.chdir(tmp_path)
    assert manifests.paths(["d.txt", ".", "a.yaml", "-"]) == ["d.txt", "a.yaml", "b.yml", "c.json", "-"]
    assert manifests.paths(["."], recursive=True) == ["a.yaml", "b.yml", "below/e.yaml", "c.json"]
    with pytest.raises(InvalidArgument, match=r"does not exist: nope\.yaml"):
        manifests.paths(["nope.yaml"])
    with pytest.raises(InvalidArgument, match="twice"):
        manifests.paths(["-", "-"])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a: rust-multiarch://api\n")))
    (reference,) = manifests.read("-").references
    assert str(reference) == "standard input:1"


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["a: 1\n", "b: 2\n"], "a: 1\n---\nb: 2\n"),
        (["a: 1", "b: 2"], "a: 1\n---\nb: 2"),
        (["a: 1\n", "# note\n---\nb: 2\n"], "a: 1\n# note\n---\nb: 2\n"),
        (["a: 1\n", "%YAML 1.2\n---\nb: 2\n"], "a: 1\n...\n%YAML 1.2\n---\nb: 2\n"),
        (["a: 1\n", "# nothing\n", "b: 2\n"], "a: 1\n# nothing\n---\nb: 2\n"),
    ],
)
def test_files_become_a_stream_of_documents(texts: list[str], wanted: str) -> None:
    made = manifests.stream([parse("x", text) for text in texts], {})
    assert made == wanted
    documents = [one for one in YAML(typ="safe", pure=True).load_all(made) if one is not None]
    assert len(documents) == sum(":" in text for text in texts)
