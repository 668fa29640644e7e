"""What is measured of archives, and what it must reach. Data only; `metadata.py` has the doing."""

from __future__ import annotations

from typing import Final

from . import metadata
from .metadata_peers import MOUNTS
from .peers import MEDIAFS, RCLONE
from .targets import Target
from .work import Group, Work

METADATA: Final = Group(
    "benchmarks-metadata",
    "Listings and attributes, measured beside rclone",
    """
Method:

- Each sample is a fresh process with empty caches. Rounds are interleaved, and each has the competitors in
  another order.
- The archive has a million media, 100,000 a day; its catalogue was made by the calls that a crawl makes, and
  is copied for each sample. rclone (`--dir-cache-time 1h --attr-timeout 300s --read-only`) serves a local
  folder in memory of the same names, sizes and times: what it lists does not come from a service.
- What is shown is counted, and sizes are summed, in every round.
- "first" is the first time since the mount, "again" the second; neither is sorted (`find`).
- The service that is listed answers a page of 100 records, 65 KB, after 30 ms, however many are asked for at
  once; the bare client has 8 requests in flight, parses them with the same libraries, and forgets them. Both
  are whole programs. In the crawl the service answers at once.
- CPU is that of the daemon, its threads and children, user and system; memory its peak.
""",
)

_BARE: Final = "bare client"
_LARGEST: Final = f"{metadata.SIZES[-1]:,} media"

METADATA_WORKS: Final = (
    Work(
        "remount",
        "Remount of a known archive of 1,000,000 media",
        METADATA,
        "archive",
        {MEDIAFS: metadata.home},
        metadata.remounting,
        ("seconds", "first_s", "peak_mib", "requests"),
        (
            Target("seconds", MEDIAFS, (), at_most=1.0),
            Target("requests", MEDIAFS, (), at_most=0.0),
            Target("peak_mib", MEDIAFS, (), at_most=150.0),
        ),
        note="From the start of the program to the first `ls`, of the days of a month; then, and with it the"
        " memory, a `find` over a directory of 100,000.",
    ),
    Work(
        "find",
        "`find -printf` over a directory of 100,000",
        METADATA,
        "archive",
        MOUNTS,
        metadata.finding,
        ("first_s", "again_s", "cpu_s", "peak_mib"),
        (
            Target("first_s", MEDIAFS, (RCLONE,), at_most=0.2),
            Target("again_s", MEDIAFS, (RCLONE,), at_most=0.4),
        ),
    ),
    Work(
        "stat",
        f"stat of 40,000 paths that the kernel does not know, by {metadata.CLIENTS} programs",
        METADATA,
        "archive",
        MOUNTS,
        metadata.asking,
        ("per_s", "cpu_s", "peak_mib"),
        (Target("per_s", MEDIAFS, (), at_least=14_000.0),),
    ),
    Work(
        "first-listing",
        "First listing of 100,000 media, 100 a page, 30 ms a page",
        METADATA,
        "archive",
        {MEDIAFS: metadata.by_mediafs, _BARE: metadata.by_bare_client},
        metadata.first_listing,
        ("seconds", "directory_s", "cpu_s"),
        (
            Target("seconds", MEDIAFS, (_BARE,), at_most=1.3),
            Target("directory_s", MEDIAFS, (), at_most=0.3),
        ),
        note="The first directory is that of the oldest day, by an `ls` in a fresh mount.",
    ),
    Work(
        "crawl",
        "Crawl of an archive, by its size",
        METADATA,
        "archive",
        metadata.ARCHIVES,
        metadata.crawling,
        ("us_per_media", "seconds", "cpu_s", "peak_mib"),
        (
            Target("us_per_media", _LARGEST, (f"{metadata.SIZES[1]:,} media",), at_most=1.25),
            Target("peak_mib", _LARGEST, (f"{metadata.SIZES[1]:,} media",), at_most=1.25),
        ),
        note="Linear time and flat memory: the largest beside one of a tenth.",
        most_rounds=2,
    ),
    Work(
        "added",
        "A media that was added, after the refresh that finds it",
        METADATA,
        "archive",
        {MEDIAFS: metadata.by_mediafs},
        metadata.adding,
        ("ms",),
        (Target("ms", MEDIAFS, (), at_most=100.0),),
        note="A stat by its name, which the kernel had known to be absent, and an `ls` of its directory.",
    ),
)
