"""Implement `--cache-from` and `--cache-to`: compiled state in a file or a registry, kept between CI runs."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import host_files
from pipeline.cli import output
from pipeline.cli.publish_options import PublishOptions
from pipeline.config.request import check_trusted
from pipeline.config.settings import Settings
from pipeline.errors import InvalidArgument, PublishError
from pipeline.printable import say
from pipeline.registry.address import Address, destinations, named_somehow, parse_address, parse_source
from pipeline.sdk import dag

if TYPE_CHECKING:
    from pipeline.main import RustMultiarch
    from pipeline.registry.publish import Logins

WRITTEN = "a file, or type=registry,ref=ADDRESS"


@dataclass(frozen=True)
class CacheOptions:
    """The options for compiled state."""

    cache_from: Annotated[
        str,
        typer.Option(
            "--cache-from",
            help="Compiled state written by --cache-to, used if the engine has none of the project; "
            f"it may not exist yet: {WRITTEN}.",
        ),
    ] = ""
    cache_to: Annotated[
        str,
        typer.Option("--cache-to", help=f"Write compiled state, like export-cache, to {WRITTEN}."),
    ] = ""


def place(option: str, text: str, parse: Callable[[str], Address]) -> Path | Address | None:
    """Parse the location of an archive: a local file or an address; None if empty.

    Args:
        option: the option, for messages.
        text: its value.
        parse: parses an address.

    Raises:
        InvalidArgument: a type or key of buildx that is not supported, or no address.
        InvalidAddress: the address is invalid.
    """
    if "=" not in text:
        return Path(text) if text else None
    keys = output.keys(text)
    address = keys.pop("ref", "")
    if keys != {"type": "registry"} or not address:
        raise InvalidArgument(
            "compiled state can only be in a file or a registry",
            where=f"{option} {text}",
            fix=f"write {option} state.tar.zst, or "
            f"{option} type=registry,ref=ghcr.io/me/app-buildcache:state",
        )
    return parse(address)


def check(settings: Settings, options: CacheOptions) -> None:
    """Check the options before an engine is started.

    Raises:
        InvalidArgument, InvalidAddress: see `place`.
        Untrusted: the project is of a stranger, and its state would be written.
    """
    if Caches.parse(options, PublishOptions()).target:
        check_trusted(settings, "compiled state")


@dataclass(frozen=True)
class Caches:
    """The source and target of compiled state, and the access to their registries.

    Attributes:
        source: the archive to read before a build.
        target: the archive to write after it.
        logins: credentials besides those of docker.
        plain_http: hosts to use plain HTTP for.
    """

    source: Path | Address | None = None
    target: Path | Address | None = None
    logins: Logins = field(default_factory=dict)
    plain_http: Sequence[str] = ()

    @classmethod
    def parse(cls, options: CacheOptions, pushed: PublishOptions) -> Caches:
        """Parse the options of a command.

        User name and password are for the first tag's registry; without a tag, for those of the caches.

        Raises:
            InvalidArgument, InvalidAddress: see `place`.
        """
        source = place("--cache-from", options.cache_from, parse_source)
        target = place("--cache-to", options.cache_to, parse_address)
        kept = [each.host for each in (source, target) if isinstance(each, Address)]
        tag = pushed.tag or ()
        hosts = [to.host for to in destinations(named_somehow(tag[:1]))] if tag else kept
        password = f"env://{pushed.password}"
        logins = {host: (pushed.username, dag.secret(password)) for host in hosts if pushed.password}
        return cls(source, target, logins, pushed.plain_http or ())

    @asynccontextmanager
    async def read(self, module: RustMultiarch) -> AsyncIterator[RustMultiarch]:
        """Add the archive, if it exists, to the project during the block.

        A build does not need the archive, so a failure to read it is only a warning.
        """
        with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
            path = await self._brought(Path(folder) / "state.tar.zst")
            yield module.with_cache(dag.host().file(str(path))) if path and path.is_file() else module

    async def _brought(self, path: Path) -> Path | None:
        if not isinstance(self.source, Address):
            return self.source
        from pipeline.registry import archive
        from pipeline.registry.publish import connected

        try:
            async with connected(self.logins, self.plain_http) as registries:
                there = await archive.pull(self.source, path, registries)
        except PublishError as error:
            say(f"warning: no compiled state from {self.source}: {error.what} ({error.where})")
            return None
        except OSError as error:
            say(f"warning: no compiled state from {self.source}: it cannot be written here: {error.strerror}")
            return None
        say(f"compiled state of {self.source}" if there else f"no compiled state at {self.source} yet")
        return path if there else None

    async def write(self, module: RustMultiarch) -> None:
        """Write the archive of a project after its build.

        Raises:
            PublishError: see `archive.push`.
        """
        if self.target is None:
            return
        packed = await module.export_cache()
        if isinstance(self.target, Path):
            with host_files.replacing(self.target) as made:
                await packed.export(str(made))
            return
        with tempfile.TemporaryDirectory(prefix="rust-multiarch-") as folder:
            path = Path(folder) / "state.tar.zst"
            await packed.export(str(path))
            from pipeline.registry import archive
            from pipeline.registry.publish import connected

            async with connected(self.logins, self.plain_http) as registries:
                digest = await archive.push(path, self.target, registries)
        say(f"compiled state at {self.target}, {digest}")
