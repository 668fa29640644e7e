"""The task behind a stream: asks, checks, receives, parks, resumes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Final, NoReturn

import trio

from ..errors import Changed, InvalidReply, Late, LocalFailure, MediafsError, NoRoom, NotFound, Unavailable
from ..model import Span
from ..source import Body, Source
from .blocks import Assembly, Piece
from .buffers import Buffers
from .content import Content, Spooled
from .index import HEAD, index_behind
from .options import ReadingOptions, Tally
from .stores import Stores
from .stream import Stream

logger = logging.getLogger(__name__)

Take = Callable[[Body, trio.CancelScope], Awaitable[MediafsError | None]]

FRUITLESS_RESUMES: Final = 3
"""With four bodies of `progress_s` each, a read that gets nothing has used up its `total_s`."""

FAR_S: Final = 0.01
"""A service whose answer takes so long is worth another request for a round trip less, if it counts none."""

MODEST: Final = 128 * 1024
"""Bytes received at once while others wait for their first."""

TURNS: Final = 30
"""So many turns of the loop are theirs before each of these: with 16 that begin at once, the last waits 60 ms
for its first bytes, and 200 ms without (measured)."""

LIMITED_REQUESTS: Final = 2
"""Of media of which each download counts: what a cut leaves of the one that was paid for is asked for
once, for else it is lost; and a request that brought no byte is made once more."""


class Pump:
    """Runs one stream of one content until it ends, fails or is cancelled."""

    def __init__(
        self,
        source: Source,
        content: Content,
        stream: Stream,
        *,
        options: ReadingOptions,
        tally: Tally,
        stores: Stores,
        buffers: Buffers,
        fetch_index: Callable[[Span], None] | None = None,
    ) -> None:
        """`buffers` are for what comes at the speed of memory. `fetch_index` begins a request for a film's
        index, which a player is going to read next; None: it is not looked for."""
        self._source = source
        self._content = content
        self._stream = stream
        self._options = options
        self._tally = tally
        self._stores = stores
        self._buffers = buffers
        self._fetch_index = fetch_index
        self._answered_s = 0.0
        """How long the last answer took."""
        self._replied = False
        """The service has answered with a body, whatever came of it."""
        self._received = 0
        """Bytes, into the assembly's own buffers."""
        self._name = f"media {content.media.id}"

    async def run(self) -> None:
        """Raises nothing: what the service does wrong is the stream's `error`, and so is a bug."""
        error: MediafsError | None = None
        try:
            with self._stream.scope:
                await (self._limited() if self._content.media.download_once else self._resuming())
        except MediafsError as failure:
            error = failure
        except Exception:  # one media's failure is not the end of the mount
            logger.exception("%s: fetching it failed", self._name)
            error = LocalFailure(f"{self._name}: fetching it failed; see the log")
        finally:
            self._content.ended(self._stream, error)

    async def _resuming(self) -> None:
        """Goes on from where a body was cut, while somebody waits for it."""
        fruitless = 0
        while True:
            before = self._stream.position
            cut = await self._request()
            if cut is None:
                return
            if not self._content.awaited(self._stream):
                raise cut  # The next read goes on from here, if there is one.
            # A body that starts again from byte 0 has gained nothing, however far it came.
            fruitless = 0 if self._stream.position > before else fruitless + 1
            if fruitless > FRUITLESS_RESUMES:
                raise cut
            if self._stream.assembly is not None:
                self._stream.assembly.rewind_unproved()
            logger.info("%s: %s; going on from byte %d", self._name, cut, self._stream.position)

    async def _request(self) -> MediafsError | None:
        """One GET; why its body was cut, or None where it came whole.

        Raises what the service refuses, and Changed and InvalidReply.
        """
        stream, content = self._stream, self._content
        if content.spool is not None:
            return None  # Another request met a service without ranges: its body is the one.
        if content.ranges is False:
            stream.restart()
        asked = Span(stream.position, stream.stop)
        return await self._ask(asked, lambda body: self._to_memory if body.partial else self._to_spool)

    async def _ask(self, asked: Span, choose: Callable[[Body], Take]) -> MediafsError | None:
        """Asks, checks the reply, and has `choose` say who takes the body."""
        stream, content = self._stream, self._content
        identity = content.edition.identity
        if_range = identity.strong_etag if identity is not None and asked.start > 0 else None
        replied = False
        began = trio.current_time()
        self._tally.gets += 1
        with trio.CancelScope(deadline=began + self._options.total_s) as scope:
            try:
                async with self._source.body(
                    content.media, asked, if_range=if_range, urgency=stream.urgency
                ) as body:
                    scope.deadline = inf
                    replied = self._replied = True
                    self._answered_s = trio.current_time() - began
                    content.accept(stream, body, asked, if_range)
                    return await choose(body)(body, scope)
            except NotFound as error:
                if content.edition.identity is None:
                    raise
                raise Changed(f"{self._name}: gone while it was read") from error
        if not replied:
            raise Late(f"{self._name}: no reply within {self._options.total_s:g} s")
        return Late(f"{self._name}: no byte for {self._options.progress_s:g} s")

    async def _to_memory(self, body: Body, scope: trio.CancelScope) -> MediafsError | None:
        stream, content = self._stream, self._content
        size = content.edition.size
        assert size is not None
        end = stream.end(size)
        if stream.assembly is None or stream.assembly.position != body.start:
            stream.assembly = Assembly(body.start, end, self._options.block)
        assembly = stream.assembly

        async def keep(pieces: list[Piece]) -> None:
            if stream.push is not None:
                stream.push.received()
            content.arrived(stream, pieces)
            if self._fetch_index is not None:
                self._look_for_index(self._fetch_index, size)
            wants_large = stream.push is not None and stream.push.wants_large
            assembly.large = self._buffers if wants_large else None
            while assembly.position < end and assembly.position >= stream.flow(size, content.ahead).target:
                await stream.wait_extended()

        return await self._receive(body, scope, assembly, keep)

    def _look_for_index(self, fetch: Callable[[Span], None], size: int) -> None:
        """Once the first bytes are here. Over a short line a player has it as soon without."""
        piece = self._content.held(0)
        if piece is None or (len(piece.data) < HEAD and piece.stop < size):
            return
        self._fetch_index = None
        span = index_behind(piece.data[:HEAD], size)
        if span is not None and self._answered_s >= FAR_S:
            fetch(span)

    async def _to_spool(self, body: Body, scope: trio.CancelScope) -> MediafsError | None:
        stream, content = self._stream, self._content
        if content.spool is not None:
            return None  # Another request was answered first.
        spool = content.spool = Spooled(stream)
        stream.restart()
        stream.whole = stream.answered = True
        stream.assembly = Assembly(0, content.edition.size, self._options.block)
        try:
            spool.store = await self._stores.make(content.media, content.version, content.edition.size)
            cut = await self._fill(spool, body, scope)
            if cut is None:
                await self._finish(spool)
            return cut
        finally:
            self._give_up_unfinished(spool)

    async def _fill(self, spool: Spooled, body: Body, scope: trio.CancelScope) -> MediafsError | None:
        assembly = self._stream.assembly
        assert assembly is not None

        async def keep(pieces: list[Piece]) -> None:
            for piece in pieces:
                await self._put(spool, piece)
                self._content.filled(spool, piece.stop)

        cut = await self._receive(body, scope, assembly, keep)
        if cut is None and self._content.edition.size is None and assembly.position == 0:
            raise InvalidReply(f"{self._name}: an empty body, and its size is not known")
        return cut

    async def _put(self, spool: Spooled, piece: Piece) -> None:
        assert spool.store is not None
        try:
            await spool.store.put(piece.offset, piece.data)
        except NoRoom as error:
            full, size = spool.store, self._content.edition.size
            spool.store = await self._stores.rescue(full, piece.offset, size, error)
            full.discard()
            await spool.store.put(piece.offset, piece.data)

    async def _finish(self, spool: Spooled) -> None:
        """The body came whole. That is waited for by nobody, and cut short by nothing: a reader closes
        when it has the last byte, and what the disk then holds already is not to be thrown away."""
        stream, content = self._stream, self._content
        assert stream.assembly is not None
        assert spool.store is not None
        size = stream.assembly.position
        identity = content.edition.identity
        assert identity is not None
        content.sized(spool, size)
        with trio.CancelScope(shield=True):
            await spool.store.finish(size, identity)
        spool.finished = True

    def _give_up_unfinished(self, spool: Spooled) -> None:
        content = self._content
        # A finished one is the content's, if that still wants it.
        if content.spool is spool and not spool.finished:
            content.spool = None
            self._stream.restart()
        if content.spool is not spool:
            spool.discard()

    # --- media of which each download counts ---------------------------------------------------------

    async def _limited(self) -> None:
        """The one download of a media: whole, without a range, and only once there is room to keep it.

        Any request that is answered with a body is taken to count. So there is no second one, save what
        `LIMITED_REQUESTS` says: the rest of a body that was cut is asked for by a range, where a strong
        ETag proves that it is the rest of the same body. After that the media fails for as long as
        it is open; opening it again is asking for it again.
        """
        stream, content = self._stream, self._content
        spool = content.spool = Spooled(stream)
        stream.restart()
        stream.whole = True
        try:
            spool.store = await self._stores.make(content.media, content.version, content.edition.size)
            for attempt in range(1, LIMITED_REQUESTS + 1):
                if content.spool is not spool:
                    return
                cut = await self._ask(Span(stream.position), lambda body: partial(self._to_limited, spool))
                if cut is None:
                    await self._finish(spool)
                    return
                identity = content.edition.identity
                provable = identity is not None and identity.strong_etag is not None
                if attempt == LIMITED_REQUESTS or not (stream.position == 0 or provable):
                    raise cut
                if stream.assembly is not None:
                    stream.assembly.rewind_unproved()
                logger.warning("%s: %s; asking for the rest from byte %d", self._name, cut, stream.position)
        except MediafsError as error:
            if self._replied and not isinstance(error, Changed):
                content.spent = error
            raise
        finally:
            self._give_up_unfinished(spool)

    async def _to_limited(self, spool: Spooled, body: Body, scope: trio.CancelScope) -> MediafsError | None:
        stream = self._stream
        if stream.assembly is None or stream.assembly.position != body.start:
            stream.assembly = Assembly(body.start, self._content.edition.size, self._options.block)
        return await self._fill(spool, body, scope)

    async def _receive(
        self,
        body: Body,
        scope: trio.CancelScope,
        assembly: Assembly,
        keep: Callable[[list[Piece]], Awaitable[None]],
    ) -> MediafsError | None:
        """Keeps the chunks of a body; why it was cut, or None when it ended where it must.

        While it waits for a chunk, and only then, `scope` ends after `progress_s`.
        """
        arrive = self._straight if body.receive_into is not None else self._in_chunks
        while True:
            scope.deadline = trio.current_time() + self._options.progress_s
            try:
                pieces = await arrive(body, assembly)
            except (Unavailable, Late) as error:
                return error
            finally:
                scope.deadline = inf
            if pieces is None:
                break
            await keep(pieces)
        if assembly.end is not None and assembly.position < assembly.end:
            short = InvalidReply(f"{self._name}: a body that ends at {assembly.position} of {assembly.end}")
            if self._content.ranges or self._content.media.download_once:
                return short  # Without a stated length a cut looks like this: a range will tell.
            raise short
        await keep(assembly.finish())
        return None

    async def _straight(self, body: Body, assembly: Assembly) -> list[Piece] | None:
        """Receives into the assembly's own buffer; the pieces that this completed, None at the end."""
        assert body.receive_into is not None
        if room := assembly.room():
            if self._tally.is_hurried:
                # A large receipt takes the loop a millisecond.
                room = room[:MODEST]
                await self._let_others_begin()
            count = await body.receive_into(room)
        elif count := await body.receive_into(memoryview(bytearray(1))):
            self._refuse_longer(assembly)
        self._tally.fetched += count
        self._received += count
        return assembly.filled(count) if count else None

    async def _let_others_begin(self) -> None:
        if self._received > MODEST:
            for _ in range(TURNS):
                await trio.lowlevel.checkpoint()

    async def _in_chunks(self, body: Body, assembly: Assembly) -> list[Piece] | None:
        try:
            while not (chunk := await anext(body.chunks)):
                pass
        except StopAsyncIteration:
            return None
        self._tally.fetched += len(chunk)
        if assembly.end is not None and assembly.position + len(chunk) > assembly.end:
            self._refuse_longer(assembly)
        return assembly.add(chunk)

    def _refuse_longer(self, assembly: Assembly) -> NoReturn:
        self._content.distrust()
        raise InvalidReply(f"{self._name}: a body that goes on past byte {assembly.end}")
