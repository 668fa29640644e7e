"""The whole bodies of the disk cache: found, and filled."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trio

from ...model import Media, Version
from ..files import allocated, unlink_quietly
from .bodyfile import Record, ending_length
from .cachefiles import Filling, Whole, make_temporary, open_whole
from .ledger import Grant, Held
from .partials import Partials

log = logging.getLogger(__name__)


class Wholes:
    """`Keeper` of the fillings."""

    def __init__(
        self,
        partials: Partials,
        *,
        realm: str,
        paths: Callable[[str], tuple[Path, Path]],
        now: Callable[[], int],
        complain: Callable[[str], None],
    ) -> None:
        """`partials` are those with which they share ledger and writer."""
        self._partials = partials
        self._ledger = partials.ledger
        self._writer = partials.writer
        self._realm = realm
        self._paths = paths
        self._now = now
        self._complain = complain
        self._fillings: set[Filling] = set()

    async def find(self, name: str, version: Version) -> Whole | None:
        """The whole body of a version, if it is kept under that name. Discard it."""
        path = self._paths(name)[0]
        held = self._ledger.held.get(name)
        if held is None and self._ledger.scanned:
            return None
        if held is not None:
            if not held.whole or not self._shown(held.record, version):
                return None
            held.open += 1  # not evicted meanwhile
        try:
            opened = await trio.to_thread.run_sync(open_whole, path)
        except OSError as error:
            log.debug("the cached body %s cannot be opened: %s", path, error)
            opened = None
        except BaseException:
            self.closed(held)
            raise
        if opened is None:
            if held is not None:
                self._ledger.drop(held)
                self.closed(held)
            return None
        descriptor, body = opened
        if held is None:
            held = self._met(name, path, body.record, descriptor)
        if held is None or not self._shown(body.record, version) or not held.named:
            os.close(descriptor)
            self.closed(held)
            return None
        self._ledger.touch(held, self._now())
        mine = held
        return Whole(
            descriptor,
            body,
            damaged=lambda why: self._damaged(mine, why),
            closed=lambda: self.closed(mine),
        )

    def _met(self, name: str, path: Path, record: Record, descriptor: int) -> Held | None:
        """A body that was opened before the folder was looked through; counted as open once."""
        if name in self._ledger.gone:
            return None
        held = self._ledger.held.get(name)
        if held is None:
            blocks = allocated(descriptor)
            held = Held(path, record, blocks, self._now(), record.size)
            self._ledger.add(held)
        held.open += 1
        return held

    def hold(self, name: str) -> Held | None:
        held = self._ledger.held.get(name)
        if held is not None:
            held.open += 1
        return held

    def closed(self, held: Held | None) -> None:
        if held is not None:
            self._ledger.closed(held)

    def _damaged(self, held: Held, why: str) -> None:
        if held.named:
            log.warning("a cached body of media %s is damaged (%s): removed", held.record.media, why)
            self._ledger.drop(held)
            unlink_quietly(held.path)

    async def make(
        self, name: str, media: Media, version: Version, size: int | None, room: int
    ) -> Filling | None:
        """A store for a body of so many bytes that is then kept, with `room` from the beginning; None where
        it cannot be."""
        granted = Grant()
        if not await self.grant(granted, room):
            return None
        final, temporary = self._paths(name)
        whole = 0 if size is None else size + ending_length(size)
        try:
            descriptor = await trio.to_thread.run_sync(make_temporary, temporary, whole)
        except OSError as error:
            self.trouble(error)
            self._ledger.give_back(granted, 0)
            return None
        except BaseException:
            self._ledger.give_back(granted, 0)
            raise
        record = Record(
            realm=self._realm,
            media=version.media,
            validators=(version.validator,),
            size=0,
            etag=None,
            last_modified=None,
            limited=media.download_once,
        )
        filling = Filling(
            self,
            descriptor,
            temporary=temporary,
            final=final,
            record=record,
            settled=lambda size: replace(media, size=size).validator,
            granted=granted.granted,
        )
        filling.allocated = allocated(descriptor)
        self._fillings.add(filling)
        self._ledger.enter(filling)
        return filling

    async def grant(self, to: Filling | Grant, room: int) -> bool:
        going = self._ledger.claim(to, room)
        if going is None:
            self._complain("[cache] size and keep_free leave no room beside what may not be evicted")
            return False
        await self._writer.unlinked(going)
        return True

    def took(self, filling: Filling, record: Record, descriptor: int) -> Held:
        name = filling.final.name
        before = self._ledger.held.get(name)
        if before is not None:
            self._ledger.drop(before)  # the rename has replaced it
        self._partials.superseded(name)
        self._leave(filling)
        blocks = allocated(descriptor)
        held = Held(filling.final, record, blocks, self._now(), record.size, open=1)
        self._ledger.add(held)
        return held

    def let_go(self, filling: Filling) -> None:
        self._leave(filling)
        held = self._ledger.held.get(filling.final.name)
        if held is not None and not held.path.exists():
            self._partials.unnamed(held)

    def _leave(self, filling: Filling) -> None:
        self._fillings.discard(filling)
        self._ledger.leave(filling)

    def let_go_all(self, name: str | None = None) -> None:
        """What is being filled, under that name or at all, will not be kept."""
        for filling in [each for each in self._fillings if name in (None, each.final.name)]:
            filling.let_go()

    def trouble(self, error: OSError) -> None:
        self._complain(error.strerror or str(error))

    def _shown(self, record: Record, version: Version) -> bool:
        return record.realm == self._realm and is_of(record, version)


def is_of(record: Record, version: Version) -> bool:
    """Within one realm."""
    return record.media == version.media and version.validator in record.validators
