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
from ..model import Conversation, Cursor, Everything, MediaId, Page, Scope, User

MAX_DISTURBANCES: Final = 5
"""How often a run of offsets may be begun again because the archive changed under it."""

SLACK: Final = timedelta(seconds=2)
"""A vendor's module widens the bounds of a question by a second where the service is vague."""


class OutOfOrder(InvalidReply):
    """The service does not list by date as it was asked to; the crawl has to count offsets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a crawl stands: everything created before `since` has been read.

    Within one `since`, `cursor` walks by the service's own paging: `run` holds the media seen so
    far, of the `run_total` that it stated. A total alone proves little: what was added makes up for what
    was deleted. So where the service can be asked so, each page begins with the end of the one before.
    """

    since: datetime | None
    cursor: Cursor | None = None
    run: frozenset[MediaId] = frozenset()
    run_total: int | None = None
    edge: MediaId | None = None
    """What the page at `cursor` has to begin with again; None: the service cannot be asked so."""
    disturbances: int = 0


@dataclass(slots=True, kw_only=True)
class Crawl:
    """A crawl under way. `position` None: all has been read."""

    key: Scope
    """What it is kept under, to go on after a restart."""
    scope: Conversation | User | Everything
    """What is asked for."""
    until: datetime | None = None
    started: float
    clock: int
    """The catalogue's clock before its first page: what was not seen since is not there."""
    resumed: bool = False
    position: Position | None


def advance(position: Position, page: Page) -> Position | None:
    """Where the crawl goes on after `page`, or None when all has been read.

    Raises OutOfOrder where the page is not what was asked for, Incomplete where the service's
    pages do not add up to the total it states.
    """
    _check_order(position, page)
    shifted = position.edge is not None and position.edge not in [media.id for media in page.media[:1]]
    ids = {media.id for media in page.media} - {position.edge}
    # Where the service does not keep the order of equal moments, some come twice in a run of offsets,
    # and as many others not at all.
    fresh = len(page.media) - (position.edge is not None)
    twice = len(ids) < fresh or not position.run.isdisjoint(ids)
    moved = position.run_total is not None and page.total != position.run_total
    if shifted or twice or moved:
        if position.disturbances >= MAX_DISTURBANCES:
            raise Incomplete("the archive changes faster than it can be listed; try again later")
        return Position(since=position.since, disturbances=position.disturbances + 1)
    run = position.run | ids
    if page.next is None:
        if page.total is not None and len(run) < page.total:
            raise Incomplete(f"the service states {page.total} media and lists {len(run)}")
        return None
    newest = page.media[-1].created if page.media else None
    if newest is not None and (position.since is None or newest > position.since):
        return Position(since=newest)
    edge = page.media[-1].id if page.again is not None and page.media else None
    cursor = page.next if edge is None else page.again
    return replace(position, cursor=cursor, edge=edge, run=run, run_total=page.total)


def _check_order(position: Position, page: Page) -> None:
    earlier = position.since - SLACK if position.since else None
    for media in page.media:
        if earlier is not None and media.created < earlier:
            raise OutOfOrder("the service does not list by date in the order it was asked to")
        earlier = media.created
