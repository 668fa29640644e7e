"""Edits of an Apizee media: how they are sent, and whether the echoed record shows that they stand.

Neither the encoding of the PUT nor the names of the coordinates are documented. The reply echoes the
whole record (seed; the vendor's public page), so one way after the other is tried until it shows the
new value.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from ..model import Edits, Media
from .protocol import Call, Pairs

EDITABLE: Final = frozenset({"title", "description", "latitude", "longitude"})
ENCODINGS: Final = ("json", "form", "query")
"""A body is the conventional reading of the page; a query that of its sibling operations."""
PLACE_NAMES: Final = (("lat", "lng"), ("latitude", "longitude"))
"""The record's own names first, then the words of the page."""
REFUSALS: Final = frozenset({400, 413, 414, 415, 422, 431})
"""A value is refused; or, as long as no encoding has been seen to work, the encoding is."""
_SAME_PLACE: Final = 1e-5
"""Degrees, about a metre: services round."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to send an edit."""

    encoding: str
    names: tuple[str, str]

    def as_json(self) -> list[object]:
        return [self.encoding, *self.names]


def known_way(learnt: Mapping[str, object]) -> Way | None:
    """The way that has worked before."""
    match learnt.get("update"):
        case [str(encoding), str(latitude), str(longitude)] if (
            encoding in ENCODINGS and (latitude, longitude) in PLACE_NAMES
        ):
            return Way(encoding, (latitude, longitude))
    return None


def ways(known: Way | None, edits: Edits) -> Iterator[Way]:
    """What to try, in order: each costs a request of the user's budget."""
    if known is not None:
        yield known
    places = PLACE_NAMES if edits.keys() & {"latitude", "longitude"} else PLACE_NAMES[:1]
    others = [Way(encoding, names) for names in places for encoding in ENCODINGS]
    # Only the names are in doubt where the encoding has worked for something else.
    others.sort(key=lambda way: known is not None and way.encoding != known.encoding)
    yield from (way for way in others if way != known)


def edit_call(url: str, edits: Edits, way: Way) -> Call:
    """The PUT of the changed fields, and of no others."""
    name_of = dict(zip(("latitude", "longitude"), way.names, strict=True))
    values = {name_of.get(field, field): _sent(field, value) for field, value in edits.items()}
    texts: Pairs = tuple((name, "" if value is None else str(value)) for name, value in values.items())
    match way.encoding:
        case "json":
            body = json.dumps(values, ensure_ascii=False).encode()
            headers = (("Content-Type", "application/json"),)
            return Call(method="PUT", url=url, headers=headers, body=body, operation="update")
        case "form":
            headers = (("Content-Type", "application/x-www-form-urlencoded"),)
            body = urlencode(texts).encode("ascii")
            return Call(method="PUT", url=url, headers=headers, body=body, operation="update")
    return Call(method="PUT", url=url, query=texts, operation="update")


def _sent(field: str, value: str | None) -> object:
    if field in ("latitude", "longitude"):
        return None if value is None else float(value)
    return value or ""


def stands(media: Media, edits: Edits) -> bool:
    """Whether the record shows every edit."""
    return all(_stands(getattr(media, field), value) for field, value in edits.items())


def _stands(shown: str | float | None, wanted: str | None) -> bool:
    if isinstance(shown, float) or (shown is None and wanted is None):
        return (shown is None) is (wanted is None) and (
            wanted is None or shown is None or abs(float(wanted) - shown) < _SAME_PLACE
        )
    return _plain(shown or "") == _plain(wanted or "")


def _plain(text: str) -> str:
    """Without what services tidy up when they store a text."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
