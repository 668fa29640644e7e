"""Deletions: by which policy, how many, carried out by the service, and then gone everywhere.

The order is what protects: the brake has room, the disk holds that it is about to be sent, the
service confirms, and only then are the catalogue, the memory and the kernel made to forget.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

import trio

from ..catalogue import Catalogue
from ..errors import Changed, Forbidden, Late, MediafsError, NotFound, Unsupported
from ..model import Change, Inode, Media, Removal, Requester, Urgency
from ..source import Source
from .brake import Brake
from .journal import Journal
from .ledger import BrakeState, Entry, Ledger

log = logging.getLogger(__name__)

LOOK_AFTER_S: Final = (2.0, 15.0, 60.0, 300.0)
"""When the service is asked whether a deletion without an answer was carried out. After that the
listings will tell."""


class Policy(Enum):
    """What `rm` does: the configuration key `delete`."""

    PERMANENT = "permanent"
    TRASH = "trash"
    DENY = "deny"


@dataclass(eq=False)
class _Flight:
    """One deletion on its way to the service, and back."""

    media: Media
    removal: Removal
    entry: Entry
    outcome: MediafsError | None = None
    ended: trio.Event = field(default_factory=trio.Event)


class Deletions:
    """Made by `deleting`. Invariant: at most one deletion of a media is under way."""

    def __init__(
        self,
        nursery: trio.Nursery,
        source: Source,
        catalogue: Catalogue,
        ledger: Ledger,
        *,
        policy: Policy,
        emit: Callable[[Sequence[Change]], None],
    ) -> None:
        self._nursery = nursery
        self._source = source
        self._catalogue = catalogue
        self._ledger = ledger
        self._emit = emit
        self.policy = policy
        self._flights: dict[Inode, _Flight] = {}
        """Those that somebody waits for."""

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
        entry = self._ledger.entry(media.id, name, requester, removal)
        flight = self._flights[inode] = _Flight(media, removal, entry)
        try:
            await self._fly(flight, typed)
        except MediafsError as error:
            flight.outcome = error
            raise
        except BaseException:
            flight.outcome = Late(f"media {media.id}: whether it was deleted is not known yet")
            raise
        finally:
            del self._flights[inode]
            flight.ended.set()

    async def _fly(self, flight: _Flight, typed: tuple[Inode, str] | None) -> None:
        media = flight.media
        await self._ledger.begin(flight.entry)
        try:
            erased = await self._source.erase(media, flight.removal, urgency=Urgency.PERSON)
        except MediafsError as error:
            if error.undecided:
                self._unanswered(flight, str(error))
            else:
                await self._ledger.end(flight.entry, f"not carried out: {error}", carried_out=False)
            if isinstance(error, Unsupported):
                raise Forbidden(str(error)) from error
            raise
        except BaseException as error:
            late = isinstance(error, trio.Cancelled)
            self._unanswered(flight, "no answer within the deadline" if late else type(error).__name__)
            raise
        failure = None
        try:
            # What was gone already is in no trash as far as anybody knows: a listing of it will tell.
            trashed = flight.removal is Removal.TRASH and erased.carried_out
            self._forget(flight, typed, trashed=trashed)
        except MediafsError as error:
            failure = error
        # Whatever became of our own books: the service did it.
        await self._ledger.end(flight.entry, erased.answer, carried_out=erased.carried_out)
        if failure is not None:
            raise failure

    async def recover(self, inode: Inode) -> None:
        """Returns when the service has confirmed that the media is out of the trash. Raises NotFound, and
        why it is not."""
        media = self._catalogue.views.media(inode)
        if media is None:
            raise NotFound(f"inode {inode} is gone")
        recovered = await self._source.recover(media, urgency=Urgency.PERSON)
        self._emit(self._catalogue.contents.recover(recovered))

    def _forget(self, flight: _Flight, typed: tuple[Inode, str] | None, *, trashed: bool = False) -> None:
        """The media is gone: so are its names, its text, its bytes. Of one in the trash, its names."""
        media = flight.media
        if trashed:
            self._emit(_without(typed, self._catalogue.contents.trash(media.id)))
            return
        changes = self._catalogue.contents.remove(media.id)
        try:
            self._catalogue.scrub()
        finally:
            self._emit(_without(typed, changes))

    # --- when no answer came -------------------------------------------------------------------------

    def _unanswered(self, flight: _Flight, why: str) -> None:
        flight.entry.answer = f"not known: {why}"
        self._nursery.start_soon(self._find_out, flight)

    async def _find_out(self, flight: _Flight) -> None:
        """Nothing is deleted here: it is only asked whether the service did it."""
        said, gone = flight.entry.answer or "", await self._is_gone(flight)
        if gone is not None:
            said += "; found gone afterwards" if gone else "; still there afterwards"
        await self._ledger.end(flight.entry, said, carried_out=gone is not False)

    async def _is_gone(self, flight: _Flight) -> bool | None:
        """None: the service does not say. Raises nothing: a task that fails would end the mount."""
        # Where it is found after it was put into the trash says nothing: the listings will tell.
        for pause_s in LOOK_AFTER_S if flight.removal is Removal.PERMANENT else ():
            await trio.sleep(pause_s)
            try:
                return await self._look(flight)
            except Unsupported:
                break
            except MediafsError as error:
                log.debug("media %s: whether it is gone cannot be told yet: %s", flight.media.id, error)
            except Exception:
                log.exception("media %s: looking whether it is gone failed", flight.media.id)
        return None

    async def _look(self, flight: _Flight) -> bool:
        """Whether the service has it no more; what it says is taken in."""
        clock = self._catalogue.database.tick()
        try:
            record = await self._source.media(flight.media, urgency=Urgency.BACKGROUND)
        except NotFound:
            self._forget(flight, None)
            return True
        except Changed:
            return False  # it was moved, so it is there
        self._emit(self._catalogue.contents.put([record], clock, dated=False))
        return False

    # --- the brake -----------------------------------------------------------------------------------

    async def allow(self, count: int | None) -> BrakeState:
        """Lets `count` more be deleted within the next hour; None: as many as the limit."""
        return await self._ledger.allow(count)

    def state(self) -> BrakeState:
        """How the brake stands."""
        return self._ledger.state()


def _without(typed: tuple[Inode, str] | None, changes: Sequence[Change]) -> list[Change]:
    """The changes, less the name that the kernel takes away itself."""
    return [
        replace(change, places=tuple(place for place in change.places if place != typed))
        for change in changes
    ]


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
    ledger = Ledger(journal, Brake(limit), wall_clock)
    async with trio.open_nursery() as nursery:
        await ledger.take_up()
        yield Deletions(nursery, source, catalogue, ledger, policy=policy, emit=emit)
        nursery.cancel_scope.cancel()
        await ledger.lay_down()
