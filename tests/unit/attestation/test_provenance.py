import json
from typing import Any

import pytest
from graphs import HASHES, graphs

from pipeline.attestation.materials import Material, image
from pipeline.attestation.provenance import (
    BUILD_TYPE,
    LOCAL,
    Build,
    StatementSubject,
    extended,
    merged,
    parameters,
    provenance,
    run_details,
    statement,
)
from pipeline.config.settings import Settings
from pipeline.errors import NotMergeable
from pipeline.git.ci import Event
from pipeline.git.context import BuildContext
from pipeline.git.facts import Facts
from pipeline.git.metadata import Base
from pipeline.targets import Libc

REVISION = "abc1234def5678abc1234def5678abc1234def56"
DIGEST = "sha256:" + "ab" * 32


def at(event: Event | None = None, **facts: object) -> BuildContext:
    known = {"remote": "https://git.example/me/app"} | facts
    return BuildContext(Facts(REVISION, 0, **known), event or Event())  # type: ignore[arg-type]


def test_statement_format() -> None:
    made = json.loads(statement([StatementSubject("ghcr.io/me/app", DIGEST)], "https://x/v1", {"a": 1}))
    assert made == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "ghcr.io/me/app", "digest": {"sha256": "ab" * 32}}],
        "predicateType": "https://x/v1",
        "predicate": {"a": 1},
    }


def test_parameters_are_the_settings() -> None:
    given = Settings(bin=["a"], all_features=True, libc=Libc.MUSL, build_args=["A=1"], ports=[80])
    found = parameters(given)
    assert {name: found[name] for name in ("bin", "all-features", "libc", "build-args", "ports")} == {
        "bin": ["a"],
        "all-features": True,
        "libc": "musl",
        "build-args": ["A"],
        "ports": [80],
    }
    assert found["platforms"] == ["linux/amd64", "linux/arm64"], "defaults are included"
    assert not {"features", "glibc", "require-clean", "source-date-epoch"} & set(found), "empty"
    assert json.loads(json.dumps(found)) == found


def test_a_minimal_predicate() -> None:
    assert provenance(Build({"profile": "dev"})) == {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"profile": "dev"},
            "internalParameters": {},
            "resolvedDependencies": [],
        },
        "runDetails": {"builder": {"id": LOCAL, "version": {}}, "metadata": {}},
    }


def test_resolved_dependencies() -> None:
    build = Build(
        {},
        situation=at(),
        materials=[
            image(Base("docker.io/library/debian:12", DIGEST)),
            image(Base("docker.io/library/debian:12", DIGEST)),
            Material(name="files", digest="dirHash:" + "cd" * 32),
        ],
        graphs=graphs(),
    )
    predicate = provenance(build)
    source, base, files, *crates = predicate["buildDefinition"]["resolvedDependencies"]
    assert source == {
        "uri": f"git+https://git.example/me/app@{REVISION}",
        "name": "source",
        "digest": {"gitCommit": REVISION},
    }
    assert files == {"name": "files", "digest": {"dirHash": "cd" * 32}}
    assert base == {"uri": "oci://docker.io/library/debian:12", "digest": {"sha256": "ab" * 32}}
    assert {"uri": "pkg:cargo/serde@1.0.0", "digest": {"sha256": HASHES["serde"]}} in crates
    assert "canary" not in json.dumps(crates)
    more = extended(predicate, [image(Base("docker.io/library/debian:12", DIGEST)), Material("pkg:deb/x@1")])
    assert more["buildDefinition"]["resolvedDependencies"] == [
        *predicate["buildDefinition"]["resolvedDependencies"],
        {"uri": "pkg:deb/x@1"},
    ]
    assert more["runDetails"] == predicate["runDetails"]
    assert extended({}, [Material("pkg:deb/x@1")]) == {}


def test_the_builder_and_the_run_are_those_of_ci() -> None:
    event = Event(builder="https://ci/builder", run="https://ci/run/1")
    details = provenance(Build({}, at(event), **run_details(Settings(), at(event))))["runDetails"]
    assert details["builder"]["id"] == "https://ci/builder"
    assert details["metadata"] == {"invocationId": "https://ci/run/1"}
    outside = provenance(Build({}, at(), **run_details(Settings(), at())))["runDetails"]
    assert outside["builder"]["id"] == LOCAL and outside["metadata"] == {}


@pytest.mark.parametrize("known", [None, at(Event(builder="https://ci/builder", run="https://ci/run/1"))])
def test_the_settings_name_the_builder_and_the_run(known: BuildContext | None) -> None:
    """A call of the module in CI does not see the variables of the CI system."""
    settings = Settings(builder_id="https://here/builder", invocation_id="https://here/run/1")
    details = provenance(Build(parameters(settings), known, **run_details(settings, known)))
    assert details["runDetails"]["builder"]["id"] == "https://here/builder"
    assert details["runDetails"]["metadata"] == {"invocationId": "https://here/run/1"}
    assert details["buildDefinition"]["externalParameters"] == parameters(Settings())


def part(platform: str, revision: str = "1", run: str = "r", **parameters: object) -> dict[str, Any]:
    return {
        "buildDefinition": {
            "externalParameters": {"platforms": [platform], "libc": "gnu", **parameters},
            "resolvedDependencies": [
                {"name": "source", "digest": {"gitCommit": revision}},
                {"uri": platform},
            ],
        },
        "runDetails": {"builder": {"id": f"https://ci/{run}"}, "metadata": {"invocationId": run}},
    }


def test_the_provenance_of_an_index_is_that_of_its_images() -> None:
    made = merged([("x:a", part("a")), ("x:b", part("b"))], Event("other", builder="o", run="o"))
    definition = made["buildDefinition"]
    assert definition["externalParameters"] == {"libc": "gnu", "platforms": ["a", "b"]}
    assert [one.get("uri", "source") for one in definition["resolvedDependencies"]] == ["source", "a", "b"]
    assert made["runDetails"] == part("a")["runDetails"]


def test_what_differs_between_images_is_kept_by_platform() -> None:
    parts = [("x:a", part("a", ports=[1])), ("x:b", part("b", run="s", ports=[2]))]
    made = merged(parts, Event("ci", builder="https://ci/merge", run="https://ci/9"))
    assert made["buildDefinition"]["externalParameters"] == {
        "libc": "gnu",
        "platforms": ["a", "b"],
        "by-platform": {"a": {"ports": [1]}, "b": {"ports": [2]}},
    }
    assert made["runDetails"] == {
        "builder": {
            "id": "https://ci/merge",
            "builderDependencies": [{"uri": "https://ci/r"}, {"uri": "https://ci/s"}],
        },
        "metadata": {"invocationId": "https://ci/9"},
    }


def test_images_of_two_commits_have_no_common_provenance() -> None:
    with pytest.raises(NotMergeable, match="different commits") as raised:
        merged([("x:a", part("a")), ("x:b", part("b", revision="2"))], Event())
    assert raised.value.where == "x:a and x:b"


@pytest.mark.parametrize(
    "damaged", [{}, {"buildDefinition": []}, {"buildDefinition": {"resolvedDependencies": [1]}}]
)
def test_damaged_provenance_is_merged_without_an_error_of_python(damaged: dict[str, Any]) -> None:
    made = merged([("x:a", damaged), ("x:b", damaged)], Event())
    assert made["buildDefinition"]["resolvedDependencies"] == []


def test_source_from_ci_and_source_without_a_url() -> None:
    def source(situation: BuildContext) -> dict[str, object]:
        return provenance(Build({}, situation))["buildDefinition"]["resolvedDependencies"][0]

    named = source(at(Event(repository="https://ci.example/me/app")))
    assert named["uri"] == f"git+https://ci.example/me/app@{REVISION}"
    assert source(at(remote="")) == {"name": "source", "digest": {"gitCommit": REVISION}}
    for more in ({"changed": ("src/main.rs",)}, {"added": ("x.gen.rs",)}, {"untracked": ("new.rs",)}):
        assert source(at(**more))["annotations"] == {"dirty": True}, "more than the commit's files was built"


def test_builder_versions_are_sorted() -> None:
    details = provenance(Build({}, versions={"b": "2", "a": "1"}))["runDetails"]
    assert list(details["builder"]["version"].items()) == [("a", "1"), ("b", "2")]
