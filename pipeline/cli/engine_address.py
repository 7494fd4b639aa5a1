"""Parse and check the address of `--engine`."""

from __future__ import annotations

import anyio

from engine import choice
from pipeline.errors import EngineUnreachable, InvalidArgument

SCHEMES = ("unix", "tcp", "kube-pod", "ssh", "docker-container", "podman-container", "docker-image")
"""The address schemes of Dagger v0.21.8."""

ANSWER_SECONDS = 10.0
"""Time limit for an engine to accept a connection."""


def parse(name: str) -> str:
    """Return the engine's address; `embedded` stands for the embedded engine's.

    Raises:
        InvalidArgument: the text is not an address with a scheme of Dagger.
    """
    address = choice.address(name)
    scheme, separator, rest = address.partition("://")
    if not separator or scheme not in SCHEMES or not rest:
        raise InvalidArgument(
            f"{name!r} is not the address of an engine",
            where="--engine",
            fix="use an address in Dagger's format: "
            + ", ".join(f"{each}://…" for each in SCHEMES)
            + "; or embedded",
        )
    return address


async def reach(address: str) -> None:
    """Check that something listens at the address; Dagger itself would retry for minutes.

    Addresses of other schemes than `unix` and `tcp` are not checked.

    Raises:
        EngineUnreachable: nothing accepts a connection within `ANSWER_SECONDS`.
    """
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            if scheme == "unix":
                await (await anyio.connect_unix(rest)).aclose()
            elif scheme == "tcp" and port.isdecimal():
                await (await anyio.connect_tcp(host.strip("[]"), int(port))).aclose()
    except (OSError, TimeoutError) as error:
        raise EngineUnreachable(
            f"no engine responds at {address}: {error or f'no response within {ANSWER_SECONDS:.0f} s'}",
            where="--engine",
            fix="start the engine, check the address with `rust-multiarch doctor`, or remove --engine to "
            "use another engine",
        ) from error
