"""What statuses stand for that mean the same at every service."""

from __future__ import annotations

from ..errors import InvalidReply, Late, MediafsError, Unavailable, Unsupported


def usual(what: str, status: int, said: str) -> MediafsError:
    """The error for a status that has no meaning of its own; `said` are the service's words."""
    match status:
        case 405 | 501:
            return Unsupported(f"{what}: the service has no such operation{said}")
        case 429:
            return Late(f"{what}: the service asks to wait{said}")
        case _ if status >= 500 or status == 408:
            return Unavailable(f"{what}: the service fails ({status}){said}")
        case _:
            return InvalidReply(f"{what}: the service answers {status}{said}")
