"""What is going to be read, told to the room that reads."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

from ..catalogue import Catalogue
from ..model import AccountName, Inode, Media, Version
from ..reading import Reading
from .order import Order
from .values import Entry


class Ahead:
    """Of media that are read in order the next ones are fetched ahead, where `Reading` finds that fit."""

    def __init__(
        self,
        catalogue: Catalogue,
        reading: Reading,
        account: AccountName,
        pages: MutableMapping[Inode, Version],
    ) -> None:
        """`pages`: what the kernel may hold pages of."""
        self._catalogue = catalogue
        self._pages = pages
        self._reading = reading
        self._account = account
        self._order = Order()

    def shown(self, directory: Inode, entries: Sequence[Entry]) -> None:
        """A directory of media was listed."""
        inodes = [entry.attributes.inode for entry in entries]
        self._order.shown(directory, inodes, [entry.name for entry in entries])

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
        if not self._reading.remembers(version):
            # What is fetched then is held against nothing that was read before: the next open drops the
            # pages that the kernel may still hold, or those of two contents could meet in one file.
            self._pages.pop(inode, None)
        return media, version
