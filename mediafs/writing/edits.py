"""Edits: sent, confirmed by the service, and then what everybody sees."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from ..catalogue import Catalogue
from ..errors import MediafsError, NotFound, ValueRefused
from ..model import Change, Edits, Inode, Media, Urgency
from ..source import Source

log = logging.getLogger(__name__)

LOOK_AFTER_S: Final = (2.0, 15.0, 60.0)
"""When the service is asked what became of an edit without an answer. After that the listings will tell."""


class Editing:
    """Made by `editing`, which owns the tasks that look again after an edit without an answer.

    Invariant: at most one edit of a media is under way, so that the last answer is the last word.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        source: Source,
        catalogue: Catalogue,
        emit: Callable[[Sequence[Change]], None],
    ) -> None:
        self._nursery = nursery
        self._source = source
        self._catalogue = catalogue
        self._emit = emit
        self._locks: dict[Inode, trio.Lock] = {}

    async def edit(self, inode: Inode, edits: Edits) -> None:
        """Returns when the service has confirmed, and the catalogue shows what it confirmed.

        Nothing is sent later: after a failure the edit was not made, or was made before the answer got
        lost, which is then looked into. Raises NotFound, ValueRefused, Unsupported, Denied, Late,
        Unavailable, InvalidReply.
        """
        lock = self._locks.setdefault(inode, trio.Lock())
        try:
            async with lock:
                await self._edit(inode, edits)
        finally:
            if not (lock.locked() or lock.statistics().tasks_waiting):
                self._locks.pop(inode, None)

    async def _edit(self, inode: Inode, edits: Edits) -> None:
        media = self._catalogue.views.media(inode)
        if media is None:
            raise NotFound(f"inode {inode} is gone")
        try:
            edited = await self._source.update(media, edits, urgency=Urgency.PERSON)
        except MediafsError as error:
            if error.undecided:
                self._nursery.start_soon(self._look_again, media)
            raise
        except trio.Cancelled:
            self._nursery.start_soon(self._look_again, media)
            raise
        if self._catalogue.views.media(inode) is None:
            raise NotFound(f"media {media.id} was deleted meanwhile")
        # What the service shows now is newer than any page that was asked for before.
        clock = self._catalogue.database.tick()
        kept = self._source.traits.kept_here & edits.keys()
        if kept and edited.refused is None:
            self._emit(self._catalogue.contents.keep(inode, {name: edits[name] for name in kept}))
        if edited.media is not None:
            self._emit(self._catalogue.contents.put([edited.media], clock, dated=False))
        if edited.refused is not None:
            raise ValueRefused(edited.refused)
        log.info("media %s: %s changed", media.id, ", ".join(sorted(edits)))

    async def _look_again(self, media: Media) -> None:
        """Whether an edit of which no answer came was made all the same. Raises nothing: a task that
        fails would end the mount."""
        for pause_s in LOOK_AFTER_S:
            await trio.sleep(pause_s)
            try:
                await self._look(media)
            except MediafsError as error:
                log.debug("media %s: whether the edit was made cannot be told yet: %s", media.id, error)
            except Exception:
                log.exception("media %s: looking whether the edit was made failed", media.id)
            else:
                return
        log.info("whether the edit of media %s was made will show in a listing", media.id)

    async def _look(self, media: Media) -> None:
        clock = self._catalogue.database.tick()
        try:
            record = await self._source.media(media, urgency=Urgency.BACKGROUND)
        except NotFound:
            self._emit(self._catalogue.contents.remove(media.id))
        else:
            self._emit(self._catalogue.contents.put([record], clock, dated=False))


@asynccontextmanager
async def editing(
    source: Source, catalogue: Catalogue, *, emit: Callable[[Sequence[Change]], None]
) -> AsyncIterator[Editing]:
    """Edits of one account, for as long as the context lasts."""
    async with trio.open_nursery() as nursery:
        yield Editing(nursery, source, catalogue, emit)
        nursery.cancel_scope.cancel()
