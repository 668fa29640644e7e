"""How an exchange over HTTP can fail: every failure has a name of ours.

No text of the library's exceptions is passed on, and none of them is kept as a context: they hold
the URL with its query, and some the headers.
"""

from __future__ import annotations

import ssl

import httpx

from ..errors import InvalidReply, Late, MediafsError, Unavailable
from .options import TransportOptions
from .redirects import Hop
from .retry import Failure


class Failed(Exception):
    """An exchange failed. `error` is what to raise in the end, `failure` what `retry` wants to know."""

    def __init__(self, error: MediafsError, failure: Failure | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.failure = failure


def failed(exc: httpx.HTTPError | httpx.InvalidURL, hop: Hop, options: TransportOptions) -> Failed:
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
            return Failed(Unavailable(f"{what}: {host} cannot be reached ({reason(exc)})"), Failure.UNSENT)
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


def reason(exc: BaseException) -> str:
    """Why, in the system's words, which hold no address."""
    for one in _causes(exc):
        if isinstance(one, ssl.SSLError):
            return (one.reason or "TLS error").lower().replace("_", " ")
        if isinstance(one, OSError) and one.strerror:
            return one.strerror.lower()
    return type(exc).__name__
