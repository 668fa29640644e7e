"""The Vonage listing: its parameters, and the HAL envelope around a page."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor
from typing import Final
from urllib.parse import urlencode

from mediafs.sandbox.vonage_options import VonageOptions
from mediafs.sandbox.wire import Refusal, Request
from mediafs.sandbox.world import Selection

DEFAULT_SIZE: Final = 20
_KNOWN: Final = frozenset(
    {"order", "page_index", "page_size", "start_time", "end_time", "api_key", "api_secret"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a request for a page asks."""

    selection: Selection
    newest_first: bool
    index: int
    size: int


def read_listing(request: Request, options: VonageOptions) -> Listing:
    """Raises Refusal 400 for a parameter that cannot be read."""
    given = dict(request.parameters)
    if options.strict_parameters and given.keys() - _KNOWN:
        raise Refusal(400, "Unknown parameter")
    order = given.get("order", "descending")
    if order not in ("ascending", "descending"):
        raise Refusal(400, "order is not valid")
    size = _whole(given, "page_size", DEFAULT_SIZE)
    if size < 1 or (size > options.max_page_size and options.over_max == "refused"):
        raise Refusal(400, "page_size is not valid")
    start_s = _moment(given, "start_time")
    if start_s is None:
        start_s = request.at_s - options.default_days * 86400
    end_s = _moment(given, "end_time")
    if end_s is not None and end_s < start_s:
        raise Refusal(400, "end_time is before start_time")
    inclusive = options.inclusive_dates
    since_s = ceil(start_s) if inclusive else floor(start_s) + 1
    until_s = None
    if end_s is not None:
        until_s = floor(end_s) + 1 if inclusive else ceil(end_s)
    return Listing(
        selection=Selection(since_s=since_s, until_s=until_s),
        newest_first=order == "descending",
        index=0 if options.ignores_page_index else _whole(given, "page_index", 0),
        size=min(size, options.max_page_size),
    )


def envelope(
    listing: Listing, total: int, records: list[dict[str, object]], options: VonageOptions, origin: str
) -> dict[str, object]:
    """The reply around *records*; *origin* is put before its links where those are absolute."""
    reply: dict[str, object] = {
        "page_size": listing.size if options.reply_page_size == "asked" else len(records),
        "page_index": listing.index,
        "count": total if options.count == "total" else len(records),
        "_embedded": {"media": records},
    }
    last = max(0, ceil(total / listing.size) - 1)
    order = "descending" if listing.newest_first else "ascending"

    def link(index: int | None) -> dict[str, str]:
        query = {"page_index": str(index)} if index is not None else {}
        target = f"/v3/media?{urlencode(query | {'page_size': str(listing.size), 'order': order})}"
        return {"href": origin + target if options.absolute_links else target}

    if options.links == "bare":
        reply["_links"] = {name: link(None) for name in ("self", "first", "last")}
    elif options.links == "next":
        links = {"self": link(listing.index), "first": link(0), "last": link(last)}
        if listing.index < last:
            links["next"] = link(listing.index + 1)
        if listing.index > 0:
            links["prev"] = link(listing.index - 1)
        reply["_links"] = links
    return reply


def _whole(given: dict[str, str], name: str, otherwise: int) -> int:
    text = given.get(name, str(otherwise))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refusal(400, f"{name} is not valid")
    return int(text)


def _moment(given: dict[str, str], name: str) -> float | None:
    """Seconds since 1970 of a time in the documented form, `2020-01-01T14:00:00.000Z`."""
    if name not in given:
        return None
    try:
        return datetime.strptime(given[name], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise Refusal(400, f"{name} is not valid") from error
