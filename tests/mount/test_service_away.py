"""The service is down, refuses, talks nonsense or hangs: what is known stays, what is not fails.

`fresh_for` is 200 ms in the mounts whose listings are to be old: ten times that is soon over.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests, wait_until

MEDIA = 1000
"""In two years: a page of 100 holds some 70 days, so that a look at one day leaves most unknown."""

OLD = ('fresh_for = "200ms"', 'list_deadline = "3s"')
OLD_AFTER_S = 2.1
LISTS = "/api/v3/medias"

Outcome = list[str] | int
"""Names, or an errno."""


def outcome(path: Path) -> Outcome:
    """What `ls` of a folder comes to."""
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        return error.errno or 0


def outcomes(paths: Sequence[Path]) -> list[Outcome]:
    """Of several folders at once: each may take its retries."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(outcome, paths))


def errno_of(action: Callable[[], object]) -> int:
    try:
        action()
    except OSError as error:
        return error.errno or 0
    return 0


def listing_error(folder: Path) -> str | None:
    """Why the last listing failed, as the folder says; None: it does not say that it did."""
    if errno_of(lambda: os.getxattr(folder, "user.mediafs.error")) == errno.ENODATA:
        return None
    return os.getxattr(folder, "user.mediafs.error").decode()


def days(box: Box) -> dict[str, list[str]]:
    """By-date path -> ids of its media, oldest day first."""
    found: dict[str, list[str]] = {}
    for media in box.world():
        if media["completed"]:
            day = "by-date/" + str(media["created"])[:10].replace("-", "/")
            found.setdefault(day, []).append(str(media["id"]))
    return dict(sorted(found.items()))


def ids(folder: Path) -> set[str]:
    return {os.getxattr(path, "user.mediafs.id").decode() for path in folder.iterdir()}


def problem(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(p for p in status["problems"] if p["kind"] == kind)
    return found


# --- down ----------------------------------------------------------------------------------------------


def test_while_the_service_is_down_the_mount_shows_what_it_knows_and_nothing_that_it_does_not() -> None:
    with ExitStack() as service:
        box = service.enter_context(sandbox_process(media=MEDIA))
        port = urlsplit(box.url).port
        assert port
        by_day = days(box)
        known, last = list(by_day)[3], list(by_day)[-1]
        owner = next(m["owner"]["id"] for m in box.world() if m["owner"])
        with mounted(box.url) as mount:
            # The service goes before the first look: an empty archive would be a lie.
            service.close()
            assert outcomes([mount.root / "by-date", mount.root / "recent"]) == [errno.EIO] * 2
            with sandbox_process(media=MEDIA, port=port):
                years = outcome(mount.root / "by-date")
                assert isinstance(years, list), "it is back, and nothing has to be mounted again"
                assert {"2024", "2025"} <= set(years)
                names = outcome(mount.root / known)
                assert ids(mount.root / known) == set(by_day[known])
                file = next((mount.root / known).iterdir())
                content = file.read_bytes()
                unread = next(p for p in (mount.root / list(by_day)[4]).iterdir())
            for offline_mount in (False, True):
                if offline_mount:
                    assert mount.umount().returncode == 0
                    assert mount.mount().returncode == 0
                assert outcome(mount.root / "by-date") == years
                assert outcome(mount.root / known) == names
                assert file.stat().st_size == len(content)
                away = [
                    mount.root / last,
                    mount.root / "recent",
                    mount.root / "by-conversation" / "5003",
                    mount.root / "by-user" / str(owner),
                    mount.root / "by-user" / "424242",
                    # A name is not "not there" because nobody could look.
                    mount.root / last / "media-x.png",
                ]
                assert outcomes(away) == [errno.EIO] * len(away)
            assert errno_of(unread.read_bytes) == errno.EIO
            assert "base_url" in problem(mount.status(), "Unavailable")["advice"]
            with sandbox_process(media=MEDIA, port=port):
                back = outcomes(
                    [mount.root / last, mount.root / "recent", mount.root / "by-conversation/5003"]
                )
                assert all(isinstance(one, list) and one for one in back)
                assert ids(mount.root / last) == set(by_day[last])
                assert unread.read_bytes()


# --- it answers, but wrongly ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Failing:
    fault: Mapping[str, Any]
    unknown: int
    """errno of what was never listed."""
    known: int
    """errno of what was listed long ago; 0: the last whole listing is shown."""
    kind: str
    """As `status` calls it."""


FAILINGS = {
    "refuses connections": Failing({"kind": "refuse"}, errno.EIO, 0, "Unavailable"),
    "fails": Failing({"kind": "status", "status": 500}, errno.EIO, 0, "Unavailable"),
    "hangs": Failing({"kind": "delay", "seconds": 6}, errno.ETIMEDOUT, 0, ""),
    "shows a page to sign in": Failing({"kind": "html"}, errno.EIO, errno.EIO, "InvalidReply"),
    "answers nothing": Failing({"kind": "empty"}, errno.EIO, errno.EIO, "InvalidReply"),
    "forbids": Failing({"kind": "status", "status": 403}, errno.EACCES, errno.EACCES, "Denied"),
    "refuses the credentials": Failing(
        {"kind": "status", "status": 401}, errno.EACCES, errno.EACCES, "CredentialsRefused"
    ),
}
"""The refused credentials come last: nobody asks again for a minute."""


@dataclass
class Aged:
    """A mount whose listings are all older than ten times `fresh_for`."""

    mount: Mount
    box: Box
    days: dict[str, list[str]]
    known: list[str]
    unknown: list[str]
    names: dict[str, Outcome]
    listed_at: float


@pytest.fixture(scope="module")
def aged_mount() -> Iterator[Aged | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # `fuse` says what that means
        return
    with sandbox_process(media=MEDIA) as box, mounted(box.url, lines=OLD) as mount:
        by_day = days(box)
        listed = list(by_day)
        assert outcome(mount.root / listed[0]), "brings some 70 days"
        # From the newest to the oldest, so that no page read later brings the days still to be used:
        # one for each failing, and one more at either end.
        known = listed[1 : 7 + 3 * len(FAILINGS) : 3][::-1]
        names = {day: outcome(mount.root / day) for day in known}
        assert all(names.values())
        # The same, each far enough from the one before not to come with its page.
        step = len(listed) // (len(FAILINGS) + 2)
        unknown = [listed[-1 - step * nth] for nth in range(len(FAILINGS))]
        yield Aged(mount, box, by_day, known, unknown, names, time.monotonic())


@pytest.fixture
def aged(aged_mount: Aged | None) -> Aged:
    assert aged_mount is not None
    aged_mount.box.clear_faults()
    # One answer, and it is not taken for away any more. Not there; or EACCES, once that was tried.
    stranger = aged_mount.mount.root / f"by-conversation/{time.monotonic_ns()}"
    assert errno_of(stranger.stat) in (errno.ENOENT, errno.EACCES)
    time.sleep(max(0.0, aged_mount.listed_at + OLD_AFTER_S - time.monotonic()))
    return aged_mount


def test_an_old_listing_that_is_shown_because_the_service_hangs_says_so(aged: Aged) -> None:
    folder = aged.mount.root / aged.known[0]
    aged.box.fault("delay", path=LISTS, seconds=600, times=None)
    if outcome(folder) != aged.names[aged.known[0]]:
        pytest.fail("it is not shown at all", pytrace=False)
    assert listing_error(folder)


def test_every_old_listing_that_is_shown_because_the_service_is_away_says_so(aged: Aged) -> None:
    folders = [aged.mount.root / day for day in list(aged.days)[44:46]]
    aged.box.fault("status", path=LISTS, status=500, times=None)
    for folder in folders:
        if not outcome(folder):
            pytest.fail("it is not shown at all", pytrace=False)
    if not listing_error(folders[0]):
        pytest.fail("not even the first", pytrace=False)
    assert listing_error(folders[1])


def test_an_error_of_a_folder_is_over_once_a_neighbours_page_brought_it_again(aged: Aged) -> None:
    earlier, later = (aged.mount.root / day for day in list(aged.days)[40:42])
    aged.box.fault("status", path=LISTS, status=500, times=None)
    if not outcome(later) or not listing_error(later):
        pytest.fail("it has no error to lose", pytrace=False)
    aged.box.clear_faults()
    assert aged.mount.mediafs("refresh", str(earlier)).returncode == 0
    assert listing_error(later) is None, "it was listed again, whole, with its neighbour"


@pytest.mark.parametrize("how", FAILINGS)
def test_a_service_that_fails_shows_the_last_whole_listing_or_an_errno_but_never_less(
    aged: Aged, how: str
) -> None:
    failing, nth = FAILINGS[how], list(FAILINGS).index(how)
    mount, box = aged.mount, aged.box
    known, unknown = mount.root / aged.known[nth + 1], mount.root / aged.unknown[nth]
    before = os.getxattr(known, "user.mediafs.listed")
    box.fault(path=LISTS, times=None, **failing.fault)

    found = outcomes(
        [known, unknown, mount.root / f"by-conversation/{5010 + nth}", mount.root / f"by-user/{9000 + nth}"]
    )
    assert found[0] == (failing.known or aged.names[aged.known[nth + 1]])
    assert found[1:] == [failing.unknown] * 3, "never an empty folder"
    if failing.unknown != errno.ETIMEDOUT:  # then nothing has failed yet: it is still being listed
        # A second look says no less than the first.
        assert outcome(known) in (found[0], aged.names[aged.known[nth + 1]])
        assert listing_error(unknown)
    assert os.getxattr(known, "user.mediafs.listed") == before, "it says how old it is"
    assert os.getxattr(known, "user.mediafs.complete") == b"true"
    assert os.getxattr(unknown, "user.mediafs.complete") == b"false"
    assert outcome(mount.root) == ["by-conversation", "by-date", "by-user", "recent"]
    status = mount.status()
    if failing.kind:
        assert problem(status, failing.kind)["advice"]
    box.clear_faults()
    if failing.kind == "CredentialsRefused":
        assert status["credentials"] == "refused"
        assert "token" in problem(status, failing.kind)["advice"]
        return  # asked again after a minute
    # It is back: without a word from the user.
    wait_until(lambda: isinstance(outcome(unknown), list))
    assert ids(unknown) == set(aged.days[aged.unknown[nth]])
    assert listing_error(unknown) is None


def test_refused_credentials_are_eacces_at_the_second_look_too(aged: Aged) -> None:
    # The last to use this mount: from here on its credentials stay refused for a minute.
    aged.box.fault("status", path=LISTS, status=401, times=None)
    folder = aged.mount.root / aged.known[-1]
    assert [outcome(folder), outcome(folder)] == [errno.EACCES] * 2


def test_a_listing_that_is_fresh_is_shown_whatever_the_service_does() -> None:
    with sandbox_process(media=MEDIA) as box, mounted(box.url) as mount:
        day = next(iter(days(box)))
        folders = [mount.root / day, mount.root / "recent", mount.root / "by-conversation/5000"]
        before = outcomes(folders)
        assert all(isinstance(one, list) and one for one in before)
        for failing in FAILINGS.values():
            box.reset()
            box.clear_faults()
            box.fault(path="/", times=None, **failing.fault)
            assert outcomes(folders) == before
            assert requests(box) == []


def test_refused_credentials_are_eacces_without_a_storm_and_status_says_what_to_do() -> None:
    with sandbox_process(media=30) as box, mounted(box.url, lines=OLD) as mount:
        listed = list(days(box))[:6]
        assert all(outcomes([mount.root / day for day in listed]))
        time.sleep(OLD_AFTER_S)
        box.set(token="another-token-than-configured")
        box.reset()
        assert outcomes([mount.root / day for day in listed]) == [errno.EACCES] * len(listed)
        assert 1 <= len(requests(box)) <= 2 * len(listed), "each that was under way asks twice at most"
        box.reset()
        strangers = [mount.root / f"by-conversation/{5010 + nth}" for nth in range(10)]
        assert outcomes(strangers) == [errno.EACCES] * len(strangers)
        assert requests(box) == [], "a refusal is known: nobody asks again for a minute"
        done = mount.mediafs("status", str(mount.root))
        assert "credentials  refused" in done.stdout
        assert "check token" in done.stdout


# --- tokens that end -----------------------------------------------------------------------------------

LOGIN = ('username = "agent@example.org"', 'password = "sandbox-password"')


def test_an_expired_token_is_renewed_and_the_user_sees_nothing_of_it() -> None:
    with sandbox_process(media=MEDIA) as box, mounted(box.url, token=None, lines=LOGIN) as mount:
        first, *_, last = list(days(box))
        assert ids(mount.root / first)
        logins = requests(box, "/api/v3/token")
        assert len(logins) == 1
        box.expire_tokens()
        box.reset()
        with ThreadPoolExecutor(4) as pool:  # several at the moment it expires: still one login
            folders = [mount.root / last, mount.root / "recent", mount.root / "by-conversation/5001"]
            found = list(pool.map(outcome, folders))
        assert all(isinstance(one, list) and one for one in found)
        assert len(requests(box, "/api/v3/token")) == 1
        assert mount.status()["credentials"] == "good"
        box.expire_tokens()
        file = next((mount.root / last).iterdir())
        assert len(file.read_bytes()) == file.stat().st_size
        assert len(requests(box, "/api/v3/token")) == 2


def test_one_401_of_a_good_token_is_not_the_users_affair() -> None:
    with sandbox_process(media=30) as box, mounted(box.url) as mount:
        box.fault("status", path=LISTS, status=401, times=1)
        assert len(ids(mount.root / "recent")) == len({m["id"] for m in box.world() if m["completed"]})
        assert 401 in [r["status"] for r in requests(box)]
        wait_until(lambda: mount.status()["credentials"] == "good", 2)


def test_a_wrong_password_is_eacces_and_status_says_what_to_do() -> None:
    lines = ('username = "agent@example.org"', 'password = "not-the-password"')
    with sandbox_process(media=30) as box, mounted(box.url, token=None, lines=lines) as mount:
        places = [mount.root / "by-date", mount.root / "recent", mount.root / "by-user/1000"]
        assert outcomes(places) == [errno.EACCES] * 3
        ways = [(r["query"], r["status"]) for r in requests(box, "/api/v3/token")]
        assert 1 <= len(ways) == len(set(ways)), "one login for all, however many ways it is tried in"
        status = mount.status()
        assert status["credentials"] == "refused"
        assert "password" in problem(status, "CredentialsRefused")["advice"]
