"""What is measured, between whom, and what it must reach. Data only; `measure.py` has the doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from . import measure
from .metadata_works import METADATA_WORKS
from .peers import (
    CURL,
    LOCAL,
    MEDIAFS,
    MEDIAFS_UNCACHED,
    MEMORYFS,
    PEERS,
    RCLONE,
    RCLONE_FULL,
    RCLONE_FULL_TUNED,
    RCLONE_TUNED,
    TMPFS,
    Stage,
)
from .targets import Target
from .work import Group, Sample, Subject, Work

READING: Final = Group(
    "benchmarks",
    "Reading, measured beside rclone",
    """
Method:

- Competitors read the same bytes from the same nginx: rclone (`:http:`) and curl by name, mediafs by the
  API's download path, which nginx maps to the same files. The files lie in memory, caches on disk.
- Each sample is a fresh process with empty caches, mounted and listed (`ls -l`) before the clock starts.
  Rounds are interleaved, and each has the competitors in another order.
- `rclone` is as it comes (`--vfs-cache-mode off`); `full` with that cache mode; `4 streams` with 4 chunk
  streams of 16M; `tuned` with these and `--buffer-size 64M`, without a cache. mediafs is as it comes, or with
  `size = "0"` where it says "disk cache off". The API states no rate limit.
- A reader asks for 128 KiB, then for 1 MiB at a time. What was read is compared with what is served, after
  the clock, in every round: by SHA-256 (curl: its length), `diff -rq`, or what ffprobe says of the original.
- CPU is that of the daemon, its threads and children, user and system, while the clock runs; memory its peak.
  curl's is of its process.
- "in-memory pyfuse3" serves one file from memory: what is left is the cost of FUSE in Python.
""",
)


def _reading(
    name: str,
    title: str,
    where: Literal["plain", "tls", "link"],
    files: str,
    peers: Sequence[str],
    do: Callable[[Stage, Subject, int], Sample],
    shown: tuple[str, ...],
    targets: tuple[Target, ...],
    note: str = "",
) -> Work:
    """*files* is the group of them that is read."""
    competitors = {peer: PEERS[peer] for peer in peers}
    return Work(name, title, READING, where, competitors, do, shown, targets, files, note)


_RATE: Final = ("mb_s", "first_ms", "cpu_s_per_gib", "peak_mib")
_RCLONES: Final = (RCLONE, RCLONE_FULL, RCLONE_TUNED, RCLONE_FULL_TUNED)

WORKS: Final = {
    work.name: work
    for work in (
        _reading(
            "sequential",
            "Cold sequential read of 1 GiB, loopback",
            "plain",
            "large",
            (MEDIAFS, MEDIAFS_UNCACHED, RCLONE, RCLONE_TUNED, CURL, MEMORYFS),
            measure.sequential,
            _RATE,
            (
                Target("mb_s", MEDIAFS_UNCACHED, (RCLONE,), at_least=1.6),
                Target("mb_s", MEDIAFS_UNCACHED, (RCLONE_TUNED,), at_least=1.2),
                Target("cpu_s_per_gib", MEDIAFS_UNCACHED, (RCLONE,), at_most=0.6),
            ),
        ),
        _reading(
            "sequential-tls",
            "Cold sequential read of 1 GiB, loopback, TLS",
            "tls",
            "large",
            (MEDIAFS, MEDIAFS_UNCACHED, RCLONE, RCLONE_TUNED, CURL),
            measure.sequential,
            _RATE,
            (
                Target("mb_s", MEDIAFS_UNCACHED, (RCLONE,), at_least=1.2),
                Target("mb_s", MEDIAFS_UNCACHED, (RCLONE_TUNED,), at_least=1.0),
            ),
        ),
        _reading(
            "sequential-cached",
            "Cold sequential read of 1 GiB, loopback, disk cache filling",
            "plain",
            "large",
            (MEDIAFS, RCLONE_FULL),
            measure.sequential,
            _RATE,
            (Target("mb_s", MEDIAFS, (RCLONE_FULL,), at_least=1.5),),
        ),
        _reading(
            "sequential-30ms",
            "Cold sequential read of 128 MiB at 30 ms",
            "link",
            "medium",
            (MEDIAFS, RCLONE, RCLONE_FULL, RCLONE_TUNED, CURL),
            measure.sequential,
            _RATE,
            (
                Target("mb_s", MEDIAFS, (CURL,), at_least=0.97),
                Target("first_ms", MEDIAFS, (RCLONE,), at_most=1.0),
            ),
        ),
        _reading(
            "random-30ms",
            f"{measure.RANDOM_READS} random reads of 128 KiB of a 1 GiB file at 30 ms",
            "link",
            "large",
            (MEDIAFS, *_RCLONES),
            measure.randomly,
            ("ms_per_read", "worst_ms", "cpu_s", "peak_mib"),
            (
                Target("ms_per_read", MEDIAFS, (RCLONE,), at_least=4.5),
                Target("ms_per_read", MEDIAFS, _RCLONES, at_least=4.0),
            ),
        ),
        _reading(
            "cp-30ms",
            "`cp -r` of 500 files of 120 KB at 30 ms",
            "link",
            "small",
            (MEDIAFS, MEDIAFS_UNCACHED, RCLONE, RCLONE_FULL),
            measure.copying,
            ("seconds", "cpu_s", "peak_mib"),
            (Target("seconds", MEDIAFS, (RCLONE,), at_least=11.0),),
        ),
        _reading(
            "ffprobe-30ms",
            "ffprobe of a 60 MB MP4, index at its end, at 30 ms",
            "link",
            "film",
            (MEDIAFS, RCLONE, RCLONE_FULL, LOCAL),
            measure.probing,
            ("ms", "cpu_s", "peak_mib"),
            (
                Target("ms", MEDIAFS, (RCLONE,), at_least=1.6),
                Target("ms", MEDIAFS, (RCLONE_FULL,), at_least=1.2),
            ),
        ),
        _reading(
            "reread",
            "Second read of 1 GiB, loopback",
            "plain",
            "large",
            (MEDIAFS, RCLONE, RCLONE_FULL, LOCAL, TMPFS),
            measure.again,
            _RATE,
            (Target("mb_s", MEDIAFS, (LOCAL,), at_least=0.95),),
            note="All from the kernel's page cache: no daemon is asked where its CPU is 0. A file of ext4"
            " lies there in large folios, which copy faster than the single pages that a file of tmpfs has.",
        ),
        _reading(
            "readers",
            "16 readers of 16 files of 64 MiB, loopback",
            "plain",
            "readers",
            (MEDIAFS, MEDIAFS_UNCACHED, RCLONE, RCLONE_FULL, RCLONE_TUNED),
            measure.together,
            _RATE,
            (
                # Like with like: rclone as it comes keeps nothing on disk.
                Target("mb_s", MEDIAFS_UNCACHED, (RCLONE,), at_least=1.0),
                Target("first_ms", MEDIAFS_UNCACHED, (), at_most=100.0),
                # The default budget of `[cache] memory`, 256 MiB, and 80.
                Target("peak_mib", MEDIAFS, (), at_most=336.0),
            ),
        ),
        *METADATA_WORKS,
    )
}
