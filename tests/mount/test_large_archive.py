"""What a mount of a large archive costs at its start: its catalogue is not read, nor the service asked."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from mediafs.app import running
from mediafs.config import load
from mediafs.model import Everything
from mediafs.sandbox.testing import sandbox_process
from tests.fakes import make_media
from tests.mount.mounting import Mount, prepared, requests

COUNT = 200_000
"""A million is `bench/run remount`'s: here it would take a minute to make."""
PER_DAY = 100_000
FIRST = datetime(2025, 6, 1, tzinfo=UTC)


async def fill(mount: Mount) -> None:
    """The catalogue as `mediafs sync` leaves it."""
    config = load(mount.config, os.environ)
    record = f'{{"note": "{"x" * 600}"}}'
    async with running(config.account(mount.account), config.cache, mount.cache) as app:
        contents, database = app.catalogue.contents, app.catalogue.database
        clock, step = database.tick(), timedelta(days=1) / PER_DAY
        for first in range(0, COUNT, 5000):
            some = range(first, first + 5000)
            contents.put(
                [make_media(n, created=FIRST + (n * step), record=record) for n in some], clock, trashed=False
            )
        now = time.time()
        contents.cover_days(FIRST.toordinal(), datetime.fromtimestamp(now, UTC).toordinal(), clock, now)
        database.remember("oldest", {"at": now})
        app.catalogue.coverage.listed(Everything(), now)


def cost(mount: Mount) -> tuple[int, int]:
    """MiB that the daemon has read so far, and the most memory that it has had."""
    process = Path(f"/proc/{mount.pids[-1]}")
    read = int(process.joinpath("io").read_text().split()[1])
    peak = process.joinpath("status").read_text().partition("VmHWM:")[2].split()[0]
    return read >> 20, int(peak) >> 10


def test_a_large_archive_is_shown_at_once_after_a_remount() -> None:
    """What is known is shown at once after a remount, however large the archive is."""
    with sandbox_process(media=1) as box, prepared(box.url, lines=['fresh_for = "1h"']) as mount:
        trio.run(fill, mount)
        held = mount.cache.joinpath(mount.account, "catalogue.sqlite3").stat().st_size >> 20
        assert mount.mount().returncode == 0, mount.log
        assert mount.run("ls").stdout.split() == ["by-conversation", "by-date", "by-user", "recent"]
        assert mount.run("ls", "by-date/2025/06").stdout.split()[:2] == ["01", "02"]
        assert mount.run("df", "--output=iused", ".").stdout.split()[1] == str(COUNT)
        assert mount.run("ls", "by-user").stdout.split() == ["Owner", "1000", "(1000)"]
        read, _ = cost(mount)
        # Its own program is most of that.
        assert read < held / 3, f"{read} MiB of a catalogue of {held} MiB were read"
        shown = mount.run("find", "by-date/2025/06/01", "-type", "f", "-printf", "%s\n").stdout.split()
        assert sum(map(int, shown)) == sum(1000 + number for number in range(PER_DAY))
        _, peak = cost(mount)
        assert peak <= 150, f"{peak} MiB"
        assert requests(box) == []
