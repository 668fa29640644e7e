"""One exchange over HTTP: a hop goes out, an answer comes in; every failure has a name of ours.

The only module that knows httpx. It decides nothing: not whether to try again, not where to go on.
No text of the library's exceptions is passed on, and none of them is kept as a context: they hold
the URL with its query, and some the headers.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import trio

from ..errors import ConfigError, InvalidReply, Late, MediafsError, Unavailable
from ..vendors.protocol import Reply
from .redirects import Hop, Origin
from .retry import Failure

_CLOSE_S: Final = 5.0
"""What closing a connection may take once nobody waits for it."""
_DRAIN_BYTES: Final = 65536
_LOGGERS: Final = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """How the service is reached."""

    ca_file: Path | None = None
    """PEM, believed beside the system's trust store (recorders on premises have their own CA)."""
    client_cert: Path | None = None
    """PEM with the certificate, and its key unless `client_key` holds it."""
    client_key: Path | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 15.0
    """Between two arrivals of bytes, not for a whole body."""
    reply_timeout_s: float = 60.0
    """For the whole of an API's answer; a body that is downloaded has none."""
    reply_limit_bytes: int = 32 * 2**20
    """A page of 100 records is about 70 KiB."""
    connections: int = 64
    """At once. A reader that is parked keeps one."""
    environment: bool = True
    """Proxies come from the usual environment variables."""


class Failed(Exception):
    """An exchange failed. `error` is what to raise in the end, `failure` what `retry` wants to know."""

    def __init__(self, error: MediafsError, failure: Failure | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.failure = failure


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False


_SILENCE: Final = _Silence()


def silence_libraries() -> None:
    """Nothing that httpx and httpcore log is let through, at any level.

    They log whole URLs (INFO) and all headers (DEBUG). A level could be set again by the operator's
    logging configuration and `disabled` is reset by it; a filter on the logger itself stays.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_SILENCE)


class Transport:
    """Connections to whoever is called. `http` replaces the network in tests.

    Raises ConfigError for a certificate that cannot be read.
    """

    def __init__(self, options: TransportOptions, *, http: httpx.AsyncBaseTransport | None = None) -> None:
        silence_libraries()
        self._options = options
        self._client = httpx.AsyncClient(
            transport=http,
            verify=_trust(options),
            trust_env=options.environment,
            follow_redirects=False,
            # A cookie is a credential that no vendor here asks for: none is ever kept.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # Length and ranges are those of the bytes on the wire only without a content coding.
            headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "mediafs"},
            timeout=httpx.Timeout(options.read_timeout_s, connect=options.connect_timeout_s),
            limits=httpx.Limits(max_connections=options.connections, max_keepalive_connections=16),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with trio.move_on_after(_CLOSE_S, shield=True):
            await self._client.aclose()

    async def send(self, hop: Hop) -> Incoming:
        """The head of the answer to `hop`; the caller owns it and closes it. Raises Failed."""
        problem: Exception
        try:
            request = self._client.build_request(
                hop.method, hop.target, headers=list(hop.headers), content=hop.body
            )
            response = await self._client.send(request, stream=True, auth=None)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            problem = _failed(exc, hop, self._options)
        else:
            return Incoming(response, hop, self._options)
        raise problem


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
        if self._bytes is None and self.headers.get("content-encoding", "identity") == "identity":
            self._bytes = self._response.aiter_raw()
            try:
                self._start = await anext(self._bytes, b"")
            except httpx.HTTPError as exc:
                problem = _failed(exc, self._hop, self._options)
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
            problem = _failed(exc, self._hop, self._options)
        if problem is not None:
            raise problem
        if len(body) > limit:
            what = f"{self._hop.operation}: the answer of {self._hop.host} is larger than {limit} bytes"
            raise Failed(InvalidReply(what), None)

    def chunks(self, length: int | None, tell: Callable[[MediafsError], None]) -> AsyncIterator[bytes]:
        """The bytes as they come, exactly `length` of them where that is known; `tell` hears of failures.

        Raises Unavailable where they end early or the connection breaks, Late where none comes for
        the read timeout, InvalidReply where there are too many.
        """
        if self._bytes is None:
            self._bytes = self._response.aiter_raw()
        return _Chunks(self._start, self._bytes, length, tell, self._hop, self._options)

    async def aclose(self) -> None:
        """Gives the connection back, or closes it when the body was not read to its end."""
        with trio.move_on_after(_CLOSE_S, shield=True):
            with suppress(httpx.HTTPError):
                await self._response.aclose()
            if self._bytes is not None:
                # The library nests generators, and closing the outer one drops the inner ones unfinished,
                # of which trio complains. Going on over a closed connection ends all of them.
                with suppress(httpx.HTTPError, httpx.StreamError):
                    async for _ in self._bytes:
                        pass


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
            problem = _failed(exc, self._hop, self._options).error
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


def _trust(options: TransportOptions) -> ssl.SSLContext:
    problems = []
    context = ssl.create_default_context()  # the system's store, not a copy that a package ships
    try:
        if options.ca_file is not None:
            context.load_verify_locations(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as exc:
        problems.append(f"ca_file: {options.ca_file}: {_reason(exc)}")
    try:
        if options.client_cert is not None:
            # Without this a key with a passphrase would ask for it on the terminal.
            context.load_cert_chain(options.client_cert, options.client_key, password="")
    except (OSError, ssl.SSLError) as exc:
        problems.append(f"client_cert: {options.client_cert}: {_reason(exc)}")
    if problems:
        raise ConfigError(problems)
    return context


def _failed(exc: httpx.HTTPError | httpx.InvalidURL, hop: Hop, options: TransportOptions) -> Failed:
    """The one table from the library's exceptions to ours; the first line that fits is taken."""
    what = hop.operation
    host = hop.host
    match exc:
        case httpx.ConnectTimeout():
            error: MediafsError = Unavailable(
                f"{what}: {host} cannot be reached within {options.connect_timeout_s:.0f} s"
            )
            return Failed(error, Failure.UNSENT)
        case httpx.PoolTimeout():
            return Failed(Late(f"{what}: all connections are in use"), Failure.UNSENT)
        case httpx.ReadTimeout() | httpx.WriteTimeout():
            error = Late(f"{what}: nothing moved for {options.read_timeout_s:.0f} s at {host}")
            return Failed(error, Failure.BROKEN)
        case httpx.ConnectError() | httpx.ProxyError():
            if _certificate_refused(exc):
                advice = "its certificate is not trusted; set ca_file if it has a CA of its own"
                return Failed(Unavailable(f"{what}: {host}: {advice}"), None)
            return Failed(Unavailable(f"{what}: {host} cannot be reached ({_reason(exc)})"), Failure.UNSENT)
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return Failed(Unavailable(f"{what}: the connection to {host} broke"), Failure.BROKEN)
        case httpx.DecodingError():
            return Failed(InvalidReply(f"{what}: the answer of {host} cannot be decoded"), None)
        case httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return Failed(InvalidReply(f"{what}: that is no http address"), None)
        case httpx.LocalProtocolError():
            return Failed(InvalidReply(f"{what}: a header or the body cannot be sent"), None)
        case _:
            return Failed(Unavailable(f"{what}: {host}: {type(exc).__name__}"), Failure.BROKEN)


def _causes(exc: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    pending: list[BaseException | None] = [exc]
    while pending and len(found) < 32:
        if (one := pending.pop()) is not None and one not in found:
            found.append(one)
            pending += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                pending += one.exceptions
    return found


def _certificate_refused(exc: BaseException) -> bool:
    return any(isinstance(one, ssl.SSLCertVerificationError) for one in _causes(exc))


def _reason(exc: BaseException) -> str:
    """Why, in the system's words, which hold no address."""
    for one in _causes(exc):
        if isinstance(one, ssl.SSLError):
            return (one.reason or "TLS error").lower().replace("_", " ")
        if isinstance(one, OSError) and one.strerror:
            return one.strerror.lower()
    return type(exc).__name__
