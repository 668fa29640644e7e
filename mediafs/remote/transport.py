"""One exchange over HTTP: a hop goes out, the head of an answer comes in (`incoming` has its body).

It decides nothing: not whether to try again, not where to go on.
"""

from __future__ import annotations

import logging
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Final, Self
from urllib.request import getproxies

import httpx
import trio

from ..errors import ConfigError
from .failures import failed, reason
from .incoming import CLOSE_S, Incoming
from .network import Direct
from .options import TransportOptions
from .redirects import Hop

_LOGGERS: Final = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


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
        trust = _trust(options)
        self._client = httpx.AsyncClient(
            transport=http,
            mounts=_direct(options, trust) if http is None else None,
            verify=trust,
            trust_env=options.environment,
            follow_redirects=False,
            # A cookie is a credential that no vendor here asks for: none is ever kept.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # Length and ranges are those of the bytes on the wire only without a content coding.
            headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "mediafs"},
            timeout=httpx.Timeout(options.read_timeout_s, connect=options.connect_timeout_s),
            limits=httpx.Limits(
                max_connections=options.connections,
                max_keepalive_connections=options.idle_connections,
                keepalive_expiry=options.idle_s,
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with trio.move_on_after(CLOSE_S, shield=True):
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
            problem = failed(exc, hop, self._options)
        else:
            return Incoming(response, hop, self._options)
        raise problem


def _direct(options: TransportOptions, trust: ssl.SSLContext) -> dict[str, httpx.AsyncBaseTransport]:
    """For whatever no proxy of the environment is for."""
    if options.environment and "all" in getproxies():
        return {}
    direct = Direct(
        trust, connections=options.connections, idle=options.idle_connections, idle_s=options.idle_s
    )
    return {"all://": direct}


def _trust(options: TransportOptions) -> ssl.SSLContext:
    problems = []
    context = ssl.create_default_context()  # the system's store, not a copy that a package ships
    try:
        if options.ca_file is not None:
            context.load_verify_locations(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as exc:
        problems.append(f"ca_file: {options.ca_file}: {reason(exc)}")
    try:
        if options.client_cert is not None:
            # Without this a key with a passphrase would ask for it on the terminal.
            context.load_cert_chain(options.client_cert, options.client_key, password="")
    except (OSError, ssl.SSLError) as exc:
        problems.append(f"client_cert: {options.client_cert}: {reason(exc)}")
    if problems:
        raise ConfigError(problems)
    return context
