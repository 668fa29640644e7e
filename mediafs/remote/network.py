"""Connections below httpx, through httpcore's seam for them: a large body can be received straight into
the buffers of who wants it.

Through h11 each byte of a body is copied three times, in pieces of 64 KiB, and over TLS of 16 KiB, each of
which costs a turn of the loop (measured: 1.8 and 3.3 s of CPU a GiB, against 0.35 and 1.0 here). h11 parses
the heads all the same. For that to be safe a connection never hands out the end of a head and the start of
a body in one piece: as long as nobody has read from it after the head, all of the body is still its own.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Final, Protocol, cast

import httpcore
import httpx
import trio

_HEAD_END: Final = re.compile(rb"\n\r?\n")
"""As h11 finds it."""
_STATUS: Final = len(b"HTTP/1.1 100")
_RECEIVED: Final = 256 * 1024
"""At once, where TLS has to be taken off first."""
_TRICKLE: Final = 32 * 1024
_GATHER_S: Final = 0.004
"""Each receipt costs some 0.1 ms of CPU, whatever its size (measured). Where nobody waits for the bytes and
the last one was smaller than `_TRICKLE`, the next is given so long to grow."""


class Network(httpcore.AsyncNetworkBackend):
    """Opens connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with _within(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
            stream = await trio.open_tcp_stream(host, port, local_address=local_address)
            for option in socket_options or ():
                stream.setsockopt(*option)
        return Connection(stream, _Plain(stream))

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class _Wire(Protocol):
    """Bytes to and from the other end, whatever they are wrapped in."""

    async def receive_into(self, buffer: memoryview) -> int:
        """How many bytes came, at least one; 0: the other end has closed."""
        ...

    async def send(self, data: bytes) -> None: ...


class Connection(httpcore.AsyncNetworkStream):
    """One at a time sends a request and receives the answer.

    Invariant: `_left` is what was received and not handed out yet.
    """

    def __init__(self, stream: trio.SocketStream, wire: _Wire) -> None:
        self._stream = stream
        self._wire = wire
        self._left = b""
        self._in_head = True
        self._intact = False
        self._line = b""
        """The start of the head under way."""
        self._end = b""
        """The last bytes of it that were handed out."""
        self._due = 0
        """Bytes of a body that may gather, still to come."""
        self._trickles = False

    @property
    def intact(self) -> bool:
        """The head of an answer was handed out, and nothing that follows it."""
        return self._intact

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._intact = False
        data = (await self.peek(max_bytes, timeout))[:max_bytes]
        if self._in_head:
            data = self._head(data)
        self._left = self._left[len(data) :]
        return data

    def _head(self, data: bytes) -> bytes:
        """What of `data` is the head's; an informational one is followed by another."""
        found = _HEAD_END.search(self._end + data)
        part = data if found is None else data[: found.end() - len(self._end)]
        self._line = (self._line + part)[:_STATUS]
        self._end = (self._end + part)[-2:]
        if found is not None:
            self._in_head = self._line[9:10] == b"1"
            self._intact = not self._in_head
            self._line = self._end = b""
        return part

    async def receive_into(self, buffer: memoryview, timeout: float | None = None) -> int:
        """The next bytes of the body, how many; 0: the other end has closed.

        Raises what `read` raises.
        """
        if self._left:
            count = min(len(buffer), len(self._left))
            buffer[:count] = self._left[:count]
            self._left = self._left[count:]
            return count
        with _within(timeout, httpcore.ReadTimeout, httpcore.ReadError):
            if self._trickles and self._due > 0:
                await trio.sleep(_GATHER_S)
            count = await self._wire.receive_into(buffer)
        self._due -= count
        self._trickles = count < _TRICKLE
        return count

    def expect(self, length: int) -> None:
        """The body that is still `intact` here has so many bytes, and nobody waits for them: they may come in
        few pieces."""
        self._due = length - len(self._left)

    async def peek(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes, which stay to be read. b"": the other end has closed."""
        if not self._left:
            buffer = memoryview(bytearray(max_bytes))
            count = await self.receive_into(buffer, timeout)
            self._left = bytes(buffer[:count])
        return self._left

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._in_head, self._intact, self._due = True, False, 0
        if buffer:
            with _within(timeout, httpcore.WriteTimeout, httpcore.WriteError):
                await self._wire.send(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        wire = _Secured(self._stream, ssl_context, server_hostname)
        try:
            with _within(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
                await wire.shake_hands()
        except BaseException:
            await trio.aclose_forcefully(self._stream)
            raise
        return Connection(self._stream, wire)

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "is_readable":
                return bool(self._left) or self._stream.socket.is_readable()
            case "socket":
                return self._stream.socket
            case "client_addr":
                return self._stream.socket.getsockname()
            case "server_addr":
                return self._stream.socket.getpeername()
            case "ssl_object":
                return self._wire.tls if isinstance(self._wire, _Secured) else None
        return None


class _Plain:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def receive_into(self, buffer: memoryview) -> int:
        return await self._stream.socket.recv_into(buffer)

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)


class _Secured:
    """TLS over memory: many of its records are taken off in one turn of the loop."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext, host: str | None) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._received = memoryview(bytearray(_RECEIVED))
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._refill()
            except ssl.SSLError:
                await self._flush()  # the other end is to hear why
                raise
            else:
                return await self._flush()

    async def receive_into(self, buffer: memoryview) -> int:
        await trio.lowlevel.checkpoint_if_cancelled()
        filled = 0
        while filled < len(buffer):
            try:
                count = self._take(buffer[filled:])
            except ssl.SSLWantReadError:
                if filled:
                    break
                await self._flush()
                await self._refill()
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # Servers leave out the farewell; that a body is whole is told by its length.
                break
            if not count:
                break
            filled += count
        return filled

    def _take(self, buffer: memoryview) -> int:
        # Into a buffer it returns how many; the type stubs know only the other form.
        return cast(int, self.tls.read(len(buffer), buffer))

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self.tls.write(view) :]
            except ssl.SSLWantReadError:
                await self._flush()
                await self._refill()
        await self._flush()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._stream.send_all(self._outgoing.read())

    async def _refill(self) -> None:
        count = await self._stream.socket.recv_into(self._received)
        if count:
            self._incoming.write(self._received[:count])
        else:
            self._incoming.write_eof()


class Direct(httpx.AsyncBaseTransport):
    """httpx's own transport but for the connections, which are those of `Network`; without a proxy."""

    def __init__(self, trust: ssl.SSLContext, *, connections: int, idle: int, idle_s: float) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=connections,
            max_keepalive_connections=idle,
            keepalive_expiry=idle_s,
            network_backend=Network(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with as_httpx():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_BodyStream(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _BodyStream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with as_httpx():
            async for piece in self._response.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        with as_httpx():
            await self._response.aclose()


@contextmanager
def _within(timeout: float | None, late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """So many seconds, None: without an end; failures are those of httpcore."""
    try:
        with trio.fail_after(inf if timeout is None else timeout):
            yield
    except trio.TooSlowError as error:
        raise late from error
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        # OSError holds those of TLS, and of certificates.
        raise broken(str(error)) from error


@contextmanager
def as_httpx() -> Iterator[None]:
    """httpcore's failures as httpx's: they bear the same names."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "httpcore":
            raise
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error
