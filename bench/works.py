"""What is measured, between whom, and what it must reach. Data only; `measure.py` has the doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from . import measure
from .peers import (
    CURL,
    LOCAL,
    MEDIAFS,
    MEDIAFS_UNCACHED,
    MEMORYFS,
    RCLONE,
    RCLONE_FULL,
    RCLONE_FULL_TUNED,
    RCLONE_TUNED,
    TMPFS,
    Stage,
    Subject,
)
from .targets import Target

ROUNDS: Final = 5


@dataclass(frozen=True)
class Work:
    """One table of the report. *shown* are the measures in it, the first of them the result."""

    name: str
    title: str
    where: Literal["plain", "tls", "link"]
    group: str
    peers: tuple[str, ...]
    do: Callable[[Stage, Subject, int], measure.Sample]
    shown: tuple[str, ...]
    targets: tuple[Target, ...]
    note: str = ""


_RATE: Final = ("mb_s", "first_ms", "cpu_s_per_gib", "peak_mib")
_RCLONES: Final = (RCLONE, RCLONE_FULL, RCLONE_TUNED, RCLONE_FULL_TUNED)

WORKS: Final = {
    work.name: work
    for work in (
        Work(
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
        Work(
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
        Work(
            "sequential-cached",
            "Cold sequential read of 1 GiB, loopback, disk cache filling",
            "plain",
            "large",
            (MEDIAFS, RCLONE_FULL),
            measure.sequential,
            _RATE,
            (Target("mb_s", MEDIAFS, (RCLONE_FULL,), at_least=1.5),),
        ),
        Work(
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
        Work(
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
        Work(
            "cp-30ms",
            "`cp -r` of 500 files of 120 KB at 30 ms",
            "link",
            "small",
            (MEDIAFS, MEDIAFS_UNCACHED, RCLONE, RCLONE_FULL),
            measure.copying,
            ("seconds", "cpu_s", "peak_mib"),
            (Target("seconds", MEDIAFS, (RCLONE,), at_least=11.0),),
        ),
        Work(
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
        Work(
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
        Work(
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
    )
}
