"""Telling systemd how the daemon is: the protocol of sd_notify(3), which is one datagram."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

# systemd reads at once; a full queue must not hold up the daemon for longer.
_TIMEOUT_S: Final = 1.0


def notify_systemd(state: str, env: Mapping[str, str]) -> bool:
    """Sends `state` ("READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."; several on lines of their own).

    True when it was sent; False without systemd, or when it could not be. Never raises.
    """
    address = env.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or len(address) < 2:
        return False
    name = os.fsencode(address)
    if name.startswith(b"@"):
        name = b"\0" + name[1:]  # an abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_TIMEOUT_S)
            sock.sendto(state.encode("utf-8", "replace"), name)
    except (OSError, ValueError):
        return False
    return True


def watchdog_period_s(env: Mapping[str, str]) -> float | None:
    """How often to send "WATCHDOG=1": half of what the unit allows. None: no watchdog for this process."""
    allowed_us, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", str(os.getpid()))
    if not (allowed_us.isascii() and allowed_us.isdigit() and len(allowed_us) <= 18):
        return None
    if pid != str(os.getpid()) or int(allowed_us) == 0:
        return None
    return int(allowed_us) / 1e6 / 2
