"""A media as it is kept: the columns that taking in a record looks at."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..model import Inode, Media


class Row(NamedTuple):
    """A media as it is kept."""

    inode: Inode
    live: int
    dated: int
    trashed: int
    seen: int
    created: float
    size: int | None
    owner: str | None
    fields: str
    kept: str
    name: str

    def is_already(self, media: Media, fields: str, dated: bool, trashed: bool | None) -> bool:
        """Whether there is nothing to change."""
        if trashed is not None and bool(self.trashed) is not trashed:
            return False
        owner = media.owner.id if media.owner else None
        known = (self.created, self.size, self.owner, self.fields)
        same = known == (media.created.timestamp(), media.size, owner, fields)
        return bool(self.live) and same and bool(self.dated or not dated)


OUTSIDE: Final = 2
"""The column `trashed` of a media that by-date did not show before it came into the trash."""

ROW: Final = "inode, live, dated, trashed, seen, created, size, owner, fields, kept, name"


def trashed_of(old: Row | None, trashed: bool | None) -> int:
    """The column `trashed` of what a page has shown; None: the page does not tell."""
    if old is not None and (trashed is None or (trashed and old.trashed)):
        return old.trashed
    if trashed and old is not None and old.live and not old.dated:
        return OUTSIDE
    return int(bool(trashed))
