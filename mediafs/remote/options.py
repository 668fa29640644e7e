"""How a service is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    idle_connections: int = 24
    """Kept open for the next request: those that fetch small media ahead, and a few more..."""
    idle_s: float = 30.0
    """... for so long: a player that asks anew each few seconds meets an open one, and servers
    commonly close theirs after a minute."""
    direct_from: int = 8 * 2**20
    """Bytes of a body from which on it is received without h11 between; its connection then serves no
    further request, which beside so long a body is not noticed."""
    environment: bool = True
    """Proxies come from the usual environment variables."""
