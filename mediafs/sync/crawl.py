"""How one listing is read whole, a page at a time: a pure decision after every page.

A crawl runs oldest first and goes on from the time of the last media it saw, not from an offset:
what is deleted or added before that moment cannot shift what is still to come. Only where more
media than fit a page were made in one second does it count offsets, and then the service's total
must stand still meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ..errors import Incomplete, InvalidReply
from ..model import Page

MAX_DISTURBANCES: Final = 5
"""How often a run of offsets may be begun again because the archive changed under it."""

_SLACK: Final = timedelta(seconds=2)
"""A vendor's module widens the bounds of a question by a second where the service is vague."""


class OutOfOrder(InvalidReply):
    """The service does not list by date as it was asked to; the crawl has to count offsets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a crawl stands: everything created before `since` has been read.

    Within one `since`, `cursor` walks by the service's own paging: `run_items` media so far, of
    the `run_total` that it stated.
    """

    since: datetime | None
    cursor: str | None = None
    run_items: int = 0
    run_total: int | None = None
    disturbances: int = 0


def advance(position: Position, page: Page) -> Position | None:
    """Where the crawl goes on after `page`, or None when all has been read.

    Raises OutOfOrder where the page is not what was asked for, Incomplete where the service's
    pages do not add up to the total it states.
    """
    _check_order(position, page)
    if position.run_total is not None and page.total != position.run_total:
        if position.disturbances >= MAX_DISTURBANCES:
            raise Incomplete("the archive changes faster than it can be listed; try again later")
        return Position(since=position.since, disturbances=position.disturbances + 1)
    read = position.run_items + len(page.media)
    if page.next is None:
        if page.total is not None and read < page.total:
            raise Incomplete(f"the service states {page.total} media and lists {read}")
        return None
    newest = page.media[-1].created if page.media else None
    if newest is not None and (position.since is None or newest > position.since):
        return Position(since=newest)
    return replace(position, cursor=page.next, run_items=read, run_total=page.total)


def _check_order(position: Position, page: Page) -> None:
    earlier = position.since - _SLACK if position.since else None
    for media in page.media:
        if earlier is not None and media.created < earlier:
            raise OutOfOrder("the service does not list by date in the order it was asked to")
        earlier = media.created
