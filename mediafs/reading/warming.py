"""Media that are fetched into the disk cache: what is missing of them, and after what people read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import trio

from ..errors import Changed, Late, LocalFailure, NoRoom, Unsupported
from ..model import Media, MediaId, Urgency, Version
from .disk import DiskCache
from .reader import Reader

STEP: Final = 1 << 20
"""Bytes that are read, and waited for to be written, at once."""

POLL_S: Final = 0.25
"""How often it is looked whether the service's rate limit has a request to spare."""

AGAIN_S: Final = 1.5
"""How long a refusal is left alone at least: an open file is given the same one again for a second."""

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Progress:
    """How far one media is. Sizes are in bytes."""

    size: int = 0
    """0 while it is not known."""
    held: int = 0
    """On disk, or on its way there."""
    before: int = 0
    """Held before anything was fetched."""
    waits: bool = False
    """For the service's rate limit."""
    promised: int = 0
    """Room that it is going to take, beside what it has."""

    @property
    def fetched(self) -> int:
        return max(0, self.held - self.before)


class Readers(Protocol):
    """What is needed of `Reading`."""

    @property
    def cache(self) -> DiskCache | None: ...

    def open(self, media: Media, version: Version, *, urgency: Urgency) -> Reader: ...

    def cached(self, version: Version) -> int: ...

    def spare(self, urgency: Urgency) -> int | None: ...


class Warming:
    """One run over many media, of which several may be fetched at once. Made by `warming`.

    Where the service shows a limit, no request is begun that would have to wait in line: a person who reads
    the same media would wait with it.
    """

    def __init__(self, reading: Readers, cache: DiskCache, spare: Callable[[MediaId], None]) -> None:
        """What was given to `spare` is not evicted."""
        self._reading = reading
        self._cache = cache
        self._spare = spare
        self._under_way: set[Progress] = set()
        self._gate = trio.Lock()
        self._begun = 0
        """Requests that may not be in the limiter's books yet."""

    async def fetch(
        self,
        media: Media,
        version: Version,
        progress: Progress,
        sized: Callable[[int], object] = lambda size: None,
    ) -> None:
        """Returns when all of the media is held on disk. `sized` is told a size that no record states.

        Waits for the service's rate limit for as long as that takes. What was fetched before it failed stays.

        Raises NoRoom where the cache has none beside what this run fetched, Unsupported for what is never
        kept, Changed where the media changed or was deleted meanwhile, LocalFailure where it could not be
        kept, and what reading it raises.
        """
        if media.fleeting:
            raise Unsupported(
                f"media {media.id}: another may be behind this name at any time: it is not kept"
            )
        await self._cache.wait_scanned()
        self._spare(media.id)
        if media.size is not None and self._look(version, media.size, progress):
            progress.before = progress.held
            return
        reader = self._reading.open(media, version, urgency=Urgency.BACKGROUND)
        self._under_way.add(progress)
        try:
            await reader.hold()
            size = media.size
            if size is None:
                async with self._turn(progress):
                    size = await self._patiently(reader.settle, progress)
                sized(size)
                await reader.hold()
            self._look(reader.version, size, progress)
            progress.before = progress.held
            await self._fill(reader, media, size, progress)
        finally:
            self._under_way.discard(progress)
            await reader.close()

    def _look(self, version: Version, size: int, progress: Progress) -> bool:
        """Whether all of it is held."""
        progress.size, progress.held = size, self._reading.cached(version)
        return progress.held >= size

    async def _fill(self, reader: Reader, media: Media, size: int, progress: Progress) -> None:
        """Once more where what was held has gone meanwhile, as long as that brings more of it."""
        best = -1
        while not self._look(reader.version, size, progress):
            if progress.held <= best:
                raise LocalFailure(f"media {media.id}: not all of it could be kept on disk")
            best = progress.held
            progress.promised = size - progress.held
            if not await self._cache.make_room(sum(each.promised for each in self._under_way)):
                raise NoRoom(
                    f"media {media.id}: the disk cache has no room for it beside what was fetched before,"
                    " is pinned or open: raise size of [cache]"
                )
            at = 0
            while at < size:
                at = await self._step(reader, media, at, size, progress)
            await reader.wait_spooled()

    async def _step(self, reader: Reader, media: Media, at: int, size: int, progress: Progress) -> int:
        """Fetches what is missing next from `at` on; up to where nothing is missing any more."""
        disk = reader.disk
        if disk is None or reader.is_spooled:
            if not reader.is_spooled and not media.download_once:
                raise LocalFailure(
                    f"media {media.id}: it cannot be kept while others have it open; try again"
                )
            stop = min(at + STEP, size)
            async with _no_turn() if reader.is_spooled else self._turn(progress):
                await self._patiently(lambda: reader.read(stop - 1, 1), progress)
            progress.held, progress.promised = stop, 0  # its room is the store's
            return stop
        first = disk.held_until(at)
        if first >= size:
            reader.let_go(at, size)
            return size
        stop = min(first + STEP, disk.missing_until(first))
        begins = at == 0 or first > at
        if begins and first > 0:
            reader.go_on_from(first)
        async with self._turn(progress) if begins else _no_turn():
            data = await self._patiently(lambda: reader.read(first, stop - first), progress)
        if not reader.is_spooled:
            kept = await disk.put(first, data)
            if reader.disk is not disk:
                raise Changed(f"media {media.id}: deleted while it was fetched")
            if not kept:
                raise NoRoom(f"media {media.id}: the disk, or the disk cache, has no more room for it")
            reader.let_go(at, stop)  # with what the request brought, and was written, before it was read
        progress.held = min(size, progress.held + stop - first)
        progress.promised = max(0, progress.promised - (stop - first))
        return stop

    @asynccontextmanager
    async def _turn(self, progress: Progress) -> AsyncIterator[None]:
        """Around what may need a request of its own."""
        with _waiting(progress):
            async with self._gate:
                while not self._may_begin():  # noqa: ASYNC110
                    await trio.sleep(POLL_S)  # nobody tells when there is one to spare
                self._begun += 1
        try:
            yield
        finally:
            self._begun -= 1

    def _may_begin(self) -> bool:
        spare = self._reading.spare(Urgency.BACKGROUND)
        return spare is None or spare > self._begun

    async def _patiently(self, ask: Callable[[], Awaitable[T]], progress: Progress) -> T:
        """What it returns, once the service's rate limit lets it."""
        while True:
            try:
                return await ask()
            except Late as error:
                wait_s = error.wait_s
                if wait_s is None and self._reading.spare(Urgency.BACKGROUND) != 0:
                    raise  # the service is slow, or silent
            with _waiting(progress):
                await trio.sleep(max(wait_s or 0.0, AGAIN_S))


@contextmanager
def _waiting(progress: Progress) -> Iterator[None]:
    progress.waits = True
    try:
        yield
    finally:
        progress.waits = False


@asynccontextmanager
async def _no_turn() -> AsyncIterator[None]:
    yield


@contextmanager
def warming(reading: Readers) -> Iterator[Warming]:
    """A run: what it fetched is evicted for nothing that comes before the context ends.

    Raises NoRoom where nothing is kept on disk at all.
    """
    cache = reading.cache
    if cache is None or not cache.keeps:
        raise NoRoom('nothing is kept on disk: size = "0" in [cache]')
    with ExitStack() as stack:
        yield Warming(reading, cache, stack.enter_context(cache.sparing()))
