"""The task behind a stream: asks, checks, receives, parks, resumes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import trio

from ..errors import Changed, InvalidReply, Late, MediafsError, NotFound, Unavailable
from ..model import Span
from ..source import Body, Source
from .blocks import Assembly, Piece
from .content import Content, Spooled
from .options import ReadingOptions, Tally
from .spool import MakeStore
from .stream import Stream

logger = logging.getLogger(__name__)

FRUITLESS_RESUMES: Final = 3
"""With four bodies of `progress_s` each, a read that gets nothing has used up its `total_s`."""


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
        make_store: MakeStore,
    ) -> None:
        self._source = source
        self._content = content
        self._stream = stream
        self._options = options
        self._tally = tally
        self._make_store = make_store
        self._name = f"media {content.media.id}"

    async def run(self) -> None:
        """Raises only bugs; what the service does wrong is the stream's `error`."""
        error: MediafsError | None = None
        try:
            with self._stream.scope:
                await self._resuming()
        except MediafsError as failure:
            error = failure
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
        identity = content.edition.identity
        if_range = identity.strong_etag if identity is not None and asked.start > 0 else None
        replied = False
        self._tally.gets += 1
        with trio.CancelScope(deadline=trio.current_time() + self._options.total_s) as scope:
            try:
                async with self._source.body(
                    content.media, asked, if_range=if_range, urgency=stream.urgency
                ) as body:
                    scope.deadline = inf
                    replied = True
                    content.accept(stream, body, asked, if_range)
                    if body.partial:
                        return await self._to_memory(body, scope)
                    return await self._to_spool(body, scope)
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
            content.arrived(stream, pieces)
            while assembly.position < end and assembly.position >= stream.flow(size, content.ahead).target:
                await stream.wait_extended()

        return await self._receive(body, scope, assembly, keep)

    async def _to_spool(self, body: Body, scope: trio.CancelScope) -> MediafsError | None:
        stream, content = self._stream, self._content
        if content.spool is not None:
            return None  # Another request was answered first.
        spool = content.spool = Spooled(stream)
        stream.restart()
        stream.whole = stream.answered = True
        assembly = stream.assembly = Assembly(0, content.edition.size, self._options.block)
        try:
            store = spool.store = await self._make_store(content.version)

            async def keep(pieces: list[Piece]) -> None:
                for piece in pieces:
                    await store.put(piece.offset, piece.data)
                    content.filled(spool, piece.stop)

            cut = await self._receive(body, scope, assembly, keep)
            if cut is None and content.edition.size is None and assembly.position == 0:
                raise InvalidReply(f"{self._name}: an empty body, and its size is not known")
            if cut is None:
                await store.finish(assembly.position)
                content.edition.size = assembly.position
                spool.finished = True
            return cut
        finally:
            # A finished one is the content's, if that still wants it.
            if content.spool is spool and not spool.finished:
                content.spool = None
                stream.restart()
            if content.spool is not spool:
                spool.discard()

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
        while True:
            scope.deadline = trio.current_time() + self._options.progress_s
            try:
                while not (chunk := await anext(body.chunks)):
                    pass
            except StopAsyncIteration:
                break
            except (Unavailable, Late) as error:
                return error
            finally:
                scope.deadline = inf
            self._tally.fetched += len(chunk)
            if assembly.end is not None and assembly.position + len(chunk) > assembly.end:
                self._content.distrust()
                raise InvalidReply(f"{self._name}: a body that goes on past byte {assembly.end}")
            await keep(assembly.add(chunk))
        if assembly.end is not None and assembly.position < assembly.end:
            short = InvalidReply(f"{self._name}: a body that ends at {assembly.position} of {assembly.end}")
            if self._content.ranges:
                return short  # Without a stated length a cut looks like this: a range will tell.
            raise short
        await keep(assembly.finish())
        return None
