"""Connections of our own below httpx: a long body is received whole and right, however it arrives."""

from __future__ import annotations

import itertools
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import h11
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from mediafs.errors import Late, MediafsError, Unavailable
from mediafs.model import AccountName, Span, Urgency
from mediafs.remote import RemoteAccount, RemoteOptions, RetryOptions, TransportOptions
from mediafs.remote.network import Connection
from mediafs.source import Body
from mediafs.vendors.apizee import Apizee, ApizeeOptions
from tests.fakes import make_media

CONTENT = random.Random(5).randbytes(3_000_000)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n"
FROM = 1_000_000
"""Bodies of so many bytes are received without h11 between."""


class Pieces:
    """A wire that delivers these pieces, one a call at most."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    async def receive_into(self, buffer: memoryview) -> int:
        await trio.lowlevel.checkpoint()
        if not self._pieces:
            return 0
        count = min(len(buffer), len(self._pieces[0]))
        buffer[:count] = self._pieces[0][:count]
        self._pieces[0] = self._pieces[0][count:]
        if not self._pieces[0]:
            del self._pieces[0]
        return count

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()


class Trickle:
    """A wire on which a kilobyte comes each quarter of a millisecond."""

    def __init__(self) -> None:
        self.receipts = 0

    def answer(self, length: int) -> None:
        self._said = HEAD % length + bytes(length)
        self._began = trio.current_time()
        self._given = 0

    async def receive_into(self, buffer: memoryview) -> int:
        self.receipts += 1
        if not self._arrived() > self._given:
            await trio.sleep(0.00025)
        count = min(len(buffer), self._arrived() - self._given)
        buffer[:count] = self._said[self._given : self._given + count]
        self._given += count
        return count

    def _arrived(self) -> int:
        return min(len(self._said), int((trio.current_time() - self._began) / 0.00025 + 0.5) * 1000)

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("hurried", [False, True])
async def test_what_nobody_waits_for_may_gather(hurried: bool, autojump_clock: MockClock) -> None:
    """Each receipt costs a turn of everything above it."""
    length = 100_000
    wire = Trickle()
    wire.answer(length)
    connection = Connection(None, wire)  # type: ignore[arg-type]
    await connection.write(b"GET / HTTP/1.1\r\n\r\n")
    while not connection.intact:
        await connection.read(65536)
    if not hurried:
        connection.expect(length)
    read, began = 0, trio.current_time()
    while read < length:
        read += len(await connection.read(65536))
    assert read == length
    assert wire.receipts >= 50 if hurried else wire.receipts <= 12
    assert trio.current_time() - began < 0.032, "no later than what comes, and one gathering"
    # The next answer over this connection is waited for.
    wire.answer(10)
    await connection.write(b"GET / HTTP/1.1\r\n\r\n")
    began = trio.current_time()
    while not connection.intact:
        await connection.read(65536)
    assert len(await connection.read(65536)) == 10
    assert trio.current_time() - began < 0.002


def _over(pieces: Sequence[bytes]) -> Connection:
    return Connection(None, Pieces(pieces))  # type: ignore[arg-type]


@given(
    cuts=st.lists(st.integers(0, 400), max_size=12),
    ending=st.sampled_from([b"\r\n", b"\n"]),
    before=st.sampled_from(
        [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"]
    ),
    body=st.binary(min_size=1, max_size=60),
    most=st.integers(1, 100),
)
def test_h11_is_never_given_a_byte_of_the_body_with_the_head(
    cuts: list[int], ending: bytes, before: bytes, body: bytes, most: int
) -> None:
    head = b"HTTP/1.1 206 Partial Content\r\nX: \n\nContent-Length: %d\r\n\r\n".replace(
        b"X: \n\n", b"X: y\r\n"
    )
    said = before + (head % len(body)).replace(b"\r\n", ending) + body
    at = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    pieces = [said[start:stop] for start, stop in itertools.pairwise(at)]

    async def run() -> None:
        connection = _over(pieces)
        for _ in range(2):  # a second answer over the same connection
            await connection.write(b"GET / HTTP/1.1\r\n\r\n")
            parser = h11.Connection(h11.CLIENT)
            parser.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
            parser.send(h11.EndOfMessage())
            while not isinstance(event := parser.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    assert not connection.intact
                    parser.receive_data(await connection.read(most))
            assert connection.intact
            assert parser.trailing_data == (b"", False)
            buffer, got = memoryview(bytearray(7)), b""
            while len(got) < len(body):
                count = await connection.receive_into(buffer[: len(body) - len(got)])
                got += bytes(buffer[:count])
            assert got == body
            connection._wire = Pieces(pieces)

    trio.run(run)


def test_a_body_that_was_begun_to_be_read_is_not_intact() -> None:
    async def run() -> None:
        connection = _over([HEAD % 5 + b"hello"])
        await connection.write(b"x")
        while not connection.intact:
            await connection.read(4096)
        assert await connection.peek(2) == b"hello"
        assert connection.intact
        assert await connection.read(2) == b"he"
        assert not connection.intact

    trio.run(run)


# --- over real sockets -----------------------------------------------------------------------------------


@asynccontextmanager
async def body_of(
    made: Path | None, *, sends: int = len(CONTENT), then_silent: bool = False, stated: int = len(CONTENT)
) -> AsyncIterator[Body]:
    """What comes of a server that states a length and sends so many bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if made is not None:
        context.load_cert_chain(made / "cert.pem", made / "key.pem")

    async def serve(stream: trio.SocketStream) -> None:
        secured = stream if made is None else trio.SSLStream(stream, context, server_side=True)
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await secured.receive_some()
            await secured.send_all(HEAD % stated + CONTENT[: sends // 2])
            await secured.send_all(CONTENT[sends // 2 : sends])
            if then_silent:
                await trio.sleep_forever()
        except (trio.BrokenResourceError, ssl.SSLError):
            pass  # the client has left
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        scheme = "http" if made is None else "https"
        transport = TransportOptions(
            ca_file=made / "cert.pem" if made else None,
            read_timeout_s=0.3,
            direct_from=FROM,
            environment=False,
        )
        vendor = Apizee(ApizeeOptions(base_url=f"{scheme}://127.0.0.1:{port}", token="t"))
        options = RemoteOptions(transport=transport, retry=RetryOptions(tries=1))
        async with (
            RemoteAccount(AccountName("net"), vendor, options) as source,
            source.body(make_media(1), Span(0), urgency=Urgency.PERSON) as body,
        ):
            yield body
        nursery.cancel_scope.cancel()


async def received(body: Body, at_once: int) -> bytes:
    assert body.receive_into is not None
    got = bytearray(len(CONTENT) + at_once)
    filled = 0
    while count := await body.receive_into(memoryview(got)[filled : filled + at_once]):
        filled += count
    return bytes(got[:filled])


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("at_once", [1_000, 262_144, 5_000_000])
async def test_a_long_body_is_received_into_buffers(made: Path, secured: bool, at_once: int) -> None:
    async with body_of(made if secured else None) as body:
        assert await received(body, at_once) == CONTENT


@pytest.mark.parametrize("secured", [False, True])
async def test_a_long_body_can_be_had_in_chunks_as_well(made: Path, secured: bool) -> None:
    async with body_of(made if secured else None) as body:
        assert b"".join([chunk async for chunk in body.chunks]) == CONTENT


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize(("silent", "error"), [(False, Unavailable), (True, Late)], ids=["cut", "stalled"])
async def test_a_long_body_that_does_not_come_whole(
    made: Path, secured: bool, silent: bool, error: type[MediafsError]
) -> None:
    async with body_of(made if secured else None, sends=2_000_000, then_silent=silent) as body:
        with pytest.raises(error):
            await received(body, 262_144)


async def test_what_follows_a_long_body_is_not_taken_for_it(made: Path) -> None:
    async with body_of(None, stated=2_000_000) as body:
        assert await received(body, 262_144) == CONTENT[:2_000_000]


async def test_a_short_body_comes_in_chunks_so_that_its_connection_serves_again() -> None:
    async with body_of(None, sends=FROM - 1, stated=FROM - 1) as body:
        assert body.receive_into is None
        assert b"".join([chunk async for chunk in body.chunks]) == CONTENT[: FROM - 1]


async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def proxy(stream: trio.SocketStream) -> None:
        asked.append(await stream.receive_some())
        await stream.send_all(HEAD % 5 + b"hello")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, proxy, 0, host="127.0.0.1"))
        for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        vendor = Apizee(ApizeeOptions(base_url="http://archive.invalid", token="t"))
        async with (
            RemoteAccount(AccountName("net"), vendor) as source,
            source.body(make_media(1), Span(0), urgency=Urgency.PERSON) as body,
        ):
            assert b"".join([chunk async for chunk in body.chunks]) == b"hello"
        nursery.cancel_scope.cancel()
    assert asked[0].startswith(b"GET http://archive.invalid/")
