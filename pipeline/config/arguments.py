"""Define the arguments that the module and the command line share, with their descriptions.

`RustMultiarch` inherits those of its constructor, and the options are made from the same fields and
descriptions. So that help needs no engine, this module does not import Dagger's SDK.
"""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from pipeline.config.settings import USER
from pipeline.targets import DEFAULT_PLATFORMS

SOURCE = Doc("The cargo project: the directory with Cargo.toml and Cargo.lock.")

ADDRESS = Doc(
    "Address to push to, for example ghcr.io/me/app:1.2.3; without a tag, git and the tag rules set the "
    "tags. {bin} is replaced by the binary's name."
)
USERNAME = Doc("User name for the registry.")
PASSWORD = Doc("Password or token for the registry.")
NO_CLOBBER = Doc("Fail if a tag already points to another image.")
PLAIN_HTTP = Doc("Use plain HTTP for these registries.")
BY_DIGEST = Doc("Push by digest only, without tags.")
REGISTRY = Doc("Service to reach the address's registry, for example tcp://127.0.0.1:5000 on your machine.")

SBOM = Doc("Attach an SBOM to each platform's image.")
SBOM_FORMAT = Doc("Format of the SBOM, which is then attached: cyclonedx (the default) or spdx.")
PROVENANCE = Doc("Attach SLSA provenance of the build.")
SYMBOLS = Doc("Attach the debug symbols of each platform's binaries.")
SIGN_KEY = Doc(
    "Private key to sign the image and its attachments: a cosign key, or an EC key on P-256 in PEM."
)

MERGE_KEY = Doc(
    "Private key that the images must be signed with, to sign the index: a cosign key, or an EC key on P-256 "
    "in PEM."
)
SIGN_KEYLESS = Doc(
    "Sign without a key, with the identity token of the CI system, by Fulcio and Rekor of Sigstore."
)
MERGE_KEYLESS = Doc(
    "Sign the index without a key, with the identity token of the CI system; the images must have signatures "
    "of the same identity."
)
IDENTITY_TOKEN = Doc("Identity token for keyless signing, if the one of the CI system cannot be read.")
SIGSTORE_CONFIG = Doc("Client trust configuration of a private Sigstore; the public one by default.")
LEGACY_SIGNATURES = Doc(
    "Write signatures also in the form of cosign 1 and 2, at the tags sha256-….sig and sha256-….att, besides "
    "the Sigstore bundles that cosign 3 reads."
)

MATRIX = Doc("Return a CI matrix of platforms, triples and native runners.")
SMOKE_COMMAND = Doc("Arguments after the entrypoint, for example --version.")
SMOKE_SECONDS = Doc("Seconds after which a program that still runs, such as a server, passes; 0: no limit.")
TESTED = Doc("Run the tests for these platforms with QEMU instead of natively.")
DENY_WARNINGS = Doc("Treat every warning as an error.")
PROGRAM = Doc("The program.")
PROGRAM_PLATFORM = Doc("Platform of program and image, for example linux/arm64.")
PROGRAM_IMAGE = Doc("Runtime image; scratch for an empty one.")
PROGRAM_STATIC = Doc("Require a static program.")


@dataclass(kw_only=True)
class Arguments:
    """The settings as arguments of the constructor."""

    # None means not given: the value in Cargo.toml is used, else the default in `Settings`.
    platforms: Annotated[
        list[str] | None,
        Doc("OCI platforms to build for; " + ",".join(DEFAULT_PLATFORMS) + " by default."),
    ] = None
    package: Annotated[str | None, Doc("Workspace member to build.")] = None
    bin: Annotated[list[str] | None, Doc("Binaries to put into the image; the first is its entrypoint.")] = (
        None
    )
    features: Annotated[list[str] | None, Doc("Cargo features to enable.")] = None
    all_features: Annotated[bool | None, Doc("Enable all cargo features.")] = None
    no_default_features: Annotated[bool | None, Doc("Disable the default cargo features.")] = None
    cargo_profile: Annotated[
        str | None, Doc("Cargo profile: release (the default), dev or a custom one.")
    ] = None
    cargo_args: Annotated[list[str] | None, Doc("Additional arguments of `cargo build`.")] = None
    build_args: Annotated[list[str] | None, Doc("Environment of the compile, each NAME=value.")] = None
    rust_version: Annotated[
        str | None, Doc("Rust version; the project's rust-toolchain.toml decides where this is empty.")
    ] = None
    # A string, since Dagger v0.21.8 does not support None as the default of an enum argument.
    libc: Annotated[
        str | None, Doc("C library of the binaries: gnu (the default), or musl for static ones.")
    ] = None
    glibc: Annotated[str | None, Doc("Oldest glibc the binaries run on, for example 2.17.")] = None
    debian: Annotated[
        str | None, Doc("Debian release of the builder and of the default base: trixie or bookworm.")
    ] = None
    target_packages: Annotated[
        list[str] | None,
        Doc("Additional Debian packages to link with, installed for each platform: libfoo-dev."),
    ] = None
    builder_packages: Annotated[
        list[str] | None,
        Doc("Additional Debian packages of the builder, for programs that build scripts run: git, nodejs."),
    ] = None
    strategy: Annotated[
        str | None,
        Doc("cross (the default): one native compiler for all; emulated: each platform's own, under QEMU."),
    ] = None
    build_platform: Annotated[
        str | None, Doc("Platform that the compiler runs on; the engine's platform by default.")
    ] = None
    runtime_base: Annotated[
        str | None,
        Doc("Image the final image starts from; empty: debian for gnu, scratch (no files at all) for musl."),
    ] = None
    runtime_packages: Annotated[
        list[str] | None,
        Doc("Additional Debian packages of the final image, unpacked without running anything: tzdata."),
    ] = None
    user: Annotated[
        str | None,
        Doc(
            f"User the program runs as; the default, {USER}, has no rights. A name is written as its number; "
            "empty keeps the base's."
        ),
    ] = None
    ports: Annotated[list[int] | None, Doc("TCP ports the image exposes.")] = None
    working_directory: Annotated[
        str | None, Doc("Working directory of the program; empty keeps the base's.")
    ] = None
    entrypoint: Annotated[
        list[str] | None,
        Doc("Entrypoint of the image, word by word; the first binary by default."),
    ] = None
    args: Annotated[list[str] | None, Doc("Default arguments of the program.")] = None
    runtime_env: Annotated[list[str] | None, Doc("Environment of the program, each NAME=value.")] = None
    labels: Annotated[list[str] | None, Doc("Labels of the image, each NAME=value.")] = None
    volumes: Annotated[
        list[str] | None,
        Doc("Directories of the image that are volumes, created for its user, for example /var/lib/app."),
    ] = None
    files_from: Annotated[
        str | None,
        Doc("Directory with files for the root filesystem, relative to the Cargo.toml that names it."),
    ] = None
    health_cmd: Annotated[
        str | None,
        Doc('Health check: a line for the image\'s shell, or a JSON list: ["/usr/local/bin/app","--check"].'),
    ] = None
    health_interval: Annotated[str | None, Doc("Time between two health checks, for example 30s.")] = None
    health_timeout: Annotated[str | None, Doc("Time after which a health check fails.")] = None
    health_start_period: Annotated[
        str | None, Doc("Time after the start in which failed health checks are ignored.")
    ] = None
    health_start_interval: Annotated[
        str | None, Doc("Time between two health checks in the start period.")
    ] = None
    health_retries: Annotated[
        int | None, Doc("Failed health checks in a row that make the container unhealthy.")
    ] = None
    no_healthcheck: Annotated[bool | None, Doc("Remove the base's health check.")] = None
    stop_signal: Annotated[
        str | None, Doc("Signal that stops the program, for example SIGINT; SIGTERM by default.")
    ] = None
    index: Annotated[
        bool | None, Doc("Make an index even for a single platform, instead of a plain manifest.")
    ] = None
    source_date_epoch: Annotated[
        int | None,
        Doc("Time of all files in the image, in seconds since 1970; the commit's by default."),
    ] = None
    ref: Annotated[
        str | None,
        Doc("The git ref that CI builds, for example refs/tags/v1.2.3; the checked out one by default."),
    ] = None
    builder_id: Annotated[
        str | None,
        Doc("URI of the build platform in the provenance, by default from the variables of the CI system."),
    ] = None
    invocation_id: Annotated[
        str | None,
        Doc("URI of this run in the provenance, by default from the variables of the CI system."),
    ] = None
    tag_rules: Annotated[
        list[str] | None,
        Doc("Tag rules in the format of docker's metadata action, for example type=sha."),
    ] = None
    require_clean: Annotated[bool | None, Doc("Fail if the checkout has uncommitted changes.")] = None
    allow_dirty: Annotated[bool | None, Doc("Release uncommitted changes; the tags end in -dirty.")] = None
    git_metadata: Annotated[
        bool | None,
        Doc("Let build scripts ask git: hand over the commit and its tags, install git."),
    ] = None
    compile_cache: Annotated[
        str | None,
        Doc(
            "Cache of compiled dependencies: engine (the default), which the engine's projects share; the "
            "address of a store that engines share, redis://…, s3://… or webdavs://…; gha, the cache of "
            "GitHub Actions; a directory, on the command line; or off."
        ),
    ] = None
    untrusted: Annotated[
        bool | None,
        Doc("Build code of strangers, such as a fork's pull request: with separate caches, not published."),
    ] = None
