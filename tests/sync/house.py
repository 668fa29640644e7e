"""A catalogue, a memory source and the listings between them, on a clock that tests turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from mediafs import catalogue
from mediafs.catalogue import Catalogue
from mediafs.model import Change, Days
from mediafs.sync import Listings, SyncOptions, syncing
from mediafs.tree.names import Names, file_name, folder_name
from tests.fakes import MemorySource

NOW = datetime(2025, 1, 15, 12, tzinfo=UTC).timestamp()


@dataclass
class House:
    source: MemorySource
    catalogue: Catalogue
    listings: Listings
    clock: list[float]
    changes: list[Change] = field(default_factory=list)

    @property
    def pages(self) -> int:
        return self.source.asked["page"]

    def names(self, scope: object) -> list[str]:
        return [stat.name for stat in self.catalogue.views.children(scope)]  # type: ignore[arg-type]

    def ids(self, scope: object) -> set[str]:
        stats = self.catalogue.views.children(scope)  # type: ignore[arg-type]
        found = [self.catalogue.views.media(stat.inode) for stat in stats]
        return {media.id for media in found if media}


def day(text: str) -> Days:
    return Days(date.fromisoformat(text), date.fromisoformat(text))


@asynccontextmanager
async def house(
    source: MemorySource, folder: Path, *, names: Names = Names.FILENAME, **options: object
) -> AsyncIterator[House]:
    clock = [NOW]
    changes: list[Change] = []
    with catalogue.opened(
        folder / "catalogue.sqlite3",
        identity="test",
        zone=UTC,
        name_of=partial(file_name, names=names),
        folder_of=folder_name,
        wall_clock=lambda: clock[0],
    ) as opened:
        sync_options = SyncOptions(zone=UTC, **options)  # type: ignore[arg-type]
        async with syncing(
            source, opened, sync_options, emit=changes.extend, wall_clock=lambda: clock[0]
        ) as listings:
            yield House(source, opened, listings, clock, changes)
