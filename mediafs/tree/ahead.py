"""What is going to be read, told to the room that reads."""

from __future__ import annotations

from collections.abc import Sequence

from ..catalogue import Catalogue, Stat
from ..model import AccountName, Inode, Media, Version
from ..reading import Reading
from .order import Order
from .paged import Paged


class Ahead:
    """Of media that are read in order the next ones are fetched ahead, where `Reading` finds that fit."""

    def __init__(self, catalogue: Catalogue, reading: Reading, account: AccountName, paged: Paged) -> None:
        self._catalogue = catalogue
        self._paged = paged
        self._reading = reading
        self._account = account
        self._order = Order()

    def shown(self, directory: Inode, media: Sequence[Stat]) -> None:
        """A directory of media was listed."""
        self._order.shown(directory, [stat.inode for stat in media], [stat.name for stat in media])

    def began(self, inode: Inode) -> None:
        """A media that was opened is read: by a read that no page of the kernel answered."""
        if following := self._order.opened(inode):
            self._reading.prefetcher.want(following, self._find)

    def closed(self, inode: Inode) -> None:
        """A media was closed."""
        self._reading.prefetcher.read(inode)

    def _find(self, inode: Inode) -> tuple[Media, Version] | None:
        media = self._catalogue.views.media(inode)
        if media is None:
            return None
        version = Version.of(media, self._account)
        self._paged.fetched(inode, version)
        return media, version
