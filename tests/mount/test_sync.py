"""`mediafs sync` and `poll`, on real mounts: each docstring here is a quotation from docs/SEMANTICS.md."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import UTC

import pytest

from mediafs.sandbox.testing import Box, sandbox_process
from mediafs.sync import SyncOptions

from .mounting import Mount, mounted, prepared, requests, wait_until
from .quotations import unfounded
from .test_requests import by_day, costing, day_of, ls, pages, truth_of

FRESH = 'fresh_for = "1h"'
LANES = SyncOptions(zone=UTC).lanes


def complete(mount: Mount, place: str) -> str:
    return os.getxattr(mount.root / place, "user.mediafs.complete").decode()


def listings(box: Box) -> list[str]:
    """The pages that were asked for."""
    return [str(r["query"]) for r in requests(box) if r["path"].endswith("/medias")]


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert unfounded(globals()) == []


@pytest.mark.parametrize("before", [True, False], ids=["beside a mount", "before it"])
def test_what_was_listed_costs_nothing_to_look_at(before: bool) -> None:
    """`mediafs sync ACCOUNT` lists all days of an account, and the conversations that its
    configuration names, beside its mount or without one.

    When it has ended, `by-date/` is complete, and so are `by-user/` and `by-conversation/` where
    records tell whose and of which conversation a media is: `user.mediafs.complete` is `true`, and
    looking at all of it costs no request within `fresh_for`.

    Days that were listed since it began, or are fresh, are not asked for again.
    """
    with sandbox_process(media=10_000) as box:
        truth = truth_of(box)
        lines = [FRESH, 'conversations = ["5000"]']
        with prepared(box.url, lines=lines) as mount:
            if before:
                assert mount.mount().returncode == 0
                assert complete(mount, "by-date") == "false"
            # Each range begins and ends on a page that is not full; how often one is halved is chance.
            with costing(box, pages(len(truth)) + 5 + 4 * LANES):
                done = mount.mediafs("sync", mount.account)
                assert done.returncode == 0, done.stderr
                assert done.stdout.startswith(f"clinic: {len(truth)} media on ")
            if not before:
                assert mount.mount().returncode == 0
            with costing(box, 0):
                found = {path.split("/")[-1] for path in mount.files("by-date")}
                assert found == set(truth)
                assert {path.split("/")[-1] for path in mount.files("by-user")} == set(truth)
                assert len(ls(mount, "recent")) == 100
                assert ls(mount, "by-conversation/5000")
                assert complete(mount, "by-date") == complete(mount, "by-user") == "true"
                assert complete(mount, "by-conversation") == "false", "its records do not tell"
                again = mount.mediafs("sync", mount.account)
                assert again.stdout == "clinic: nothing to ask for; every day is listed\n"


def test_a_sync_shares_the_rate_limit_with_the_mount_and_people_go_first() -> None:
    """It shares the rate limit with the mount, and people go first.

    Of two at once, the second follows the first.
    """
    with sandbox_process(media=4000, rate_limit=25) as box:
        days = by_day(truth_of(box))
        last = max(days)
        with (
            mounted(box.url, lines=[FRESH]) as mount,
            mount.begun("sync", mount.account) as one,
            mount.begun("sync", mount.account) as two,
        ):

            def waits() -> bool:
                facts = mount.status()
                return bool(facts["sync"] and facts["requests"]["waiting"])

            wait_until(waits, 30)
            assert len(listings(box)) <= 22, "three of the window are for people"
            assert "sync         under way, " in mount.mediafs("status", str(mount.root)).stdout
            assert sorted(ls(mount, last)) == sorted(days[last])
            assert one.poll() is None
            assert two.poll() is None
            two.send_signal(signal.SIGINT)
            assert two.wait(30) == 130
            assert mount.status()["sync"] is not None, "somebody still follows it"
            one.send_signal(signal.SIGINT)
            out, _ = one.communicate(timeout=30)
            assert one.returncode == 130
            assert "a second run goes on" in out
            wait_until(lambda: mount.status()["sync"] is None)
            assert Counter(listings(box)).most_common(1)[0][1] == 1, "no page was asked for twice"
            assert [r for r in requests(box) if r["status"] == 429] == []


@pytest.mark.parametrize("page", [1, 2, 15, 30])
def test_a_crash_at_any_page_leaves_what_was_listed(page: int) -> None:
    """Ctrl-C, a crash or a failure may end it at any page: what was listed stays, a day is shown whole
    or not at all, and a second run within a day goes on from there and asks for one page again at
    most, of each range of days that was being read the day under way.
    """
    with sandbox_process(media=3000) as box:
        truth = truth_of(box)
        days = by_day(truth)
        with prepared(box.url, lines=[FRESH]) as mount:
            assert mount.mount().returncode == 0
            box.fault("late", path="/api/v3/medias", skip=page - 1, times=None, seconds=120)
            with mount.begun("sync", mount.account) as process:
                wait_until(lambda: len(listings(box)) >= page, 30)
                mount.kill()
                out, err = process.communicate(timeout=30)
                assert process.returncode == 1, out + err
            box.clear_faults()
            before = listings(box)
            assert mount.mount().returncode == 0, mount.log
            if page > 2:
                known = ls(mount, min(days))
                assert sorted(known) == sorted(days[min(days)])
                assert listings(box) == before, "what was listed is shown"
            done = mount.mediafs("sync", mount.account)
            assert done.returncode == 0, done.stderr
            asked = Counter(listings(box))
            assert sum(count - 1 for count in asked.values()) <= LANES
            # The days that were under way, and the ends of ranges.
            assert asked.total() <= pages(len(truth)) + 2 + (4 * LANES if page > 1 else 2 * LANES)
            with costing(box, 0):
                assert {path.split("/")[-1] for path in mount.files("by-date")} == set(truth)


def test_what_a_sync_finds_is_shown_at_once() -> None:
    """`--since DATE` leaves out the days before."""
    with sandbox_process(media=300) as box:
        days = by_day(truth_of(box))
        first, last = min(days), max(days)
        with mounted(box.url, lines=['fresh_for = "1s"', 'list_deadline = "20s"']) as mount:
            assert mount.mediafs("sync", mount.account).returncode == 0
            shown = {place: ls(mount, place) for place in (first, last)}
            kept, gone = (
                next(m for m in box.world() if day_of(m) == place and m["completed"]) for place in shown
            )
            box.remove(kept["id"])
            box.remove(gone["id"])
            time.sleep(1.1)
            day = last.removeprefix("by-date/").replace("/", "-")
            box.reset()
            done = mount.mediafs("sync", mount.account, "--since", day)
            assert done.returncode == 0, done.stderr
            assert done.stdout.endswith(f"every day from {day} on is listed\n")
            assert not (mount.root / last / gone["filename"]).exists()
            assert (mount.root / first / kept["filename"]).exists()
            assert len(listings(box)) == 1


def test_what_is_new_is_shown_without_anybody_looking() -> None:
    """**What is new** is not asked for before somebody looks, unless the account's `poll` says how
    often.

    Then, all that was made since 48 hours before the newest media known is asked for, because
    recordings complete late, by one request where that is no more than a page; and what is found is
    shown at once.
    """
    with sandbox_process(media=300) as box, mounted(box.url, lines=[FRESH, 'poll = "10s"']) as mount:
        days = by_day(truth_of(box))
        last = max(days)
        before = ls(mount, last)
        assert not (mount.root / last / "media-NewNewNewNewNew00-1740996000.png").exists()
        box.reset()
        created = f"{last.removeprefix('by-date/').replace('/', '-')}T23:59:00+00:00"
        box.add(created=created, filename="media-NewNewNewNewNew00-1740996000.png")
        wait_until(lambda: mount.status()["poll"]["done"] is not None, 30)
        assert (mount.root / last / "media-NewNewNewNewNew00-1740996000.png").exists()
        assert len(ls(mount, last)) == len(before) + 1
        assert len(requests(box)) == 1
        assert "poll         every 10 s, last " in mount.mediafs("status", str(mount.root)).stdout


def test_what_was_asked_today_is_one_account_over_syncs_mounts_and_crashes() -> None:
    """`today` counts what `mediafs sync` and earlier mounts have asked, too; a crash loses the last
    seconds of it.
    """
    with sandbox_process(media=500, rate_limit=60) as box, prepared(box.url, lines=[FRESH]) as mount:
        assert mount.mediafs("sync", mount.account).returncode == 0
        assert mount.mount().returncode == 0
        path = next(iter(mount.files("by-date")))
        (mount.root / path).read_bytes()
        asked = len(requests(box))

        def today() -> dict[str, int]:
            counts: dict[str, int] = mount.status()["requests"]["today"]["by_operation"]
            return counts

        before = today()
        assert sum(before.values()) == asked
        assert before["download"] == 1
        said = mount.mediafs("status", str(mount.root)).stdout
        assert f"{asked} today (UTC): " in said
        time.sleep(6)  # what is learnt is kept every five seconds
        left = mount.status()["requests"]["left"]
        mount.kill()
        mount.umount()
        assert mount.mount().returncode == 0
        assert today() == before
        assert mount.status()["requests"]["left"] <= left, "the window is known to the next daemon"
        assert len(requests(box)) == asked
