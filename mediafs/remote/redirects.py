"""Where a redirect leads and what may travel there. Pure.

Credentials of ours, which a vendor may carry in headers of any name or in the query, leave at the
first hop to another origin and never come back, not even when a later hop returns to the service.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NoReturn
from urllib.parse import quote, urlencode, urljoin, urlsplit, urlunsplit

from ..errors import InvalidReply
from ..vendors.protocol import Call, Pairs

MOST_HOPS: Final = 5
STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_HARMLESS: Final = frozenset({"accept", "range", "if-range"})
_PORTS: Final = {"http": 80, "https": 443}

Origin = tuple[str, str, int]
"""Scheme, host, port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One request as it goes out. Its repr shows nothing that may be secret."""

    method: str
    target: str = field(repr=False)
    """The whole URL, with its query; never shown."""
    headers: Pairs = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    operation: str
    origin: Origin
    seen: frozenset[str] = field(default=frozenset(), repr=False)
    """Targets of the hops before."""

    @property
    def host(self) -> str:
        """For messages."""
        scheme, host, port = self.origin
        return host if _PORTS[scheme] == port else f"{host}:{port}"


def first_hop(call: Call) -> Hop:
    """The call as its vendor wants it sent. Raises InvalidReply for an address that is none."""
    target = call.url
    if call.query:
        # Written by us, so that a date goes out as the documentation shows it: `:` as it is.
        target += "?" + urlencode(call.query, quote_via=quote, safe=":")
    origin = _origin(target)
    if origin is None:
        raise InvalidReply(f"{call.operation}: that is no http address")
    return Hop(
        method=call.method,
        target=target,
        headers=call.headers,
        body=call.body,
        operation=call.operation,
        origin=origin,
    )


def next_hop(hop: Hop, location: str | None) -> Hop:
    """The hop that a redirect of `hop` asks for.

    Raises InvalidReply where it leads nowhere, in a loop, on for more than `MOST_HOPS`, or would
    repeat something other than a GET.
    """
    if hop.method != "GET":
        _refuse(hop, "redirects a request that is not a GET")
    if not location:
        _refuse(hop, "redirects without saying where to")
    if len(hop.seen) >= MOST_HOPS:
        _refuse(hop, f"redirects more than {MOST_HOPS} times")
    try:
        split = urlsplit(urljoin(hop.target, location))
        # A name and password in an address would become an Authorization header.
        netloc = split.netloc.rpartition("@")[2]
        target = urlunsplit((split.scheme, netloc, split.path, split.query, ""))
    except ValueError:
        target = ""
    origin = _origin(target)
    if origin is None:
        _refuse(hop, "redirects to something that is no http address")
    seen = hop.seen | {hop.target}
    if target in seen:
        _refuse(hop, "redirects in a loop")
    headers = hop.headers
    if origin != hop.origin:
        headers = tuple((name, value) for name, value in headers if name.lower() in _HARMLESS)
    return Hop(
        method="GET", target=target, headers=headers, operation=hop.operation, origin=origin, seen=seen
    )


def _origin(target: str) -> Origin | None:
    try:
        split = urlsplit(target)
        port = split.port
    except ValueError:
        return None
    if split.scheme not in _PORTS or not split.hostname:
        return None
    return split.scheme, split.hostname.rstrip("."), port or _PORTS[split.scheme]


def _refuse(hop: Hop, why: str) -> NoReturn:
    raise InvalidReply(f"{hop.operation}: {hop.host} {why}")
