"""Check that a build is reproducible: build twice, sharing only the downloads, and compare."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from pipeline.build.compile import compile
from pipeline.build.plan import Plan
from pipeline.concurrent import each
from pipeline.errors import NotReproducible
from pipeline.sdk import dagger

AT_ONCE = 8


async def twice(plan: Plan) -> int:
    """Compile a plan twice without compiled state, and return the number of identical files.

    Raises:
        NotReproducible: the builds differ; the message lists the files.
        CompileError and its subclasses: see `build.compile`.
    """
    outputs = []
    for _ in range(2):
        # A unique name, so that the volume of compiled state is empty.
        request = replace(plan.request, apart=secrets.token_hex(8))
        outputs.append(await compile(replace(plan, request=request)))
    first, second = [await digests(output) for output in outputs]
    if different := differing(first, second):
        raise NotReproducible(
            "two builds of the same sources differ in " + ", ".join(different),
            where="reproduce",
            fix="look for times, random numbers and absolute paths in build scripts and macros; "
            "SOURCE_DATE_EPOCH is set for programs that support it",
        )
    return len(first)


async def digests(directory: dagger.Directory) -> dict[str, str]:
    """Return the digest of every file's content, by path."""

    async def read(path: str) -> str:
        return await directory.file(path).digest(exclude_metadata=True)

    paths = [path for path in await directory.glob("**/*") if not path.endswith("/")]
    return dict(zip(paths, await each(paths, read, AT_ONCE), strict=True))


def differing(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """Return the sorted paths that differ or are missing on one side."""
    return sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
