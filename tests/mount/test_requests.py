"""What a mount costs: the service's own log of requests is counted, on real mounts."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests, wait_until

PAGE = 100
"""The most media that the service puts on one page."""

MIB = 1 << 20

PROBES = (
    *(".hidden", ".Trash", ".Trash-0", ".Trash-1000", ".directory", ".sh_thumbnails", ".DS_Store", ".git"),
    *(".nomedia", "._x.png", ".xdg-volume-info", "autorun.inf", "AUTORUN.INF", "desktop.ini", "Desktop.ini"),
    *("Thumbs.db", "folder.jpg", "Folder.jpg", "cover.jpg", "x.xmp", "x.png.xmp", "x.cue", "x.nfo", "x.srt"),
    *("lost+found", "$RECYCLE.BIN", "System Volume Information", "VIDEO_TS", "BDMV"),
)
"""What desktops, players and other systems look for in every folder."""

Truth = dict[str, dict[str, Any]]
"""File name -> record."""


def truth_of(box: Box, user: str | None = "all") -> Truth:
    """What an account with that `user` has to show; None: the token's own user's media."""
    return {
        m["filename"]: m
        for m in box.world()
        if m["completed"] and (user == "all" or m["owner"]["id"] == 1000)
    }


def day_of(media: Mapping[str, Any]) -> str:
    return "by-date/" + str(media["created"])[:10].replace("-", "/")


def by_day(truth: Truth) -> dict[str, set[str]]:
    days: dict[str, set[str]] = {}
    for name, media in truth.items():
        days.setdefault(day_of(media), set()).add(name)
    return days


def pages(count: int) -> int:
    """The pages of one whole listing of so many media; an empty one has a page too."""
    return max(1, -(-count // PAGE))


def ls(mount: Mount, path: str) -> list[str]:
    """`ls -l`, which also looks at every entry. Names are without spaces in a world that is not hostile."""
    done = mount.run("ls", "-lA", path)
    assert done.returncode == 0, done.stderr + mount.log
    return [line.split()[-1] for line in done.stdout.splitlines()[1:]]


@contextmanager
def costing(box: Box, most: int) -> Iterator[None]:
    """The block causes at most so many requests of any kind."""
    box.reset()
    yield
    made = [f"{r['method']} {r['path']}?{r['query']}" for r in box.requests()]
    assert len(made) <= most, "\n".join([f"{len(made)} requests, the last of them:", *made[-20:]])


@pytest.fixture(scope="module")
def small() -> Iterator[Box]:
    """An account of 300 media and one of 20 MiB. Shared, so never changed."""
    with sandbox_process(media=300) as running:
        running.add(
            size=20 * MIB,
            filename="media-LargeLargeLarge00-1740996000.mp4",
            media_type="video",
            created="2025-03-03T10:00:00+00:00",
            conversation="5000",
        )
        yield running


@pytest.fixture(scope="module")
def archive() -> Iterator[Box]:
    """An account of 10,000 media over two years. Shared, so never changed."""
    with sandbox_process(media=10_000) as running:
        yield running


@pytest.fixture(scope="module")
def archived(archive: Box) -> dict[str, set[str]]:
    """The days of the archive and their names."""
    return by_day(truth_of(archive))


# --- one directory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("media", [300, 3000])
def test_ls_of_a_day_costs_at_most_its_pages_and_one_request(media: int) -> None:
    """For all users' media, and for the token's own user's."""
    with sandbox_process(media=media) as box:
        for user in ("all", None):
            days = by_day(truth_of(box, user))
            fullest = max(days, key=lambda day: (len(days[day]), day))
            with costing(box, 1 + pages(len(days[fullest]))), mounted(box.url, user=user) as mount:
                assert sorted(ls(mount, fullest)) == sorted(days[fullest])


@pytest.mark.parametrize(
    ("user", "owners", "apart_s"),
    [("all", 3, 60), ("all", 1, 60), ("all", 3, 0), (None, 1, 60)],
)
def test_ls_of_a_day_of_several_pages_costs_at_most_them_and_one_request(
    user: str | None, owners: int, apart_s: int
) -> None:
    """Also where all belong to one owner, or were made in one second."""
    with sandbox_process(media=100, first="2025-01-01", last="2025-02-28") as box:
        start = datetime.fromisoformat("2025-03-03T00:00:10+00:00")
        for number in range(250):
            created = start + timedelta(seconds=number * apart_s)
            box.add(created=created.isoformat(), owner=1000 + number % owners)
        names = by_day(truth_of(box, user))["by-date/2025/03/03"]
        assert len(names) == 250
        with costing(box, 1 + pages(250)), mounted(box.url, user=user) as mount:
            assert sorted(ls(mount, "by-date/2025/03/03")) == sorted(names)


def test_a_second_ls_within_fresh_for_costs_nothing(small: Box) -> None:
    with mounted(small.url, lines=['conversations = ["5000"]']) as mount:
        leaves = ["by-date/2025/03/03", "by-date/2025/03/04", "recent", "by-conversation/5000"]
        leaves += ["by-conversation/5003"]
        folders = [".", "by-date", "by-date/2025", "by-date/2025/03", "by-conversation", "by-user"]
        first = {place: ls(mount, place) for place in leaves}
        for folder in folders:
            assert mount.run("ls", folder).stdout
        person = f"by-user/{mount.run('ls', 'by-user').stdout.splitlines()[0]}"
        first[person] = ls(mount, person)
        assert [place for place, names in first.items() if not names] == ["by-date/2025/03/04"]
        with costing(small, 0):
            assert {place: ls(mount, place) for place in first} == first
            for folder in folders:
                assert mount.run("ls", "-la", folder).returncode == 0


@pytest.mark.parametrize("place", ["by-date/2025/06/01", "by-conversation/5000"])
def test_processes_that_list_one_cold_directory_at_once_share_one_crawl(place: str) -> None:
    with sandbox_process(
        media=220, conversations=1, first="2025-06-01", last="2025-06-01", latency_s=0.1
    ) as box:
        names = sorted(truth_of(box))
        asked: dict[int, Counter[str]] = {}
        for count in (1, 2, 8):
            box.reset()
            with (
                mounted(box.url, lines=['conversations = ["5000"]']) as mount,
                ThreadPoolExecutor(count) as pool,
            ):
                found = list(pool.map(lambda _: mount.run("ls", place), range(count)))
            assert all(sorted(done.stdout.split()) == names for done in found)
            asked[count] = Counter(request["query"] for request in box.requests())
        assert asked[1].total() >= pages(len(names))
        assert asked[2] == asked[8] == asked[1]


# --- the whole tree ---------------------------------------------------------------------------------


def found_by_find(mount: Mount) -> list[str]:
    done = mount.run("find", "by-date", "-type", "f", timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def found_backwards(mount: Mount) -> list[str]:
    found: list[str] = []

    def walk(folder: Path) -> None:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True):
            if entry.is_dir():
                walk(Path(entry.path))
            else:
                found.append(str(Path(entry.path).relative_to(mount.root)))

    walk(mount.root / "by-date")
    return found


def found_by_four(mount: Mount) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(lambda _: found_by_find(mount), range(4))
    assert all(other == first for other in others)
    return first


def found_by_rsync(mount: Mount) -> list[str]:
    done = mount.run("rsync", "-a", "--list-only", "by-date", timeout=100)
    assert done.returncode == 0, done.stderr
    return [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("-")]


@pytest.mark.parametrize(
    ("walk", "most"),
    [
        (found_by_find, 130),
        (found_by_four, 130),
        (found_by_rsync, 130),
        # A page goes forwards in time, so who walks backwards is served by guesses of how many days
        # fill one; a whole day alone would be 730.
        (found_backwards, 250),
    ],
)
def test_walking_by_date_costs_little_more_than_the_pages_of_one_whole_listing(
    archive: Box, archived: Mapping[str, set[str]], walk: Any, most: int
) -> None:
    expected = sorted(f"{day}/{name}" for day, names in archived.items() for name in names)
    assert len(expected) > 9_000
    with costing(archive, most), mounted(archive.url) as mount:
        assert sorted(walk(mount)) == expected


def test_a_remount_shows_what_was_listed_before_without_any_request(small: Box) -> None:
    """The same files, inodes, sizes and times, within `fresh_for`."""
    days = by_day(truth_of(small))
    with mounted(small.url, lines=['fresh_for = "1h"']) as mount:

        def shown() -> dict[str, tuple[int, int, int]]:
            listed = mount.run("ls", "-R", "by-date")
            assert listed.returncode == 0, listed.stderr
            assert sum("media-" in line for line in listed.stdout.splitlines()) == 300 - unfinished
            files = mount.files("by-date")
            return {path: (s.st_ino, s.st_size, s.st_mtime_ns) for path, s in files.items()}

        unfinished = 300 - sum(map(len, days.values()))
        before = shown()
        assert len(before) == 300 - unfinished
        assert mount.umount().returncode == 0
        with costing(small, 0):
            assert mount.mount().returncode == 0
            assert shown() == before


def test_a_remount_knows_the_few_days_that_were_listed(
    archive: Box, archived: Mapping[str, set[str]]
) -> None:
    some = [day for day in archived if day.endswith("/17")][::7]
    with mounted(archive.url) as mount:
        before = {day: ls(mount, day) for day in some}
        assert before == {day: sorted(archived[day]) for day in some}
        assert mount.umount().returncode == 0
        with costing(archive, 0):
            assert mount.mount().returncode == 0
            assert {day: ls(mount, day) for day in some} == before


# --- what costs nothing -----------------------------------------------------------------------------


def test_desktop_probes_cost_nothing_in_folders_that_were_never_listed(small: Box) -> None:
    with mounted(small.url, lines=['conversations = ["5000", "5999"]']) as mount, costing(small, 0):
        places = [".", "by-date", "by-date/2025", "by-date/2025/03", "by-date/2025/03/03", "by-user"]
        places += ["by-conversation", "by-conversation/5000", "by-conversation/5999", "recent"]
        for place in places:
            for name in PROBES:
                assert not os.path.lexists(mount.root / place / name), (place, name)


def test_desktop_probes_cost_nothing_however_old_the_listing(small: Box) -> None:
    with mounted(small.url, lines=['fresh_for = "50ms"']) as mount:
        places = [".", "by-date/2025/03/03", "by-conversation/5003", "recent", "by-user"]
        listed = {place: mount.run("ls", place).stdout for place in places}
        assert all(listed.values())
        person = f"by-user/{listed['by-user'].splitlines()[0]}"
        mount.run("ls", person)
        time.sleep(0.6)  # more than ten times that: a look at any other name would list again first
        with costing(small, 0):
            for place in [*places, person]:
                for name in PROBES:
                    assert not os.path.lexists(mount.root / place / name), (place, name)


COMMANDS = (
    *(("stat",), ("stat", "-f"), ("ls", "-ld"), ("test", "-e")),
    *(("getfattr",), ("getfattr", "-d"), ("getfattr", "-d", "-m", "-")),
)
"""What asks for attributes, and no more."""

FOLDERS = (
    *(".", "by-date", "by-date/2025/03", "by-date/2025/03/03", "by-date/2024/07/07", "recent"),
    *("by-user", "by-conversation", "by-conversation/5000"),
)


def test_attributes_of_folders_that_were_never_listed_cost_nothing(small: Box) -> None:
    with mounted(small.url, lines=['conversations = ["5000"]']) as mount, costing(small, 0):
        for command in COMMANDS:
            for folder in FOLDERS:
                done = mount.run(*command, folder)
                assert done.returncode == 0, (command, folder, done.stderr)


def test_df_costs_nothing_but_the_listing_of_a_folder_that_it_opens(small: Box) -> None:
    """`df FOLDER` opens the folder, as `ls` does; opening it is where a listing may fail, and must."""
    listings = {"by-date": 1, "by-date/2025/03/03": 1, "recent": 1, "by-conversation/5000": 2}
    with mounted(small.url, lines=['conversations = ["5000"]']) as mount:
        for again in (False, True):
            cost = {}
            for folder in FOLDERS:
                small.reset()
                assert mount.run("df", folder).returncode == 0
                cost[folder] = len(small.requests())
            assert cost == {folder: 0 if again else listings.get(folder, 0) for folder in FOLDERS}


def test_attributes_and_df_of_files_cost_nothing_however_old_their_listing(small: Box) -> None:
    names = by_day(truth_of(small))["by-date/2025/03/03"]
    with mounted(small.url, lines=['fresh_for = "50ms"']) as mount:
        ls(mount, "by-date/2025/03/03")
        files = [f"by-date/2025/03/03/{name}" for name in names]
        time.sleep(0.6)  # what was listed is more than stale by now
        with costing(small, 0):
            for command in (*COMMANDS, ("getfattr", "-n", "user.mediafs.record"), ("df",), ("du",)):
                for file in files:
                    done = mount.run(*command, file)
                    assert done.returncode == 0, (command, done.stderr)
            assert mount.run("getfattr", "-n", "user.mediafs.nonsense", files[0]).returncode == 1


# --- reading ----------------------------------------------------------------------------------------


def big_and_small(box: Box) -> list[str]:
    """A media of 20 MiB, and the smallest image."""
    truth = truth_of(box)
    images = [m for m in truth.values() if m["media_type"] == "image"]
    chosen = [truth["media-LargeLargeLarge00-1740996000.mp4"], min(images, key=lambda m: int(m["size"]))]
    return [f"{day_of(m)}/{m['filename']}" for m in chosen]


def test_cat_is_one_get_and_a_second_cat_is_none(small: Box) -> None:
    sums = {m["filename"]: m["sha256"] for m in small.world(digest=True)}
    with mounted(small.url) as mount:
        for path in big_and_small(small):
            ls(mount, os.path.dirname(path))
            with costing(small, 1):
                assert mount.run("sha256sum", path).stdout[:64] == sums[Path(path).name]
                made = small.requests()
                assert [r["path"].rpartition("/")[2] for r in made] == ["download"]
            with costing(small, 0):
                assert mount.run("sha256sum", path).stdout[:64] == sums[Path(path).name]


def test_a_second_cat_comes_from_the_kernels_pages_where_the_daemon_cannot_hold_it(small: Box) -> None:
    path = big_and_small(small)[0]
    with mounted(small.url, lines=["[cache]", 'memory = "8MiB"']) as mount:
        assert mount.run("sha256sum", path).returncode == 0
        cost = []
        for _ in range(4):
            small.reset()
            assert mount.run("sha256sum", path).returncode == 0
            cost.append(len(small.requests()))
        # Not every time: the kernel may need the memory for something else, a page or all of them.
        assert 0 in cost


def test_head_and_tail_of_a_large_file_are_two_gets_and_leave_the_middle_alone(small: Box) -> None:
    path = big_and_small(small)[0]
    with mounted(small.url) as mount:
        ls(mount, os.path.dirname(path))
        with costing(small, 2):
            parts = [mount.run(*c, "-c", "100", path) for c in (["head"], ["tail"])]
            assert [part.returncode for part in parts] == [0, 0]
            # Nobody reads any more: no GET is left hanging.
            wait_until(lambda: small.counts()["in_flight"] <= 1)  # this very question is one
            assert sum(r["bytes_sent"] for r in small.requests()) < 10 * MIB
        whole = (mount.root / path).read_bytes()
        sums = {m["filename"]: m["sha256"] for m in small.world(digest=True)}
        assert hashlib.sha256(whole).hexdigest() == sums[Path(path).name]


# --- the service's limit ----------------------------------------------------------------------------

DEADLINE_S = 5.0
ALLOWANCE_S = 3.0
"""For a busy machine. A listing that waits past its deadline is far from this: windows are longer."""


def asked(mount: Mount, path: str) -> list[str] | int:
    """The names in a directory, or the errno that came instead, in either case within the deadline."""
    began = time.monotonic()
    try:
        return sorted(os.listdir(mount.root / path))
    except OSError as error:
        return error.errno or 0
    finally:
        assert time.monotonic() - began < DEADLINE_S + ALLOWANCE_S


def check_answers(answers: Mapping[str, list[str] | int], days: Mapping[str, set[str]]) -> None:
    """Whole, or refused with ETIMEDOUT: nothing between."""
    for day, answer in answers.items():
        assert answer in (errno.ETIMEDOUT, sorted(days[day])), day


def refusals(box: Box, window_s: float) -> Sequence[float]:
    """When the service said 429; never twice in one window."""
    moments = [r["at_s"] for r in box.requests() if r["status"] == 429]
    assert all(later - earlier >= window_s for earlier, later in pairwise(moments)), moments
    return moments


def scattered(days: Mapping[str, set[str]], count: int) -> list[str]:
    """Days so far apart that no two are on one page."""
    full = sorted(days)
    return full[:: len(full) // count][:count]


@pytest.fixture
def limited() -> Iterator[Box]:
    """Ten requests a minute, as the service documents them, and an account of 30 pages."""
    with sandbox_process(media=3000, rate_limit=10) as running:
        yield running


def limited_mount(box: Box, *, deadline_s: float = DEADLINE_S) -> Any:
    return mounted(box.url, lines=[f'list_deadline = "{deadline_s:g}s"'])


def test_ten_a_minute_are_never_overdrawn_and_what_is_known_answers_meanwhile(limited: Box) -> None:
    """Also where four processes ask at once."""
    days = by_day(truth_of(limited))
    some = scattered(days, 16)
    with limited_mount(limited) as mount:
        with ThreadPoolExecutor(4) as pool:
            answers = dict(zip(some, pool.map(lambda day: asked(mount, day), some), strict=True))
        check_answers(answers, days)
        known = [day for day, answer in answers.items() if answer != errno.ETIMEDOUT]
        assert 1 <= len(known) < len(some)
        assert refusals(limited, 60) == []
        made = len(limited.requests())
        assert made <= 10
        for day in known:
            assert asked(mount, day) == sorted(days[day])
        assert len(limited.requests()) == made


def test_status_says_how_long_the_limit_lasts(limited: Box) -> None:
    days = by_day(truth_of(limited))
    some = scattered(days, 12)
    with limited_mount(limited) as mount:
        answers = {day: asked(mount, day) for day in some}
        check_answers(answers, days)
        assert answers[some[-1]] == errno.ETIMEDOUT
        assert refusals(limited, 60) == []
        facts = mount.status()["requests"]
        assert facts["left"] == 0
        assert facts["reset_in_s"] is not None, "no request is left, and nothing says until when"
        assert 0 < facts["reset_in_s"] <= 61
        assert "again in" in mount.mediafs("status", str(mount.root)).stdout


def spend(box: Box, count: int = 10) -> None:
    """Somebody else uses up the window of the same user."""
    for _ in range(count):
        if box.call("GET", "/api/v3/medias?limit=1").status == 429:
            break
    box.reset()


def test_after_a_429_ls_fails_at_once_and_works_again_in_the_next_window() -> None:
    with sandbox_process(media=3000, rate_limit=10, rate_window_s=6.0) as box, limited_mount(box) as mount:
        days = by_day(truth_of(box))
        known, *others = scattered(days, 6)
        assert asked(mount, known) == sorted(days[known])
        spend(box)
        began = time.monotonic()
        assert [asked(mount, day) for day in others] == [errno.ETIMEDOUT] * len(others)
        assert asked(mount, known) == sorted(days[known])
        # Not one of them waited for a window that is longer than its deadline.
        assert time.monotonic() - began < ALLOWANCE_S
        facts = mount.status()["requests"]
        assert facts["left"] == 0
        assert 0 < facts["reset_in_s"] <= 7
        assert "again in" in mount.mediafs("status", str(mount.root)).stdout
        assert len(refusals(box, 6)) == 1
        # What was asked for is listed behind, in the next window, without anybody asking again.
        wait_until(lambda: sum(r["status"] == 200 for r in box.requests()) >= len(others))
        assert [asked(mount, day) for day in others] == [sorted(days[day]) for day in others]
        assert len(refusals(box, 6)) == 1


def test_a_429_whose_wait_fits_the_deadline_is_waited_for() -> None:
    with sandbox_process(media=3000, rate_limit=10, rate_window_s=1.0) as box, limited_mount(box) as mount:
        days = by_day(truth_of(box))
        spend(box)
        day = scattered(days, 3)[1]
        assert asked(mount, day) == sorted(days[day])
        assert len(refusals(box, 1)) == 1


def _in(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(time.time() + seconds, UTC), usegmt=True)


WAITS: dict[str, Callable[[float], dict[str, str]]] = {
    "Retry-After in seconds": lambda s: {"Retry-After": f"{s:.0f}"},
    "Retry-After as a date": lambda s: {"Retry-After": _in(s)},
    "X-RateLimit-Reset in seconds": lambda s: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{s:.0f}"},
    "X-RateLimit-Reset as Unix time": lambda s: {"X-RateLimit-Reset": f"{time.time() + s:.0f}"},
}


@pytest.mark.parametrize("said", WAITS)
def test_a_429_is_obeyed_whatever_its_headers(said: str) -> None:
    """Longer than the deadline: told at once, and nothing more is sent until then."""
    with sandbox_process(media=3000) as box, limited_mount(box, deadline_s=2) as mount:
        days = by_day(truth_of(box))
        known, first, second = scattered(days, 3)
        assert asked(mount, known) == sorted(days[known])
        box.reset()
        box.fault("status", path="/api/v3/medias", status=429, headers=WAITS[said](5))
        began = time.monotonic()
        assert [asked(mount, day) for day in (first, second, first)] == [errno.ETIMEDOUT] * 3
        assert asked(mount, known) == sorted(days[known]), "what is held is shown"
        assert time.monotonic() - began < ALLOWANCE_S, "nobody waits in vain"
        assert len(requests(box)) == 1, "nothing hammers"
        assert mount.status()["requests"]["throttled_until"] > time.time()
        assert ", again in " in mount.mediafs("status", str(mount.root)).stdout
        # Both are listed behind once the wait is over, without anybody asking again.
        wait_until(lambda: len(requests(box)) >= 3, 30)
        assert time.monotonic() - began > 4
        assert asked(mount, second) == sorted(days[second])
