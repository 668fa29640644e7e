"""A Veriff account that lives: sessions come and go, secrets rotate, the service fails.

Docstrings are quotations from docs/SEMANTICS.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from mediafs.sandbox.testing import Box, sandbox_process
from mediafs.sandbox.veriff_sessions import session_uuid

from .mounting import wait_until
from .quotations import unfounded
from .vendor_accounts import mounted_vendor, prepared_vendor
from .vendor_checks import (
    attribute,
    by_id,
    digest,
    errno_of,
    everything_said,
    far_apart,
    ids,
    inodes,
)
from .veriff_service import NOBODY, asked, lines_of, sessions_of, truth


def test_docstrings_here_are_quotations() -> None:
    assert unfounded(globals()) == []


# --- which sessions ------------------------------------------------------------------------------------


@pytest.fixture
def little() -> Iterator[Box]:
    """Few media, so that a listing is quick."""
    with sandbox_process("veriff", media=24, conversations=4, attempts=1, undated="none") as running:
        yield running


def held(box: Box, *sessions: str) -> set[str]:
    return {id for id, media in truth(box).items() if session_uuid(str(media["conversation"])) in sessions}


def test_sessions_come_from_the_configuration_from_a_file_and_from_being_looked_up(little: Box) -> None:
    """Veriff lists no sessions: they are those of `sessions` and of `sessions_file`, and any that was
    looked up in `by-conversation/`.

    An id that is appended to the file is in the next listing.
    """
    one, two, three, four = sessions_of(little)
    with prepared_vendor(little) as mount:
        file = mount.folder / "sessions"
        with mount.config.open("a") as config:
            config.write(f'sessions = ["{one}"]\nsessions_file = "{file}"\nfresh_for = "1s"\n')
        assert mount.mount().returncode == 0
        index = mount.root / "by-conversation"
        assert os.listdir(index) == [one], "the file need not be there yet"
        file.write_text(f"{two}\n")
        assert set(os.listdir(index)) == {one, two}
        assert by_id(mount, "by-date").keys() == held(little, one, two)
        with file.open("a") as more:
            more.write(f"{three}\n")
        assert set(os.listdir(index)) == {one, two, three}
        wait_until(lambda: ids(mount, "by-date") == held(little, one, two, three))
        # What is looked up is known from then on, also after a restart.
        assert by_id(mount, f"by-conversation/{four}").keys() == held(little, four)
        assert set(os.listdir(index)) == {one, two, three, four}
        wait_until(lambda: ids(mount, "by-date") == truth(little).keys())
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        assert set(os.listdir(index)) == {one, two, three, four}


def test_without_sessions_the_drive_is_empty_and_costs_nothing(little: Box) -> None:
    """Without any, the drive is empty."""
    with mounted_vendor(little) as mount:
        assert mount.files(".") == {}
        assert sorted(os.listdir(mount.root)) == ["by-conversation", "by-date", "recent"]
        assert asked(little) == []
        for probe in ("hello", "Thumbs.db", ".hidden", "12345", NOBODY.upper()):
            assert errno_of((mount.root / "by-conversation" / probe).stat) == "ENOENT"
        assert asked(little) == []
        assert errno_of((mount.root / "by-conversation" / NOBODY).stat) == "ENOENT"
        assert 1 <= len(asked(little)) <= 2
        little.reset()
        assert errno_of((mount.root / "by-conversation" / NOBODY).stat) == "ENOENT"
        assert asked(little) == [], "remembered for fresh_for"


def test_a_line_that_is_no_id_fails_the_listing(little: Box) -> None:
    """A line of the file that is no id fails the listing of all sessions with EIO, and
    `user.mediafs.error` says which."""
    with prepared_vendor(little, lines=[*lines_of(sessions_of(little)[0])]) as mount:
        file = mount.folder / "sessions"
        file.write_text(f"{sessions_of(little)[1]}\nnot-an-id\n")
        with mount.config.open("a") as config:
            config.write(f'sessions_file = "{file}"\n')
        assert mount.mount().returncode == 0
        assert errno_of(os.listdir, mount.root / "by-date") == "EIO"
        assert "number 3 is not the id of a session" in (attribute(mount.root / "by-date", "error") or "")
        file.write_text(f"{sessions_of(little)[1]}\n")
        assert by_id(mount, "by-date").keys() == held(little, *sessions_of(little)[:2])


def test_a_session_that_is_gone_leaves_and_the_others_stay(little: Box) -> None:
    """A session that was deleted at Veriff is gone with the next listing, and does not disturb the others;
    any other failure of one session fails the listing of all."""
    gone, *others = sessions_of(little)
    with mounted_vendor(little, lines=[*lines_of(*sessions_of(little)), 'fresh_for = "1s"']) as mount:
        assert by_id(mount, "by-date").keys() == truth(little).keys()
        for media in little.world():
            if session_uuid(str(media["conversation"])) == gone:
                little.remove(media["id"])
        wait_until(lambda: ids(mount, "by-date") == held(little, *others))
        assert os.listdir(mount.root / "by-conversation" / gone) == []
        # A gateway that says 404 to all is no deletion.
        little.set(bare_404=True)
        time.sleep(1.1)
        before = inodes(mount, "by-date")
        assert mount.mediafs("refresh", str(mount.root / "recent")).returncode == 1
        assert mount.mediafs("refresh", str(mount.root / "by-conversation" / others[0])).returncode == 1
        assert inodes(mount, "by-date") == before
        little.set(bare_404=False)
        little.fault("status", path=f"/v1/sessions/{others[1]}", status=500, times=None)
        done = mount.mediafs("refresh", str(mount.root / "recent"))
        assert done.returncode != 0
        assert inodes(mount, "by-date") == before


# --- signatures and secrets ----------------------------------------------------------------------------


def test_secrets_in_rotation_are_tried_in_turn_and_the_one_that_works_is_remembered(little: Box) -> None:
    """With several shared secrets the next is tried when one is refused, and the one that works is
    remembered."""
    new, old = "secret-in-rotation-new-1f", box_secret(little)
    sessions = sessions_of(little)
    with prepared_vendor(little, lines=lines_of(*sessions)) as mount:
        text = mount.config.read_text()
        mount.config.write_text(
            text.replace(f"shared_secret = {json.dumps(old)}", f"shared_secret = {json.dumps([new, old])}")
        )
        assert mount.mount().returncode == 0
        assert by_id(mount, "by-date").keys() == truth(little).keys()
        assert [r["status"] for r in little.requests()].count(401) == 1
        little.set(shared_secrets=[new])
        little.reset()
        assert mount.mediafs("refresh", str(mount.root / "recent")).returncode == 0
        assert [r["status"] for r in little.requests()].count(401) == 1
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        little.reset()
        path = next((mount.root / "recent").iterdir())
        assert path.read_bytes()
        assert [r["status"] for r in little.requests()].count(401) == 0, "also over a restart"
        assert not [s for s in (new, old) if s in everything_said(mount)]


def box_secret(box: Box) -> str:
    return box.credentials["shared_secret"]


@pytest.mark.parametrize("signed_by", ["media", "session"])
def test_a_download_is_signed_with_the_id_that_the_service_wants(little: Box, signed_by: str) -> None:
    little.set(media_signed_by=signed_by)
    world = truth(little, digest=True)
    with mounted_vendor(little, lines=lines_of(*sessions_of(little)[:2])) as mount:
        found = by_id(mount, "by-date")
        little.reset()
        for media, path in sorted(found.items())[:4]:
            assert digest(path) == world[media]["sha256"]
        statuses = Counter(r["status"] for r in little.requests(path="/v1/media/"))
        assert statuses[401] == (signed_by == "session"), "it is found out once"


def test_a_refused_secret_is_eacces_without_a_storm(little: Box) -> None:
    little.set(shared_secrets=["another-secret"])
    with mounted_vendor(little, lines=lines_of(*sessions_of(little))) as mount:
        for _ in range(10):
            assert errno_of(os.listdir, mount.root / "by-date") == "EACCES"
            assert errno_of(os.listdir, mount.root / "by-conversation" / sessions_of(little)[0]) == "EACCES"
        assert len(asked(little)) <= 3
        assert "refuses the" in mount.mediafs("status", str(mount.root)).stdout
        assert mount.mediafs("check").returncode == 4
        assert mount.umount().returncode == 0


@pytest.mark.parametrize("redirect", [True, False])
def test_no_other_origin_sees_a_credential_wherever_links_lead(redirect: bool) -> None:
    """A link in a record is followed only where it leads to the account's own host; key and signatures go
    to no other, and into no log."""
    options: dict[str, Any] = {"redirect": True} if redirect else {"urls": "other"}
    with sandbox_process("veriff", media=20, conversations=2, attempts=1, **options) as box:
        world = truth(box, digest=True)
        with mounted_vendor(box, "--verbose", lines=lines_of(*sessions_of(box))) as mount:
            found = by_id(mount, "by-date")
            for media, path in sorted(found.items())[:6]:
                assert digest(path) == world[media]["sha256"]
            secret = box_secret(box)
            signatures = [
                hmac.new(secret.encode(), id.encode(), hashlib.sha256).hexdigest()
                for id in (*world, *sessions_of(box))
            ]
            assert bool(box.requests(origin="storage")) is redirect
            assert box.leaks(*signatures) == []
            said = everything_said(mount)
            assert not [s for s in (secret, box.credentials["api_key"], *signatures) if s in said]
            assert "DEBUG" in mount.log


# --- in trouble ----------------------------------------------------------------------------------------


def test_a_remount_shows_the_same_names_and_inodes_also_without_the_service(little: Box) -> None:
    lines = lines_of(*sessions_of(little))
    with mounted_vendor(little, lines=lines) as mount:
        by_id(mount, "by-date")
        before = inodes(mount, ".")
        path = next((mount.root / "recent").iterdir())
        assert mount.umount().returncode == 0
        little.fault("refuse", path="/", times=None)
        little.reset()
        assert mount.mount().returncode == 0
        assert inodes(mount, "by-date") == {
            name: inode for name, inode in before.items() if name.startswith("by-date")
        }
        assert errno_of(path.read_bytes) == "EIO"
        little.clear_faults()
        assert path.read_bytes()
    with mounted_vendor(little, lines=lines) as fresh:
        by_id(fresh, "recent")  # another order of arrival
        by_id(fresh, "by-date")
        assert inodes(fresh, ".").keys() == before.keys()


TROUBLE: list[tuple[dict[str, Any], str]] = [
    ({"kind": "html"}, "EIO"),
    ({"kind": "json"}, "EIO"),
    ({"kind": "short"}, "EIO"),
    ({"kind": "long"}, "EIO"),
    ({"kind": "empty"}, "EIO"),
    ({"kind": "status", "status": 204}, "EIO"),
    ({"kind": "status", "status": 403}, "EACCES"),
    ({"kind": "status", "status": 404}, "ENOENT"),
    ({"kind": "status", "status": 500}, "EIO"),
    ({"kind": "status", "status": 429, "wait_s": 100, "wait_form": "retry-seconds"}, "ETIMEDOUT"),
]


def test_a_body_that_is_not_the_media_reaches_nobody() -> None:
    with (
        sandbox_process("veriff", media=120, conversations=1, attempts=1, undated="none") as box,
        mounted_vendor(box, lines=lines_of(*sessions_of(box))) as mount,
    ):
        found = sorted(by_id(mount, "by-date").items())
        images = far_apart([each for each in found if each[1].suffix != ".json"])
        assert len(images) > len(TROUBLE)
        for (fault, code), (media, path) in zip(TROUBLE, images, strict=False):
            box.fault(path=f"/v1/media/{media}", times=None, **fault)
            assert errno_of(path.read_bytes) == code, fault
            box.clear_faults()


LISTING_TROUBLE: list[tuple[dict[str, Any], str]] = [
    ({"kind": "html"}, "EIO"),
    ({"kind": "bad-json"}, "EIO"),
    ({"kind": "deep-json"}, "EIO"),
    ({"kind": "json", "body": "{}"}, "EIO"),
    ({"kind": "json", "body": '{"status": "success", "verifications": {"a": 1}}'}, "EIO"),
    ({"kind": "json", "body": '{"status": "fail", "verifications": []}'}, "EIO"),
    ({"kind": "status", "status": 403}, "EACCES"),
    ({"kind": "status", "status": 503}, "EIO"),
    ({"kind": "status", "status": 429, "wait_s": 100, "wait_form": "retry-seconds"}, "ETIMEDOUT"),
]


def test_a_reply_that_cannot_be_right_is_never_a_listing(little: Box) -> None:
    with mounted_vendor(little, lines=lines_of(*sessions_of(little))) as mount:
        for fault, code in LISTING_TROUBLE:
            little.fault(path=f"/v1/sessions/{sessions_of(little)[2]}", times=None, **fault)
            assert errno_of(os.listdir, mount.root / "by-date") == code, fault
            assert attribute(mount.root / "by-date", "error"), fault
            little.clear_faults()
