"""Set the tags of an image, and restore them if one fails, without losing the tags of other clients.

Each tag is read directly before it is set, and again before it is restored: only a tag that still names the
pushed image goes back to what it named. Requests are conditional (`If-Match`, `If-None-Match`), so a registry
that supports this rejects those that would overwrite what another client has set in between. For registries
that do not, the time between reading and setting a tag is one request long.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio

from pipeline.errors import (
    PublishError,
    RegistryFailed,
    RegistryUnreachable,
    RustMultiarchError,
    TagExists,
    TagRefused,
)
from pipeline.oci.layout import Manifest
from pipeline.registry.distribution import CONFLICTS, Fetched, Repository, TagMoved, same, unchanged

UNCLEAR = (RegistryFailed, RegistryUnreachable)
"""Errors after which a tag may be set nevertheless, since only the response may be lost."""

PUT_BACK_SECONDS = 10
"""Time limit in seconds to restore the tags of an interrupted push; the command line allows 20 in total."""

LATE_SECONDS = 0.5
"""The time in seconds in which a registry ends a request whose connection was closed."""


@dataclass
class Tag:
    """A tag to set.

    Attributes:
        repository: the repository.
        name: the tag.
        address: the tag with the repository's name, for messages.
        before: the manifest that it named when it was last read; None if there was none.
    """

    repository: Repository
    name: str
    address: str
    before: Fetched | None = None

    def names(self, digest: str) -> bool:
        """Return True if the tag named this digest when it was last read."""
        return self.before is not None and self.before.descriptor.digest == digest

    async def look(self, digest: str, clobber: bool) -> None:
        """Read the tag.

        Raises:
            TagExists: it names something else than this digest, and `clobber` is false.
        """
        self.before = await self.repository.manifest(self.name)
        if self.before and not self.names(digest) and not clobber:
            raise TagExists(
                f"the tag {self.name} names another image already: {self.before.descriptor.digest}",
                where=self.address,
                fix="choose a new tag, or leave --no-clobber out to move this one",
            )

    async def set(self, root: Manifest, clobber: bool) -> None:
        """Set the tag, unless another client sets it at the same time and `clobber` is false.

        Raises:
            TagExists: see `look`.
            PublishError: the registry refused the tag, or other clients move it all the time.
        """
        named = root.descriptor
        condition = unchanged(self.before)
        for _ in range(CONFLICTS):
            try:
                await self.repository.put_manifest(self.name, named.media_type, root.body, condition)
                return
            except TagMoved:
                seen = self.before
                await self.look(named.digest, clobber)
                if self.names(named.digest):
                    return
                # Some proxies change entity tags, and the condition then fails without a reason.
                condition = {} if same(seen, self.before) else unchanged(self.before)
        raise RegistryFailed(
            f"other clients moved the tag {self.name} in {CONFLICTS} attempts to set it",
            where=self.address,
            fix="run the same command again later; what arrived is not sent again",
        )

    async def put_back(self, digest: str) -> bool:
        """Restore the tag if it names this digest; return False if it may name it afterwards.

        Another client's tag is left alone, also if this push created the tag. A client that set it to the
        same digest cannot be told from this one.
        """
        condition: dict[str, str] | None = None
        try:
            for _ in range(CONFLICTS):
                now = await self.repository.manifest(self.name)
                if now is None or now.descriptor.digest != digest:
                    return True
                # A condition that fails although the tag is the same fails for another reason.
                condition = unchanged(now) if condition is None else {}
                with suppress(TagMoved):
                    return await self._restored(condition)
        except RustMultiarchError:
            pass
        return False

    async def _restored(self, condition: dict[str, str]) -> bool:
        if self.before is None:
            return await self.repository.delete_tag(self.name, condition)
        named = self.before.descriptor
        await self.repository.put_manifest(self.name, named.media_type, self.before.body, condition)
        return True


async def set_tags(tags: Sequence[Tag], root: Manifest, clobber: bool) -> None:
    """Set one tag after the other; if one fails, or the push is interrupted, restore the others.

    Raises:
        TagExists: another client set a tag in between, and `clobber` is false; the others were restored.
        TagRefused: the registry refused a tag; the others were restored as far as the registries support it.
    """
    touched: list[Tag] = []
    digest = root.descriptor.digest
    try:
        for tag in tags:
            await _set(tag, root, clobber, touched)
    except anyio.get_cancelled_exc_class():
        await _interrupted(touched, digest)
        raise


async def _set(tag: Tag, root: Manifest, clobber: bool, touched: list[Tag]) -> None:
    """Set a tag and add it to the touched ones; if that fails, restore all of them."""
    digest = root.descriptor.digest
    try:
        await tag.look(digest, clobber)
        if not tag.names(digest):
            touched.append(tag)
            await tag.set(root, clobber)
    except PublishError as error:
        moved = [one for one in touched if one is not tag or isinstance(error, UNCLEAR)]
        raise await _refused(tag, error, moved, digest) from error


async def _interrupted(touched: Sequence[Tag], digest: str) -> None:
    """Restore the tags of an interrupted push within a time limit, and print those that may be left."""
    left = [tag.address for tag in touched]
    with anyio.move_on_after(PUT_BACK_SECONDS, shield=True):
        left = await _put_all_back(touched, digest)
        # The registry may still set the tag of the request that was interrupted.
        if touched and not left:
            await anyio.sleep(LATE_SECONDS)
            left = await _put_all_back(touched[-1:], digest)
    if left:
        say = touched[0].repository.registry.say
        say(f"interrupted; these tags may name the new image and could not be put back: {', '.join(left)}")


async def _refused(tag: Tag, error: PublishError, moved: Sequence[Tag], digest: str) -> PublishError:
    """Restore the moved tags, and return the error for a tag that could not be set."""
    left = await _put_all_back(moved, digest)
    fix = f"let the registry take the tag {tag.name}, or choose another; what was sent is not sent again"
    fix = error.fix if isinstance(error, TagExists) else fix
    if left:
        fix = f"these tags may name the new image and could not be put back: {', '.join(left)}; {fix}"
    # If the connection was lost, the registry did not refuse the tag.
    kind = type(error) if type(error) is not PublishError else TagRefused
    return kind(
        f"the image arrived, but its tag {tag.name} was not set: {error.what}",
        where=tag.address,
        fix=fix,
        output=error.output,
    )


async def _put_all_back(moved: Sequence[Tag], digest: str) -> list[str]:
    """Restore tags; return the addresses of those that could not be restored."""
    return [tag.address for tag in moved if not await tag.put_back(digest)]
