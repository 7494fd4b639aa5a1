"""Push images in processes that are killed at their first request, at their second, and so on.

`python unlucky.py ADDRESS FOLDER` prints a line for each: the number of the request, and the exit code.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import httpx

from pipeline.errors import RustMultiarchError
from pipeline.oci import normalize
from pipeline.oci.layout import Layout
from pipeline.registry import credentials, dial, pushing
from pipeline.registry.address import Destination
from pipeline.registry.retry import Retry


def image(folder: Path, content: bytes) -> Path:
    """Write a layout with one layer."""
    layout = normalize.LayoutWriter(folder)
    layer = layout.add(normalize.LAYER, content)
    config = layout.add_json(normalize.CONFIG, {"os": "linux", "architecture": "amd64", "of": len(content)})
    manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
    layout.finish(layout.add_json(normalize.MANIFEST, manifest))
    return folder


async def push(folder: Path, host: str, tag: str, attempts: int = 6) -> str:
    """Push a layout; return its digest."""
    layout = await Layout.open(folder)
    keychain, retry = credentials.from_secrets({}), Retry(attempts=attempts, first_seconds=0.2)
    async with dial.registries(keychain, plain_http=[host], retry=retry, say=lambda _: None) as registries:
        await pushing.push(layout, [Destination(host, "me/app", (tag,))], registries)
    return layout.root.digest


REAL = httpx.AsyncHTTPTransport.handle_async_request
Handle = Callable[[httpx.AsyncHTTPTransport, httpx.Request], Awaitable[httpx.Response]]


def acting(number: int, act: Callable[[], None]) -> Handle:
    """Return a `handle_async_request` that does something when it has the response to one of the requests."""
    sent = iter(range(1, 10_000))

    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        response = await REAL(self, request)
        if next(sent) == number:
            act()
        return response

    return handle


def child(number: int, act: Callable[[], None], folder: Path, host: str, tag: str) -> int:
    """Push in a child process; return its exit code, 0 if it was not killed."""
    pid = os.fork()
    if not pid:
        httpx.AsyncHTTPTransport.handle_async_request = acting(number, act)  # type: ignore[method-assign]
        try:
            anyio.run(push, folder, host, tag)
        except RustMultiarchError as error:
            os._exit(error.exit_code)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Kill at the first request, then at the second, until a push needs fewer."""
    host, folder = sys.argv[1], Path(sys.argv[2])
    for number in range(1, 100):
        content = os.urandom(1000 + number)
        path = image(folder / str(number), content)
        code = child(number, lambda: os.kill(os.getpid(), signal.SIGKILL), path, host, f"k{number}")
        print(number, code, flush=True)
        if code == 0:
            return


if __name__ == "__main__":
    main()
