"""The books of deletions: how many there may be, and a line on disk for each that was sent.

A deletion is begun here before it is sent, and ended here whatever became of it, so that the brake
counts right and no line is lost, also over a crash.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import trio

from ..errors import Forbidden, MediafsError
from ..model import MediaId, Removal, Requester
from .brake import Brake
from .journal import Journal

log = logging.getLogger(__name__)

KEEP_ATTEMPTS_S: Final = 60.0
"""How often the disk hears that somebody goes on trying while deletions are stopped: a new process must
not take the brake for quiet."""

_SETTLE_S: Final = 5.0
"""What noting the outcome may take when whoever waited for it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeState:
    """How the brake stands."""

    limit: int
    """Deletions in a rolling hour; 0: no brake."""
    done: int
    """In the last hour."""
    left: int
    latched: bool


@dataclass(eq=False, slots=True, kw_only=True)
class Entry:
    """One deletion, as its line will tell it."""

    time: str
    """ISO 8601, UTC: when it was asked for."""
    media: MediaId
    name: str
    """As it was typed; empty where nobody typed one."""
    requester: Requester
    removal: Removal
    answer: str | None = None
    """What the service said, or why nobody knows."""

    def line(self) -> dict[str, object]:
        """What the log has of it."""
        return {
            "time": self.time,
            "uid": self.requester.uid,
            "pid": self.requester.pid,
            "program": self.requester.program,
            "media": self.media,
            "name": self.name,
            "removal": self.removal.value,
            "answer": self.answer,
        }


class Ledger:
    """Trio thread only; `wall_clock` gives Unix time. `take_up` first, `lay_down` last."""

    def __init__(self, journal: Journal, brake: Brake, wall_clock: Callable[[], float]) -> None:
        self._journal = journal
        self._brake = brake
        self._now = wall_clock
        self._unsettled: dict[Entry, None] = {}
        """Those of which it is not known how they ended; the disk holds them too."""
        self._unwritten: list[dict[str, object]] = []
        """Lines that the disk did not take, oldest first."""
        self._attempt_kept = 0.0
        """When the disk last heard of an attempt that the brake stopped."""
        self._disk = trio.Lock()
        """One writer at a time: a state must never replace a newer one."""

    def entry(self, media: MediaId, name: str, requester: Requester, removal: Removal) -> Entry:
        """A deletion that is asked for now."""
        time = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        return Entry(time=time, media=media, name=name, requester=requester, removal=removal)

    async def begin(self, entry: Entry) -> None:
        """It is about to be sent: the disk knows, and the brake has room for it.

        Raises Forbidden where the brake has none, NoRoom and LocalFailure where it cannot be recorded.
        """
        await self._pass_the_brake(entry)
        self._unsettled[entry] = None
        try:
            await self._keep()
        except BaseException:
            self._settle(entry, carried_out=False)
            raise

    async def _pass_the_brake(self, entry: Entry) -> None:
        now, was_latched = self._now(), self._brake.latched
        if self._brake.attempt(now):
            return
        why = (
            f"{self._brake.done(now)} media were deleted within an hour, and delete_limit is"
            f" {self._brake.limit}; if more are meant: mediafs allow-deletes MOUNTPOINT"
        )
        if not was_latched:
            log.warning("deletions are stopped: %s", why)
        if not was_latched or not 0 <= now - self._attempt_kept < KEEP_ATTEMPTS_S:
            self._attempt_kept = now
            await self._keep_if_possible()
        raise Forbidden(f"media {entry.media}: {why}")

    async def end(self, entry: Entry, answer: str, *, carried_out: bool) -> None:
        """The outcome is known. Its line is written even where nobody waits for it any more."""
        self._settle(entry, carried_out=carried_out)
        entry.answer = answer
        who = entry.requester
        log.info(
            "deletion of media %s by uid %s, pid %s (%s): %s",
            entry.media,
            who.uid,
            who.pid,
            who.program,
            answer,
        )
        self._unwritten.append(entry.line())
        with trio.move_on_after(_SETTLE_S, shield=True):
            await self._write_if_possible()
            # Also where its line could not be written: then the state has it, for the next try.
            await self._keep_if_possible()

    def _settle(self, entry: Entry, *, carried_out: bool) -> None:
        del self._unsettled[entry]
        if carried_out:
            self._brake.carried_out(self._now())
        else:
            self._brake.came_to_nothing()

    async def _write_if_possible(self) -> None:
        try:
            async with self._disk:
                while self._unwritten:
                    await trio.to_thread.run_sync(self._journal.write, dict(self._unwritten[0]))
                    del self._unwritten[0]
        except MediafsError as error:
            log.error("a deletion is not recorded yet (%s): %s", error, self._unwritten[-1])

    async def _keep(self) -> None:
        async with self._disk:
            state = {
                **self._brake.export(),
                "under_way": [entry.line() for entry in self._unsettled],
                "unwritten": [dict(line) for line in self._unwritten],
            }
            await trio.to_thread.run_sync(self._journal.keep, state)

    async def _keep_if_possible(self) -> None:
        try:
            await self._keep()
        except MediafsError as error:
            log.error("the count of deletions cannot be kept: %s", error)

    async def take_up(self) -> None:
        """What an earlier process left: the brake as it stood, and a line for each deletion whose end it
        did not see. Those count as carried out."""
        state = await trio.to_thread.run_sync(self._journal.state)
        if state is None:
            log.warning("the count of deletions is damaged: they are stopped until they are allowed again")
            self._brake.stop(self._now())
            return
        self._brake.restore(state, self._now())
        under_way, unwritten = _lines(state, "under_way"), _lines(state, "unwritten")
        for line in under_way:
            self._brake.count_unknown(self._now())
            answer = line.get("answer") or "not known: the program ended before the answer"
            await self._take_up(line | {"answer": answer})
        for line in unwritten:
            await self._take_up(line)
        if under_way or unwritten:  # else they would be counted, and looked for, at each start anew
            await self._write_if_possible()
            await self._keep_if_possible()

    async def _take_up(self, line: dict[str, object]) -> None:
        if not await trio.to_thread.run_sync(self._journal.has, line):
            self._unwritten.append(line)

    async def lay_down(self) -> None:
        """For the next process: that somebody was still trying keeps the brake latched."""
        if self._brake.latched or self._unsettled or self._unwritten:
            with trio.move_on_after(_SETTLE_S, shield=True):
                await self._keep_if_possible()

    async def allow(self, count: int | None) -> BrakeState:
        """Lets `count` more be deleted within the next hour; None: as many as the limit."""
        self._brake.grant(self._brake.limit if count is None else count, self._now())
        await self._keep()
        log.info("deletions are allowed again: %d more", self._brake.left(self._now()))
        return self.state()

    def state(self) -> BrakeState:
        now = self._now()
        return BrakeState(
            limit=self._brake.limit,
            done=self._brake.done(now),
            left=0 if self._brake.latched else self._brake.left(now),
            latched=self._brake.latched,
        )


def _lines(state: Mapping[str, object], key: str) -> list[dict[str, object]]:
    kept = state.get(key)
    return [dict(line) for line in kept if isinstance(line, Mapping)] if isinstance(kept, list) else []
