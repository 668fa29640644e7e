"""The disk cache: bodies kept over remounts under a hard cap, and gone when their media is.

What is in it: whole bodies of what could only be had whole (a service without ranges, a media whose size
only its body tells), those of media of which each download counts, and of all other media the blocks that
were read. One file a media, named by a hash of its id, holding its newest version; so a deletion is one
`unlink`, whether the folder was looked through yet or not.

A crash, at any instant, never yields a wrong byte later. A whole body (`cachefiles`) is filled under a
temporary name, and only after `fsync` has returned does it get its own: so a name says that the disk has
all of it. Blocks (`partial`, `blockfile`) are not synced: each is written before its checksum, and is not
there where that does not hold. What is left under a temporary name is removed by the next process. Where a
disk lies about `fsync`, or loses bytes later, the checksums tell, and the bytes are fetched anew.

The cap counts the blocks that the file system says a file takes up, and for what is being written the room
that was granted to it before; other accounts of the cache directory share it (`share`). `keep_free` holds
against what others leave of the disk (`ledger`). What was used longest ago goes first. Never evicted: what
is open or being filled, what was pinned, and bodies of media of which each download counts, for they cannot
be had again. Blocks are written by one thread behind the readers (`writer`); where it is too slow, or
nothing can be evicted for them, they are not kept.

What is kept here is only a copy: whatever the disk refuses (full, read-only, gone) means that
nothing is cached, one warning, and no error.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from ...errors import LocalFailure
from ...model import Media, MediaId, Version
from ..files import unlink_quietly, unlinked
from ..options import CacheOptions, CacheStatistics
from .bodyfile import Record, blocks_of, ending_length, name_of
from .cachefiles import MARGIN, STEP, Filling, Whole
from .cachefolder import PART, Found, Usage, looked_through, purge_folder, remove
from .ledger import Grant, Held, Ledger
from .partial import PartialBody
from .partials import Partials
from .pins import Pins
from .wholes import Wholes, is_of
from .writer import CLOSE_S, Writer

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""How often it is looked whether other accounts want room."""

PAUSE_S: Final = 0.1
"""How long it is not looked at least."""


class DiskCache:
    """Made by `reading`, which runs `run` behind everything else, and closes it."""

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self._folder = options.folder
        self._token = secrets.token_hex(8)
        self._made = 0
        self._scanned = trio.Event()
        self._ledger = Ledger(options)
        self._held = self._ledger.held
        self._writer = Writer()
        self._partials = Partials(
            ledger=self._ledger,
            writer=self._writer,
            paths=self._paths,
            now=self._now,
            complain=self._complain,
        )
        self._wholes = Wholes(
            self._partials, realm=options.realm, paths=self._paths, now=self._now, complain=self._complain
        )
        self._pins = Pins(options.folder, options.realm, self._ledger)
        self._hits = 0
        self._clock = 0
        self._trouble: str | None = None

    async def aclose(self) -> None:
        """Ends the writer: what was put is written, as far as there is time, nothing more is taken."""
        if self._partials.has_early:
            with trio.move_on_after(CLOSE_S, shield=True):
                await self._scanned.wait()
        if await self._writer.aclose():
            self._ledger.empty_purse()
            self._ledger.share.end()

    # --- what is there -----------------------------------------------------------------------------

    async def scan(self) -> None:
        """Learns what earlier processes left, and removes what is of no use. Nobody waits for it but
        who wants to put a whole body in, and who looks for something that is not found by its name."""
        try:
            found = await trio.to_thread.run_sync(looked_through, self._folder)
            await self._pins.learn()
            for each in found:
                self._learn(each)
            self._ledger.learned()
            await trio.to_thread.run_sync(self._ledger.share.look)
            await self._writer.unlinked(self._ledger.shrink())
            await self._lower()
        except OSError as error:
            self.trouble(error)
        finally:
            self._ledger.scanned = True
            self._scanned.set()
            self._ledger.gone.clear()
            self._partials.put_early()

    def _learn(self, found: Found) -> None:
        name = found.path.name
        if name in self._held or name in self._ledger.gone:
            return
        self._ledger.add(
            Held(found.path, found.record, found.blocks, found.used, found.body, whole=found.whole)
        )
        self._clock = max(self._clock, found.used)

    @property
    def keeps(self) -> bool:
        """Whether anything new is kept at all."""
        return self._options.size > 0

    async def run(self) -> None:
        """Scans, and from then on leaves to other accounts what they may have."""
        await self.scan()
        share = self._ledger.share
        while share.is_shared:
            with trio.move_on_after(LOOK_S):
                await share.wished.wait()
            await self._leave_to_others()
            await trio.sleep(PAUSE_S)

    async def _leave_to_others(self) -> None:
        share = self._ledger.share
        wished, share.wished = share.wished.is_set(), trio.Event()
        await self._writer.unlinked(self._ledger.shrink(for_others=True))
        if share.is_lower:
            await self._lower()
        if wished:
            await trio.to_thread.run_sync(share.take_from_idle)
            self._ledger.try_again()

    async def _lower(self) -> None:
        """Others may have what is off the disk by now."""
        self._ledger.share.begin_lowering()
        await self._writer.wait_done()
        self._ledger.share.lower()

    async def wait_scanned(self) -> None:
        await self._scanned.wait()

    def media(self) -> set[MediaId]:
        """Whose bodies are kept, as far as the folder was looked through."""
        realm = self._options.realm
        return {held.record.media for held in self._held.values() if held.record.realm == realm}

    def held(self, version: Version) -> int:
        """Bytes of a version that are kept. No I/O."""
        held = self._held.get(self._name(version.media))
        if held is None or not is_of(held.record, version):
            return 0
        if held.whole or (open_now := self._partials.held(held.path.name)) is None:
            return held.body
        return open_now

    def _name(self, media: MediaId) -> str:
        return name_of(self._options.realm, media)

    async def find(self, version: Version) -> Whole | None:
        """The whole body of a version, if it is kept as such. Discard it."""
        whole = await self._wholes.find(self._name(version.media), version)
        self._hits += whole is not None
        return whole

    def _paths(self, name: str) -> tuple[Path, Path]:
        self._made += 1
        return self._folder / name, self._folder / f"{name}.{self._token}-{self._made}{PART}"

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
        return await self._wholes.make(self._name(version.media), media, version, size, room)

    async def open_partial(
        self, media: Media, version: Version, size: int, etag: str | None, last_modified: str | None
    ) -> PartialBody | None:
        """The body of that version as far as it is held, which may be not at all; all who open it get the
        same. Discard it once for each time.

        `etag` and `last_modified` are what the service said of the content so far; what is held of another
        is removed. None where nothing is to be kept in blocks: without a cap, or where the body is one that
        is kept whole.
        """
        known = self._held.get(self._name(version.media))
        if known is not None and known.whole and is_of(known.record, version):
            return None
        if not self._options.size or not size or media.download_once or media.fleeting:
            return None
        told = replace(media, size=size).validator
        record = Record(
            realm=self._options.realm,
            media=version.media,
            validators=tuple(dict.fromkeys((version.validator, told))),
            size=size,
            etag=etag,
            last_modified=last_modified,
            limited=False,
        )
        body, found = await self._partials.open(record)
        self._hits += found
        return body

    # --- what stays --------------------------------------------------------------------------------

    async def pin(self, media: MediaId) -> None:
        """Its body, what there is of it and what will be, is not evicted until it is unpinned; also by later
        processes, where the disk takes note of it."""
        try:
            await self._pins.add(media)
        except OSError as error:
            self.trouble(error)

    async def unpin(self, media: MediaId) -> None:
        """It is evicted like any other."""
        await self._pins.remove(media)

    def is_pinned(self, media: MediaId) -> bool:
        """As far as the folder was looked through."""
        return self._name(media) in self._ledger.pinned

    @contextmanager
    def sparing(self) -> Iterator[Callable[[MediaId], None]]:
        """Yields what to call for each media that is not to be evicted before the context ends: who fetches
        many would else lose the first ones to the last."""
        with self._ledger.sparing() as names:
            yield lambda media: names.add(self._name(media))

    async def make_room(self, size: int) -> bool:
        """Evicts what has to go for so many bytes more of bodies; False where that would not suffice, and
        nothing was evicted."""
        await self._scanned.wait()
        granted = Grant()
        # Beside each block its checksum, and what the file system writes down.
        going = self._ledger.claim(granted, size + 64 * blocks_of(size) + 2 * MARGIN)
        if going is None:
            return False
        self._ledger.give_back(granted, 0)
        await self._writer.unlinked(going)
        return True

    def pinned(self) -> set[MediaId]:
        """What is not evicted: of what earlier processes pinned, as far as there is a body and the folder
        was looked through."""
        return self._pins.of(self.media())

    # --- what goes ---------------------------------------------------------------------------------

    def forget(self, media: Set[MediaId]) -> None:
        """Their bodies have no name any more when this returns; the disk has them until they are closed."""
        for each in media:
            name = self._name(each)
            there = name in self._held or self._partials.is_open(name) or not self._scanned.is_set()
            pinned = name in self._ledger.pinned or not self._scanned.is_set()
            self._unname(each)
            self._partials.end(name)
            if there and (descriptor := unlinked(self._folder / name)) is not None:
                self._writer.do(partial(os.close, descriptor), lambda error: None)
            if pinned:
                unlink_quietly(self._pins.path(name))

    async def evict(self, media: Set[MediaId]) -> int:
        """Removes their bodies now, pinned and open ones too; bytes that the disk got back, or gets when
        they are closed. Blocks that are read from now on are kept again."""
        paths = [self._folder / self._name(each) for each in media]
        for each in media:
            self._unname(each)
        # By the writer: after what it is just making, and ahead of what is put from now on.
        removing = self._writer.begin(lambda: remove(paths))
        for each in media:
            self._partials.reset(self._name(each))
        return await removing.wait()

    def _unname(self, media: MediaId) -> None:
        name = self._pins.drop(media)
        if not self._scanned.is_set():
            self._ledger.gone.add(name)
        self._wholes.let_go_all(name)
        held = self._held.get(name)
        if held is not None:
            self._ledger.drop(held)

    async def purge(self) -> Usage:
        """Forgets all bodies, of whatever archive; what there was of them. Raises LocalFailure."""
        await self._scanned.wait()
        self._wholes.let_go_all()
        for held in list(self._held.values()):
            self._ledger.drop(held)
        self._pins.clear()
        removing = self._writer.begin(lambda: purge_folder(self._folder))
        for name in self._partials.names():
            self._partials.reset(name)
        try:
            return await removing.wait()
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
        return self._ledger.room()

    def statistics(self) -> CacheStatistics:
        return CacheStatistics(
            bytes=self._ledger.taken,
            files=len(self._held),
            size=self._options.size,
            others=self._ledger.share.others,
            hits=self._hits,
            trouble=self._trouble,
            queued=self._writer.queued,
            pinned=len(self._ledger.pinned),
        )
