"""What the disk cache takes up, what it may, and what goes first. No I/O but `statvfs`, and `share`.

Room is claimed before it is written, and what is evicted for it has to be unlinked before that: whoever
claims is told what that is, and none of it is counted any more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import trio

from ..options import CacheOptions
from .bodyfile import Record
from .share import Share

PURSE: Final = 4 << 20
"""Bytes that are granted beforehand where there is room: a turn among the accounts costs 0.2 ms (measured),
and `cp -r` takes one for every file."""

AGAIN_S: Final = 1.0
"""How long a refusal stands, where nothing was given back since: who asks with each block asks often."""


@dataclass(slots=True, eq=False)
class Held:
    """A body in the cache. Its blocks count until it is neither named nor open."""

    path: Path
    record: Record
    blocks: int
    """Bytes that the disk takes up for it; 0 while that is counted as granted."""
    used: int
    """When it was last used: Unix time in ns, never twice the same."""
    body: int
    """Bytes of the body that are held."""
    whole: bool = True
    """Not a file of blocks, even if it has all of them."""
    open: int = 0
    named: bool = True


class Grantee(Protocol):
    """A file that is being filled."""

    granted: int
    """Bytes that the disk may take up for it."""

    @property
    def allocated(self) -> int:
        """What the disk took up for it, when last looked at."""
        ...

    @property
    def needed(self) -> int:
        """What it cannot give back of what was granted."""
        ...


class Ledger:
    """The books of a cache folder, shared by all that fill it. The loop's."""

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self.held: dict[str, Held] = {}
        """Those that have a name, by it; what was used longest ago first."""
        self.pinned: set[str] = set()
        """Names that are not evicted."""
        self._spared: list[Set[str]] = []
        """Names that are not evicted while somebody is at work."""
        self.scanned = False
        """The folder was looked through: all that is there is counted."""
        self.gone: set[str] = set()
        """Names forgotten before that."""
        self.grantees: set[Grantee] = set()
        self.granted = 0
        """To the grantees, to files that are still to be made, and to the purse."""
        self._purse = Grant()
        """For the next small claims."""
        self._blocks = 0
        """Of what is held: named or open."""
        self._refused = 0
        """Bytes for which there was no room..."""
        self._refused_until = 0.0
        """... and until when that is believed."""
        self.disk_is_full = False
        """Whether it was the disk, not the cap, that had none."""
        self.share = Share(options, lambda: self.used)
        """Of the cap."""

    @property
    def used(self) -> int:
        """What others have to leave us."""
        return self._blocks + self.granted

    @property
    def taken(self) -> int:
        """What the disk has of ours, or soon will."""
        return self.used - self._purse.granted

    # --- what is held ------------------------------------------------------------------------------

    def add(self, held: Held) -> None:
        """It has its name now."""
        self.held[held.path.name] = held
        self._blocks += held.blocks

    @contextmanager
    def sparing(self) -> Iterator[set[str]]:
        """Yields a set of names, to be added to: none of them is evicted while the context lasts."""
        names: set[str] = set()
        self._spared.append(names)
        try:
            yield names
        finally:
            self._spared = [each for each in self._spared if each is not names]
            self._refused_until = 0.0

    def touch(self, held: Held, used: int) -> None:
        """It was used just now."""
        held.used = used
        if held.named:
            self.held[held.path.name] = self.held.pop(held.path.name)

    def learned(self) -> None:
        """What earlier processes left was added: in whatever order."""
        in_order = sorted(self.held.items(), key=lambda item: item[1].used)
        self.held.clear()
        self.held.update(in_order)

    def drop(self, held: Held) -> None:
        """It has no name any more."""
        if held.named:
            held.named = False
            if self.held.get(held.path.name) is held:
                del self.held[held.path.name]
            if not held.open:
                self._free(held)

    def closed(self, held: Held) -> None:
        held.open -= 1
        if not held.open and not held.named:
            self._free(held)
        self._refused_until = 0.0

    def resized(self, held: Held, blocks: int) -> None:
        self._blocks += blocks - held.blocks
        held.blocks = blocks

    def _free(self, held: Held) -> None:
        self._blocks -= held.blocks
        held.blocks = 0
        self._refused_until = 0.0

    # --- what is granted ---------------------------------------------------------------------------

    def enter(self, grantee: Grantee) -> None:
        """What it was granted is counted already."""
        self.grantees.add(grantee)

    def count_as_granted(self, held: Held, grantee: Grantee) -> None:
        """What is held is going to be added to."""
        grantee.granted = max(held.blocks, grantee.allocated)
        self.resized(held, 0)
        self.granted += grantee.granted
        self.enter(grantee)

    def leave(self, grantee: Grantee) -> None:
        """It takes up nothing more of what was granted."""
        if grantee in self.grantees:
            self.grantees.remove(grantee)
            self.give_back(grantee, 0)

    def give_back(self, grantee: Grantee | Grant, down_to: int) -> None:
        if grantee.granted > down_to:
            self.granted -= grantee.granted - down_to
            grantee.granted = down_to
            self._refused_until = 0.0

    def claim(self, to: Grantee | Grant, room: int, *, spare: int = 0) -> list[Path] | None:
        """Room for `room` bytes in all, and where there is some for `spare` more; what is to be unlinked
        before it is used. None where that cannot be, also with what others do not need; nothing was
        evicted then."""
        if room <= to.granted:
            return []
        if room - to.granted <= self._purse.granted:
            self._purse.granted -= room - to.granted
            to.granted = room
            return []
        if room - to.granted >= self._refused and trio.current_time() < self._refused_until:
            return None
        with self.share.turn() as ours:
            going = self._claim(to, room - to.granted, spare) if ours else None
        if going is None:
            self._refused = room - to.granted
            self.disk_is_full = self.short(room - to.granted) > 0
            self._refused_until = trio.current_time() + AGAIN_S
        return going

    def _claim(self, to: Grantee | Grant, more: int, spare: int) -> list[Path] | None:
        self.share.want(more + spare)
        going = self._cover(more + spare)
        if going is None:
            self._take_back(to)
            if (going := self._cover(more)) is None:
                return None
            spare = 0
        to.granted += more + spare
        self.granted += more + spare
        lacking = PURSE - self._purse.granted
        if not going and self.excess(lacking) <= 0:
            self._purse.granted += lacking
            self.granted += lacking
        return self._dropped(going)

    def try_again(self) -> None:
        """There may be room by now."""
        self._refused_until = 0.0

    def shrink(self, *, for_others: bool = False) -> list[Path]:
        """What is to be unlinked, for the cap to hold as far as it can, and the disk's free room; or only
        for others to have their share."""
        self.empty_purse()
        with self.share.turn():
            short = self.used - self.share.target
            if not for_others:
                short = max(short, self.short(0))
            return self._dropped(self._oldest(short)) if short > 0 else []

    def _cover(self, more: int) -> list[Held] | None:
        """Whom to evict for so many bytes more; None where that does not suffice."""
        short = self.excess(more)
        if short <= 0:
            return []
        going = self._oldest(short)
        return going if sum(held.blocks for held in going) >= short else None

    def _oldest(self, short: int) -> list[Held]:
        going: list[Held] = []
        for held in self.evictable():
            if short <= 0:
                break
            going.append(held)
            short -= held.blocks
        return going

    def _dropped(self, going: Iterable[Held]) -> list[Path]:
        paths = []
        for held in going:
            self.drop(held)
            paths.append(held.path)
        return paths

    def empty_purse(self) -> None:
        self.give_back(self._purse, 0)

    def _take_back(self, but: Grantee | Grant) -> None:
        self.empty_purse()
        for each in self.grantees:
            if each is not but:
                self.give_back(each, each.needed)

    # --- what there is room for --------------------------------------------------------------------

    def excess(self, more: int) -> int:
        """By how many bytes the cap or the disk has too little room for so many more."""
        return max(self.used + more - self.share.limit, self.short(more))

    def short(self, more: int) -> int:
        """By how many bytes the disk has too little room for so many more."""
        folder = self._options.folder
        try:
            disk = os.statvfs(folder if folder.exists() else folder.parent)
        except OSError:
            return 0  # making the file will tell
        floor = self._options.keep_free(disk.f_blocks * disk.f_frsize)
        # Granted, but not taken from the disk yet.
        pending = sum(max(0, each.granted - each.allocated) for each in self.grantees) + self._purse.granted
        return floor + pending + more - disk.f_bavail * disk.f_frsize

    def evictable(self) -> Iterator[Held]:
        """What was used longest ago first."""
        mine = self._options.realm
        for name, held in self.held.items():
            limited = held.record.limited and held.record.realm == mine
            spared = name in self.pinned or any(name in names for names in self._spared)
            if not held.open and not spared and not limited:
                yield held

    def room(self) -> int:
        """Bytes that a new body could take up, what would be evicted for it included."""
        evictable = sum(held.blocks for held in self.evictable())
        spare = sum(max(0, each.granted - each.needed) for each in self.grantees) + self._purse.granted
        free = self.share.reach - self.used + evictable + spare
        return max(0, min(free, evictable + spare - self.short(0)))


class Grant:
    """Room for a file that is still to be made."""

    def __init__(self) -> None:
        self.granted = 0
