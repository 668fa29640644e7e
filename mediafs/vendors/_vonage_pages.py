"""Paging of the Vonage listing: what is asked, what an answer holds, and whether more follows.

`_links.next` says so where the service has it. The specification's own sample has no such link, the
largest `page_size` is not documented, and `count` may count the page or all of it: where the links say
nothing, what is counted decides, and where nothing is certain the listing goes on until a page is empty.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

from ..model import Cursor, Media, Page, Question
from ._json import At
from ._vonage_record import media_of
from .protocol import Pairs

PAGE_LIMIT: Final = 100
"""The largest `page_size` is not documented; 100 is asked for and what comes is believed."""
FIRST_TIME: Final = datetime(2010, 1, 1, tzinfo=UTC)
"""Sent where the question has no lower bound: without `start_time` the service shows a week. Years
before there was a Media API."""

_CURSOR: Final = re.compile(r"(\d{1,9})/(\d{1,9})/([A-Za-z0-9_-]{0,128})", re.ASCII)
_INDEX: Final = re.compile(r"\d{1,9}", re.ASCII)
_GRAIN: Final = timedelta(seconds=1)
"""The bounds are inclusive in the specification, exclusive in the older reference, and the times in
records may be rounded: bounds go out this much wider."""


@dataclass(frozen=True, slots=True)
class Place:
    """One page of a listing."""

    index: int = 0
    """Counts from 0."""
    size: int = PAGE_LIMIT
    """Kept from page to page, for an index means nothing without it."""
    before: str = ""
    """The first id of the page before, by which a page that is sent again is known."""

    def cursor(self) -> Cursor:
        return Cursor(f"{self.index}/{self.size}/{self.before}")


def place_of(question: Question) -> Place:
    """Where a question's cursor stands."""
    if question.cursor is None:
        return Place(size=max(1, min(question.limit, PAGE_LIMIT)))
    match = _CURSOR.fullmatch(question.cursor)
    if match is None:
        raise ValueError("that is no cursor of this vendor")
    return Place(int(match[1]), max(1, int(match[2])), match[3])


def has_no_days(question: Question) -> bool:
    """Whether no media can have been created between the bounds: that needs no request."""
    since, until = question.since or FIRST_TIME, question.until
    return until is not None and until < since


def query_of(question: Question, place: Place) -> Pairs:
    """Always with a `start_time`."""
    query = [
        ("order", "descending" if question.newest_first else "ascending"),
        ("page_index", str(place.index)),
        ("page_size", str(place.size)),
        ("start_time", _stamp(FIRST_TIME if question.since is None else question.since, -_GRAIN)),
    ]
    if question.until is not None:
        query.append(("end_time", _stamp(question.until, _GRAIN)))
    return tuple(query)


def read_page(root: At, place: Place) -> Page:
    """One record that cannot be read refuses the page: a partial listing is worse."""
    embedded = root["_embedded"]
    records = embedded["media"] if embedded.value is not None else embedded
    count = root["count"].whole()
    if records.value is None and count == 0:
        media: tuple[Media, ...] = ()
    else:
        media = tuple(media_of(item) for item in records.items())
    total = count if count is not None and count > len(media) else None
    after = _following(root, place, media, total)
    if after is None and place.index == 0 and total is None:
        total = len(media)
    return Page(media=media, total=total, next=None if after is None else after.cursor())


def _following(root: At, place: Place, media: tuple[Media, ...], total: int | None) -> Place | None:
    """The page after this one; None: the service has shown that there is none."""
    if not media:
        return None
    linked = _linked(root, "next")
    if linked is not None:
        index = _number(linked, "page_index") or place.index + 1
        if index > place.index:  # a link that leads back leads nowhere
            return Place(index, _number(linked, "page_size") or place.size, media[0].id)
    # A service that cuts pages short is asked for pages as short from then on, so that none is left out.
    size = place.size if place.index else min(place.size, len(media))
    after = Place(place.index + 1, size, media[0].id)
    if total is not None:
        return after if place.index * size + len(media) < total else None
    last = _number(_linked(root, "last") or {}, "page_index")
    if last is not None:
        return after if last > place.index else None
    stated = root["page_size"].whole() or place.size
    if len(media) < min(place.size, stated):
        return None
    return after


def _linked(root: At, name: str) -> dict[str, list[str]] | None:
    """The query of a link; None where there is no such link."""
    links = root["_links"]
    if links.value is None or links[name].value is None:
        return None
    href = links[name]["href"].text()
    if not href:
        return None
    try:
        return parse_qs(urlsplit(href).query)
    except ValueError:
        links[name].refuse("this is no link")


def _number(query: dict[str, list[str]], name: str) -> int | None:
    value = query.get(name, [""])[-1]
    return int(value) if _INDEX.fullmatch(value) else None


def _stamp(moment: datetime, wider: timedelta) -> str:
    """The format of the specification, `2020-01-01T14:00:00.000Z`."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    with suppress(OverflowError):
        utc += wider
    return f"{utc.isoformat(timespec='milliseconds')}Z"
