"""What stays in the disk cache until it is said otherwise: an empty file beside the body says so, which needs
no room and outlives the process and the body."""

from __future__ import annotations

from pathlib import Path

import trio

from ...model import MediaId
from .bodyfile import name_of
from .cachefolder import PIN, pin, pinned, unpin
from .ledger import Ledger


class Pins:
    """Which media are not evicted; their names are in the ledger's `pinned`."""

    def __init__(self, folder: Path, realm: str, ledger: Ledger) -> None:
        self._folder = folder
        self._realm = realm
        self._ledger = ledger
        self._mine: set[MediaId] = set()
        """Pinned by this process, whether there is a body yet or not."""
        self._gone: set[str] = set()
        """Names whose pins went while the folder is looked through."""

    async def learn(self) -> None:
        """What earlier processes pinned. Raises OSError."""
        found = await trio.to_thread.run_sync(pinned, self._folder)
        self._ledger.pinned |= found - self._gone
        self._gone.clear()

    async def add(self, media: MediaId) -> None:
        """Raises OSError: it is pinned by this process alone."""
        name = name_of(self._realm, media)
        self._mine.add(media)
        self._ledger.pinned.add(name)
        self._gone.discard(name)
        await trio.to_thread.run_sync(pin, self._folder / name)
        if name not in self._ledger.pinned:  # not any more
            await trio.to_thread.run_sync(unpin, self._folder / name)

    async def remove(self, media: MediaId) -> None:
        """It is evicted like any other, also by later processes."""
        path = self._folder / self.drop(media)
        await trio.to_thread.run_sync(unpin, path)

    def drop(self, media: MediaId) -> str:
        """The name of a body that is not pinned any more; the file that says so is the caller's to remove."""
        name = name_of(self._realm, media)
        self._mine.discard(media)
        self._ledger.pinned.discard(name)
        if not self._ledger.scanned:
            self._gone.add(name)
        return name

    def clear(self) -> None:
        """Nothing is pinned any more; the files that said so are the caller's to remove."""
        self._mine.clear()
        self._ledger.pinned.clear()

    def of(self, held: set[MediaId]) -> set[MediaId]:
        """Which media are pinned: by this process, and of these."""
        pinned_names = self._ledger.pinned
        return self._mine | {media for media in held if name_of(self._realm, media) in pinned_names}

    def path(self, name: str) -> Path:
        """What says that a body is pinned."""
        return self._folder / (name + PIN)
