"""What the kernel remembers of the tree, kept true: changes become invalidations.

Which call may be made from where is not free to choose; the wrong place locks the daemon up for
good, beyond SIGKILL. Measured on Linux 6.18:

names       the call waits for a lookup that is pending in that directory, which this program has to
            answer: never on the trio thread.
attributes  returns at once, also with a read pending: on the trio thread.
content     waits for reads that are pending on that inode, as names do: never on the trio thread.
pages       putting some there waits for those that are being read: never on the trio thread, see `pages`.

Names and contents have a few worker threads of ours each, so that neither a stalled read nor a
directory in which a deletion waits for the service holds back the rest. pyfuse3's own
`invalidate_entry_async` makes the same call from a thread too, but its queue is unbounded, nobody can
wait for it, and it may still be inside libfuse when the session is freed.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, Protocol, cast

import pyfuse3
import trio

from ..model import Change, ChangeKind, Data, Inode
from .pages import KernelPages

log = logging.getLogger(__name__)

_BATCH: Final = 512
"""Calls in one hop to the thread: some 10 ms, against 0.2 ms that the hop costs."""

_THREADS: Final = 8
"""Directories, or contents, told of at once: as many may be locked by somebody who waits for the service
before the others have to wait too."""

_ADDED_LIMIT: Final = 200_000
"""New names told to the kernel at most in one go. They only end remembered absences, which expire by
themselves, and a first listing of a large archive adds a million of them. What was removed is always
told, and there can be no more of it than the kernel may hold."""


class Calls(Protocol):
    """The calls of pyfuse3 that this module makes; all raise FileNotFoundError for the unknown."""

    def invalidate_entry(self, parent: int, name: bytes) -> None: ...

    def invalidate_inode(self, inode: int, *, attr_only: bool) -> None: ...

    def notify_store(self, inode: int, offset: int, data: Data) -> None: ...


class _Pyfuse3Calls:
    def invalidate_entry(self, parent: int, name: bytes) -> None:
        pyfuse3.invalidate_entry(parent, name)

    def invalidate_inode(self, inode: int, *, attr_only: bool) -> None:
        pyfuse3.invalidate_inode(inode, attr_only=attr_only)

    def notify_store(self, inode: int, offset: int, data: Data) -> None:
        pyfuse3.notify_store(inode, offset, cast(bytes, data))  # any buffer will do


class KernelCaches:
    """Tells the kernel what changed. Made by the composer, run by `serve`.

    Before and after it runs, what it is told is dropped: the kernel then knows nothing.
    """

    def __init__(self, calls: Calls | None = None) -> None:
        self._calls = calls or _Pyfuse3Calls()
        self.pages = KernelPages(self._calls.notify_store)
        self._names: dict[Inode, dict[str, None]] = {}
        """By directory: one call at a time in each, for they would wait for each other."""
        self._contents: dict[Inode, None] = {}
        self._count = 0
        """Names that wait."""
        self._at_work: set[Inode] = set()
        """Directories and contents with a call under way."""
        self._news = trio.Event()
        self._told = trio.Event()
        """Set when a call has ended, made anew by whoever waits."""
        self._running = False

    def tell(self, changes: Sequence[Change]) -> None:
        """Queues what these changes invalidate and returns at once. Trio thread only."""
        if not self._running:
            return
        for change in changes:
            self._queue(change)
        self._news.set()

    def _queue(self, change: Change) -> None:
        added = change.kind is ChangeKind.ADDED
        for directory, name in change.places:
            if not added or self._count < _ADDED_LIMIT:
                names = self._names.setdefault(directory, {})
                self._count += name not in names
                names[name] = None
            self._attributes(directory)
        if added:
            return
        self._attributes(change.inode)
        if change.content or change.kind is ChangeKind.REMOVED:
            # What was deleted at the service must not be read from the page cache either.
            self.pages.revoke(change.inode)
            self._contents[change.inode] = None

    def _attributes(self, inode: Inode) -> None:
        # Returns at once, and whoever looks next is told what the catalogue holds by now.
        self._quietly(self._calls.invalidate_inode, inode, attr_only=True)

    @property
    def pending(self) -> int:
        """Invalidations that wait, and those under way."""
        return self._count + len(self._contents) + len(self._at_work)

    async def wait_told(self, *, locked: Collection[Inode] = ()) -> None:
        """Returns when the kernel has been told of everything but the names in `locked`: directories that
        the kernel holds until the caller has answered."""
        while self._contents or any(each not in locked for each in (*self._names, *self._at_work)):
            if self._told.is_set():  # else somebody waits for it already
                self._told = trio.Event()
            await self._told.wait()

    async def run(self, stop: trio.Event) -> None:
        """Drains until `stop`; calls that are under way then are waited for, the rest is dropped.

        So end this while the mount still answers: that is what a call under way waits for.
        """
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain, nursery)
                await stop.wait()
                self._running = False
                self._drop()
                self._news.set()
                await self.pages.end()
        finally:
            self._running = False
            self._drop()

    def _drop(self) -> None:
        self._names.clear()
        self._contents.clear()
        self._count = 0
        self._told.set()

    async def _drain(self, nursery: trio.Nursery) -> None:
        names, contents = trio.CapacityLimiter(_THREADS), trio.CapacityLimiter(_THREADS)
        while self._running:
            for directory in [each for each in self._names if each not in self._at_work]:
                self._at_work.add(directory)
                nursery.start_soon(self._tell_names, directory, names)
            for inode in [each for each in self._contents if each not in self._at_work]:
                del self._contents[inode]
                self._at_work.add(inode)
                nursery.start_soon(self._tell_content, inode, contents)
            await self._news.wait()
            self._news = trio.Event()

    async def _tell_names(self, directory: Inode, limiter: trio.CapacityLimiter) -> None:
        try:
            while batch := self._taken(directory):
                await _in_thread(limiter, partial(self._invalidate_names, directory, batch))
        finally:
            self._done(directory)

    def _taken(self, directory: Inode) -> list[str]:
        names = self._names.get(directory, {})
        batch = list(itertools.islice(names, _BATCH))
        for name in batch:
            del names[name]
        self._count -= len(batch)
        if not names:
            self._names.pop(directory, None)
        return batch

    async def _tell_content(self, inode: Inode, limiter: trio.CapacityLimiter) -> None:
        try:
            await _in_thread(limiter, partial(self._invalidate_content, inode))
        finally:
            self._done(inode)

    def _done(self, inode: Inode) -> None:
        self._at_work.discard(inode)
        self._news.set()
        self._told.set()

    def _invalidate_names(self, directory: Inode, batch: Sequence[str]) -> None:
        for name in batch:
            if not self._running:
                return
            self._quietly(self._calls.invalidate_entry, directory, os.fsencode(name))

    def _invalidate_content(self, inode: Inode) -> None:
        if self._running:
            with self.pages.quiet(inode):
                self._quietly(self._calls.invalidate_inode, inode, attr_only=False)

    def _quietly(self, call: Callable[..., None], *args: object, **kwargs: object) -> None:
        try:
            call(*args, **kwargs)
        except FileNotFoundError:
            pass  # the kernel does not hold it
        except OSError as error:
            # ENOTCONN and the like: the mount is going away, and the kernel's memory with it.
            log.info("the kernel's cache was not told of a change: %s", error)


async def _in_thread(limiter: trio.CapacityLimiter, call: Callable[[], None]) -> None:
    # Abandoned on cancellation: only a hard end cancels here, and then a call that waits for an
    # operation nobody answers any more must not keep the daemon from closing the session.
    await trio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
