"""What comes back in one exchange: a head, and a body in one of two ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Final, Self

import httpx
import trio

from ..errors import InvalidReply, Late, MediafsError, Unavailable
from ..vendors.protocol import Reply
from .failures import Failed, failed
from .network import Connection, as_httpx
from .options import TransportOptions
from .redirects import Hop, Origin
from .retry import Failure

CLOSE_S: Final = 5.0
"""What closing a connection may take once nobody waits for it."""
_DRAIN_BYTES: Final = 65536
_PEEKED_BYTES: Final = 16384


class Incoming:
    """The answer to one hop: its head is here, its body still to come."""

    def __init__(self, response: httpx.Response, hop: Hop, options: TransportOptions) -> None:
        self._response = response
        self._hop = hop
        self._options = options
        self.status: Final = response.status_code
        self.headers: Final[Mapping[str, str]] = {
            name.lower(): value for name, value in response.headers.items()
        }
        self._bytes: AsyncIterator[bytes] | None = None
        self._start = b""
        """What was peeked at: the first piece of what `_bytes` gave."""

    def __repr__(self) -> str:
        return f"<Incoming {self.status} {self._hop.operation} {self._hop.host}>"

    @property
    def origin(self) -> Origin:
        return self._hop.origin

    @property
    def hop(self) -> Hop:
        return self._hop

    async def drain(self) -> None:
        """Reads the little that a redirect says, so that the connection serves again; closes."""
        with suppress(Failed):
            await self.read(_DRAIN_BYTES)

    async def read(self, limit_bytes: int | None = None) -> Reply:
        """The whole answer, which is then closed.

        Raises Failed; its error is InvalidReply where the body is larger than the limit.
        """
        limit, body = limit_bytes or self._options.reply_limit_bytes, bytearray()
        try:
            with trio.move_on_after(self._options.reply_timeout_s) as scope:
                await self._read_into(body, limit)
            if scope.cancelled_caught:
                late = Late(f"{self._hop.operation}: {self._hop.host} does not finish its answer")
                raise Failed(late, Failure.BROKEN)
        finally:
            await self.aclose()
        return Reply(status=self.status, headers=self.headers, body=bytes(body))

    async def peek(self) -> bytes:
        """The first piece of the body, which is not lost by that; b"" of an empty one. Raises Failed.

        Nothing is seen of a body under a content coding.
        """
        problem: Failed | None = None
        length = self.headers.get("content-length", "")
        long = length.isdecimal() and int(length) >= self._options.direct_from
        try:
            if long and (connection := self._connection()) is not None:
                with as_httpx():
                    return await connection.peek(_PEEKED_BYTES, self._options.read_timeout_s)
            if self._bytes is None and self.headers.get("content-encoding", "identity") == "identity":
                self._bytes = self._response.aiter_raw()
                self._start = await anext(self._bytes, b"")
        except httpx.HTTPError as exc:
            problem = failed(exc, self._hop, self._options)
        if problem is not None:
            await self.aclose()
            raise problem
        return self._start

    async def _read_into(self, body: bytearray, limit: int) -> None:
        body += self._start
        if self._bytes is None:
            self._bytes = self._response.aiter_bytes()
        problem: Failed | None = None
        try:
            async for piece in self._bytes:
                body += piece
                if len(body) > limit:
                    break
        except httpx.HTTPError as exc:
            problem = failed(exc, self._hop, self._options)
        if problem is not None:
            raise problem
        if len(body) > limit:
            what = f"{self._hop.operation}: the answer of {self._hop.host} is larger than {limit} bytes"
            raise Failed(InvalidReply(what), None)

    def chunks(
        self, length: int | None, tell: Callable[[MediafsError], None], *, hurried: bool = True
    ) -> AsyncIterator[bytes]:
        """The bytes as they come, exactly `length` of them where that is known; `tell` hears of failures.
        `hurried`: somebody waits for them.

        Raises Unavailable where they end early or the connection breaks, Late where none comes for
        the read timeout, InvalidReply where there are too many.
        """
        if not hurried and length is not None and (connection := self._connection()) is not None:
            connection.expect(length)
        if self._bytes is None:
            self._bytes = self._response.aiter_raw()
        return _Chunks(self._start, self._bytes, length, tell, self._hop, self._options)

    def receiver(self, length: int | None, tell: Callable[[MediafsError], None]) -> Receiver | None:
        """The other way to the same bytes, for a long body, in whose place `chunks` is not to be used; None
        where there is none. `tell` hears of failures."""
        connection = self._connection()
        if connection is None or length is None or length < self._options.direct_from:
            return None
        return Receiver(connection, length, tell, self._hop, self._options)

    def _connection(self) -> Connection | None:
        """The one that still has all of the body, as it is to be: neither in pieces nor coded."""
        stream = self._response.extensions.get("network_stream")
        plain = self.headers.keys().isdisjoint(("transfer-encoding", "content-encoding"))
        return stream if plain and isinstance(stream, Connection) and stream.intact else None

    async def aclose(self) -> None:
        """Gives the connection back, or closes it when the body was not read to its end."""
        with trio.move_on_after(CLOSE_S, shield=True):
            with suppress(httpx.HTTPError):
                await self._response.aclose()
            if self._bytes is not None:
                # The library nests generators, and closing the outer one drops the inner ones unfinished,
                # of which trio complains. Going on over a closed connection ends all of them.
                with suppress(httpx.HTTPError, httpx.StreamError):
                    async for _ in self._bytes:
                        pass


class Receiver:
    """A body of known length, received into buffers of who reads it. Afterwards its connection is closed."""

    def __init__(
        self,
        connection: Connection,
        length: int,
        tell: Callable[[MediafsError], None],
        hop: Hop,
        options: TransportOptions,
    ) -> None:
        self._connection = connection
        self._left = length
        self._tell = tell
        self._hop = hop
        self._options = options

    async def __call__(self, buffer: memoryview) -> int:
        """See `Body.receive_into`."""
        if not self._left:
            await trio.lowlevel.checkpoint()
            return 0
        problem: MediafsError | None = None
        count = 0
        try:
            with as_httpx():
                count = await self._connection.receive_into(
                    buffer[: self._left], self._options.read_timeout_s
                )
        except httpx.HTTPError as exc:
            problem = failed(exc, self._hop, self._options).error
        else:
            self._left -= count
            if not count:
                what = f"{self._hop.operation}: the body from {self._hop.host}"
                problem = Unavailable(f"{what} ended {self._left} bytes early")
        if problem is not None:
            self._tell(problem)
            raise problem
        return count


class _Chunks:
    """An iterator and not a generator: nothing is left to a garbage collector when it is dropped."""

    def __init__(
        self,
        start: bytes,
        pieces: AsyncIterator[bytes],
        length: int | None,
        tell: Callable[[MediafsError], None],
        hop: Hop,
        options: TransportOptions,
    ) -> None:
        self._start = start
        self._pieces = pieces
        self._tell = tell
        self._left = length
        self._hop = hop
        self._options = options

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        what = f"{self._hop.operation}: the body from {self._hop.host}"
        problem: MediafsError | None = None
        ended = False
        piece, self._start = self._start, b""
        try:
            while not piece:
                piece = await anext(self._pieces)
        except StopAsyncIteration:
            ended = True
        except httpx.HTTPError as exc:
            problem = failed(exc, self._hop, self._options).error
        except httpx.StreamError:
            problem = Unavailable(f"{what} was closed while it was read")
        if ended and self._left:
            problem = Unavailable(f"{what} ended {self._left} bytes early")
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                problem = InvalidReply(f"{what} is longer than its headers say")
        if problem is not None:
            self._tell(problem)
            raise problem
        if ended:
            raise StopAsyncIteration
        return piece
