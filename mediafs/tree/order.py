"""In which order the files of a directory are opened, and so which come next. Pure: no I/O, no clock.

Programs that read a whole directory go by one of few orders: that in which the directory was shown
(`find`, `tar`, file managers that sort by date), that of the inodes (GNU `cp`), or that of the names, by
bytes (`rsync`, `LC_ALL=C`) or as people sort them (a shell's `*`). Two neighbours opened one after the
other are taken for the beginning of such a walk. What is said to follow grows with what has proved right,
so that a coincidence costs little.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from ..model import Inode

DIRECTORIES: Final = 256
"""Directories remembered: `rsync` lists a thousand files ahead of the one that it reads, and a day may hold
a few only."""
INODES: Final = 200_000
"""Files of all directories remembered, at some 50 bytes each."""
TAILS: Final = 8
"""Walks through one directory that are followed at once."""
GAP: Final = 4
"""A walk goes on where up to three files were passed over; nor does it end where one of the last few is
opened late, as by several processes that share the work."""
FOLLOWING: Final = (0, 4, 8, 16)
"""How many files are said to follow, by how often the walk was proved right."""
_CERTAIN: Final = len(FOLLOWING) + 1
_LIKELY: Final = 2


class _Tail:
    """Where one walk is: its place in each order, and how much speaks for that order."""

    __slots__ = ("inode", "places", "scores")

    def __init__(self, inode: int, places: Sequence[int]) -> None:
        self.inode = inode
        self.places = places
        self.scores = [0] * len(places)

    def fits(self, places: Sequence[int]) -> int:
        """How well an open continues this walk; 0: not at all."""
        best = 0
        for place, last, score in zip(places, self.places, self.scores, strict=True):
            step = place - last
            if step == 1:
                best = max(best, 2 * score + 2)
            elif score and (1 < step <= GAP or (score >= _LIKELY and -GAP <= step <= 0)):
                best = max(best, 2 * score + 1)
        return best

    def go(self, inode: int, places: Sequence[int]) -> None:
        """The next one was opened. Of one that was passed over before, nothing is learnt."""
        steps = [place - last for place, last in zip(places, self.places, strict=True)]
        for order, step in enumerate(steps):
            if self.scores[order] >= _LIKELY and -GAP <= step <= 0 and 1 not in steps:
                return
        for order, step in enumerate(steps):
            if step == 1:
                self.scores[order] = min(self.scores[order] + 1, _CERTAIN)
            else:
                self.scores[order] = max(self.scores[order] - 1, 0) if 1 < step <= GAP else 0
        self.inode, self.places = inode, places


class _Shown:
    """One directory, as it was shown last. Sorted when a file of it is first opened."""

    def __init__(self, inodes: Sequence[int], names: Sequence[str]) -> None:
        self.inodes = array("Q", inodes)
        self.lowest = min(inodes, default=0)
        self.highest = max(inodes, default=0)
        self.tails: list[_Tail] = []
        """The walks through it; the one that went on last is the last."""
        self._names: tuple[str, ...] | None = tuple(names)
        self._orders: list[array[int]] = []
        """The files in each order; the second is sorted."""
        self._places: list[array[int]] = []
        """The place in each order of the file that is at the same index of the second of them."""

    def places(self, inode: int) -> tuple[int, ...] | None:
        """In each order; None: it is not in this directory."""
        if not self.lowest <= inode <= self.highest:
            return None
        if self._names is not None:
            self._sort(self._names)
        by_inode = self._orders[1]
        at = bisect_left(by_inode, inode)
        if at == len(by_inode) or by_inode[at] != inode:
            return None
        return tuple([places[at] for places in self._places])

    def after(self, order: int, place: int, count: int) -> list[Inode]:
        return [Inode(inode) for inode in self._orders[order][place + 1 : place + 1 + count]]

    def is_end(self, order: int, place: int) -> bool:
        return place + GAP >= len(self.inodes)

    def follow(self, tails: Sequence[_Tail]) -> None:
        """Goes on with the walks through an earlier listing of it."""
        for tail in tails:
            if (places := self.places(tail.inode)) is not None:
                tail.places = places
                self.tails.append(tail)

    def _sort(self, names: Sequence[str]) -> None:
        shown = range(len(names))
        by_inode = sorted(shown, key=self.inodes.__getitem__)
        people = [_collated(name) for name in names]
        for order in (
            shown,
            by_inode,
            sorted(shown, key=names.__getitem__),
            sorted(shown, key=people.__getitem__),
        ):
            place_of = array("I", bytes(4 * len(names)))
            for place, index in enumerate(order):
                place_of[index] = place
            self._orders.append(array("Q", [self.inodes[index] for index in order]))
            self._places.append(array("I", [place_of[index] for index in by_inode]))
        self._names = None


def _collated(name: str) -> str:
    """What locales sort by first: letters and digits, whatever the case."""
    return name if name.isalnum() and name.islower() else "".join(filter(str.isalnum, name)).casefold()


class Order:
    """Told what is shown and what is opened, it says what is going to be opened."""

    def __init__(self) -> None:
        self._shown: OrderedDict[Inode, _Shown] = OrderedDict()
        """The one that was listed last, or in which a file was opened last, is the last."""
        self._count = 0
        self._last: list[tuple[_Shown, _Tail]] = []
        """The walk that went on last; of a file in several directories, that in each."""

    def shown(self, directory: Inode, inodes: Sequence[Inode], names: Sequence[str]) -> None:
        """A directory was listed: its files, in the order in which they were shown."""
        old = self._shown.get(directory)
        if old is not None and old.inodes == array("Q", inodes):
            self._shown.move_to_end(directory)
            return
        self._forget(directory)
        if not 1 < len(inodes) <= INODES:
            return
        new = self._shown[directory] = _Shown(inodes, names)
        self._count += len(inodes)
        if old is not None and old.tails:
            new.follow(old.tails)
            self._last = [(new if shown is old else shown, tail) for shown, tail in self._last]
        while len(self._shown) > DIRECTORIES or self._count > INODES:
            # What only was listed goes before what is read; what is new stays.
            others = [each for each in self._shown.items() if each[1] is not new]
            idle = (other for other, shown in others if not shown.tails)
            self._forget(next(idle, others[0][0]))

    def opened(self, inode: Inode) -> Sequence[Inode]:
        """The files that follow, the next one first; none where no order is seen."""
        strangers: list[tuple[Inode, _Shown, tuple[int, ...]]] = []
        for directory, shown in reversed(self._shown.items()):
            places = shown.places(inode)
            if places is None:
                continue
            fit, at = max(((tail.fits(places), at) for at, tail in enumerate(shown.tails)), default=(0, 0))
            if fit:
                tail = shown.tails.pop(at)
                tail.go(inode, places)
                went_on = any(tail is last for _, last in self._last)
                self._last = []
                self._keep(directory, shown, tail)
                return _following(shown, tail, went_on)
            strangers.append((directory, shown, places))
        following: Sequence[Inode] = ()
        if not strangers:
            return following
        before, self._last = self._last, []
        for directory, shown, places in reversed(strangers):
            tail = _Tail(inode, places)
            _carry_over(before, shown, tail)
            self._keep(directory, shown, tail)
            following = _following(shown, tail, went_on=False) or following
        return following

    def _keep(self, directory: Inode, shown: _Shown, tail: _Tail) -> None:
        self._last.append((shown, tail))
        shown.tails.append(tail)
        del shown.tails[:-TAILS]
        self._shown.move_to_end(directory)

    def _forget(self, directory: Inode) -> None:
        shown = self._shown.pop(directory, None)
        if shown is not None:
            self._count -= len(shown.inodes)


def _following(shown: _Shown, tail: _Tail, went_on: bool) -> Sequence[Inode]:
    score = max(tail.scores)
    # Where several walk at once, one neighbour is more easily a coincidence.
    if score < _LIKELY and not went_on:
        return ()
    order = tail.scores.index(score)
    return shown.after(order, tail.places[order], FOLLOWING[min(score, len(FOLLOWING) - 1)])


def _carry_over(before: Sequence[tuple[_Shown, _Tail]], shown: _Shown, tail: _Tail) -> None:
    """A walk that has come to the end of one directory goes on at the beginning of another."""
    for other, last in before:
        for order, score in enumerate(last.scores):
            at_end = other is not shown and other.is_end(order, last.places[order])
            if at_end and score >= _LIKELY and tail.places[order] == 0:
                tail.scores[order] = max(score, tail.scores[order])
