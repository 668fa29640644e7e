"""Live names: files in a user's directory behind which another media may be at any time."""

from __future__ import annotations

import time

from ..catalogue import Catalogue
from ..errors import NotFound
from ..model import User
from ..reading import LiveReader, Reading
from .nodes import Live, stored
from .seams import Ids
from .shapes import UNKNOWN_SIZE
from .values import Attributes, Entry, Kind


class LiveFile:
    """One opened live name. Its size is known where the call has ended."""

    keep_cache = False

    def __init__(self, reader: LiveReader, attributes: Attributes, *, grows: bool) -> None:
        self._reader = reader
        self._attributes = attributes
        self.grows = grows

    @property
    def content(self) -> object:
        return self._reader.content

    async def read(self, offset: int, length: int) -> bytes:
        return await self._reader.read(offset, length)

    def attributes(self) -> Attributes:
        return self._attributes

    async def close(self) -> None:
        await self._reader.close()


class LiveNames:
    """Nothing of them is remembered: the kernel asks each time, and each open is a download."""

    def __init__(self, catalogue: Catalogue, reading: Reading, ids: Ids) -> None:
        self._catalogue = catalogue
        self._reading = reading
        self._ids = ids

    def of(self, user: User) -> list[Entry]:
        return [Entry(name, self.attributes(Live(user, name))) for name, _ in self._ids.live(user.id)]

    def find(self, user: User, name: str) -> Attributes | None:
        return next((entry.attributes for entry in self.of(user) if entry.name == name), None)

    def attributes(self, node: Live, size: int | None = None) -> Attributes:
        inode, _ = self._catalogue.directories.get(*stored(node))
        return Attributes(
            inode=inode,
            kind=Kind.FILE,
            size=UNKNOWN_SIZE if size is None else size,
            links=1,
            modified_s=int(time.time()),
            writable=False,
            entry_timeout_s=0,
            attr_timeout_s=0,
        )

    async def open(self, node: Live) -> LiveFile:
        """Raises NotFound where nothing is behind it now, and what the service refuses."""
        media = dict(self._ids.live(node.user.id)).get(node.name)
        if media is None:
            raise NotFound(f"{node.name}: there is no such name any more")
        reader = self._reading.open_live(media)
        try:
            size = await reader.settle()
        except BaseException:
            await reader.close()
            raise
        return LiveFile(reader, self.attributes(node, size), grows=size is None)
