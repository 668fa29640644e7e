"""What an account's tree goes by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, tzinfo

from ..model import AccountName, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOptions:
    account: AccountName
    vendor: str
    zone: tzinfo
    since: date | None = None
    """Where by-date begins; None: with the oldest media."""
    fresh_for_s: float = 60
    deletable: bool = False
    """Whether unlink could ever succeed."""
    users: tuple[UserId, ...] = ()
    """Users whom the configuration names: they are there whether they have media or not."""
    trash: bool = False
    """The vendor has a trash, which is a view."""
    titles: bool = False
    """File names are made from titles, so that a new name within a directory is a new title."""
    editable: frozenset[str] = frozenset()
    """Attributes that the service can change."""

    @property
    def changeable(self) -> bool:
        """Whether any name could ever go or change; where not, file managers shall offer no Delete.

        What is in a trash can be taken out of it, whatever may be deleted."""
        return self.deletable or self.retitling or self.trash

    @property
    def retitling(self) -> bool:
        return self.titles and "title" in self.editable
