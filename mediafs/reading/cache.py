"""The disk cache: whole bodies, kept over remounts under a hard cap, and gone when their media is.

What is in it: bodies that could only be had whole (a service without ranges, a media whose size only
its body tells), and those of media of which each download counts. One file a media, named by a hash of
its id, holding its newest version; so a deletion is one `unlink`, whether the folder was looked
through yet or not.

A crash, at any instant, never yields a wrong byte later. A body is filled under a temporary name, and
only after `fsync` has returned does it get its own: so a name says that the disk has all of it. What
is left under a temporary name is removed by the next process. Where a disk lies about `fsync`, or
loses bytes later, the checksums of `bodyfile` tell, and the body is fetched anew.

The cap counts the blocks that the file system says a file takes up, and for a body under way the room
that was granted to it before it was written; `keep_free` holds against what others leave of the disk.
What was used longest ago goes first. Never evicted: what is open or being filled, and bodies of media
of which each download counts, for they cannot be had again.

What is kept here is only a copy: whatever the disk refuses (full, read-only, gone) means that
nothing is cached, one warning, and no error.

A block cache for media with ranges will stand behind the same two doors. `find` will answer also for a
version of which some blocks are held (its `Store` then gives what it has), and `make` for a
version that is read in parts; `grant`, eviction, `forget`, `purge` and the scan stay as they are, and
`bodyfile` gets a second kind of file, with a checksum and a mark for each block.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from ..errors import LocalFailure
from ..model import Media, MediaId, Version
from .bodyfile import Record, ending_length, name_of
from .cachefiles import MARGIN, STEP, Filling, Held, Whole, make_temporary, open_whole, unlink_all
from .cachefolder import PART, Found, Usage, looked_through, purge_folder
from .options import CacheOptions, CacheStatistics

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Count:
    """What the cap is about, in bytes."""

    held: int = 0
    granted: int = 0
    fillings: set[Filling] = field(default_factory=set)

    @property
    def used(self) -> int:
        return self.held + self.granted

    @property
    def pending(self) -> int:
        """Granted, but not taken from the disk yet."""
        return sum(max(0, each.granted - each.allocated) for each in self.fillings)


class DiskCache:
    """Made by `reading`, which runs `scan` behind everything else."""

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self._folder = options.folder
        self._held: dict[str, Held] = {}
        self._count = _Count()
        self._token = secrets.token_hex(8)
        self._made = 0
        self._scanned = trio.Event()
        self._gone: set[str] = set()
        """Names forgotten while the folder is looked through."""
        self._lock = trio.Lock()
        self._hits = 0
        self._clock = 0
        self._trouble: str | None = None

    # --- what is there -----------------------------------------------------------------------------

    async def scan(self) -> None:
        """Learns what earlier processes left, and removes what is of no use. Nobody waits for it but
        who wants to put something in, and who looks for something that is not found by its name."""
        try:
            found = await trio.to_thread.run_sync(looked_through, self._folder)
            for each in found:
                self._learn(each)
            async with self._lock:
                await self._evict(self._excess(0), as_far_as_possible=True)
        except OSError as error:
            self.trouble(error)
        finally:
            self._scanned.set()
            self._gone.clear()

    def _learn(self, found: Found) -> None:
        name = found.path.name
        if name in self._held or name in self._gone:
            return
        self._held[name] = Held(found.path, found.record, found.blocks, found.used)
        self._count.held += found.blocks
        self._clock = max(self._clock, found.used)

    async def wait_scanned(self) -> None:
        await self._scanned.wait()

    def media(self) -> set[MediaId]:
        """Whose bodies are kept, as far as the folder was looked through."""
        realm = self._options.realm
        return {held.record.media for held in self._held.values() if held.record.realm == realm}

    def held(self, version: Version) -> int:
        """Bytes of a version that are kept. No I/O."""
        held = self._held.get(self._name(version.media))
        return held.record.size if held is not None and self._is_of(held.record, version) else 0

    def _name(self, media: MediaId) -> str:
        return name_of(self._options.realm, media)

    def _is_of(self, record: Record, version: Version) -> bool:
        same = record.realm == self._options.realm and record.media == version.media
        return same and version.validator in record.validators

    async def find(self, version: Version) -> Whole | None:
        """The whole body of a version, if it is kept. Discard it."""
        name = self._name(version.media)
        path = self._folder / name
        held = self._held.get(name)
        if held is None and self._scanned.is_set():
            return None
        if held is not None:
            if not self._is_of(held.record, version):
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
                self._drop(held)
                self.closed(held)
            return None
        descriptor, body = opened
        if held is None:
            held = self._met(name, path, body.record, descriptor)
        if held is None or not self._is_of(body.record, version) or not held.named:
            os.close(descriptor)
            self.closed(held)
            return None
        held.used = self._now()
        self._hits += 1
        mine = held
        return Whole(
            descriptor,
            body,
            damaged=lambda why: self._damaged(mine, why),
            closed=lambda: self.closed(mine),
        )

    def _met(self, name: str, path: Path, record: Record, descriptor: int) -> Held | None:
        """A body that was opened before the folder was looked through; counted as open once."""
        if name in self._gone:
            return None
        held = self._held.get(name)
        if held is None:
            blocks = os.fstat(descriptor).st_blocks * 512
            held = self._held[name] = Held(path, record, blocks, self._now())
            self._count.held += blocks
        held.open += 1
        return held

    def closed(self, held: Held | None) -> None:
        if held is not None:
            held.open -= 1
            if not held.open and not held.named:
                self._count.held -= held.blocks

    def _damaged(self, held: Held, why: str) -> None:
        if held.named:
            log.warning("a cached body of media %s is damaged (%s): removed", held.record.media, why)
            self._drop(held)
            unlink_all([held.path])

    def _drop(self, held: Held) -> None:
        """It has no name any more."""
        if held.named:
            held.named = False
            if self._held.get(held.path.name) is held:
                del self._held[held.path.name]
            if not held.open:
                self._count.held -= held.blocks

    def _now(self) -> int:
        self._clock = max(self._clock + 1, time.time_ns())
        return self._clock

    # --- what comes --------------------------------------------------------------------------------

    async def make(self, media: Media, version: Version, size: int | None) -> Filling | None:
        """A store for a body of so many bytes that is then kept; None where it cannot be.

        The room of a body whose size is known is there before this returns.
        """
        room = (size + ending_length(size) + MARGIN) if size is not None else STEP
        if room > self._options.size:
            return None
        await self._scanned.wait()
        self._made += 1
        name = self._name(version.media)
        granted = _Grant()
        if not await self._granted(granted, room):
            return None
        temporary = self._folder / f"{name}.{self._token}-{self._made}{PART}"
        whole = 0 if size is None else size + ending_length(size)
        try:
            descriptor = await trio.to_thread.run_sync(make_temporary, temporary, whole)
        except OSError as error:
            self.trouble(error)
            self._count.granted -= granted.granted
            return None
        except BaseException:
            self._count.granted -= granted.granted
            raise
        record = Record(
            realm=self._options.realm,
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
            final=self._folder / name,
            record=record,
            settled=lambda size: replace(media, size=size).validator,
            granted=granted.granted,
        )
        filling.allocated = os.fstat(descriptor).st_blocks * 512
        self._count.fillings.add(filling)
        return filling

    async def grant(self, filling: Filling, room: int) -> bool:
        return await self._granted(filling, room)

    async def _granted(self, to: Filling | _Grant, room: int) -> bool:
        if room <= to.granted:
            return True
        async with self._lock:
            more = room - to.granted
            if not await self._evict(self._excess(more)) or self._excess(more) > 0:
                self._complain("[cache] size and keep_free leave no room beside what may not be evicted")
                return False
            to.granted += more
            self._count.granted += more
            return True

    def _excess(self, more: int) -> int:
        """By how many bytes the cap or the disk has too little room for so many more."""
        return max(self._count.used + more - self._options.size, self._short(more))

    def _short(self, more: int) -> int:
        """By how many bytes the disk has too little room for so many more."""
        try:
            disk = os.statvfs(self._folder if self._folder.exists() else self._folder.parent)
        except OSError:
            return 0  # making the file will tell
        floor = self._options.keep_free(disk.f_blocks * disk.f_frsize)
        return floor + self._count.pending + more - disk.f_bavail * disk.f_frsize

    async def _evict(self, short: int, *, as_far_as_possible: bool = False) -> bool:
        """Removes what was used longest ago, until so many bytes are free; False, and removes nothing,
        where that cannot be."""
        if short <= 0:
            return True
        going: list[Held] = []
        for held in sorted(self._evictable(), key=lambda held: held.used):
            if short <= 0:
                break
            going.append(held)
            short -= held.blocks
        if short > 0 and not as_far_as_possible:
            return False
        for held in going:
            self._drop(held)
        with trio.CancelScope(shield=True):  # what is not counted any more must not stay
            await trio.to_thread.run_sync(unlink_all, [held.path for held in going])
        return short <= 0

    def _evictable(self) -> list[Held]:
        mine = self._options.realm
        return [
            held
            for held in self._held.values()
            if not held.open and not (held.record.limited and held.record.realm == mine)
        ]

    def took(self, filling: Filling, record: Record, descriptor: int) -> Held:
        name = filling.final.name
        before = self._held.get(name)
        if before is not None:
            self._drop(before)  # the rename has replaced it
        self._leave(filling)
        blocks = os.fstat(descriptor).st_blocks * 512
        held = self._held[name] = Held(filling.final, record, blocks, self._now(), open=1)
        self._count.held += blocks
        return held

    def let_go(self, filling: Filling) -> None:
        self._leave(filling)
        held = self._held.get(filling.final.name)
        if held is not None and not held.path.exists():
            self._drop(held)

    def _leave(self, filling: Filling) -> None:
        if filling in self._count.fillings:
            self._count.fillings.remove(filling)
            self._count.granted -= filling.granted

    # --- what goes ---------------------------------------------------------------------------------

    def forget(self, media: Set[MediaId]) -> None:
        """Their bodies have no name any more when this returns; the disk has them until they are closed."""
        names = {self._name(each) for each in media}
        if not self._scanned.is_set():
            self._gone |= names
        for filling in [each for each in self._count.fillings if each.final.name in names]:
            filling.let_go()
        for name in names:
            held = self._held.get(name)
            if held is not None:
                self._drop(held)
            if held is not None or not self._scanned.is_set():
                unlink_all([self._folder / name])

    async def purge(self) -> Usage:
        """Forgets all bodies, of whatever archive; what there was of them. Raises LocalFailure."""
        await self._scanned.wait()
        for filling in list(self._count.fillings):
            filling.let_go()
        for held in list(self._held.values()):
            self._drop(held)
        try:
            return await trio.to_thread.run_sync(purge_folder, self._folder)
        except OSError as error:
            raise LocalFailure(f"{self._folder} cannot be emptied: {error.strerror}") from error

    # --- what is told ------------------------------------------------------------------------------

    def trouble(self, error: OSError) -> None:
        self._complain(error.strerror or str(error))

    def _complain(self, why: str) -> None:
        if self._trouble is None:
            log.warning("not everything is kept in the disk cache %s: %s", self._folder, why)
        self._trouble = why

    def room(self) -> int:
        """Bytes that a new body could take up, what would be evicted for it included."""
        evictable = sum(held.blocks for held in self._evictable())
        free = self._options.size - self._count.used + evictable
        return max(0, min(free, evictable - self._short(0)))

    def statistics(self) -> CacheStatistics:
        return CacheStatistics(
            bytes=self._count.used,
            files=len(self._held),
            size=self._options.size,
            hits=self._hits,
            trouble=self._trouble,
        )


@dataclass(slots=True)
class _Grant:
    """Room for a file that is still to be made."""

    granted: int = 0
