"""The room's door for an open file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

import trio

from ..errors import Changed, Denied, Late, MediafsError, NotFound, NotReady, Unavailable
from ..model import Data, Span, Urgency, Version
from .blocks import Piece
from .content import Content, Spooled
from .disk import PartialBody
from .options import ReadingOptions, Tally
from .plan import Fetch, goes_forward
from .push import Pages
from .spool import Store
from .stores import Stores
from .stream import Stream
from .wish import Wish

HISTORY: Final = 8
"""Reads remembered to tell whether a reader goes forward: the kernel has a few under way at once."""

SAME_ANSWER_S: Final = 1.0
"""For how long an open file is given the service's refusal again without asking for it, and a failure
that took long without waiting for it once more."""

LOADED: Final = 1024 * 1024
"""Bytes that come from the disk in one go: several reads for one hop to a thread."""


class Owner(Protocol):
    """What a reader needs of the `Reading` that made it."""

    @property
    def options(self) -> ReadingOptions: ...

    @property
    def stores(self) -> Stores: ...

    @property
    def tally(self) -> Tally: ...

    def begin(self, content: Content, stream: Stream) -> None:
        """Starts a stream's task, which ends with the stream."""
        ...

    def settled(self, content: Content) -> None:
        """Its size is known, which may be part of what its version is called."""
        ...

    def left(self, reader: Reader, content: Content) -> list[Stream]:
        """It was closed; the streams that were cancelled for it."""
        ...


class Reader:
    """One open file. Its reads may be concurrent, in any order."""

    def __init__(self, reading: Owner, content: Content, urgency: Urgency) -> None:
        self._reading = reading
        self._content = content
        self._urgency = urgency
        self._history: deque[Span] = deque(maxlen=HISTORY)
        self._refusal: tuple[float, MediafsError] | None = None
        self._closed = False
        content.readers.add(self)

    def __repr__(self) -> str:
        return f"<Reader of {self._content.media.id}>"

    @property
    def content(self) -> object:
        """The same object for readers of the same bytes, and for no others."""
        return self._content

    @property
    def version(self) -> Version:
        """The one that was opened; where its size was not known, as it is called once that is."""
        return self._content.version

    def put_into(self, pages: Pages) -> None:
        """From now on what is fetched for readers that go forward is put there ahead of them."""
        self._content.pages = pages

    async def hold(self) -> None:
        """What is kept on disk of it is not evicted from now on, until it is closed. No request."""
        await trio.lowlevel.checkpoint()
        await self._reading.stores.recall(self._content)

    @property
    def disk(self) -> PartialBody | None:
        """Where blocks of it are kept, once it was held; None: nowhere, or it is kept as a whole."""
        return self._content.disk

    @property
    def is_spooled(self) -> bool:
        """All of it comes at once, or has come, into a store of its own."""
        return self._content.spool is not None

    async def wait_spooled(self) -> None:
        """Until what comes at once has come, and is kept where it can be; how it ended is not told."""
        await trio.lowlevel.checkpoint()
        spool = self._content.spool
        if spool is not None and spool.stream is not None:
            await spool.stream.ended.wait()

    def go_on_from(self, offset: int) -> None:
        """The next read there is one of many that go forward: what it fetches is not to end with it."""
        self._history.append(Span(max(offset - 1, 0), offset))

    def let_go(self, start: int, stop: int) -> None:
        """Nobody is to come to these bytes soon: no memory is used for them, unless others have it open."""
        if self._content.readers == {self}:
            self._content.let_go(start, stop)

    async def settle(self) -> int:
        """The size of the media in bytes: of the record, else as the service tells it.

        Where the service does not tell it in its headers, the whole body is fetched into the spool.

        Raises what `read` raises; after Late the spool goes on, and a later call may succeed.
        """
        await trio.lowlevel.checkpoint()
        with self._total("its size"):
            size = await self._settle()
            self._reading.settled(self._content)
            return size

    async def read(self, offset: int, length: int) -> Data:
        """`length` bytes from `offset` on; fewer only where the media ends, none beyond its end.

        Raises NotFound, Denied, NotReady, Unavailable and InvalidReply as the service has it; Late
        after `total_s`; NoRoom where a body has to be spooled; Changed once the content is not what
        it was when first read, and from then on.
        """
        if offset < 0 or length < 0:
            raise ValueError("offset and length must not be negative")
        await trio.lowlevel.checkpoint()
        with self._remembered(), self._total(f"{length} bytes at {offset}"):
            stop = min(offset + length, await self._settle())
            if offset >= stop:
                return b""
            wish = Wish(offset, stop)
            with self._wishing(wish), self._beginning():
                await self._grant(wish, Span(offset, stop))
            if (push := self._content.foremost(stop)) is not None:
                await push.wait_put(stop)
            return wish.taken()
        raise AssertionError("unreachable: _total raises when it cuts")

    def _beginning(self) -> AbstractContextManager[None]:
        first = not self._history and self._urgency is Urgency.PERSON
        return self._reading.tally.beginning() if first else nullcontext()

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        """Keeps a failure that is to be given again: what the service refused, and what took long."""
        began = trio.current_time()
        try:
            yield
        except (NotReady, Denied, NotFound, Late, Unavailable) as error:
            now = trio.current_time()
            given_again = self._refusal is not None and error is self._refusal[1]
            lasting = isinstance(error, NotReady | Denied | NotFound) and not given_again
            if lasting or now - began >= self._reading.options.progress_s:
                self._refusal = (now, error)
            raise

    async def close(self) -> None:
        """Cancels the requests that no other reader needs, and waits until they have ended."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        cancelled = self._reading.left(self, self._content)
        await trio.lowlevel.checkpoint()
        for stream in cancelled:
            await stream.ended.wait()

    async def _settle(self) -> int:
        content = self._content
        if content.sought is not None:
            await self._reading.stores.recall(content)
        wish = Wish(0, 0)
        with self._wishing(wish):
            while (size := content.edition.size) is None:
                self._check_usable()
                self._check_fetchable()
                if content.spool is not None and content.spool.stream is not None:
                    stream = content.spool.stream
                elif content.streams:
                    stream = content.streams[0]
                else:
                    stream = self._start(Fetch(Span(0)))
                await wish.wait_news(stream)
                if content.edition.size is None and stream.error is not None:
                    raise stream.error
        return size

    async def _grant(self, wish: Wish, span: Span) -> None:
        """Completes a wish. Each round ends complete, failed, or knowing more."""
        content = self._content
        content.note(span, self)
        history = tuple(self._history)
        self._history.append(span)
        while True:
            self._check_usable()
            content.fill(wish)
            if wish.complete:
                return
            spool = content.spool
            if spool is not None and spool.store is not None and wish.stop <= spool.filled:
                await self._take(wish, spool, spool.store)
                continue
            if content.disk is not None and content.disk.held_until(wish.missing) > wish.missing:
                await self._load(wish, content.disk, history)
                continue
            self._check_fetchable()
            self._check_refusal()
            if spool is not None and spool.stream is not None:
                stream = spool.stream
            else:
                answer = content.plan(wish, span, history, self)
                stream = answer if isinstance(answer, Stream) else self._start(answer)
            await wish.wait_news(stream)
            # What failed for a stream that nobody waited for is asked anew by who waits.
            if stream.error is not None and not wish.complete and stream.urgency <= self._urgency:
                raise stream.error

    async def _load(self, wish: Wish, disk: PartialBody, history: Sequence[Span]) -> None:
        """What the disk holds of it; more than that where the reader goes forward."""
        at = wish.missing
        wanted = max(wish.stop - at, LOADED) if goes_forward(at, history) else wish.stop - at
        try:
            data = await disk.get(at, min(wanted, disk.held_until(at) - at))
        except Unavailable:
            return  # It is not held any more: the next round looks elsewhere.
        if self._content.disk is disk:
            self._content.loaded(Piece(at, data))

    async def _take(self, wish: Wish, spool: Spooled, store: Store) -> None:
        missing = wish.missing
        try:
            data = await store.get(missing, wish.stop - missing)
        except Unavailable:
            # Discarded or moved meanwhile: the next round says why, or looks elsewhere.
            if self._content.spool is spool and spool.store is store:
                if spool.stream is not None:
                    raise
                self._content.lost(spool)
            return
        if wish.missing == missing:
            wish.take(data)

    def _start(self, fetch: Fetch) -> Stream:
        stream = Stream(fetch.span, whole=fetch.whole, urgency=self._urgency)
        # How far it may run is said once it was answered: a service thought to have no ranges is asked
        # from byte 0, and must not be read through to a distant byte should it turn out to have them.
        stream.extend(stream.start, self)
        self._reading.begin(self._content, stream)
        return stream

    def _check_usable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the reader was closed")
        if self._content.failed is not None:
            raise Changed(str(self._content.failed))

    def _check_refusal(self) -> None:
        # The kernel asks again at once for what its read-ahead did not get: that is no new question.
        if self._refusal is not None and trio.current_time() - self._refusal[0] < SAME_ANSWER_S:
            raise self._refusal[1]

    def _check_fetchable(self) -> None:
        if self._content.forgotten:
            raise Changed(f"media {self._content.media.id}: deleted, and not all of it is held")
        if self._content.spent is not None:
            raise type(self._content.spent)(str(self._content.spent))

    @contextmanager
    def _wishing(self, wish: Wish) -> Iterator[None]:
        self._content.wishes.add(wish)
        try:
            yield
        finally:
            self._content.wishes.discard(wish)

    @contextmanager
    def _total(self, what: str) -> Iterator[None]:
        total_s = self._reading.options.total_s
        with trio.move_on_after(total_s) as scope:
            yield
        if scope.cancelled_caught:
            raise Late(f"media {self._content.media.id}: {what} did not come within {total_s:g} s")
