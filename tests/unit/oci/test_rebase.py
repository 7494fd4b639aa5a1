import json
from typing import Any

import pytest

from pipeline.errors import NotRebasable
from pipeline.oci import rebase
from pipeline.oci.base import REGISTRY, RegistryBase
from pipeline.oci.layout import MANIFEST, Descriptor, Manifest, compact, digest_of

OWN = {"created": "2026-01-02T00:00:00Z", "created_by": "rust-multiarch: programs app"}
BELOW = {"created": "2025-01-01T00:00:00Z", "created_by": "# debian.sh"}


def layer(number: int) -> dict[str, Any]:
    return {"mediaType": "layer", "digest": f"sha256:{str(number) * 64}", "size": number}


def base(*layers: int, env: tuple[str, ...] = (), **fields: Any) -> RegistryBase:
    return RegistryBase(
        "docker.io/library/new:1",
        "sha256:" + "f" * 64,
        REGISTRY,
        "docker.io",
        "library/new",
        json.dumps([layer(number) for number in layers]),
        tuple(f"diff{number}" for number in layers),
        config=json.dumps({"Env": list(env), **fields}),
    )


def part(history: list[dict[str, Any]], layers: int = 3, **config: Any) -> rebase.PublishedPlatform:
    document = {
        "config": {"digest": "sha256:" + "a" * 64, "size": 1},
        "layers": [layer(number) for number in range(layers)],
        "annotations": {rebase.NAME: "old", rebase.DIGEST: "sha256:0", "kept": "yes"},
    }
    body = compact(document)
    manifest = Manifest.parse(Descriptor(MANIFEST, digest_of(body), len(body)), body)
    described = {
        "created": "2026-01-02T00:00:00Z",
        "architecture": "arm64",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"own{number}" for number in range(layers)]},
        "history": history,
    }
    return rebase.parse("linux/arm64", manifest, json.dumps(described).encode())


def rebased(
    image: rebase.PublishedPlatform, new: RegistryBase, old: RegistryBase | None = None
) -> tuple[Any, Any]:
    manifest, config = rebase.rebased(image, new, old)
    return json.loads(manifest), json.loads(config)


def test_the_bases_layers_are_replaced_and_the_images_own_are_kept() -> None:
    empty = {"created_by": "CMD", "empty_layer": True}
    manifest, config = rebased(part([BELOW, empty, OWN, OWN], Entrypoint=["/app"]), base(7, 8))
    assert manifest["layers"] == [layer(7), layer(8), layer(1), layer(2)]
    assert config["rootfs"]["diff_ids"] == ["diff7", "diff8", "own1", "own2"]
    new = {"created": "2026-01-02T00:00:00Z", "created_by": "a layer of docker.io/library/new:1"}
    assert config["history"] == [new, new, OWN, OWN]
    assert config["config"]["Entrypoint"] == ["/app"]
    assert manifest["annotations"] == {
        "kept": "yes",
        rebase.DIGEST: "sha256:" + "f" * 64,
        rebase.NAME: "docker.io/library/new:1",
    }
    assert manifest["config"]["digest"] == digest_of(compact(config))


def test_the_environment_and_labels_of_the_old_base_go() -> None:
    image = part([BELOW, OWN, OWN], Env=["PATH=/bin", "OLD=1", "MINE=2"], Labels={"of": "old", "mine": "x"})
    old = base(0, env=("PATH=/bin", "OLD=1"), Labels={"of": "old"})
    new = base(7, env=("PATH=/usr/bin", "NEW=3"), Labels={"of": "new"})
    _, config = rebased(image, new, old)
    assert config["config"]["Env"] == ["PATH=/usr/bin", "NEW=3", "MINE=2"]
    labels = config["config"]["Labels"]
    assert (labels["of"], labels["mine"], labels[rebase.NAME]) == ("new", "x", "docker.io/library/new:1")


def test_without_the_old_base_the_images_settings_win() -> None:
    _, config = rebased(part([BELOW, OWN, OWN], Env=["PATH=/bin"]), base(7, env=("PATH=/usr/bin", "NEW=3")))
    assert config["config"]["Env"] == ["PATH=/bin", "NEW=3"]


@pytest.mark.parametrize(
    "history",
    [[], [BELOW, BELOW, BELOW], [OWN, OWN, OWN], [BELOW, OWN], [OWN, OWN, BELOW]],
    ids=["none", "only the base", "no base", "incomplete", "another on top"],
)
def test_an_image_with_unknown_layers_is_refused(history: list[dict[str, Any]]) -> None:
    with pytest.raises(NotRebasable, match="does not say which layers"):
        part(history).own  # noqa: B018


def test_a_config_with_other_layers_is_refused() -> None:
    image = part([BELOW, OWN, OWN])
    with pytest.raises(NotRebasable, match="other layers than its manifest"):
        rebase.parse("linux/arm64", image.manifest, b'{"rootfs": {"diff_ids": ["one"]}}')


def test_the_index_names_the_new_manifests() -> None:
    entry = {"mediaType": MANIFEST, "digest": "sha256:" + "1" * 64, "size": 3, "platform": {"os": "linux"}}
    body = compact({"manifests": [entry], "annotations": {rebase.NAME: "old", "kept": "yes"}})
    root = Manifest.parse(Descriptor("index", digest_of(body), len(body)), body)
    new = Descriptor(MANIFEST, "sha256:" + "2" * 64, 9)
    descriptor, content = rebase.index_of(root, {entry["digest"]: (new, b"")}, "new:1")
    document = json.loads(content)
    assert document["manifests"] == [{**entry, "digest": new.digest, "size": 9}]
    assert document["annotations"] == {rebase.NAME: "new:1", "kept": "yes"}
    assert (descriptor.digest, descriptor.media_type) == (digest_of(content), "index")
