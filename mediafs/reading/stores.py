"""Where a body goes, and is found again: blocks and whole bodies in the disk cache, and whole bodies that
have no room there in memory or in a nameless file."""

from __future__ import annotations

from typing import Final

from ..errors import Changed, NoRoom
from ..model import Media, Version
from .blocks import Blocks
from .checks import Identity
from .content import Content
from .disk import DiskCache
from .options import ReadingOptions
from .spool import MakeStore, MemorySpool, Store, make_spool

_COPIED: Final = 1 << 20
"""Bytes that are moved at once out of a store that has no more room."""


class Stores:
    """All of a mount."""

    def __init__(
        self, blocks: Blocks, options: ReadingOptions, cache: DiskCache | None, make_store: MakeStore | None
    ) -> None:
        """`make_store`, where it is given, makes all of them."""
        self._blocks = blocks
        self._spool_directory = options.spool_directory
        self._cache = cache
        self._given = make_store

    async def make(self, media: Media, version: Version, size: int | None) -> Store:
        """For a body of `size` bytes; None: its end will tell. Raises NoRoom.

        Where each download counts, only a store that keeps the body when it is closed will do, for it
        may not be had again.
        """
        if self._given is not None:
            return await self._given(version, size)
        if self._cache is not None and (kept := await self._cache.make(media, version, size)) is not None:
            return kept
        # Memory first: reads of it need no thread, and a full disk is no reason to fail.
        if size is not None and (memory := self._memory(size)) is not None:
            return memory
        if media.download_once:
            raise NoRoom(
                f"media {media.id}: each download counts at the service, and this one could not be kept:"
                " raise size of [cache], make room on the disk of the cache folder, or mount with another"
                " --cache-dir"
            )
        try:
            return await make_spool(self._spool_directory)
        except NoRoom:
            if size is None and (memory := self._memory(0)) is not None:
                return memory
            raise

    async def recall(self, content: Content) -> None:
        """Looks, once, what of it is kept on disk, and has what comes from now on kept there too."""
        if content.sought is None:
            return
        async with content.sought:
            if content.sought is None:
                return
            store = await self._cache.find(content.version) if self._cache is not None else None
            if store is None:
                await self._open_partial(content)
                content.sought = None
                return
            content.sought = None
            record = store.record
            wanted = content.edition.size in (None, record.size) and content.spool is None
            if not wanted or not content.readers or content.forgotten or content.failed is not None:
                store.discard()
                return
            identity = Identity(etag=record.etag, last_modified=record.last_modified, total=record.size)
            try:
                content.found(store, record.size, identity)
            except Changed:
                store.discard()

    async def _open_partial(self, content: Content) -> None:
        size, known = content.edition.size, content.edition.identity
        if self._cache is None or self._given is not None or size is None or content.spool is not None:
            return
        etag, last_modified = (known.etag, known.last_modified) if known is not None else (None, None)
        body = await self._cache.open_partial(content.media, content.version, size, etag, last_modified)
        if body is None:
            return
        if not content.readers or content.forgotten or content.failed is not None:
            body.discard()
            return
        content.disk = body
        record = body.record
        if known is None and body.bytes_held and (record.etag or record.last_modified):
            # What comes from the service is held against what was kept, or bytes of two contents could meet.
            content.edition.identity = Identity(
                etag=record.etag, last_modified=record.last_modified, total=record.size
            )

    async def rescue(self, store: Store, held: int, size: int | None, error: NoRoom) -> Store:
        """Moves the `held` bytes of a body out of a store that has no room for the rest, into memory.

        Raises `error` where that has no room either; the store is the caller's in any case.
        """
        memory = None
        if self._given is None and not isinstance(store, MemorySpool):
            memory = self._memory(0 if size is None else size)
        if memory is None:
            raise error
        try:
            for at in range(0, held, _COPIED):
                await memory.put(at, await store.get(at, min(_COPIED, held - at)))
        except BaseException as failure:
            memory.discard()
            if isinstance(failure, NoRoom):
                raise error from failure
            raise
        return memory

    def _memory(self, lent: int) -> MemorySpool | None:
        if not self._blocks.lend(lent):
            return None
        return MemorySpool(lent, self._blocks.lend, self._blocks.give_back)
