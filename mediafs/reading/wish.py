"""What one read waits for."""

from __future__ import annotations

import trio

from ..model import Data
from .blocks import Piece
from .stream import Stream


class Wish:
    """The bytes `start` up to `stop` that one read waits for.

    It takes them from whatever arrives, in order, the moment they arrive: so no eviction can lose
    them in between, and a budget of nothing still makes progress.
    """

    def __init__(self, start: int, stop: int) -> None:
        self.missing = start
        """The first byte not taken yet."""
        self.stop = stop
        self.stream: Stream | None = None
        """The one it waits for."""
        self._parts: list[Data] = []
        self._news = trio.Event()

    @property
    def complete(self) -> bool:
        return self.missing >= self.stop

    def offer(self, piece: Piece) -> None:
        """Takes what continues it."""
        if piece.offset <= self.missing < min(piece.stop, self.stop):
            self.take(piece.data[self.missing - piece.offset : self.stop - piece.offset])

    def take(self, data: Data) -> None:
        """Takes the bytes at `missing`."""
        self._parts.append(data)
        self.missing += len(data)

    def taken(self) -> Data:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def wake(self) -> None:
        self._news.set()

    async def wait_news(self, stream: Stream) -> None:
        """Until it is complete, or its reader should think again: the stream was answered or ended,
        the content failed, the reader was closed."""
        self.stream = stream
        self._news = trio.Event()
        try:
            await self._news.wait()
        finally:
            self.stream = None
