import json
from dataclasses import replace

import pytest

from pipeline.git.ci import Event
from pipeline.git.context import BuildContext
from pipeline.git.facts import Facts
from pipeline.git.metadata import Base, Description, describe, labels, version

REVISION = "abc1234def5678abc1234def5678abc1234def56"
AT = BuildContext(Facts(REVISION, 1_700_000_000, branch="main", remote="https://git.example/me/app"))
APP = Description("app", "0.1.0")


def at(event: Event | None = None, **facts: object) -> BuildContext:
    return BuildContext(replace(AT.facts, **facts), event or Event())


def test_labels_with_all_sources() -> None:
    package = Description(
        "app", "0.1.0", "Does it", "MIT", "A <a@x>", "https://app.example", "x", "https://docs"
    )
    base = Base("docker.io/library/debian:bookworm-slim", "sha256:0")
    assert labels(package, AT, base) == {
        "org.opencontainers.image.authors": "A <a@x>",
        "org.opencontainers.image.base.digest": "sha256:0",
        "org.opencontainers.image.base.name": "docker.io/library/debian:bookworm-slim",
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.description": "Does it",
        "org.opencontainers.image.documentation": "https://docs",
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.revision": REVISION,
        "org.opencontainers.image.source": "https://git.example/me/app",
        "org.opencontainers.image.title": "app",
        "org.opencontainers.image.url": "https://app.example",
        "org.opencontainers.image.version": "0.1.0+abc1234",
    }


def test_label_names_are_sorted() -> None:
    found = labels(APP, AT, more={"a": "1"})
    assert list(found) == sorted(found)


def test_labels_without_git() -> None:
    assert labels(APP, None) == {
        "org.opencontainers.image.title": "app",
        "org.opencontainers.image.version": "0.1.0",
    }


def test_an_explicit_time_takes_precedence() -> None:
    assert labels(APP, AT, epoch=0)["org.opencontainers.image.created"] == "1970-01-01T00:00:00Z"
    assert labels(APP, None, epoch=0)["org.opencontainers.image.created"] == "1970-01-01T00:00:00Z"


def test_user_labels_take_precedence() -> None:
    found = labels(APP, AT, more={"org.opencontainers.image.title": "mine", "team": "x"})
    assert (found["org.opencontainers.image.title"], found["team"]) == ("mine", "x")


@pytest.mark.parametrize(
    ("event", "remote", "manifest", "source"),
    [
        ("https://ci.example/a", "https://git.example/a", "https://toml.example/a", "https://ci.example/a"),
        ("", "https://git.example/a", "https://toml.example/a", "https://git.example/a"),
        ("", "", "https://toml.example/a.git", "https://toml.example/a"),
    ],
)
def test_source_label(event: str, remote: str, manifest: str, source: str) -> None:
    found = labels(replace(APP, repository=manifest), at(Event(repository=event), remote=remote))
    assert found["org.opencontainers.image.source"] == source
    assert found["org.opencontainers.image.url"] == source, "the source is the default"


@pytest.mark.parametrize(
    ("situation", "text"),
    [
        (None, "0.1.0"),
        (at(), "0.1.0+abc1234"),
        (at(tags=("v1.2.3",)), "1.2.3"),
        (at(Event(branch="main"), tags=("v1.2.3",)), "0.1.0+abc1234"),
        (at(Event(tag="v1.2.3-rc.1")), "1.2.3-rc.1"),
        (at(Event(tag="v1.2.3+5")), "1.2.3+5"),
        (at(changed=("src/main.rs",)), "0.1.0+abc1234.dirty"),
        (at(tags=("v1.2.3",), changed=("src/main.rs",)), "1.2.3+dirty"),
        (at(tags=("v1.2.3+5",), changed=("src/main.rs",)), "1.2.3+5.dirty"),
    ],
)
def test_version_label(situation: BuildContext | None, text: str) -> None:
    assert version(APP, situation) == text


def test_a_dirty_tree_has_a_label_and_keeps_its_revision() -> None:
    found = labels(APP, at(changed=("src/main.rs",)))
    assert found["dev.rust-multiarch.dirty"] == "true"
    assert found["org.opencontainers.image.revision"] == REVISION
    assert "dev.rust-multiarch.dirty" not in labels(APP, AT)


def test_parses_the_engines_image_reference() -> None:
    assert Base.of("docker.io/library/debian:12@sha256:ab") == Base(
        "docker.io/library/debian:12", "sha256:ab"
    )
    assert Base.of("debian:12") == Base("debian:12")


def metadata(**fields: object) -> str:
    app = {"name": "app", "version": "0.1.0"} | fields
    return json.dumps({"packages": [{"name": "other", "version": "9.0.0"}, app]})


def test_description_from_cargo_metadata() -> None:
    found = describe(
        metadata(
            description="Does\n  it",
            license="MIT/Apache-2.0",
            authors=["A <a@x>", "B"],
            homepage=None,
            repository="https://git.example/me/app",
            documentation="https://docs",
        ),
        "app",
    )
    assert found == Description(
        "app",
        "0.1.0",
        "Does it",
        "MIT OR Apache-2.0",
        "A <a@x>, B",
        "",
        "https://git.example/me/app",
        "https://docs",
    )


def test_description_with_required_fields_only() -> None:
    assert describe(metadata(), "app") == APP
    with pytest.raises(KeyError):
        describe(metadata(), "nope")
