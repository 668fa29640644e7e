"""What reading costs on a real mount, and what stays right while much of it goes on.

Docstrings are quotations from docs/SEMANTICS.md.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mediafs.sandbox.media import NoiseBody
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests, wait_until
from .quotations import unfounded

KIB = 1024
MIB = 1024 * KIB
DAY = "by-date/2025/06/01"


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert unfounded(globals()) == []


@contextmanager
def films(*sizes: int, lines: Sequence[str] = (), **options: Any) -> Iterator[tuple[Box, Mount, list[Path]]]:
    """Media of these sizes, mounted; the number of each is the seed of its content."""
    with sandbox_process(media=0, **options) as box:
        for number, size in enumerate(sizes):
            box.add(size=size, seed=number, title=f"{number}", created=f"2025-06-01T10:{number:02}:00+00:00")
        with mounted(box.url, user=None, lines=lines) as mount:
            titled = {
                int(os.getxattr(path, "user.mediafs.title")): path for path in (mount.root / DAY).iterdir()
            }
            box.reset()
            yield box, mount, [titled[number] for number in range(len(sizes))]


def downloads(box: Box) -> int:
    wait_until(lambda: box.counts()["in_flight"] <= 1)  # this very question is one
    return len(requests(box, "download"))


def check(path: Path, size: int, seed: int, start: int = 0) -> None:
    """Every byte from `start` on, read in order."""
    truth = NoiseBody(size=size, seed=seed).chunks(start, size)
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        at = start
        for expected in truth:
            got = bytearray()
            while len(got) < len(expected) and (part := file.read(len(expected) - len(got))):
                got += part
            assert got == expected, f"wrong bytes at {at} of {path.name}"
            at += len(expected)
        assert file.read(1) == b""


def test_a_gibibyte_is_one_download() -> None:
    """A file that is read from beginning to end is one download, whatever the size of the reads."""
    size = 1024 * MIB
    with films(size) as (box, _, (film,)):
        check(film, size, 0)
        assert downloads(box) == 1


def test_going_back_costs_nothing() -> None:
    """Who goes back within what was read just now sends none."""
    size = 64 * MIB
    truth = b"".join(NoiseBody(size=size, seed=0).chunks(0, size))
    dice = random.Random(3)
    with films(size) as (box, _, (film,)), film.open("rb", buffering=0) as file:
        for at in range(0, 40 * MIB, MIB):
            file.seek(at)
            assert file.read(MIB) == truth[at : at + MIB]
            back = max(0, at - dice.randrange(3 * MIB))
            file.seek(back)
            assert file.read(100_000) == truth[back : back + 100_000]
        assert len(requests(box, "download")) == 1


@pytest.mark.parametrize("counted", [False, True])
def test_a_player_opens_a_film_with_three_requests(counted: bool) -> None:
    """To open a film, a player needs three requests at most, also where its index stands at its end."""
    size = 60 * MIB
    options: dict[str, Any] = {"rate_limit": 1000} if counted else {}
    with films(size, latency_s=0.03, **options) as (box, _, (film,)), film.open("rb", buffering=0) as file:
        end = size - 54_000
        for at, length in ((0, 32 * KIB), (end, 54_000), (64 * KIB, 32 * KIB), (10 * MIB, 64 * KIB)):
            file.seek(at)
            assert file.read(length) == b"".join(NoiseBody(size=size, seed=0).chunks(at, at + length))
        assert len(requests(box, "download")) <= 3


def test_sixteen_readers_get_right_bytes_and_the_cap_holds() -> None:
    """All of them together never take up more of the disk than `[cache] size`, what is being fetched
    included, and leave others `keep_free` of it;"""
    sizes, cap = [12 * MIB] * 16, 64 * MIB
    lines = ["[cache]", 'size = "64MiB"', 'memory = "64MiB"']
    with films(*sizes, lines=lines) as (box, mount, paths), ThreadPoolExecutor(17) as pool:
        over: list[int] = []
        done = False

        def watch() -> None:
            while not done:
                said = subprocess.run(
                    ["du", "-s", "-B1", mount.cache], capture_output=True, text=True, check=False
                ).stdout
                catalogue = sum(path.stat().st_blocks * 512 for path in mount.cache.glob("*/catalogue*"))
                over.append(int(said.split()[0]) - catalogue)

        watching = pool.submit(watch)
        reading = [pool.submit(check, path, sizes[number], number) for number, path in enumerate(paths)]
        for each in reading:
            each.result()
        assert len(requests(box, "download")) == 16
        for number, path in enumerate(paths):  # some of it from the disk, where that was kept
            check(path, sizes[number], number)
        done = True
        watching.result()
        assert max(over) <= cap + MIB  # the folders, and files of a few bytes
        assert max(over) > cap // 2


def test_a_stalled_download_holds_up_nobody_else() -> None:
    """A download that stalls holds up nobody who does not read that file."""
    sizes = [24 * MIB, 24 * MIB]
    with films(*sizes) as (box, mount, (stalled, healthy)), stalled.open("rb", buffering=0) as file:
        media = os.getxattr(stalled, "user.mediafs.id").decode()
        box.fault("stall", path=f"/api/v3/medias/{media}/download", after_bytes=9 * MIB, seconds=60, times=1)
        got = 0
        while got < 8 * MIB:
            got += len(file.read(MIB))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(check, stalled, sizes[0], 0, 8 * MIB)
            check(healthy, sizes[1], 1)
            assert mount.run("ls", "-l", DAY, timeout=5).returncode == 0
            assert mount.run("df", ".", timeout=5).returncode == 0
            assert not waiting.done()
            waiting.result()  # cut after 15 s, and taken up


def test_a_content_that_shrinks_does_not_cut_a_copy_of_the_older_one() -> None:
    """While a larger content is still open somewhere, its size is shown, for the kernel would else cut a copy
    under way at the new end and call it whole."""
    size, smaller = 24 * MIB, 10 * MIB
    old = b"".join(NoiseBody(size=size, seed=0).chunks(0, size))
    new = b"".join(NoiseBody(size=smaller, seed=77).chunks(0, smaller))
    with films(size) as (box, mount, (film,)), film.open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), MIB, 0) == old[:MIB]
        box.update(int(os.getxattr(film, "user.mediafs.id")), size=smaller, seed=77)
        assert mount.mediafs("refresh", str(film.parent)).returncode == 0
        for at in (20 * MIB, 12 * MIB, 10 * MIB - 4096, 0):
            try:
                got = os.pread(file.fileno(), 4096, at)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
            else:
                assert got == old[at : at + 4096]
        assert os.fstat(file.fileno()).st_size == size
        file.close()
        wait_until(lambda: film.stat().st_size == smaller)
        assert film.read_bytes() == new
