"""The thread that changes the disk cache behind the readers: it unlinks what was evicted, writes what was
put, closes what was read, and tells the loop.

There is one, so that a disk is not asked for many things at once, and so that what was unlinked to make room
is gone before that room is written. It is one of trio's own threads, taken when there is something to
do, and given back when there was nothing for `LINGER_S`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Generic, Protocol, TypeVar

import trio

from ..files import unlink_all
from .blockfile import Extent

log = logging.getLogger(__name__)

BOUND: Final = 32 << 20
"""Bytes that wait to be written, of all files: a third of a second of a disk that writes 100 MB/s."""

BATCH: Final = 8 << 20
"""Bytes that are written before the loop is told."""

LINGER_S: Final = 1.0

CLOSE_S: Final = 5.0
"""For what is still to be written at the end; the rest is not kept."""

T = TypeVar("T")


class Target(Protocol):
    """A file that is written to."""

    def write(self, extents: Sequence[Extent]) -> int:
        """In the thread. Raises OSError."""
        ...

    def written(self, extents: Sequence[Extent], outcome: int | Exception) -> None:
        """On the loop: what `write` returned, or why it failed."""
        ...


@dataclass(frozen=True, slots=True)
class _Write:
    target: Target
    extent: Extent


@dataclass(frozen=True, slots=True)
class _Do:
    work: Callable[[], None]
    then: Callable[[Exception | None], None]


class Task(Generic[T]):
    """Something that the thread does."""

    def __init__(self) -> None:
        self.results: list[T] = []
        self._error: Exception | None = None
        self._ended = trio.Event()

    def end(self, error: Exception | None) -> None:
        self._error = error
        self._ended.set()

    async def wait(self) -> T:
        """What it returns, or raises."""
        await self._ended.wait()
        if self._error is not None:
            raise self._error
        return self.results[0]


class Writer:
    """All methods are the loop's, but for those below."""

    def __init__(self) -> None:
        self.queued = 0
        """Bytes that wait to be written."""
        self._jobs: SimpleQueue[_Write | _Do | None] = SimpleQueue()
        self._unlinks: deque[list[Path]] = deque()
        self._told: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._running = False
        """Guarded by the lock: there is a thread that will look into the queue again."""
        self._ending = False
        self._token: trio.lowlevel.TrioToken | None = None

    def takes(self, size: int) -> bool:
        """Whether so many bytes more may wait to be written."""
        return not self._ending and self.queued + size <= BOUND

    def write(self, target: Target, extent: Extent) -> bool:
        """Whether it is going to be written; the data may not be changed until then."""
        size = len(extent.data)
        if not self.takes(size):
            return False
        self.queued += size
        self._give(_Write(target, extent))
        return True

    def unlink(self, paths: list[Path]) -> None:
        """Before anything is written that is given from now on."""
        if paths:
            self._unlinks.append(paths)
            self._give(None)

    async def unlinked(self, paths: list[Path]) -> None:
        """When they are."""
        if paths or self._unlinks:  # what others have given up is not gone before
            with trio.CancelScope(shield=True):  # what is not counted any more must not stay
                self.unlink(paths)
                await self.wait_done()

    def do(self, work: Callable[[], None], then: Callable[[Exception | None], None]) -> None:
        """After all that was given before; `then` is called on the loop."""
        self._give(_Do(work, then))

    def begin(self, work: Callable[[], T]) -> Task[T]:
        """Does it after all that was given before, and before all that will be."""
        task: Task[T] = Task()
        self.do(lambda: task.results.append(work()), task.end)
        return task

    async def wait_done(self) -> None:
        """Until all is done that was given before."""
        await self.begin(lambda: None).wait()

    async def aclose(self, patience_s: float = CLOSE_S) -> bool:
        """Writes what was given, takes nothing more, and lets the thread go; a disk that takes longer than
        `patience_s` is not waited for. Whether all is done."""
        self._ending = True
        with trio.move_on_after(patience_s, shield=True) as patience:
            await self.wait_done()
        return not patience.cancelled_caught

    def _give(self, job: _Write | _Do | None) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._jobs.put(job)
        with self._lock:
            start, self._running = not self._running, True
        if start:
            trio.lowlevel.start_thread_soon(self._run, lambda outcome: None, "mediafs disk cache")

    # --- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=0 if self._ending else LINGER_S)
            except Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._running = False
                        return
                continue
            self._work(job)
            job = None  # its data is not to wait for the next one
            self._tell()

    def _work(self, job: _Write | _Do | None) -> None:
        """That job, and as many as follow it and are written at once."""
        batch: dict[Target, list[Extent]] = {}
        size = 0
        while isinstance(job, _Write):
            batch.setdefault(job.target, []).append(job.extent)
            size += len(job.extent.data)
            if size >= BATCH:
                job = None
                break
            try:
                job = self._jobs.get_nowait()
            except Empty:
                job = None
        while self._unlinks:
            unlink_all(self._unlinks[0])
            self._unlinks.popleft()
        for target, extents in batch.items():
            self._write(target, extents)
        if job is not None:
            error: Exception | None = None
            try:
                job.work()
            except Exception as failure:
                error = failure
            then = job.then
            self._told.append(lambda: then(error))

    def _write(self, target: Target, extents: list[Extent]) -> None:
        outcome: int | Exception
        try:
            outcome = target.write(extents)
        except Exception as error:
            outcome = error
        size = sum(len(extent.data) for extent in extents)

        def tell() -> None:
            self.queued -= size
            target.written(extents, outcome)

        self._told.append(tell)

    def _tell(self) -> None:
        if self._told and self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._hear, idempotent=True)

    # --- the loop ----------------------------------------------------------------------------------

    def _hear(self) -> None:
        while self._told:
            try:
                self._told.popleft()()
            except Exception:  # it would end the loop
                log.exception("the disk cache stumbled")
