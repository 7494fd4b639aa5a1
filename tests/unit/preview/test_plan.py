import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from test_build import plan

from pipeline import targets
from pipeline.config import settings
from pipeline.config.settings import Value
from pipeline.native.natives import Needs, Reason
from pipeline.oci.health import Health
from pipeline.oci.runtime import Runtime
from pipeline.preview import data as preview
from pipeline.preview.data import BaseImage, Preview
from pipeline.preview.text import as_text
from pipeline.targets import BY_PLATFORM, Libc

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/plan.schema.json").read_text())
DIGEST = "sha256:" + "ab" * 32
DIGESTS = dict.fromkeys(("debian:trixie-slim", "rust:1.96-slim-trixie", "python:3.13-slim-trixie"), DIGEST)
BASE = BaseImage("debian:trixie-slim", DIGEST)

MERGED = settings.merge(
    {"ports": Value([80], "Cargo.toml [package.metadata.rust-multiarch]")},
    {"bin": Value(["app", "two"], "option --bin")},
)


def validate(document: object) -> None:
    # Imported here, since it takes seconds, which every process that collects the tests would spend.
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)


def shown(**changes) -> Preview:
    runtime = Runtime(labels={"org.opencontainers.image.title": "app"})
    drawn = preview.draw(
        plan(),
        runtime,
        MERGED,
        DIGESTS,
        ["host/a:1"],
    )
    return dataclasses.replace(drawn, **changes)


def test_the_json_matches_its_schema() -> None:
    validate(json.loads(preview.as_json(shown())))


@pytest.mark.parametrize(
    "wrong",
    [
        {"binaries": ()},
        {"commands": ()},
        {"builder": BaseImage("x", "latest")},
        {"targets": ()},
        {"version": 2},
    ],
)
def test_the_schema_refuses_invalid_documents(wrong: dict) -> None:
    with pytest.raises(Exception, match="Failed validating"):
        validate(json.loads(preview.as_json(shown(**wrong))))


@pytest.mark.parametrize(
    ("record", "described"),
    [
        (Preview, SCHEMA),
        (preview.TargetPlan, SCHEMA["$defs"]["TargetPlan"]),
        (preview.BaseImage, SCHEMA["$defs"]["BaseImage"]),
        (preview.PlannedPackage, SCHEMA["$defs"]["PlannedPackage"]),
        (preview.PlannedCrate, SCHEMA["$defs"]["PlannedCrate"]),
        (preview.Setting, SCHEMA["$defs"]["Setting"]),
    ],
)
def test_the_schema_describes_exactly_the_fields(record: type, described: dict) -> None:
    names = [field.name for field in dataclasses.fields(record)]
    assert list(described["properties"]) == names
    assert described["required"] == names
    assert described["additionalProperties"] is False


def test_preview_content() -> None:
    document = json.loads(preview.as_json(shown()))
    assert document["binaries"] == ["app", "two"]
    assert document["commands"][0][:3] == ["cargo", "build", "--locked"]
    assert document["tags"] == ["host/a:1"]
    assert document["cache"].startswith("rust-multiarch-build-")
    assert document["builder"] == {"name": "rust:1.96-slim-trixie", "digest": DIGEST}
    amd64, arm64 = document["targets"]
    assert (amd64["platform"], arm64["triple"]) == ("linux/amd64", "aarch64-unknown-linux-gnu")
    assert amd64["environment"]["CC_x86_64_unknown_linux_gnu"] == "x86_64-linux-gnu-gcc"
    assert {
        "name": "gcc-aarch64-linux-gnu",
        "place": "builder",
        "why": "C compiler and linker",
    } in arm64["packages"]
    assert arm64["base"]["digest"] == DIGEST
    origins = {each["name"]: (each["value"], each["origin"]) for each in document["settings"]}
    assert origins["ports"] == ([80], "Cargo.toml [package.metadata.rust-multiarch]")
    assert origins["bin"] == (["app", "two"], "option --bin")
    assert origins["user"] == (settings.USER, "default")


def test_preview_as_text() -> None:
    lines = as_text(shown(warnings=("mind the gap",))).splitlines()
    for line in (
        "Build      app, two",
        "C library  gnu",
        "Platforms  linux/amd64, linux/arm64",
        f"Builder    rust:1.96-slim-trixie@{DIGEST}",
        f"Runtime    debian:trixie-slim@{DIGEST}",
        "Push to    host/a:1",
        "  pkgconf          builder  tells build scripts where libraries are",
        "linux/arm64: aarch64-unknown-linux-gnu, armv8-a or newer",
        "    gcc-aarch64-linux-gnu  builder  C compiler and linker",
        "    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc",
        "  org.opencontainers.image.title  app",
        "  bin    app, two  option --bin",
        "  ports  80        Cargo.toml [package.metadata.rust-multiarch]",
        "Warnings",
        "  mind the gap",
    ):
        assert line in lines, line
    assert lines.count(f"Runtime    debian:trixie-slim@{DIGEST}") == 1
    assert any(line.startswith("  cargo build --locked --profile release") for line in lines)
    assert any(line.startswith("  default: platforms, package, features,") for line in lines)


def test_empty_sections_are_omitted() -> None:
    text = as_text(shown(warnings=(), labels={}, packages=()))
    assert not any(title in text for title in ("Warnings", "Labels", "Packages"))


def test_the_matrix_has_native_runners() -> None:
    assert json.loads(preview.as_matrix(plan().request.targets, Libc.GNU)) == {
        "include": [
            {"platform": "linux/amd64", "triple": "x86_64-unknown-linux-gnu", "runner": "ubuntu-24.04"},
            {"platform": "linux/arm64", "triple": "aarch64-unknown-linux-gnu", "runner": "ubuntu-24.04-arm"},
        ]
    }
    assert "\n" not in preview.as_matrix(plan().request.targets, Libc.GNU)
    assert preview.runner(BY_PLATFORM["linux/s390x"]) == "ubuntu-24.04"


def test_every_package_of_every_target_has_a_reason() -> None:
    for target, libc in itertools.product(targets.TARGETS, Libc):
        packages = preview.target_plan(target, Needs(), plan(libc=libc), BASE).packages
        assert packages and all(package.why for package in packages)


OPENSSL = Needs(
    host=("g++-aarch64-linux-gnu",),
    target=("libssl-dev",),
    runtime=("libssl3",),
    env={"X_aarch64": "1"},
    common={"Y": "2"},
    reasons=(
        Reason("openssl-sys", "0.9.1", "libssl-dev of the target, to link with", "links OpenSSL"),
        Reason("openssl-sys", "0.9.1", "libssl3 in the image", "links OpenSSL"),
        Reason("cxx", "1.0.0", "g++-aarch64-linux-gnu on the build platform", "compiles C++"),
    ),
    unknown=("odd-sys",),
    warnings=("odd flags",),
)


def test_native_crates_list_packages_place_and_reason() -> None:
    request = dataclasses.replace(plan().request, target_packages=("libextra-dev",), packages=("git",))
    planned = dataclasses.replace(plan(), request=request, needs=(Needs(), OPENSSL))
    drawn = preview.draw(planned, Runtime(packages=("tzdata",)), MERGED, DIGESTS)
    arm64 = drawn.targets[1]
    found = {(package.name, package.place): package.why for package in arm64.packages}
    assert found["libssl-dev", "target"] == "openssl-sys 0.9.1 links OpenSSL"
    assert found["libssl3", "image"] == "openssl-sys 0.9.1 links OpenSSL"
    assert found["g++-aarch64-linux-gnu", "builder"] == "cxx 1.0.0 compiles C++"
    asked = [("libextra-dev", "target"), ("git", "builder"), ("tzdata", "image")]
    assert {found[package] for package in asked} == {"requested"}
    assert (arm64.environment["X_aarch64"], arm64.environment["Y"]) == ("1", "2")
    assert drawn.warnings == (
        "odd flags",
        "odd-sys is not in the table of native crates: it is built without extra packages",
    )
    assert "    openssl-sys 0.9.1  libssl3 in the image" in as_text(drawn)
    validate(json.loads(preview.as_json(drawn)))


def test_scratch_has_no_digest() -> None:
    planned = plan(libc=Libc.MUSL)
    drawn = preview.draw(planned, Runtime(base="scratch"), MERGED, DIGESTS)
    assert drawn.targets[0].base == BaseImage("scratch", "")
    text = as_text(drawn)
    assert "Runtime    scratch\n" in text and "C library  musl\n" in text
    validate(json.loads(preview.as_json(drawn)))


def test_a_glibc_setting_lowers_the_required_runtime() -> None:
    old = Runtime(base="debian:bullseye-slim")
    planned = plan()
    floor = dataclasses.replace(planned, request=dataclasses.replace(planned.request, glibc="2.17"))
    assert preview.warnings(planned, old) and not preview.warnings(floor, old)
    assert not preview.warnings(plan(libc=Libc.MUSL), old)


@pytest.mark.parametrize(
    ("runtime", "profile", "said"),
    [
        (
            Runtime(base="debian:bullseye-slim"),
            "release",
            "glibc 2.31, older than the 2.41 that is linked against",
        ),
        (Runtime(base="ghcr.io/me/base"), "release", "ghcr.io/me/base has no version tag"),
        (Runtime(base="host:5000/base:latest"), "release", "has no version tag"),
        (Runtime(user="root"), "release", "runs as root"),
        (Runtime(user="0:0"), "release", "runs as root"),
        (Runtime(), "dev", "not optimised"),
    ],
)
def test_warnings(runtime: Runtime, profile: str, said: str) -> None:
    (warning,) = preview.warnings(plan(profile=profile), runtime)
    assert said in warning


LIGHT = "no crate has native code: with --libc musl the programs are static and need no base"
SMALL = (
    "the programs need only the C library: --runtime-base gcr.io/distroless/cc-debian13 has it without a "
    "shell, and is smaller than debian:trixie-slim"
)
COMPILED = Needs(reasons=(Reason("ring", "0.17.8", "gcc", "it compiles C"),))


@pytest.mark.parametrize(
    ("needs", "runtime", "said"),
    [
        (Needs(), Runtime(), [LIGHT, SMALL]),
        (COMPILED, Runtime(), [SMALL]),
        (Needs(unknown=("foo-sys",)), Runtime(), [SMALL]),
        (dataclasses.replace(COMPILED, target=("libpq-dev",)), Runtime(), []),
        (Needs(), Runtime(packages=("tzdata",)), []),
        (Needs(), Runtime(health=Health(("curl x",), shell=True)), []),
        (Needs(), Runtime(health=Health(("/app",))), [LIGHT, SMALL]),
        (Needs(), Runtime(base="debian:bookworm-slim"), []),
        (Needs(), Runtime(base="scratch"), []),
    ],
    ids=[
        "rust alone",
        "C code",
        "unknown",
        "a library",
        "a package",
        "a shell",
        "a program",
        "chosen",
        "musl",
    ],
)
def test_smaller_bases_are_suggested(needs: Needs, runtime: Runtime, said: list[str]) -> None:
    planned = dataclasses.replace(plan(), needs=(needs, needs))
    assert list(preview.suggestions(planned, runtime)) == said
    shown = as_text(preview.draw(planned, runtime, MERGED, DIGESTS))
    assert all(f"  {line}" in shown for line in said) and ("Suggestions" in shown) == bool(said)


@pytest.mark.parametrize(
    "base",
    ["debian:trixie-slim", "scratch", "host:5000/base@" + DIGEST, "host:5000/b:1"],
)
def test_no_warnings_for_pinned_bases(base: str) -> None:
    assert preview.warnings(plan(), Runtime(base=base)) == []
