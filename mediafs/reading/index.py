"""Where a film that does not begin with its index has it: pure, from the first bytes.

An MP4 or MOV file is a row of boxes, each with its length before it; the index (`moov`) stands before the
pictures and sounds (`mdat`) or behind them. Behind them a player comes to it in a second request, on a
second connection, after it has read the beginning: some round trips that can be had at the same time.
"""

from __future__ import annotations

import struct
from typing import Final

from ..model import Data, Media, Span

HEAD: Final = 4096
"""Bytes in which the first boxes begin, but for the contents of `mdat`."""
MOST: Final = 1024 * 1024
"""Bytes of an index that are fetched: of an hour's film or so; what is longer is read on as ever."""
_PAGE: Final = 4096
_BOX: Final = struct.Struct(">I4s")
_LONG: Final = struct.Struct(">Q")
_EXTENSIONS: Final = (".mp4", ".m4v", ".m4a", ".mov", ".qt", ".3gp", ".3g2")
_TYPES: Final = frozenset({"video/mp4", "audio/mp4", "video/quicktime", "video/3gpp", "audio/3gpp"})


def may_have_index(media: Media) -> bool:
    """Whether it is of a kind that `index_behind` knows, by its name and type."""
    kind = (media.mime_type or "").partition(";")[0].strip().lower()
    return kind in _TYPES or media.filename.lower().endswith(_EXTENSIONS)


def index_behind(head: Data, size: int) -> Span | None:
    """What follows the pictures and sounds, from the start of a page on and at most `MOST` bytes of it.

    None where the index comes first, where `head`, the first bytes of `size`, does not tell, and where
    these are no boxes.
    """
    at = 0
    while at + _BOX.size <= len(head):
        length, kind = _BOX.unpack_from(head, at)
        if length == 1 and at + _BOX.size + _LONG.size <= len(head):
            (length,) = _LONG.unpack_from(head, at + _BOX.size)
        if kind == b"moov" or length < _BOX.size or not kind.isalnum():
            return None
        at += length
        if kind == b"mdat":
            return Span(at - at % _PAGE, min(size, at + MOST)) if at < size else None
    return None
