"""The bodies of the disk cache of which some blocks are held, while they are open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from .blockfile import BlockFile
from .bodyfile import Record, name_of
from .ledger import Held, Ledger
from .partial import Part, PartialBody
from .writer import Writer


class Partials:
    """`Keeper` of the bodies.

    Invariants:
    - Of a version at most one body is open that is not over.
    - A body is here from when it was opened until nobody reads it and all that was put is written.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        writer: Writer,
        paths: Callable[[str], tuple[Path, Path]],
        now: Callable[[], int],
        complain: Callable[[str], None],
    ) -> None:
        """`paths` makes of a name its path, and a temporary one; `now` is when something is used, never
        twice the same."""
        self.ledger = ledger
        self.writer = writer
        self.complain = complain
        self._paths = paths
        self._now = now
        self._open: dict[str, list[PartialBody]] = {}
        self._early: list[tuple[PartialBody, int, memoryview]] = []
        """What was put before it was known what there is room for."""

    # --- opening -----------------------------------------------------------------------------------

    async def open(self, record: Record) -> tuple[PartialBody, bool]:
        """A body of that version, to be discarded; whether some of it was found on disk."""
        name = _name(record)
        known = self.ledger.held.get(name)
        body, found = self._of(name, record), False
        if body is None and (not known.whole if known is not None else not self.ledger.scanned):
            file = await self._left(name, known)
            body = self._of(name, record)  # another may have opened it meanwhile
            if file is not None and (body is not None or not _same_version(file.record, record)):
                # Another version stays there until there is something of this one.
                self.writer.do(file.close, lambda error: None)
            elif file is not None:
                body, found = self._found(name, file), True
        if body is None:
            body = PartialBody(self, record)
            self._open.setdefault(name, []).append(body)
        body.readers += 1
        body.identify(record.etag, record.last_modified)
        return body, found and body.bytes_held > 0

    def _of(self, name: str, record: Record) -> PartialBody | None:
        for body in self._open.get(name, ()):
            if not body.over and _same_version(body.record, record):
                return body
        return None

    async def _left(self, name: str, known: Held | None) -> BlockFile | None:
        """What an earlier opening left under that name, if it is still there."""
        if known is not None:
            known.open += 1  # not evicted meanwhile
        path = self._paths(name)[0]
        try:
            file = await trio.to_thread.run_sync(BlockFile.at, path)
        except OSError:
            file = None
        finally:
            if known is not None:
                self.ledger.closed(known)
        gone = not known.named if known is not None else name in self.ledger.gone
        if file is not None and gone:
            self.writer.do(file.close, lambda error: None)
            return None
        if file is None and known is not None and known.named:
            self._take_away(known)
        return file

    def _found(self, name: str, file: BlockFile) -> PartialBody:
        body = PartialBody(self, file.record, file)
        entry = self.ledger.held.get(name)
        if entry is None:
            entry = Held(file.path, file.record, 0, self._now(), 0, whole=False)
            self.ledger.add(entry)
        self.ledger.touch(entry, self._now())
        entry.open += 1
        self.ledger.count_as_granted(entry, body.part)
        body.part.entry = entry
        self._open.setdefault(name, []).append(body)
        return body

    def held(self, name: str) -> int | None:
        """Bytes held of the body whose open file has that name; None where there is none."""
        for body in self._open.get(name, ()):
            if body.part.entry is not None:
                return body.bytes_held
        return None

    # --- for the bodies ----------------------------------------------------------------------------

    @property
    def open_for_writing(self) -> bool:
        return self.ledger.scanned

    def put_later(self, body: PartialBody, offset: int, data: memoryview) -> None:
        self.writer.queued += len(data)
        self._early.append((body, offset, data))

    @property
    def has_early(self) -> bool:
        """Something waits until it is known what there is room for."""
        return bool(self._early)

    def put_early(self) -> None:
        """It is known by now what there is room for."""
        early, self._early = self._early, []
        for body, offset, data in early:
            self.writer.queued -= len(data)
            body.put_now(offset, data)

    def new_file(self, record: Record) -> BlockFile:
        return BlockFile(record, *self._paths(_name(record)))

    def replaces(self, body: PartialBody) -> bool:
        known = self.ledger.held.get(_name(body.record))
        if known is None:
            return True
        if known.whole and (known.record.limited or _same_version(known.record, body.record)):
            return False
        self._take_away(known)
        return True

    def _take_away(self, known: Held) -> None:
        self.unnamed(known)
        self.writer.unlink([known.path])

    def unnamed(self, known: Held) -> None:
        """It has no name any more; who reads it reads on."""
        self.ledger.drop(known)
        for body in self._open.get(known.path.name, ()):
            if body.part.entry is known:
                body.supersede()

    def made(self, body: PartialBody, path: Path) -> Held:
        before = self.ledger.held.get(path.name)
        if before is not None:
            self.unnamed(before)
        entry = Held(path, body.record, 0, self._now(), 0, whole=False, open=1)
        self.ledger.add(entry)
        return entry

    def take_away(self, part: Part) -> None:
        if part.entry is not None and part.entry.named:
            self.ledger.drop(part.entry)
            self.writer.unlink([part.file.path])

    def closed(self, body: PartialBody) -> None:
        name, part = _name(body.record), body.part
        bodies = self._open.get(name, [])
        if body not in bodies:
            return
        bodies.remove(body)
        if not bodies:
            del self._open[name]
        entry, ledger = part.entry, self.ledger
        if entry is None or not entry.named:
            self.close(part)
            return
        entry.body = body.bytes_held
        blocks = min(part.needed, part.granted)
        ledger.leave(part)
        ledger.resized(entry, blocks)
        ledger.touch(entry, self._now())
        ledger.closed(entry)
        self.close(part)

    def close(self, part: Part) -> None:
        """Its room counts until the file is closed, where it has no name."""
        if part.file.is_open:
            self.writer.do(part.file.close, lambda error: self.ledger.leave(part))
        else:
            self.ledger.leave(part)

    # --- what goes ---------------------------------------------------------------------------------

    def superseded(self, name: str) -> None:
        """A whole body has got that name."""
        for body in self._open.get(name, ()):
            body.supersede()

    def end(self, name: str) -> None:
        """The media was deleted."""
        for body in list(self._open.get(name, ())):
            body.end()

    def reset(self, name: str) -> None:
        """Its bodies are to hold nothing any more."""
        for body in list(self._open.get(name, ())):
            body.reset()

    def is_open(self, name: str) -> bool:
        return name in self._open

    def names(self) -> list[str]:
        """Of those that are open."""
        return list(self._open)


def _name(record: Record) -> str:
    return name_of(record.realm, record.media)


def _same_version(one: Record, other: Record) -> bool:
    same = (one.realm, one.media, one.size) == (other.realm, other.media, other.size)
    return same and not set(one.validators).isdisjoint(other.validators)
