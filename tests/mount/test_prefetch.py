"""What is fetched ahead on a real mount. Docstrings are quotations from docs/SEMANTICS.md."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mediafs.sandbox.media import NoiseBody, read_all
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests, wait_until
from .quotations import unfounded

COUNT = 500
SIZE = 20_000
DAY = "by-date/2025/06/01"


@dataclass
class Shelf:
    box: Box
    mount: Mount
    paths: list[Path]
    """In the order in which they are listed; the file's number is the seed of its content."""
    listing: int
    """Requests that it took to list them."""

    def gets(self, least: int = 0) -> Counter[str]:
        """Downloads of each media since the last reset, once there are so many and none is under way."""
        wait_until(lambda: len(requests(self.box, "download")) >= least)
        wait_until(lambda: self.box.counts()["in_flight"] <= 1)  # this very question is one
        return Counter(request["path"] for request in requests(self.box, "download"))

    def check(self, copy: Path) -> None:
        """Every byte of a copy of all files is right."""
        for number, path in enumerate(self.paths):
            assert (copy / path.name).read_bytes() == truth(number)


def truth(number: int) -> bytes:
    return read_all(NoiseBody(size=SIZE, seed=number))


@contextmanager
def shelf(count: int, **options: Any) -> Iterator[Shelf]:
    with sandbox_process(media=0, **options) as box:
        first = datetime.fromisoformat("2025-06-01T10:00:00+00:00")
        for number in range(count):
            created = first + timedelta(seconds=number)
            box.add(size=SIZE, seed=number, title=f"{number}", created=created.isoformat())
        with mounted(box.url, user=None) as mount:
            titled = {
                int(os.getxattr(path, "user.mediafs.title")): path for path in (mount.root / DAY).iterdir()
            }
            listing = len(box.requests())
            box.reset()
            yield Shelf(box, mount, [titled[number] for number in range(count)], listing)


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert unfounded(globals()) == []


COPIES = {
    "cp": ("cp", "-r", DAY, "COPY"),
    "rsync": ("rsync", "-a", f"{DAY}/", "COPY"),
    "tar": ("sh", "-c", f"mkdir COPY && tar c -C {DAY} . | tar x -C COPY"),
    "glob": ("sh", "-c", f"mkdir COPY && for f in {DAY}/*; do cat $f >COPY/${{f##*/}}; done"),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_many_small_files_is_one_get_each_most_of_them_ahead(how: str) -> None:
    """Who reads files of less than 4 MiB one after the other, in the order in which they are listed, of their
    names or of their inode numbers, as `cp -r`, `rsync` and `tar` do, has the next ones fetched ahead, up to
    16 at once.

    Each is still one download;"""
    with shelf(COUNT, latency_s=0.01) as here:
        copy = here.mount.folder / "copy"
        command = [part.replace("COPY", str(copy)) for part in COPIES[how]]
        done = here.mount.run(*command)
        assert done.returncode == 0, done.stderr
        here.check(copy)
        gets = here.gets()
        assert (len(gets), gets.total()) == (COUNT, COUNT)
        assert 2 < here.box.counts()["peak_in_flight"] <= 17  # how many it comes to is the machine's matter


def test_where_the_reading_stops_a_few_were_fetched_in_vain() -> None:
    """where the reading stops, what was fetched ahead was fetched in vain."""
    with shelf(60) as here:
        for path in here.paths[:2]:
            path.read_bytes()
        assert here.gets(2 + 4).total() == 2 + 4
        for path in here.paths[2:10]:
            path.read_bytes()
        assert here.gets(10 + 16).total() == 10 + 16


def test_where_requests_are_counted_four_are_fetched_ahead_and_none_of_the_last() -> None:
    """Where the service shows how many requests it allows, that is at most 4 at once, and none when only the
    last few are left."""
    with shelf(60, rate_limit=20) as here:
        for path in here.paths[:4]:
            path.read_bytes()
            assert here.gets().total() <= 4 + 4
        allowed = 20 - here.listing - 3
        for path in here.paths[4:allowed]:
            path.read_bytes()
        assert here.gets(allowed).total() == allowed
        here.paths[allowed].read_bytes()
        assert here.gets().total() == allowed + 1


def scattered(paths: Sequence[Path]) -> list[Path]:
    """No two of them in a row are near each other in any order."""
    dice, names = random.Random(1), sorted(path.name for path in paths)
    folded = sorted(names, key=str.casefold)
    found = [paths[0]]
    while len(found) < 60:
        path, last = dice.choice(paths), found[-1]
        distances = [
            abs(paths.index(path) - paths.index(last)),
            abs(names.index(path.name) - names.index(last.name)),
            abs(folded.index(path.name) - folded.index(last.name)),
        ]
        if min(distances) > 4 and path not in found:
            found.append(path)
    return found


def test_reading_here_and_there_fetches_nothing_ahead() -> None:
    """Files that are read here and there, and media of which each download counts at the service, are never
    fetched ahead."""
    with shelf(200) as here:
        some = scattered(here.paths)
        for path in some:
            path.read_bytes()
        assert here.gets().total() == len(some)
