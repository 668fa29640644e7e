"""Files whose bytes are fetched to be kept on disk, by inode: never a name, never a listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from ..catalogue import Catalogue
from ..errors import Changed, NotFound
from ..model import AccountName, Inode, Media, MediaId, Version
from ..reading import Progress, Reading, Warming, warming
from .paged import Paged
from .warm import Holding, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    bytes: int
    """What the disk got back."""
    spared: int
    """Files that stay, for each of their downloads counts at the service."""


class Kept:
    """What the disk cache holds of the files of a mount, and what is to be fetched into it."""

    def __init__(self, catalogue: Catalogue, reading: Reading, account: AccountName, paged: Paged) -> None:
        self._catalogue = catalogue
        self._reading = reading
        self._account = account
        self._paged = paged

    async def fetch(self, run: Warming, inode: Inode, progress: Progress, *, pin: bool = False) -> bool:
        """Returns once all of a file is on disk, and with `pin` is not evicted any more. False where there is
        nothing to keep: it is gone, or its name is a live one. Raises what `Warming.fetch` raises."""
        media = self._media(inode)
        if media is None:
            return False
        version = Version.of(media, self._account)
        self._paged.fetched(inode, version)
        try:
            await run.fetch(
                media, version, progress, lambda size: settle(self._catalogue, inode, media, size)
            )
        except Changed:
            self._paged.drop(inode)
            raise
        if pin and self._reading.cache is not None:
            await self._reading.cache.pin(media.id)
        return True

    @contextmanager
    def run(self, *, pin: bool) -> Iterator[Run]:
        """To fetch many, and with `pin` not to evict them any more. What it fetched is not evicted while the
        context lasts. Raises NoRoom where nothing is kept on disk."""
        with warming(self._reading) as begun:
            large_from = self._reading.options.whole_below
            yield Run(self.holding, partial(self.fetch, begun, pin=pin), large_from=large_from)

    async def wait_known(self) -> None:
        """Until it is known what earlier mounts left."""
        if self._reading.cache is not None:
            await self._reading.cache.wait_scanned()

    def holding(self, inode: Inode) -> Holding | None:
        """None where there is nothing to keep."""
        media = self._media(inode)
        if media is None:
            return None
        cache = self._reading.cache
        return Holding(
            size=media.size,
            held=self._reading.cached(Version.of(media, self._account)),
            pinned=cache is not None and cache.is_pinned(media.id),
        )

    async def evict(self, inodes: Iterable[Inode]) -> Evicted:
        """Takes their bytes from the disk, also where they are pinned or open."""
        going, spared = set[MediaId](), 0
        for inode in inodes:
            media = self._media(inode)
            if media is None:
                continue
            if media.download_once and self._reading.cached(Version.of(media, self._account)):
                spared += 1
            else:
                going.add(media.id)
        cache = self._reading.cache
        freed = await cache.evict(going) if cache is not None else 0
        return Evicted(bytes=freed, spared=spared)

    async def unpin(self, inodes: Iterable[Inode]) -> None:
        """They are evicted like any other from now on."""
        cache = self._reading.cache
        for inode in inodes:
            media = self._media(inode)
            if media is not None and cache is not None and cache.is_pinned(media.id):
                await cache.unpin(media.id)

    def _media(self, inode: Inode) -> Media | None:
        media = self._catalogue.views.media(inode)
        return None if media is None or media.fleeting else media


def settle(catalogue: Catalogue, inode: Inode, media: Media, size: int) -> None:
    """The size of `media`, which no record tells, was found out. Raises NotFound, and Changed where the
    record is of another content by now."""
    now = catalogue.views.media(inode)
    if now is None:
        raise NotFound(f"inode {inode} is gone")
    if now.validator not in (media.validator, replace(media, size=size).validator):
        raise Changed(f"media {media.id}: changed while its size was found out")
    catalogue.contents.settle(inode, size)
