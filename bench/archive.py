"""An archive of so many media: the pages that a service shows of it, and a catalogue that holds them."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import trio

from mediafs.app import running
from mediafs.config import load
from mediafs.model import Everything, Question, Recent
from mediafs.vendors.apizee import Apizee
from mediafs.vendors.apizee_options import ApizeeOptions
from mediafs.vendors.protocol import Reply

ACCOUNT: Final = "bench"
TOKEN: Final = "sandbox-admin-token"
PAGE: Final = 100
FIRST_DAY: Final = datetime(2023, 6, 1, tzinfo=UTC)
"""A thousand days before now, at least: no archive has media of the future."""
_DAY_S: Final = 86_400
_OWNERS: Final = 100
_PAGES_AT_ONCE: Final = 50
"""In one transaction: what is measured comes afterwards."""


@dataclass
class Archive:
    """*count* media, numbered from 1 in the order of their creation, *per_day* a day."""

    count: int
    per_day: int

    def created(self, number: int) -> datetime:
        """In whole seconds, as services tell it: several have the same."""
        return FIRST_DAY + timedelta(seconds=(number - 1) * _DAY_S // self.per_day)

    def from_on(self, moment: datetime) -> int:
        """The number of the first media that was created then or later; there may be none of it."""
        seconds = -(-(moment - FIRST_DAY) // timedelta(seconds=1))
        return 1 + max(0, -(-seconds * self.per_day // _DAY_S))

    def name(self, number: int) -> str:
        """Its file name at the service and in every view: 53 characters."""
        return f"media-{_token(number)}-{self.created(number).timestamp():.0f}.png"

    def folder(self, number: int) -> str:
        """Its directory of by-date, relative to the mount."""
        return f"by-date/{self.created(number):%Y/%m/%d}"

    def record(self, number: int) -> dict[str, Any]:
        """What the service says of it: some 650 bytes of JSON."""
        owner, token, created = number % _OWNERS + 1, _token(number), self.created(number)
        link = f"https://cloud.example.com/media/showVideo/{number}/hash/{token}"
        return {
            "id": number,
            "hash": token,
            "created": created.isoformat(timespec="seconds"),
            "owner": {"id": owner, "name": f"Agent {owner}"},
            "title": f"Snapshot {number}",
            "description": "Taken during the visit: the meter, and the label below it.",
            "filename": f"media-{token}-{created.timestamp():.0f}.png",
            "status": "completed",
            "media_type": "image",
            "source_type": "snapshot",
            "filesize": size(number),
            "geoloc": {"lat": 48.85, "lng": 2.35},
            "thumbnail_url": f"{link}?thumbnail=1",
            "url": link,
        }

    def page(self, numbers: Iterable[int], total: int) -> bytes:
        """The service's answer with these, of so many."""
        return json.dumps({"total": total, "data": list(map(self.record, numbers))}).encode()


def size(number: int) -> int:
    """Bytes of media *number*."""
    return 100_000 + number % 50_000


def _token(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


async def fill(config: Path, cache_dir: Path, archive: Archive) -> None:
    """Makes the account's catalogue by the calls that a crawl makes; all of it was listed now."""
    loaded = load(config, os.environ)
    vendor = Apizee(ApizeeOptions(token=TOKEN))
    async with running(loaded.account(ACCOUNT), loaded.cache, cache_dir) as app:
        contents, database, coverage = app.catalogue.contents, app.catalogue.database, app.catalogue.coverage
        clock, end = database.tick(), archive.count + 1
        for first in range(1, end, PAGE * _PAGES_AT_ONCE):
            with database.transaction():
                for start in range(first, min(first + PAGE * _PAGES_AT_ONCE, end), PAGE):
                    body = archive.page(range(start, min(start + PAGE, end)), archive.count)
                    shown = vendor.parse_page(Question(), Reply(status=200, headers={}, body=body))
                    contents.put(shown.media, clock, trashed=False)
        now = time.time()
        today = datetime.fromtimestamp(now, UTC).toordinal()
        contents.cover_days(FIRST_DAY.toordinal(), today, clock, now)
        database.remember("oldest", {"at": now})
        for scope in (Everything(), Recent()):
            coverage.listed(scope, now)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="makes a catalogue")
    parser.add_argument("config", type=Path)
    parser.add_argument("cache_dir", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("per_day", type=int)
    given = parser.parse_args()
    trio.run(fill, given.config, given.cache_dir, Archive(given.count, given.per_day))
