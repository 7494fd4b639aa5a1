"""`--output` as docker writes it: where an image goes besides, or instead of, a registry."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InvalidArgument

TYPES = {
    "oci": "an OCI archive, or with tar=false an OCI layout directory",
    "registry": "push, as --push does",
    "image": "with push=true: push, as --push does",
    "docker": "load into docker, as --load does, or with dest= an archive that docker loads",
}
"""What may be written as `type=`."""

_WRITTEN = "write --output type=oci,dest=image.tar, or just --output image.tar"


@dataclass(frozen=True)
class Output:
    """A way out of a build.

    Attributes:
        kind: `archive`, `layout`, `docker`, `push` or `load`.
        path: where an archive or a layout goes; empty for `push` and `load`.
    """

    kind: str
    path: str = ""


def keys(text: str) -> dict[str, str]:
    """The keys and values of a text like `type=oci,dest=image.tar`."""
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): value.strip() for name, _, value in pairs}


def parse(text: str) -> Output:
    """An `--output` as buildx takes it: a path, or `type=…,dest=…`.

    Raises:
        InvalidArgument: a type or key that there is not, or no path.
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
    """What there is to say about `--file`."""
    return InvalidArgument(
        "there is no Dockerfile: the image is made from Cargo.toml and the options",
        where="--file",
        fix="leave --file out; --runtime-base, --port, --env, --label and --arg set what a Dockerfile would",
    )
