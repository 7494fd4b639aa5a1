"""Run this project as a peer: one process, one engine session, the core of the command line.

Run as `python -m bench.ours REQUEST` with a JSON request, so that a sample has all steps of a user's call:
the start of Python, the imports, the connection. It writes the seconds of its phases to a file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

STARTED = time.monotonic()

from pipeline import sdk  # noqa: E402

# As the command line does.
sdk.prepare()

import anyio  # noqa: E402
import dagger  # noqa: E402
from dagger import dag  # noqa: E402

from pipeline import RustMultiarch, releases  # noqa: E402
from pipeline.build import compile as build  # noqa: E402
from pipeline.build import compile_cache, entries_directory, plan  # noqa: E402
from pipeline.cli.compiled_directory import CompiledDirectory  # noqa: E402
from pipeline.targets import select  # noqa: E402
from pipeline.toolchain import builder as toolchain  # noqa: E402

EMPTY = releases.DEFAULT.base
"""The image for emptying cache volumes."""


class Phases:
    """The seconds of a call's phases in order, and the bytes it uploaded."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"import": time.monotonic() - STARTED}
        self.uploaded: int | None = None
        self._last = time.monotonic()

    def end(self, name: str) -> None:
        """Record the phase that just ended."""
        now = time.monotonic()
        self.seconds[name], self._last = now - self._last, now


def project(request: Mapping[str, Any]) -> RustMultiarch:
    """Return the module's object for a request's `source`, `platforms`, `bins` and `kept`."""
    source = dag.host().directory(request["source"], exclude=plan.IGNORED, gitignore=True)
    kept = request.get("kept") or None
    return RustMultiarch(
        source=source, platforms=request["platforms"], bin=request["bins"], compile_cache=kept
    )


async def build_image(request: Mapping[str, Any], phases: Phases) -> None:
    """Build the image and write it to the OCI archive `output`."""
    image = await project(request).build()
    phases.end("build")
    await (await image.tarball()).export(request["output"])
    phases.end("export")


async def publish(request: Mapping[str, Any], phases: Phases) -> None:
    """Build the image and push it to `address`."""
    image = await project(request).build()
    phases.end("build")
    receipt = json.loads(await image.publish(request["address"], as_json=True))
    phases.uploaded = sum(delivery["uploaded_bytes"] for delivery in receipt["deliveries"])
    phases.end("publish")


async def nothing(request: Mapping[str, Any], phases: Phases) -> None:
    """Request the engine's version, to measure an empty session."""
    await dag.version()
    phases.end("ask")


async def forget(request: Mapping[str, Any], phases: Phases) -> None:
    """Empty the project's cache volume, the downloads and the compiled dependencies of all projects."""
    await emptied(await project(request)._planned())
    phases.end("forget")


async def leave(request: Mapping[str, Any], phases: Phases) -> None:
    """Empty the project's cache volume, as if the next build were of another project."""
    planned = await project(request)._planned()
    await _emptied(build.with_compiled_state(_shell(), planned), toolchain.BUILD)
    phases.end("leave")


async def emptied(plan: plan.Plan) -> None:
    """Empty the cache volumes of a project's builds."""
    container = build.with_compiled_state(toolchain.with_downloads(_shell()), plan)
    container = container.with_mounted_cache(
        compile_cache.DIRECTORY, dag.cache_volume(compile_cache.volume(untrusted=False))
    )
    await _emptied(container, toolchain.BUILD, toolchain.DOWNLOADS, compile_cache.DIRECTORY)


def _shell() -> dagger.Container:
    return dag.container().from_(EMPTY).with_env_variable("BENCH_NOW", str(time.time_ns()))


async def _emptied(container: dagger.Container, *volumes: str) -> None:
    await container.with_exec(["find", *volumes, "-mindepth", "1", "-delete"]).sync()


async def export(request: Mapping[str, Any], phases: Phases) -> None:
    """Write the builder's file tree to the archive `output` and its environment to `env`."""
    builder = toolchain.builder(
        toolchain.native(releases.RUST, releases.DEFAULT), select(request["platforms"])
    )
    # As one file: the engine exports directories file by file, which takes many minutes.
    pack = ["tar", "--one-file-system", "--exclude=./tree.tar", "-C", "/", "-cf", "/tree.tar", "."]
    await builder.with_exec(pack).file("/tree.tar").export(request["output"])
    env = {await variable.name(): await variable.value() for variable in await builder.env_variables()}
    await anyio.Path(request["env"]).write_text(json.dumps(env))
    phases.end("export")


DOES: Mapping[str, Callable[[Mapping[str, Any], Phases], Any]] = {
    "build": build_image,
    "publish": publish,
    "nothing": nothing,
    "forget": forget,
    "leave": leave,
    "export": export,
}


async def run(request: Mapping[str, Any], phases: Phases) -> None:
    """Run a request in a new session."""
    async with dagger.connection(dagger.Config(log_output=sys.stderr)):
        phases.end("connect")
        kept = request.get("kept")
        with entries_directory.using(CompiledDirectory(Path(kept))) if kept else nullcontext():
            await DOES[request["do"]](request, phases)
    phases.end("close")


def main(arguments: Sequence[str]) -> None:
    """Run the request and write the duration of its phases."""
    request, phases = json.loads(arguments[0]), Phases()
    anyio.run(run, request, phases)
    if path := request.get("phases"):
        Path(path).write_text(json.dumps({"phases": phases.seconds, "uploaded": phases.uploaded}))


if __name__ == "__main__":
    main(sys.argv[1:])
