"""One opened media."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import Changed
from ..model import Data
from ..reading import Pages, Reader
from .values import Attributes


class OpenFile:
    """Reads the version that it was opened with, also when the record changes meanwhile."""

    grows = False

    def __init__(
        self,
        reader: Reader,
        *,
        keep_cache: bool,
        paged: Callable[[], object],
        unpaged: Callable[[], object],
        attributes: Callable[[], Attributes],
        began: Callable[[], object],
        closed: Callable[[], object],
    ) -> None:
        """`paged`, `unpaged`: the kernel may have pages of it, or may not; `began`: the first read."""
        self._reader = reader
        self._attributes = attributes
        self._began: Callable[[], object] | None = began
        self._closed = closed
        self._paged = paged
        self._unpaged = unpaged
        self.keep_cache = keep_cache
        """Whether pages that the kernel holds are of this version."""

    @property
    def content(self) -> object:
        """Files of one inode in which this is not the same object may hold different bytes."""
        return self._reader.content

    def put_into(self, pages: Pages) -> None:
        """Pages of this content, and of no other, may be put there ahead of who reads it."""
        self._paged()
        self._reader.put_into(pages)

    def leave_no_pages(self) -> None:
        """The next who opens it is not to find pages there that are not of his content."""
        self._unpaged()

    async def read(self, offset: int, length: int) -> Data:
        """b"" only at the end. Raises Changed, and why reading failed."""
        if self._began is not None:
            self._began()
            self._began = None
        try:
            return await self._reader.read(offset, length)
        except Changed:
            self._unpaged()  # the next open drops the pages of what was read before
            raise

    def attributes(self) -> Attributes:
        """Raises NotFound when the media is gone meanwhile."""
        return self._attributes()

    async def close(self) -> None:
        self._closed()
        await self._reader.close()
