"""What an account's listings go by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from datetime import time as time_of_day


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    zone: tzinfo
    """The account's time zone: where a day begins."""
    since: date | None = None
    """Where by-date begins; None: with the oldest media."""
    conversations: Callable[[], Sequence[str]] = tuple
    """The conversations that the configuration names, as of now."""
    fresh_for_s: float = 60
    """A listing younger than this is shown as it is."""
    list_deadline_s: float = 20
    """How long a person waits for a listing; file managers give up on a folder at about 25 s."""
    poll_s: float = 0
    """How often what is new is asked for; 0: never."""
    whole_for_s: float = 86400
    """For how long a cheap sign of no change, or a proven filter, is believed."""
    filter_names: str = ""
    """What the filters are called: a proof holds for these names only."""
    small_account: int = 200
    """An account of so many media is listed whole at the first look: two pages."""

    lanes: int = 8
    """Pages of an account that are asked for at once, where requests do not have to be saved."""

    def today(self, now: float) -> date:
        return datetime.fromtimestamp(now, self.zone).date()

    def start_of(self, day: date) -> datetime:
        return datetime.combine(day, time_of_day(), self.zone).astimezone(UTC)

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()
