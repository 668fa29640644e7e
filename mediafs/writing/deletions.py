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
    removal: Removal
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
        self._disk = trio.Lock()
        """One writer at a time: a state must never replace a newer one."""

    async def erase(
        self,
        inode: Inode,
        requester: Requester,
        *,
        typed: tuple[Inode, str] | None = None,
        removal: Removal | None = None,
    ) -> None:
        """Returns when the service has confirmed that the media is gone, and nothing here has it any more;
        or that it is in the trash. `removal` None: whichever of the two the policy says.

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
        removal = removal or (Removal.TRASH if self.policy is Policy.TRASH else Removal.PERMANENT)
        line = self._line(media, name, requester, removal)
        flight = self._flights[inode] = _Flight(media, removal, line)
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
        was_latched = self._brake.latched
        if not self._brake.attempt(self._now()):
            if not was_latched:
                log.warning("deletions are stopped: %s", self._why_stopped())
                await self._keep()
            raise Forbidden(f"media {media.id}: {self._why_stopped()}")
        self._unsettled[flight] = None
        try:
            await self._keep()
        except BaseException:
            self._settle(flight, carried_out=False)
            raise
        try:
            erased = await self._source.erase(media, flight.removal, urgency=Urgency.PERSON)
        except MediafsError as error:
            if error.undecided:
                self._unanswered(flight, str(error))
            else:
                await self._note(flight, f"not carried out: {error}", carried_out=False)
            if isinstance(error, Unsupported):
                raise Forbidden(str(error)) from error
            raise
        except trio.Cancelled:
            self._unanswered(flight, "no answer within the deadline")
            raise
        self._forget(flight, typed)
        await self._note(flight, erased.answer, carried_out=erased.carried_out)

    async def recover(self, inode: Inode) -> None:
        """Returns when the service has confirmed that the media is out of the trash. Raises NotFound, and
        why it is not."""
        media = self._catalogue.views.media(inode)
        if media is None:
            raise NotFound(f"inode {inode} is gone")
        await self._source.recover(media, urgency=Urgency.PERSON)
        self._emit(self._catalogue.contents.trash(media.id, False))

    def _why_stopped(self) -> str:
        return (
            f"{self._brake.done(self._now())} media were deleted within an hour, and delete_limit is"
            f" {self._brake.limit}; if more are meant: mediafs allow-deletes MOUNTPOINT"
        )

    def _forget(self, flight: _Flight, typed: tuple[Inode, str] | None) -> None:
        """The media is gone: so are its names, its text, its bytes. Of one in the trash, its names."""
        if flight.removal is Removal.TRASH:
            changes = self._catalogue.contents.trash(flight.media.id, True)
        else:
            changes = self._catalogue.contents.remove(flight.media.id)
            self._catalogue.scrub()
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
        media, said = flight.media, str(flight.line["answer"])
        # Where it is found after it was put into the trash says nothing: the listings will tell.
        for pause_s in LOOK_AFTER_S if flight.removal is Removal.PERMANENT else ():
            await trio.sleep(pause_s)
            clock = self._catalogue.database.tick()
            try:
                record = await self._source.media(media, urgency=Urgency.BACKGROUND)
            except NotFound:
                self._forget(flight, None)
                await self._note(flight, f"{said}; found gone afterwards", carried_out=True)
                return
            except Unsupported:
                break
            except MediafsError as error:
                log.debug("media %s: whether it is gone cannot be asked yet: %s", media.id, error)
            else:
                self._emit(self._catalogue.contents.put([record], clock, dated=False))
                await self._note(flight, f"{said}; still there afterwards", carried_out=False)
                return
        await self._note(flight, said, carried_out=True)

    # --- what is kept of it ------------------------------------------------------------------------

    def _line(self, media: Media, name: str, requester: Requester, removal: Removal) -> dict[str, object]:
        return {
            "time": datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds"),
            "uid": requester.uid,
            "pid": requester.pid,
            "program": requester.program,
            "media": media.id,
            "name": name,
            "removal": removal.value,
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
        with trio.move_on_after(_SETTLE_S, shield=True):
            try:
                async with self._disk:
                    await trio.to_thread.run_sync(self._journal.write, dict(line))
                await self._keep()
            except MediafsError as error:
                log.error("a deletion could not be recorded (%s): %s", error, line)

    def _settle(self, flight: _Flight, *, carried_out: bool) -> None:
        del self._unsettled[flight]
        if carried_out:
            self._brake.carried_out(self._now())
        else:
            self._brake.came_to_nothing()

    async def _keep(self) -> None:
        async with self._disk:
            state = {**self._brake.export(), "under_way": [dict(flight.line) for flight in self._unsettled]}
            await trio.to_thread.run_sync(self._journal.keep, state)

    async def take_up(self) -> None:
        """What an earlier process left: the brake as it stood, and a line for each deletion whose end it
        did not see. Those count as carried out."""
        state = await trio.to_thread.run_sync(self._journal.state)
        self._brake.restore(state, self._now())
        under_way = state.get("under_way")
        for line in under_way if isinstance(under_way, list) else ():
            if isinstance(line, Mapping):
                self._brake.count_unknown(self._now())
                answer = line.get("answer") or "not known: the program ended before the answer"
                await trio.to_thread.run_sync(self._journal.write, {**line, "answer": answer})
        if under_way:
            await self._keep()

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
