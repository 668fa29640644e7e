"""What the kernel remembers of the tree, kept true: changes become invalidations.

Which call may be made from where is not free to choose; the wrong place locks the daemon up for
good, beyond SIGKILL. Measured on Linux 6.18:

names       the call waits for a lookup that is pending in that directory, which this program has to
            answer: never on the trio thread.
attributes  returns at once, also with a read pending: on the trio thread.
content     waits for reads that are pending on that inode, as names do: never on the trio thread.

Names and content each have one worker thread of ours, so that a stalled read does not hold back a
deletion. pyfuse3's own `invalidate_entry_async` makes the same call from a thread too, but its queue
is unbounded, nobody can wait for it, and it may still be inside libfuse when the session is freed.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

import pyfuse3
import trio

from ..model import Change, ChangeKind, Inode

log = logging.getLogger(__name__)

K = TypeVar("K")

_BATCH: Final = 512
"""Calls in one hop to the thread: some 10 ms, against 0.2 ms that the hop costs."""

_ADDED_LIMIT: Final = 200_000
"""New names told to the kernel at most in one go. They only end remembered absences, which expire by
themselves, and a first listing of a large archive adds a million of them. What was removed is always
told, and there can be no more of it than the kernel may hold."""


class Calls(Protocol):
    """The calls of pyfuse3 that this module makes; all raise FileNotFoundError for the unknown."""

    def invalidate_entry(self, parent: int, name: bytes) -> None: ...

    def invalidate_inode(self, inode: int, *, attr_only: bool) -> None: ...


class _Pyfuse3Calls:
    def invalidate_entry(self, parent: int, name: bytes) -> None:
        pyfuse3.invalidate_entry(parent, name)

    def invalidate_inode(self, inode: int, *, attr_only: bool) -> None:
        pyfuse3.invalidate_inode(inode, attr_only=attr_only)


class KernelCaches:
    """Tells the kernel what changed. Made by the composer, run by `serve`.

    Before and after it runs, what it is told is dropped: the kernel then knows nothing.
    """

    def __init__(self, calls: Calls | None = None) -> None:
        self._calls = calls or _Pyfuse3Calls()
        self._names: dict[tuple[Inode, str], None] = {}
        self._attributes: dict[Inode, None] = {}
        self._contents: dict[Inode, None] = {}
        self._wake_names = trio.Event()
        self._wake_contents = trio.Event()
        self._running = False
        self._under_way = 0
        self._told = trio.Event()

    def tell(self, changes: Sequence[Change]) -> None:
        """Queues what these changes invalidate and returns at once. Trio thread only."""
        if not self._running:
            return
        for change in changes:
            self._queue(change)
        if self._names or self._attributes:
            self._wake_names.set()
        if self._contents:
            self._wake_contents.set()

    def _queue(self, change: Change) -> None:
        added = change.kind is ChangeKind.ADDED
        for directory, name in change.places:
            if not added or len(self._names) < _ADDED_LIMIT:
                self._names[directory, name] = None
            self._attributes[directory] = None
        if added:
            return
        self._attributes[change.inode] = None
        if change.content or change.kind is ChangeKind.REMOVED:
            # What was deleted at the service must not be read from the page cache either.
            self._contents[change.inode] = None

    @property
    def pending(self) -> int:
        """Invalidations that wait."""
        return len(self._names) + len(self._attributes) + len(self._contents)

    async def settled(self) -> None:
        """Returns when the kernel was told of all that was queued; a call to it may wait for a read."""
        while self._running and (self.pending or self._under_way):
            await self._told.wait()

    async def run(self, stop: trio.Event) -> None:
        """Drains until `stop`; a call that is under way then is waited for, the rest is dropped.

        So end this while the mount still answers: that is what a call under way waits for.
        """
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain_names, stop)
                nursery.start_soon(self._drain_contents, stop)
                await stop.wait()
                self._running = False
                self._names.clear()
                self._attributes.clear()
                self._contents.clear()
                self._wake_names.set()
                self._wake_contents.set()
        finally:
            self._running = False
            self._announce()

    def _announce(self) -> None:
        self._told.set()
        self._told = trio.Event()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._announce()

    async def _drain_names(self, stop: trio.Event) -> None:
        limiter = trio.CapacityLimiter(1)
        while not stop.is_set():
            await self._wake_names.wait()
            self._wake_names = trio.Event()
            while self._names or self._attributes:
                with self._telling():
                    batch = _taken(self._names)
                    await _in_thread(limiter, self._invalidate_names, batch)
                    # After the names: whoever looks between the two would have fetched old attributes.
                    for inode in _taken(self._attributes):
                        self._quietly(self._calls.invalidate_inode, inode, attr_only=True)

    async def _drain_contents(self, stop: trio.Event) -> None:
        limiter = trio.CapacityLimiter(1)
        while not stop.is_set():
            await self._wake_contents.wait()
            self._wake_contents = trio.Event()
            while self._contents:
                with self._telling():
                    batch = _taken(self._contents)
                    await _in_thread(limiter, self._invalidate_contents, batch)

    def _invalidate_names(self, batch: Sequence[tuple[Inode, str]]) -> None:
        for directory, name in batch:
            if not self._running:
                return
            self._quietly(self._calls.invalidate_entry, directory, os.fsencode(name))

    def _invalidate_contents(self, batch: Sequence[Inode]) -> None:
        for inode in batch:
            if not self._running:
                return
            self._quietly(self._calls.invalidate_inode, inode, attr_only=False)

    def _quietly(self, call: Callable[..., None], *args: object, **kwargs: object) -> None:
        try:
            call(*args, **kwargs)
        except FileNotFoundError:
            pass  # the kernel does not hold it
        except OSError as error:
            # ENOTCONN and the like: the mount is going away, and the kernel's memory with it.
            log.info("the kernel's cache was not told of a change: %s", error)


def _taken(queue: dict[K, None]) -> list[K]:
    batch = list(itertools.islice(queue, _BATCH))
    for key in batch:
        del queue[key]
    return batch


async def _in_thread(
    limiter: trio.CapacityLimiter, call: Callable[[Sequence[K]], None], batch: Sequence[K]
) -> None:
    # Abandoned on cancellation: only a hard end cancels here, and then a call that waits for an
    # operation nobody answers any more must not keep the daemon from closing the session.
    if batch:
        await trio.to_thread.run_sync(call, batch, limiter=limiter, abandon_on_cancel=True)
