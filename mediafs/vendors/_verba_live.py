"""Live names: what `GetMedia` gives by extension and status, without the id of a call.

`next` is a status too; it is never asked for, because the service then waits for a call to begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ..model import EARLIEST, Media, MediaId, Owner, UserId
from .protocol import Pairs

STATUSES: Final = ("last", "ongoing")
_LIVE: Final = re.compile(r"live:([^\s:/]{1,194}):(last|ongoing)")
_NAME: Final = re.compile(r"[^\W\d_]+(?:[ '’,-]+[^\W\d_]+)*,?")


def live_names(extension: str) -> Iterator[tuple[str, MediaId]]:
    """File names, and the ids of what is behind them. What a recording is called is not known yet."""
    for status in STATUSES:
        yield f"{status}.bin", MediaId(f"live:{extension}:{status}")


def selector(media: MediaId) -> Pairs | None:
    """How the service is told which call is meant; None where the id is that of a call."""
    match = _LIVE.fullmatch(media)
    return (("extension", match[1]), ("status", match[2])) if match is not None else None


def live_media(media: MediaId, behind: Media | None = None) -> Media:
    """What is behind a live name: any call, or the one whose record is `behind`."""
    match = _LIVE.fullmatch(media)
    if match is None:
        raise ValueError("not a live name")
    extension, status = match.groups()
    if behind is not None:
        ending = behind.filename.rpartition(".")[2]
        return replace(
            behind,
            id=media,
            filename=f"{status}.{ending}",
            filename_is_unique=True,
            status=behind.status or status,
            fleeting=True,
        )
    return Media(
        id=media,
        created=EARLIEST,
        filename=f"{status}.bin",
        filename_is_unique=True,
        size=None,
        owner=Owner(id=UserId(extension), name=None),
        status=status,
        fleeting=True,
    )


def is_name(text: str) -> bool:
    """Whether it could be what a person is called: words of letters. Desktops look for names with dots."""
    return len(text) <= 128 and _NAME.fullmatch(text) is not None
