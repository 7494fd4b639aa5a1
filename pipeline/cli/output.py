"""Parse `--output` in docker's format: the destinations of an image besides a registry."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InvalidArgument

TYPES = {
    "oci": "an OCI archive, or with tar=false an OCI layout directory",
    "registry": "push, as --push does",
    "image": "with push=true: push, as --push does",
    "docker": "load into docker, as --load does, or with dest= an archive that docker loads",
}
"""The values of `type=`."""

_WRITTEN = "write --output type=oci,dest=image.tar, or just --output image.tar"


@dataclass(frozen=True)
class Output:
    """A destination of an image.

    Attributes:
        kind: `archive`, `layout`, `docker`, `push` or `load`.
        path: the path of an archive or a layout; empty for `push` and `load`.
    """

    kind: str
    path: str = ""


def keys(text: str) -> dict[str, str]:
    """Parse the keys and values of a text like `type=oci,dest=image.tar`."""
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): value.strip() for name, _, value in pairs}


def parse(text: str) -> Output:
    """Parse an `--output` in buildx's format: a path, or `type=…,dest=…`.

    Raises:
        InvalidArgument: a type or key is unknown, or the path is missing.
    """
    if "=" not in text:
        return Output("archive", text)
    given = keys(text)
    kind, path = given.pop("type", "oci"), given.pop("dest", "")
    tar, push = given.pop("tar", "true"), given.pop("push", "false")
    if given:
        raise _wrong(text, f"there is no {', '.join(given)}=")
    if kind == "registry" or (kind == "image" and push == "true"):
        return Output("push")
    if kind == "docker" and tar == "true":
        return Output("docker", path) if path else Output("load")
    if kind != "oci":
        raise _wrong(text, f"type={kind} is not among " + ", ".join(TYPES))
    if not path:
        raise _wrong(text, "it has no dest=")
    return Output("layout" if tar == "false" else "archive", path)


def _wrong(text: str, what: str) -> InvalidArgument:
    return InvalidArgument(what, where=f"--output {text}", fix=_WRITTEN)


def dockerfile() -> InvalidArgument:
    """Return the error for `--file`."""
    return InvalidArgument(
        "Dockerfiles are not used: the image is built from Cargo.toml and the options",
        where="--file",
        fix="remove --file; use --runtime-base, --port, --env, --label and --arg instead",
    )
