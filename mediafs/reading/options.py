"""How much the reading room may hold, look ahead and wait, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import trio

KIB = 1024
MIB = 1024 * KIB

HURRY_S: Final = 0.25
"""For so long the others are held back for who begins to read."""

_MAY_BE_NOTHING = frozenset({"memory", "whole_below", "gap", "put_after", "hole", "put_ahead", "prefetch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    folder: Path
    """Its own; made when it is needed."""
    realm: str
    """The account and archive whose media ids these are: bodies of another are not shown."""
    size: int
    """Hard cap in bytes of real blocks; 0: nothing new is kept."""
    keep_free: Callable[[int], int] = lambda disk: 0
    """Bytes to leave to others, of a disk of so many."""
    hold_idle: Callable[[str], AbstractContextManager[bool]] | None = None
    """Keeps another account from being mounted as long as the context lasts; False where it is mounted.
    The cap is then that of all accounts whose folders lie beside `folder.parent`. None: it is ours alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    bytes: int
    """Real blocks of what is kept, and of what is being filled."""
    files: int
    size: int
    """The cap."""
    others: int
    """Bytes that other accounts take up of it, when last looked at."""
    hits: int
    """Bodies that were opened here instead of being fetched."""
    trouble: str | None
    """Why something could not be kept, where that was so."""
    queued: int = 0
    """Bytes in memory that wait to be written."""
    pinned: int = 0
    """Media that are not evicted, whether there is a body of them or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """Sizes are in bytes, times in seconds. What was measured was so by `bench/run`, on two cores, over
    loopback or a link of 30 ms and 1 Gbit/s."""

    memory: int = 256 * MIB
    """All that is held for the whole mount: blocks, and in up to half of it the whole bodies of services
    without ranges. Room for full windows of 16 readers at once, four times over: what was just read is
    held as long as what comes next (see `ahead`). Each stream under way holds up to one `piece` besides."""
    whole_below: int = 4 * MIB
    """Smaller media are fetched whole in one GET: at 80 MB/s that costs one round trip more than a
    part of it, and a service counts requests, not bytes."""
    window: int = 4 * MIB
    """How far a stream runs ahead of its reader: 30 ms of a 1 Gbit/s line, the distance at which a
    reader on such a line never waits; more was no faster (measured)."""
    gap: int = 1 * MIB
    """A forward seek this far past what has arrived is read through: about what arrives in the time
    that a new request takes. Also how far into a media the first read may lie and still be taken
    for the kernel's read-ahead arriving out of order (it asks 128 to 512 KiB at once)."""
    block: int = 256 * KIB
    """What is held and forgotten together: two of the kernel's largest reads (128 KiB)."""
    put_after: int = 1 * MIB
    """So much has a reader read in one go before anything is put into the kernel's pages for it: players
    and file managers look into many files, and read on in few."""
    piece: int = 2 * MIB
    """What is put there in one call. In pieces of 256 KiB the same took 1.4 times the CPU and brought 0.75
    times the bytes; larger ones were no faster (measured)."""
    hole: int = 128 * KIB
    """What is left out at the end of each piece: the most that the kernel asks for at once, where nobody
    has told it otherwise."""
    put_ahead: int = 256 * KIB
    """What is to have been put there, beyond it, when a read of a hole is answered."""
    streams: int = 2
    """Open-ended streams that one reader keeps: a player alternates between two places (sound and
    picture, or index and content). The one used longest ago gives way to a third."""
    parked: int = 32
    """Streams of all readers that may wait for their readers at once: each keeps a connection, and half of
    the account's are left to others."""
    prefetch: int = 16
    """Small media (see `whole_below`) fetched at once before they are read, where they are read in order:
    at 30 ms, 8 were 7 times as fast as none, 16 nearly 12 times, 32 15 times (measured). 0: none."""
    progress_s: float = 15.0
    """A body that brings no byte for so long is cut and resumed."""
    total_s: float = 65.0
    """A read ends after so long, with its bytes or with `Late`. A little more than a minute: where a
    service allows so many requests a minute, a copy of many files then goes slowly instead of failing."""
    spool_directory: Path = Path("/var/tmp")
    """Where bodies of services without ranges go that `memory` has no room for, as files without a name.
    Not /tmp, which is often memory; the application gives its own folder."""
    cache: CacheOptions | None = None
    """What is kept on disk, and where; None: nothing is."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            lowest = 0 if each.name in _MAY_BE_NOTHING else 1
            if isinstance(value, int) and value < lowest:
                raise ValueError(f"{each.name} must be at least {lowest}")
        if self.progress_s <= 0 or self.total_s <= 0:
            raise ValueError("progress_s and total_s must be positive")

    def ahead(self, streams: int) -> int:
        """How far one of so many streams of the mount may run ahead of its reader.

        A quarter of its share of the memory: blocks that were read are younger than the blocks
        ahead, so least-recently-used keeps an unread block only if as much read as unread fits.
        """
        return max(self.block, min(self.window, self.memory // (4 * max(streams, 1))))

    def fetched_whole(self, size: int) -> bool:
        return size < self.whole_below and 4 * size <= self.memory


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingStatistics:
    """What the reading room holds now, and what it has done since it began."""

    memory: int
    """Bytes of media held in memory."""
    readers: int
    streams: int
    """GETs under way, parked ones included."""
    fetched: int
    """Bytes received."""
    gets: int
    """GETs made, resumptions included; retries and redirects below the Source are not seen here."""
    spools: int
    """Whole bodies held while they are open: in the disk cache, in memory or in spool files."""
    cache: CacheStatistics | None = None
    """None: there is no disk cache."""


@dataclass(slots=True)
class Tally:
    """What all versions of a mount share: counts, and what the account's service was seen to do."""

    gets: int = 0
    fetched: int = 0
    streams: int = 0
    beginners: int = 0
    """Readers of people that wait for the first bytes they have asked for."""
    begun: float = 0.0
    """When the last of them did."""
    ranges: bool | None = None
    """Whether the last answer honoured ranges. None: not known yet."""

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """While a reader waits for its first bytes."""
        self.begun = trio.current_time()
        self.beginners += 1
        try:
            yield
        finally:
            self.beginners -= 1

    @property
    def is_hurried(self) -> bool:
        """Somebody waits for first bytes, which need many turns of the loop; but not of a service that lets
        him wait for longer."""
        return self.beginners > 0 and trio.current_time() - self.begun < HURRY_S
