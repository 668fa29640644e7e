"""What the directories above the media hold: views, years, months, days, conversations, users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime

from ..catalogue import Catalogue
from ..model import EARLIEST, Conversation, ConversationId, Recent, Trash, User
from .days import Dates
from .names import legal_id
from .nodes import RECENT, TRASH, Folder, Month, Node, Root, View, Year, day_folder
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
        self._known: Dates | None = None
        """From the oldest to the newest media that was ever seen here."""

    def below(self, node: Node) -> Iterator[Entry]:
        match node:
            case Root():
                for view in self._views:
                    yield Entry(view, self._shapes.folder(View(view)))
                yield Entry(RECENT, self._shapes.folder(Folder(Recent())))
                if self._options.trash:
                    yield Entry(TRASH, self._shapes.folder(Folder(Trash())))
            case View("by-date"):
                for number in sorted({day.year for day in self._listed(self.dates())}):
                    yield Entry(f"{number:04}", self._shapes.folder(Year(number)))
            case Year(year):
                for number in sorted({day.month for day in self._listed(node.dates)}):
                    yield Entry(f"{number:02}", self._shapes.folder(Month(year, number)))
            case Month():
                for day in self._listed(node.dates):
                    yield Entry(f"{day.day:02}", self._shapes.folder(day_folder(day)))
            case View("by-conversation"):
                for id_ in self._listings.conversation_ids():
                    scope = Conversation(ConversationId(id_))
                    name = self._catalogue.views.human_folder(scope) or legal_id(id_)
                    yield Entry(name, self._shapes.folder(Folder(scope)))
            case View("search"):
                return
            case View():
                people = dict(self._catalogue.views.people())
                for user in self._options.users:
                    people.setdefault(user, self._catalogue.views.human_folder(User(user)) or legal_id(user))
                for user, name in people.items():
                    yield Entry(name, self._shapes.folder(Folder(User(user))))

    def dates(self) -> Dates:
        """The range of by-date: from `since` or the oldest media to today, or the newest known media.

        Until the oldest media is known the range is wide open: looking a day up costs nothing. It does
        not shrink while the mount stands: who deletes the oldest day's media takes its folder away last.
        """
        today = datetime.fromtimestamp(self._now(), self._options.zone).date()
        known = self._catalogue.views.day_range()
        if known is not None:
            days = Dates(date.fromordinal(known[0]), date.fromordinal(known[1]))
            self._known = days.spanning(self._known) if self._known else days
        last = max(today, self._known.last) if self._known else today
        if self._options.since is not None:
            return Dates(self._options.since, last)
        if self._catalogue.database.remembered("oldest") is None:
            return Dates(EARLIEST.date(), last)
        return Dates(self._known.first if self._known else today, last)

    def _listed(self, dates: Dates) -> Iterator[date]:
        if (within := dates.overlap(self.dates())) is None:
            return iter(())
        span = (within.first.toordinal(), within.last.toordinal())
        return within.listed(
            self._catalogue.coverage.covered_days(*span), self._catalogue.views.media_days(*span)
        )
