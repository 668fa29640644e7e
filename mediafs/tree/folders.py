"""What the directories above the media hold: views, years, months, days, conversations, users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta

from ..catalogue import Catalogue
from ..model import Conversation, ConversationId, Recent, User
from .days import Calendar
from .names import legal_id
from .nodes import RECENT, Folder, Month, Node, Root, View, Year, day_folder
from .options import TreeOptions
from .seams import Listings
from .shapes import Shapes
from .values import Entry


class Folders:
    def __init__(
        self,
        catalogue: Catalogue,
        listings: Listings,
        shapes: Shapes,
        views: Sequence[str],
        options: TreeOptions,
        wall_clock: Callable[[], float],
    ) -> None:
        self._catalogue = catalogue
        self._listings = listings
        self._shapes = shapes
        self._views = views
        self._options = options
        self._now = wall_clock

    def below(self, node: Node) -> Iterator[Entry]:
        match node:
            case Root():
                for view in self._views:
                    yield Entry(view, self._shapes.folder(View(view)))
                yield Entry(RECENT, self._shapes.folder(Folder(Recent())))
            case View("by-date"):
                for year in self.calendar().years():
                    yield Entry(f"{year:04}", self._shapes.folder(Year(year)))
            case Year(year):
                for month in self.calendar().months(year):
                    yield Entry(f"{month:02}", self._shapes.folder(Month(year, month)))
            case Month():
                for day in self.calendar().days(*node.days):
                    yield Entry(f"{day.day:02}", self._shapes.folder(day_folder(day)))
            case View("by-conversation"):
                for id_ in self._listings.conversation_ids():
                    folder = Folder(Conversation(ConversationId(id_)))
                    yield Entry(legal_id(id_), self._shapes.folder(folder))
            case View():
                for user, name in self._catalogue.views.people():
                    yield Entry(name, self._shapes.folder(Folder(User(user))))

    def calendar(self) -> Calendar:
        """The range of by-date: from `since` or the oldest known media to today, or the newest known."""
        today = datetime.fromtimestamp(self._now(), self._options.zone).date()
        known = self._catalogue.views.day_range()
        oldest_is_known = self._catalogue.database.remembered("oldest") is not None
        last = max(today, date.fromordinal(known[1])) if known else today
        if self._options.since is not None:
            first = self._options.since
        elif oldest_is_known:
            first = date.fromordinal(known[0]) if known else today + timedelta(days=1)
        else:
            first = date(1990, 1, 1)
        span = (first.toordinal(), last.toordinal())
        return Calendar(
            first,
            last,
            frozenset(self._catalogue.coverage.covered_days(*span)),
            frozenset(self._catalogue.views.media_days(*span)),
        )
