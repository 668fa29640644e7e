"""One run of `mediafs warm`: files that are named one after the other, fetched a few at a time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from ..errors import (
    CredentialsRefused,
    InvalidReply,
    Late,
    LocalFailure,
    MediafsError,
    NoRoom,
    Unavailable,
    ValueRefused,
)
from ..model import Inode
from ..reading import Progress
from .shapes import UNKNOWN_SIZE

log = logging.getLogger(__name__)

AT_ONCE: Final = 16
"""Small files: over a long line each is a round trip, and that many were 12 times as fast as one."""
LARGE_AT_ONCE: Final = 4
"""Of those that are not fetched whole in one request; they fill the line."""
QUEUED: Final = 1024
"""Files that wait for their turn here; more are asked for when half of them are gone."""
IN_A_ROW: Final = 2 * AT_ONCE
"""After so many failures that were not the media's own, and no success in between, the rest is left."""

_LASTING: Final = (Unavailable, Late, InvalidReply, NoRoom, LocalFailure)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What has happened since the last time; sizes are in bytes, and of the whole run."""

    done: Sequence[Inode]
    skipped: Sequence[Inode]
    """There is nothing to keep: gone, or a live name."""
    failed: Sequence[tuple[Inode, str, str]]
    """With the kind of the error, and why."""
    held: int
    fetched: int
    resized: int
    """By how much the files are larger than they were shown to be."""
    waits: bool
    """Nothing goes on but the wait for the service's rate limit."""
    wants: bool
    """More files may be named now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is kept on disk of one file."""

    size: int | None
    """None: no record states it, and it was not found out yet."""
    held: int
    pinned: bool


class Run:
    """Made by `Kept.run`. Name files with `add` when it `wants` some, and `work` until there are no more."""

    def __init__(
        self,
        look: Callable[[Inode], Holding | None],
        fetch: Callable[[Inode, Progress], Awaitable[bool]],
        *,
        large_from: int,
    ) -> None:
        """`look` tells what is held, None where there is nothing to keep; `fetch` fetches the rest."""
        self._look = look
        self._fetch = fetch
        self._large_from = large_from
        self._large = trio.CapacityLimiter(LARGE_AT_ONCE)
        self._to_come, self._coming = trio.open_memory_channel[Inode](QUEUED)
        self._asked = self._over = False
        self._scope = trio.CancelScope()
        self._event = trio.Event()
        self._active: set[Progress] = set()
        self._done: list[Inode] = []
        self._skipped: list[Inode] = []
        self._failed: list[tuple[Inode, str, str]] = []
        self._held = self._fetched = self._resized = 0
        self._in_a_row = 0
        self.stopped: MediafsError | None = None
        """Why the rest was left."""

    # --- what is to be fetched ---------------------------------------------------------------------

    @property
    def _wants(self) -> bool:
        waiting = self._coming.statistics().current_buffer_used
        return not (self._asked or self._over) and waiting <= QUEUED // 2

    def add(self, inodes: Sequence[Inode]) -> None:
        """Up to half of `QUEUED`, once that was wanted. Raises ValueRefused for more."""
        self._asked = False
        try:
            for inode in inodes:
                self._to_come.send_nowait(inode)
        except (trio.WouldBlock, trio.ClosedResourceError):
            raise ValueRefused("more files were named than were asked for") from None

    def no_more(self) -> None:
        self._over = True
        self._to_come.close()

    def stop(self, why: MediafsError | None) -> None:
        """Leaves the rest; what was fetched stays."""
        self.stopped = self.stopped or why
        self._scope.cancel()

    # --- what is told ------------------------------------------------------------------------------

    async def wait_news(self) -> None:
        """Until more files are wanted."""
        while not self._wants:
            self._event = trio.Event()
            await self._event.wait()

    def news(self) -> News:
        wants = self._wants
        self._asked = self._asked or wants
        told = News(
            done=tuple(self._done),
            skipped=tuple(self._skipped),
            failed=tuple(self._failed),
            held=self._held + sum(each.held for each in self._active),
            fetched=self._fetched + sum(each.fetched for each in self._active),
            resized=self._resized,
            waits=bool(self._active) and all(each.waits for each in self._active),
            wants=wants,
        )
        self._done.clear()
        self._skipped.clear()
        self._failed.clear()
        return told

    # --- the work ----------------------------------------------------------------------------------

    async def work(self) -> None:
        """Returns when all that was named was fetched or has failed, or the rest was left."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(self._worker)

    async def _worker(self) -> None:
        async for inode in self._coming.clone():
            if self._wants:
                self._event.set()
            progress = Progress()
            self._active.add(progress)
            try:
                await self._one(inode, progress)
            finally:
                self._active.discard(progress)
                self._held += progress.held
                self._fetched += progress.fetched

    async def _one(self, inode: Inode, progress: Progress) -> None:
        try:
            fetched = await self._in_turn(inode, progress)
        except MediafsError as error:
            self._failed.append((inode, type(error).__name__, str(error)))
            self._judge(error)
        except Exception:  # one media's failure is not the end of the run
            log.exception("inode %d: fetching it into the cache failed", inode)
            self._failed.append((inode, "Bug", "an internal error, explained in the daemon's log"))
        else:
            (self._done if fetched else self._skipped).append(inode)
            self._in_a_row = 0

    async def _in_turn(self, inode: Inode, progress: Progress) -> bool:
        now = self._look(inode)
        if now is None:
            await trio.lowlevel.checkpoint()
            return False
        if now.size is not None and (now.size < self._large_from or now.held >= now.size):
            return await self._fetch(inode, progress)
        async with self._large:
            fetched = await self._fetch(inode, progress)
        if now.size is None:
            self._resized += progress.size - UNKNOWN_SIZE
        return fetched

    def _judge(self, error: MediafsError) -> None:
        if isinstance(error, CredentialsRefused):
            self.stop(error)
        elif isinstance(error, _LASTING):
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW:
                self.stop(error)
