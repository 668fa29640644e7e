"""How much of the cap an account may take up, where several share a cache directory.

All of them together never take up more than the cap: room is granted while nobody else's note changes, and
only as far as theirs and ours leave some. Who has less than its fair share and finds none says so; those
that have more then go down towards theirs, and take nothing of what was asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from ..options import CacheOptions
from .cachefolder import thinned
from .room import Entry, Room

log = logging.getLogger(__name__)

WISH_S: Final = 10.0
"""How long a wish stands that is not told again."""

PART: Final = 16
"""Such a part of the cap is asked for at once: more than one claim, for others look every few seconds."""


class Share:
    """Everything but `take_from_idle` is the loop's."""

    def __init__(self, options: CacheOptions, used: Callable[[], int]) -> None:
        """`used` is what is taken up now."""
        self._size = options.size
        self._used = used
        self._hold_idle = options.hold_idle
        self._room = Room(options.folder) if options.hold_idle is not None else None
        self._told = 0
        """What is in our note: never less than what the disk has of ours."""
        self._since = 0
        """The most that was taken up since `begin_lowering`."""
        self._wish = Entry(0)
        self._over: dict[str, int] = {}
        """What others have that have more than their share."""
        self._others_want = 0
        self.others = 0
        """Bytes that all others take up."""
        self.fair = options.size
        """Bytes that each account may have, if all want as much."""
        self.wished = trio.Event()
        """There was no room, and others have more than their share."""

    @property
    def target(self) -> int:
        """What to go down to, now."""
        return max(self.fair, self._size - self.others - self._others_want)

    @property
    def limit(self) -> int:
        """What may be taken up in all, now."""
        return min(self._size - self.others, self.target)

    @property
    def reach(self) -> int:
        """What could be taken up, if others were asked for their room."""
        return max(self._size - self.others, self.fair)

    @property
    def is_shared(self) -> bool:
        return self._room is not None

    def look(self) -> None:
        """Learns of others without a word of us. Blocks: longer, where there is no note yet."""
        if self._room is not None:
            with self._room.turn() as entries:
                self._learn(self._room.account, entries or {})

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Others take up nothing more meanwhile; what is taken up at its end is told to them. False where
        that cannot be: somebody else's turn does not end. Blocks shortly."""
        if self._room is None:
            yield True
            return
        with self._room.turn() as entries:
            if entries is None:
                yield False
                return
            self._learn(self._room.account, entries)
            yield True
            used = self._used()
            self._told, self._since = max(self._told, used), max(self._since, used)
            entries[self._room.account] = Entry(self._told, self._wish.wanted, self._wish.until)

    def _learn(self, account: str, entries: dict[str, Entry]) -> None:
        now = time.time()
        others = {name: each for name, each in entries.items() if name != account}
        wishes = {name: each.wanted for name, each in others.items() if 0 < each.until - now <= WISH_S}
        self.others = sum(each.bytes for each in others.values())
        self._others_want = sum(wishes.values())
        accounts = 1 + sum(each.bytes > 0 or wishes.get(name, 0) > 0 for name, each in others.items())
        self.fair = self._size // accounts
        self._over = {name: each.bytes for name, each in others.items() if each.bytes > self.fair}

    def want(self, more: int) -> None:
        """In a turn: so much is about to be taken up. Where it is our share, and others have the room, they
        are told."""
        used = self._used()
        self._wish = Entry(0)
        if used + more > self._size - self.others and used < self.fair:
            wanted = min(max(more, self._size // PART), self.fair - used)
            self._wish = Entry(0, wanted, time.time() + WISH_S)
            self.wished.set()

    @property
    def is_lower(self) -> bool:
        """Less is taken up than others were told."""
        return self._told > self._used()

    def begin_lowering(self) -> None:
        """What was given up so far is about to be off the disk: others may have it at `lower`."""
        self._since = self._used()

    def lower(self) -> None:
        self._told = self._since
        with self.turn():
            pass

    def end(self) -> None:
        """Nothing is taken up any more."""
        self._wish = Entry(0)
        self.begin_lowering()
        self.lower()

    def take_from_idle(self) -> None:
        """Evicts what others have beyond their share whose daemons do not run, as far as we need it.
        Blocks."""
        if self._room is None or self._hold_idle is None or self._wish.until < time.time():
            return
        fair, wanted = self.fair, self._wish.wanted
        for account, count in sorted(self._over.items(), key=lambda item: -item[1]):
            with self._hold_idle(account) as idle:
                if not idle:
                    continue
                folder = self._room.folder(account)
                try:
                    left = thinned(folder, max(fair, count - wanted))
                except OSError as error:
                    log.debug("the disk cache of %s cannot be evicted: %s", account, error)
                else:
                    Room(folder).note(left)
                    wanted -= count - left
            if wanted <= 0:
                return
