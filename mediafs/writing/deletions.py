"""Deletions: by which policy, how many, carried out by the service, and then gone everywhere.

The order is what protects: the brake has room, the disk holds that it is about to be sent, the
service confirms, and only then are the catalogue, the memory and the kernel made to forget.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final

import trio

from ..catalogue import Catalogue
from ..errors import Forbidden, Late, MediafsError, NotFound, Unsupported
from ..model import Change, Inode, Media, Removal, Requester, Urgency
from ..source import Source
from .brake import Brake
from .journal import Journal

log = logging.getLogger(__name__)

LOOK_AFTER_S: Final = (2.0, 15.0, 60.0, 300.0)
"""When the service is asked whether a deletion without an answer was carried out. After that the
listings will tell."""

KEEP_ATTEMPTS_S: Final = 60.0
"""How often the disk hears that somebody goes on trying while deletions are stopped: a new process must
not take the brake for quiet."""

_SETTLE_S: Final = 5.0
"""What noting the outcome may take when whoever waited for it is gone."""


class Policy(Enum):
    """What `rm` does: the configuration key `delete`."""

    PERMANENT = "permanent"
    TRASH = "trash"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeState:
    """How the brake stands."""

    limit: int
    """Deletions in a rolling hour; 0: no brake."""
    done: int
    """In the last hour."""
    left: int
    latched: bool


@dataclass(eq=False)
class _Flight:
    """One deletion on its way to the service, and back."""

    media: Media
    line: dict[str, object]
    outcome: MediafsError | None = None
    ended: trio.Event = field(default_factory=trio.Event)


class Deletions:
    """Made by `deleting`. Invariant: at most one deletion of a media is under way."""

    def __init__(
        self,
        nursery: trio.Nursery,
        source: Source,
        catalogue: Catalogue,
        journal: Journal,
        *,
        policy: Policy,
        brake: Brake,
        emit: Callable[[Sequence[Change]], None],
        wall_clock: Callable[[], float],
    ) -> None:
        self._nursery = nursery
        self._source = source
        self._catalogue = catalogue
        self._journal = journal
        self._brake = brake
        self._emit = emit
        self._now = wall_clock
        self.policy = policy
        self._flights: dict[Inode, _Flight] = {}
        """Those that somebody waits for."""
        self._unsettled: dict[_Flight, None] = {}
        """Those of which it is not known how they ended; the disk holds them too."""
        self._unwritten: list[dict[str, object]] = []
        """Lines that the disk did not take, oldest first."""
        self._attempt_kept = 0.0
        """When the disk last heard of an attempt that the brake stopped."""
        self._disk = trio.Lock()
        """One writer at a time: a state must never replace a newer one."""

    async def erase(
        self, inode: Inode, requester: Requester, *, typed: tuple[Inode, str] | None = None
    ) -> None:
        """Returns when the service has confirmed that the media is gone, and nothing here has it any more.

        `typed` is the directory and name by which it was asked for: the kernel takes that name away
        itself, and holds its directory locked meanwhile. Raises Forbidden where policy or brake
        forbid it, NotFound, Denied, Late, Unavailable, InvalidReply, NoRoom, LocalFailure; after a failure
        without an answer the service is asked whether it was carried out all the same.
        """
        if self.policy is Policy.DENY:
            raise Forbidden('this account deletes nothing: delete = "deny"')
        media = self._catalogue.views.media(inode)
        if media is None:
            raise NotFound(f"inode {inode} is gone")
        flight = self._flights.get(inode)
        if flight is not None:
            await flight.ended.wait()
            if flight.outcome is not None:
                raise flight.outcome
            return
        name = typed[1] if typed else ""
        flight = self._flights[inode] = _Flight(media, self._line(media, name, requester))
        try:
            await self._fly(inode, flight, typed)
        except MediafsError as error:
            flight.outcome = error
            raise
        except BaseException:
            flight.outcome = Late(f"media {media.id}: whether it was deleted is not known yet")
            raise
        finally:
            del self._flights[inode]
            flight.ended.set()

    async def _fly(self, inode: Inode, flight: _Flight, typed: tuple[Inode, str] | None) -> None:
        media = flight.media
        await self._pass_the_brake(media)
        self._unsettled[flight] = None
        try:
            await self._keep()
        except BaseException:
            self._settle(flight, carried_out=False)
            raise
        removal = Removal.TRASH if self.policy is Policy.TRASH else Removal.PERMANENT
        try:
            erased = await self._source.erase(media, removal, urgency=Urgency.PERSON)
        except MediafsError as error:
            if error.undecided:
                self._unanswered(flight, str(error))
            else:
                await self._note(flight, f"not carried out: {error}", carried_out=False)
            if isinstance(error, Unsupported):
                raise Forbidden(str(error)) from error
            raise
        except BaseException as error:
            late = isinstance(error, trio.Cancelled)
            self._unanswered(flight, "no answer within the deadline" if late else type(error).__name__)
            raise
        failure = None
        try:
            self._forget(media, typed)
        except MediafsError as error:
            failure = error
        # Whatever became of our own books: the service did it.
        await self._note(flight, erased.answer, carried_out=erased.carried_out)
        if failure is not None:
            raise failure

    async def _pass_the_brake(self, media: Media) -> None:
        now, was_latched = self._now(), self._brake.latched
        if self._brake.attempt(now):
            return
        why = self._why_stopped()
        if not was_latched:
            log.warning("deletions are stopped: %s", why)
        if not was_latched or not 0 <= now - self._attempt_kept < KEEP_ATTEMPTS_S:
            self._attempt_kept = now
            await self._keep_if_possible()
        raise Forbidden(f"media {media.id}: {why}")

    def _why_stopped(self) -> str:
        return (
            f"{self._brake.done(self._now())} media were deleted within an hour, and delete_limit is"
            f" {self._brake.limit}; if more are meant: mediafs allow-deletes MOUNTPOINT"
        )

    def _forget(self, media: Media, typed: tuple[Inode, str] | None) -> None:
        """The media is gone: so are its names, its text, its bytes."""
        changes = self._catalogue.contents.remove(media.id)
        try:
            self._catalogue.scrub()
        finally:
            self._emit(
                [
                    replace(change, places=tuple(place for place in change.places if place != typed))
                    for change in changes
                ]
            )

    # --- when no answer came -------------------------------------------------------------------------

    def _unanswered(self, flight: _Flight, why: str) -> None:
        flight.line["answer"] = f"not known: {why}"
        self._nursery.start_soon(self._find_out, flight)

    async def _find_out(self, flight: _Flight) -> None:
        """Nothing is deleted here: it is only asked whether the service did it."""
        said, gone = str(flight.line["answer"]), await self._is_gone(flight.media)
        if gone is not None:
            said += "; found gone afterwards" if gone else "; still there afterwards"
        await self._note(flight, said, carried_out=gone is not False)

    async def _is_gone(self, media: Media) -> bool | None:
        """None: the service does not say. Raises nothing: a task that fails would end the mount."""
        for pause_s in LOOK_AFTER_S:
            await trio.sleep(pause_s)
            try:
                return await self._look(media)
            except Unsupported:
                break
            except MediafsError as error:
                log.debug("media %s: whether it is gone cannot be told yet: %s", media.id, error)
        return None

    async def _look(self, media: Media) -> bool:
        """Whether the service has it no more; what it says is taken in."""
        clock = self._catalogue.database.tick()
        try:
            record = await self._source.media(media, urgency=Urgency.BACKGROUND)
        except NotFound:
            self._forget(media, None)
            return True
        self._emit(self._catalogue.contents.put([record], clock, dated=False))
        return False

    # --- what is kept of it ------------------------------------------------------------------------

    def _line(self, media: Media, name: str, requester: Requester) -> dict[str, object]:
        return {
            "time": datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds"),
            "uid": requester.uid,
            "pid": requester.pid,
            "program": requester.program,
            "media": media.id,
            "name": name,
            "policy": self.policy.value,
            "answer": None,
        }

    async def _note(self, flight: _Flight, answer: str, *, carried_out: bool) -> None:
        """The outcome is known. Its line is written even where nobody waits for it any more."""
        self._settle(flight, carried_out=carried_out)
        line = flight.line
        line["answer"] = answer
        log.info(
            "deletion of media %s by uid %s, pid %s (%s): %s",
            line["media"],
            line["uid"],
            line["pid"],
            line["program"],
            line["answer"],
        )
        self._unwritten.append(line)
        with trio.move_on_after(_SETTLE_S, shield=True):
            await self._write_if_possible()
            # Also where its line could not be written: then the state has it, for the next try.
            await self._keep_if_possible()

    def _settle(self, flight: _Flight, *, carried_out: bool) -> None:
        del self._unsettled[flight]
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
                "under_way": [dict(flight.line) for flight in self._unsettled],
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
        for line in _lines(state, "under_way"):
            self._brake.count_unknown(self._now())
            answer = line.get("answer") or "not known: the program ended before the answer"
            await self._take_up(line | {"answer": answer})
        for line in _lines(state, "unwritten"):
            await self._take_up(line)
        if self._unwritten:
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

    # --- the brake -----------------------------------------------------------------------------------

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


@asynccontextmanager
async def deleting(
    source: Source,
    catalogue: Catalogue,
    journal: Journal,
    *,
    policy: Policy,
    limit: int,
    emit: Callable[[Sequence[Change]], None],
    wall_clock: Callable[[], float],
) -> AsyncIterator[Deletions]:
    """Deletions of one account, for as long as the context lasts; goes on where the last one ended.

    Raises NoRoom or LocalFailure where the record of deletions cannot be kept.
    """
    async with trio.open_nursery() as nursery:
        deletions = Deletions(
            nursery,
            source,
            catalogue,
            journal,
            policy=policy,
            brake=Brake(limit),
            emit=emit,
            wall_clock=wall_clock,
        )
        await deletions.take_up()
        yield deletions
        nursery.cancel_scope.cancel()
        await deletions.lay_down()


def _lines(state: Mapping[str, object], key: str) -> list[dict[str, object]]:
    kept = state.get(key)
    return [dict(line) for line in kept if isinstance(line, Mapping)] if isinstance(kept, list) else []
