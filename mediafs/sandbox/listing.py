"""The parameters of GET /api/v3/medias: from a query string to a selection of the world."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mediafs.sandbox.access import Grant
from mediafs.sandbox.apizee_options import ApizeeOptions
from mediafs.sandbox.records import COMPLETED, MEDIA_TYPES, STATUSES
from mediafs.sandbox.wire import Refusal, Request
from mediafs.sandbox.world import Selection

DEFAULT_LIMIT: Final = 10
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,12}", re.ASCII)
_FIXED: Final = frozenset(
    {"status", "offset", "limit", "since", "until", "search", "orderby", "order", "media_type"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What to select and which page of it."""

    selection: Selection
    offset: int
    limit: int
    newest_first: bool


def read_listing(request: Request, options: ApizeeOptions, grant: Grant) -> Listing:
    """The listing that *request* asks for. Raises Refusal 400 or 403."""
    pairs = request.parameters
    given = dict(pairs)
    if options.strict_parameters:
        _refuse_unknown(given, options)
    statuses = [word for name, value in pairs if name in ("status", "status[]") for word in value.split(",")]
    for status in statuses:
        _one_of("status", status, STATUSES)
    _one_of("orderby", given.get("orderby", "date"), ("date",))
    order = _one_of("order", given.get("order", "desc"), ("asc", "desc"))
    limit = _number("limit", given.get("limit", str(DEFAULT_LIMIT)))
    if limit == 0:
        raise Refusal(400, "limit must be at least 1")
    since_s, until_s = _date("since", given), _date("until", given)
    # The selection is half open; dates are whole seconds, as the records' are.
    widen = 0 if options.inclusive_dates else 1
    return Listing(
        selection=Selection(
            statuses=tuple(dict.fromkeys(statuses)) or (COMPLETED,),
            since_s=None if since_s is None else since_s + widen,
            until_s=None if until_s is None else until_s + 1 - widen,
            facets=_facets(given, options, grant),
            search=given.get("search") or None,
        ),
        offset=_number("offset", given.get("offset", "0")),
        limit=min(limit, options.max_limit),
        newest_first=order == "desc",
    )


def _facets(given: dict[str, str], options: ApizeeOptions, grant: Grant) -> tuple[tuple[str, object], ...]:
    facets: list[tuple[str, object]] = []
    user = given.get(options.user_parameter)
    if user is None:
        facets.append(("user", grant.user))
    elif user == "all" or user != str(grant.user):
        if not grant.admin:
            raise Refusal(403, "Admin role required")
        if user != "all":
            facets.append(("user", _number(options.user_parameter, user)))
    else:
        facets.append(("user", grant.user))
    if options.group_parameter in given:
        facets.append(("group", _number(options.group_parameter, given[options.group_parameter])))
    if options.tag_parameter in given:
        facets.append(("tag", given[options.tag_parameter]))
    if options.conversation_parameter in given:
        facets.append(("conversation", given[options.conversation_parameter]))
    if "media_type" in given:
        facets.append(("media_type", _one_of("media_type", given["media_type"], MEDIA_TYPES)))
    if options.source_parameter in given:
        facets.append(("source_type", given[options.source_parameter]))
    return tuple(facets)


def _refuse_unknown(given: dict[str, str], options: ApizeeOptions) -> None:
    known = _FIXED | {
        "status[]",
        options.user_parameter,
        options.group_parameter,
        options.tag_parameter,
        options.source_parameter,
        options.conversation_parameter,
    }
    for name in given:
        if name not in known:
            raise Refusal(400, f"Unknown parameter {name}")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise Refusal(400, f"Invalid {name}")
    return value


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Refusal(400, f"{name} must be an integer")
    return int(text)


def _date(name: str, given: dict[str, str]) -> int | None:
    """Seconds since 1970; only the documented format, so that a client's sloppiness is found here."""
    text = given.get(name)
    if text is None:
        return None
    if not _DATE.fullmatch(text):
        raise Refusal(400, f"{name} must look like 2020-01-01T15:00:00Z")
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise Refusal(400, f"{name} is not a date") from error
