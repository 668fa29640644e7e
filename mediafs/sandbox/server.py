"""The sandbox on loopback sockets: trio carries the bytes, h11 frames them, everything else is decided
elsewhere.
"""

import socket
import struct
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from http.client import responses
from typing import Final

import h11
import trio

from mediafs.sandbox.control import PREFIX, control
from mediafs.sandbox.faults import Kind
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.services import DEFAULT, made
from mediafs.sandbox.state import Exchange, Origin, Server
from mediafs.sandbox.wire import NO_CONTENT, Request, Response, json_response
from mediafs.sandbox.world import World

HOST: Final = "127.0.0.1"
"""Never another address: the sandbox gives its passwords to whoever asks."""

_MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
_RECEIVE_BYTES: Final = 64 * 1024
_WITHOUT_BODY: Final = (NO_CONTENT, 304)
_FINISHED: Final = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
_PIECE_S: Final = 0.05
"""A slow body is sent in pieces of this many seconds, so that its speed is even."""


class _Hangup(Exception):
    """The response ends here and the connection with it."""


@asynccontextmanager
async def serve(
    world: World,
    options: CommonOptions | None = None,
    *,
    vendor: str = DEFAULT,
    port: int = 0,
    storage_port: int = 0,
    control_key: str | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Server]:
    """A server of *world* as *vendor*'s API shows it while the block runs; port 0 is any free one.

    Raises OSError when a port is taken, ValueError for a vendor without a twin and TypeError for options of
    another one's. Leaving the block closes every connection at once. *clock* tells seconds since 1970.
    """
    service = made(vendor, world, options)
    server = Server(service, control_key=control_key, clock=clock)
    try:
        async with trio.open_nursery() as nursery:
            server.service.origin = await _listen(nursery, partial(_talk, server, "api"), port)
            server.service.storage = await _listen(nursery, partial(_talk, server, "storage"), storage_port)
            yield server
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The caller's own exception, not a group that betrays a nursery in here.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


async def _listen(nursery: trio.Nursery, talk: Callable[[trio.SocketStream], object], port: int) -> str:
    """Starts a listener in *nursery*; returns its origin."""
    listeners = await trio.open_tcp_listeners(port, host=HOST)
    bound: int = listeners[0].socket.getsockname()[1]
    nursery.start_soon(partial(trio.serve_listeners, talk, listeners))  # type: ignore[arg-type]  # a partial of a coroutine function
    return f"http://{HOST}:{bound}"


async def _talk(server: Server, origin: Origin, stream: trio.SocketStream) -> None:
    """One connection, request after request."""
    connection = h11.Connection(h11.SERVER)
    counted = False
    try:
        while connection.our_state is h11.IDLE:
            request = await _receive(server, connection, stream)
            if request is None:
                return
            if origin == "api" and request.path.startswith(PREFIX):
                await _send(stream, connection, request, control(server, request), None, 0.0)
            else:
                # A connection counts with its first real request: control connections are not the client's.
                server.connections += not counted
                counted = True
                await _exchange(server, origin, stream, connection, request)
            if connection.states == _FINISHED:
                connection.start_next_cycle()
    except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError, _Hangup):
        pass
    except h11.LocalProtocolError:
        # A fault with headers that are none, for example: this answer is lost, the sandbox goes on.
        traceback.print_exc(file=sys.stderr)
    finally:
        await trio.aclose_forcefully(stream) if connection.our_state is h11.ERROR else await stream.aclose()


async def _exchange(
    server: Server, origin: Origin, stream: trio.SocketStream, connection: h11.Connection, request: Request
) -> None:
    exchange = server.noted(request, origin)
    server.in_flight += 1
    server.peak_in_flight = max(server.peak_in_flight, server.in_flight)
    try:
        try:
            fault = server.faults.take(request)
            if fault is not None and fault.kind is Kind.DELAY:
                await trio.sleep(fault.seconds)
                request = replace(request, at_s=server.clock())
            response = server.respond(request, origin, fault)
        except Exception:
            # A bug of the sandbox must not end it, and must be seen.
            traceback.print_exc(file=sys.stderr)
            response = json_response(500, {"error": "sandbox bug, see its standard error"})
        await _send(stream, connection, request, response, exchange, server.options.latency_s)
    finally:
        server.in_flight -= 1


async def _receive(server: Server, connection: h11.Connection, stream: trio.SocketStream) -> Request | None:
    """The next request with its body, None when the client has gone."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                await stream.send_all(
                    connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                )
            connection.receive_data(await stream.receive_some(_RECEIVE_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MAX_REQUEST_BYTES:
                raise _Hangup
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Request(
                method=head.method.decode("ascii"),
                target=head.target.decode("latin-1"),
                headers={name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
                body=bytes(body),
                at_s=server.clock(),
            )
        else:
            return None


async def _send(
    stream: trio.SocketStream,
    connection: h11.Connection,
    request: Request,
    response: Response,
    exchange: Exchange | None,
    latency_s: float,
) -> None:
    """Sends *response* as its delivery says, keeping *exchange* up to date."""
    delivery = response.delivery
    if delivery.delay_s or latency_s:
        await trio.sleep(delivery.delay_s + latency_s)
    if delivery.abort is not None:
        if delivery.abort == "headers":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/oct")
        _reset_on_close(stream)
        raise _Hangup
    if exchange is not None:
        exchange.status = response.status
    headers = [("Date", formatdate(usegmt=True)), *response.headers]
    if response.status not in _WITHOUT_BODY:
        length = (
            ("Transfer-Encoding", "chunked") if response.chunked else ("Content-Length", str(len(response)))
        )
        headers.append(length)
    head = h11.Response(
        status_code=response.status, headers=headers, reason=responses.get(response.status, "").encode()
    )
    await stream.send_all(connection.send(head) or b"")
    if request.method != "HEAD" and response.status not in _WITHOUT_BODY:
        await _send_body(stream, connection, response, exchange)
    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")


async def _send_body(
    stream: trio.SocketStream, connection: h11.Connection, response: Response, exchange: Exchange | None
) -> None:
    delivery = response.delivery
    sent = 0
    for chunk in response.chunks():
        rest = memoryview(chunk)
        while rest:
            size = len(rest)
            if delivery.bytes_per_s is not None:
                size = min(size, max(1, int(delivery.bytes_per_s * _PIECE_S)))
            for edge in (delivery.cut_after, delivery.stall_after):
                if edge is not None and sent < edge:
                    size = min(size, edge - sent)
            if sent == delivery.cut_after:
                raise _Hangup
            if sent == delivery.stall_after:
                await trio.sleep(delivery.stall_s)
            await stream.send_all(connection.send(h11.Data(data=bytes(rest[:size]))) or b"")
            rest = rest[size:]
            sent += size
            if exchange is not None:
                exchange.bytes_sent = sent
            if delivery.bytes_per_s is not None:
                await trio.sleep(size / delivery.bytes_per_s)


def _reset_on_close(stream: trio.SocketStream) -> None:
    """Closing will send RST instead of FIN."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
