"""A Verba account that lives: logins, edits, deletions, a service that fails.

Docstrings are quotations from docs/SEMANTICS.md.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from mediafs.sandbox.testing import Box, sandbox_process
from mediafs.sandbox.verba_xml import call_id

from .mounting import Mount, wait_until
from .quotations import unfounded
from .vendor_accounts import mounted_vendor, prepared_vendor
from .vendor_checks import attribute, by_id, digest, errno_of, everything_said, ids, inodes
from .verba_service import API, actions, asked, lines_of, truth

OWN: Final = "user.mediafs."


def test_docstrings_here_are_quotations() -> None:
    assert unfounded(globals()) == []


@contextmanager
def recorder(
    *lines: str, media: int = 12, search: bool = True, extensions: tuple[str, ...] = (), **options: Any
) -> Iterator[tuple[Box, Mount]]:
    with sandbox_process("verba", media=media, **options) as box:
        given = lines_of(*lines, search=search, extensions=extensions)
        with mounted_vendor(box, "--verbose", lines=given) as mount:
            yield box, mount


def numbered(box: Box, media: str) -> dict[str, Any]:
    return truth(box)[media]


def refusals(box: Box) -> int:
    return sum(r["status"] != 200 for r in box.requests())


# --- logins --------------------------------------------------------------------------------------------


def test_a_token_that_has_expired_is_renewed_once_and_nobody_sees_it() -> None:
    """A token that the service calls expired is renewed, and the question asked again."""
    with recorder('fresh_for = "1s"') as (box, mount):
        found = by_id(mount, "by-date")
        assert found.keys() == truth(box).keys()
        assert actions(box)["RequestToken"] == 1
        for path in list(found.values())[:3]:
            box.expire_tokens()
            box.reset()
            assert path.read_bytes()
            assert actions(box) == Counter({"GetMedia": 2, "RequestToken": 1})
        box.expire_tokens()
        box.reset()
        assert mount.mediafs("refresh", str(mount.root / "recent")).returncode == 0
        assert actions(box)["RequestToken"] == 1


@pytest.mark.parametrize("way", ["parameter_login", "basic_login"])
def test_either_way_of_logging_in_is_found_and_remembered(way: str) -> None:
    options: dict[str, Any] = {"parameter_login": False, "basic_login": False, way: True}
    with recorder(**options) as (box, mount):
        by_id(mount, "by-date")
        first = actions(box)["RequestToken"]
        assert first == (1 if way == "basic_login" else 2)
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        box.reset()
        assert next((mount.root / "recent").iterdir()).read_bytes()
        assert actions(box)["RequestToken"] == 1, "also over a restart"
        assert not any("password" in str(parameters).lower() for parameters in asked(box))


def test_a_key_that_needs_no_login_is_enough() -> None:
    with (
        sandbox_process("verba", media=5, auth_required=False) as box,
        prepared_vendor(box, lines=lines_of()) as mount,
    ):
        text = mount.config.read_text().splitlines()
        mount.config.write_text(
            "\n".join(x for x in text if x.split(" =")[0] not in ("username", "password"))
        )
        assert mount.mount().returncode == 0, mount.log
        assert by_id(mount, "by-date").keys() == truth(box).keys()
        assert "RequestToken" not in actions(box)


@pytest.mark.parametrize("wrong", ["password", "api_key"])
def test_refused_credentials_are_eacces_without_a_storm(wrong: str) -> None:
    """Refused credentials are EACCES, without asking again and again."""
    with sandbox_process("verba", media=5) as box, prepared_vendor(box, lines=lines_of()) as mount:
        mount.config.write_text(mount.config.read_text().replace(box.credentials[wrong], "something-else"))
        assert mount.mount().returncode == 0
        for _ in range(10):
            assert errno_of(os.listdir, mount.root / "by-date") == "EACCES"
            assert errno_of(os.listdir, mount.root / "recent") == "EACCES"
        assert len(asked(box)) <= 4
        assert mount.mediafs("check").returncode == 4
        assert "something-else" not in everything_said(mount)


# --- which calls ---------------------------------------------------------------------------------------


def test_without_a_search_only_named_calls_are_there(tmp_path: Path) -> None:
    """Without `search` nothing is searched: the calls and meetings that `calls` and `calls_file` name are
    listed, and any that was looked up."""
    with sandbox_process("verba", media=30) as box:
        world = truth(box)
        one, two, three, four, *_ = world
        meeting = str(world[three]["conversation"])
        of_meeting = {id for id, media in world.items() if str(media["conversation"]) == meeting}
        file = tmp_path / "calls"
        file.write_text(f"{two}\n")
        given = [f'calls = ["{one}", "{meeting}"]', f'calls_file = "{file}"', 'fresh_for = "1s"']
        with mounted_vendor(box, lines=lines_of(*given, search=False)) as mount:
            assert by_id(mount, "by-date").keys() == {one, two} | of_meeting
            assert {one, two, meeting} <= set(os.listdir(mount.root / "by-conversation"))
            with file.open("a") as more:
                more.write(f"{four}\n")
            wait_until(lambda: ids(mount, "by-date") == {one, two, four} | of_meeting)
            path = by_id(mount, f"by-conversation/{one}")[one]
            owner = attribute(path, "owner_id")
            assert one in by_id(mount, f"by-user/{os.readlink(mount.root / 'by-user' / str(owner))}")
            assert digest(path) == truth(box, digest=True)[one]["sha256"]
            box.remove(world[one]["id"])
            wait_until(lambda: one not in ids(mount, "by-date"))
            assert "SearchCalls" not in actions(box)


@pytest.mark.parametrize(
    "options", [{"page_base": 1, "page_cap": 50}, {"pages": False, "page_cap": 40}], ids=str
)
def test_pages_are_whole_however_the_service_counts_them(options: dict[str, Any]) -> None:
    with recorder(media=150, **options) as (box, mount):
        assert by_id(mount, "by-date").keys() == truth(box).keys()


def test_times_are_those_of_the_api_user() -> None:
    """Times of the service are in the API user's zone, which `time_zone` must name; days are in it too."""
    zone = ZoneInfo("America/New_York")
    with recorder(f'time_zone = "{zone.key}"', media=40, zone=zone.key) as (box, mount):
        world, found = truth(box), by_id(mount, "by-date")
        assert found.keys() == world.keys()
        for media, path in found.items():
            moment = datetime.fromisoformat(world[media]["created"])
            assert path.stat().st_mtime == moment.timestamp()
            assert path.parent == mount.root / f"by-date/{moment.astimezone(zone):%Y/%m/%d}"


def test_the_parameter_that_names_a_call_is_found_once() -> None:
    """Where the service wants the parameter that names a call otherwise, that is found out once."""
    with recorder(id_parameter="ccdr_id", information_id_parameter="ccdr_id") as (box, mount):
        world, found = truth(box, digest=True), by_id(mount, "by-date")
        box.reset()
        paths = sorted(found.items())[:4]
        for media, path in paths:
            assert digest(path) == world[media]["sha256"]
        assert actions(box)["GetMedia"] == len(paths) + 1
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        box.reset()
        assert sorted(found.items())[5][1].read_bytes()
        assert actions(box)["GetMedia"] == 1


# --- edits ---------------------------------------------------------------------------------------------


def test_configured_fields_are_attributes_that_can_be_set() -> None:
    """The configured metadata fields can be set, and no other attribute; what is set is read back before it
    is believed."""
    with recorder() as (box, mount):
        (media, path), *_ = sorted(by_id(mount, "by-date").items())
        box.reset()
        for value in ("Grüße & 100 % = <b>", "ticket 7", "zwei\nZeilen"):
            os.setxattr(path, f"{OWN}ticket", value.encode())
            assert attribute(path, "ticket") == value
        assert actions(box) == Counter({"AttachMetaData": 3, "GetCallInformation": 3, "RequestToken": 0})
        assert {r["method"] for r in box.requests() if "AttachMetaData" in r["query"]} == {"POST"}
        assert not any("ticket" in r["query"] for r in box.requests()), "values travel in the body"
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert attribute(path, "ticket") == value
        os.removexattr(path, f"{OWN}ticket")
        assert not attribute(path, "ticket")
        box.reset()
        for name, code in (
            ("title", "EOPNOTSUPP"),
            ("description", "EOPNOTSUPP"),
            ("direction", "EPERM"),
            ("budget", "EPERM"),
        ):
            assert errno_of(os.setxattr, path, OWN + name, b"x") == code, name
        for raw in (b"\xff\xfe", b"a\0b"):
            assert errno_of(os.setxattr, path, f"{OWN}ticket", raw) == "EINVAL"
        assert actions(box) == Counter()
        box.set(keeps_metadata=False)
        assert errno_of(os.setxattr, path, f"{OWN}ticket", b"lost") == "EINVAL"
        assert attribute(path, "ticket") != "lost"
        box.set(keeps_metadata=True, forbidden_updates=[truth(box)[media]["id"]])
        assert errno_of(os.setxattr, path, f"{OWN}ticket", b"held") in ("EACCES", "EINVAL")
        assert attribute(path, "ticket") != "held"


# --- deletions -----------------------------------------------------------------------------------------


def deletions(box: Box) -> int:
    return actions(box)["DeleteCall"]


def test_rm_is_one_delete_call_by_post() -> None:
    """With it, `rm` is one `DeleteCall`, by POST, and succeeds when the service has confirmed; the service
    then deletes the whole conversation that the call belongs to."""
    with recorder('delete = "permanent"') as (box, mount):
        found = sorted(by_id(mount, "by-date").items())
        (media, path), *_ = found
        box.reset()
        path.unlink()
        assert media not in truth(box)
        assert deletions(box) == 1
        assert {r["method"] for r in box.requests() if "DeleteCall" in r["query"]} == {"POST"}
        assert media not in by_id(mount, "recent")
        assert errno_of((mount.root / "by-conversation" / media).stat) == "ENOENT"
        assert by_id(mount, "by-date").keys() == truth(box).keys()
        # What is gone already is gone.
        media, path = found[1]
        box.remove(truth(box)[media]["id"])
        path.unlink()
        assert deletions(box) == 2


@pytest.mark.parametrize("fault", ["lost", "late"])
def test_a_deletion_without_an_answer_is_never_repeated(fault: str) -> None:
    """It is never sent twice: where its answer is lost, `rm` fails, and it is looked whether the call is
    gone."""
    with recorder('delete = "permanent"') as (box, mount):
        (media, path), *_ = sorted(by_id(mount, "by-date").items())
        box.reset()
        box.fault(fault, method="POST", path=API, seconds=0.5 if fault == "lost" else 30, times=None)
        code = errno_of(path.unlink)
        assert code in ("EIO", "ETIMEDOUT")
        wait_until(lambda: not path.exists())
        time.sleep(1)
        assert deletions(box) == 1
        assert media not in truth(box)


@pytest.mark.parametrize("fault", [{"kind": "refuse"}, {"kind": "status", "status": 503}], ids=str)
def test_a_deletion_that_did_not_arrive_leaves_the_call(fault: dict[str, Any]) -> None:
    with recorder('delete = "permanent"') as (box, mount):
        (media, path), *_ = sorted(by_id(mount, "by-date").items())
        box.reset()
        box.fault(method="POST", path=API, times=None, **fault)
        assert errno_of(path.unlink) == "EIO"
        assert deletions(box) == 1
        assert media in truth(box)
        box.clear_faults()
        assert path.read_bytes()
        path.unlink()
        assert media not in truth(box)


def test_a_call_that_the_service_keeps_is_eperm_and_stays() -> None:
    """Where the service refuses (a retention period, a legal hold), `rm` is EPERM."""
    with recorder('delete = "permanent"') as (box, mount):
        (media, path), *_ = sorted(by_id(mount, "by-date").items())
        box.set(forbidden_deletes=[truth(box)[media]["id"]])
        assert errno_of(path.unlink) == "EPERM"
        assert path.read_bytes()
        assert media in truth(box)


# --- secrets -------------------------------------------------------------------------------------------


def test_no_other_origin_and_no_log_sees_a_credential() -> None:
    """Key, token, name and password are in no log, and go to no other host."""
    with recorder(redirect=True) as (box, mount):
        world = truth(box, digest=True)
        for media, path in sorted(by_id(mount, "by-date").items())[:5]:
            assert digest(path) == world[media]["sha256"]
        box.fault("html", path=API, times=1)
        mount.mediafs("refresh", str(mount.root / "recent"))
        assert box.requests(origin="storage")
        tokens = {
            value
            for r in box.requests(path=API)
            for pair in r["query"].split("&")
            for name, _, value in [pair.partition("=")]
            if name == "token"
        }
        assert tokens
        assert box.leaks(*tokens) == []
        said = everything_said(mount)
        assert "DEBUG" in mount.log
        assert not [s for s in (*tokens, *box.credentials.values()) if s in said]
        kept = b"".join(path.read_bytes() for path in mount.cache.rglob("*") if path.is_file())
        assert not [s for s in (*tokens, box.credentials["password"]) if s.encode() in kept]


# --- in trouble ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error_type", ["text/xml", "application/octet-stream", "none"])
def test_an_error_that_comes_as_a_success_is_never_a_file(error_type: str) -> None:
    """The service words failures as 200 and XML: such an answer is never a recording, whatever type it says
    it is of."""
    with recorder(error_type=error_type) as (box, mount):
        found = sorted(by_id(mount, "by-date").items())
        media, path = found[0]
        box.set(forbidden_downloads=[truth(box)[media]["id"]])
        assert errno_of(path.read_bytes) in ("EACCES", "EIO")
        media, path = found[1]
        box.remove(truth(box)[media]["id"])
        assert errno_of(path.read_bytes) == "ENOENT"
        assert digest(found[2][1]) == truth(box, digest=True)[found[2][0]]["sha256"]


DOWNLOADS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "html"}, "EIO"),
    ({"kind": "empty"}, "EIO"),
    ({"kind": "cut", "after_bytes": 500}, "EIO"),
    ({"kind": "status", "status": 204}, "EIO"),
    ({"kind": "status", "status": 403}, "EACCES"),
    ({"kind": "status", "status": 500}, "EIO"),
    ({"kind": "status", "status": 429, "wait_s": 100, "wait_form": "retry-seconds"}, "ETIMEDOUT"),
]
LISTINGS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "html"}, "EIO"),
    ({"kind": "json", "body": "<VerbaApi><Response code='0' type='GetMarkers'/></VerbaApi>"}, "EIO"),
    ({"kind": "json", "body": "<VerbaApi><verbacdrlist><verbacdr/></verbacdrlist></VerbaApi>"}, "EIO"),
    ({"kind": "json", "body": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"}, "EIO"),
    ({"kind": "json", "body": "<VerbaApi><Response code='-1'/></VerbaApi>"}, "EIO"),
    ({"kind": "huge-json", "after_bytes": 40 << 20}, "EIO"),
    ({"kind": "status", "status": 403}, "EACCES"),
    ({"kind": "status", "status": 503}, "EIO"),
    ({"kind": "status", "status": 429, "wait_s": 100, "wait_form": "retry-seconds"}, "ETIMEDOUT"),
]


def test_trouble_has_an_errno_and_brings_nothing() -> None:
    with recorder(media=20) as (box, mount):
        found = sorted(by_id(mount, "by-date").items())
        for (fault, code), (_, path) in zip(DOWNLOADS, found, strict=False):
            box.fault(path=API, times=None, **fault)
            assert errno_of(path.read_bytes) == code, fault
            box.clear_faults()


def test_a_reply_that_cannot_be_right_is_never_a_listing() -> None:
    with recorder() as (box, mount):
        # Logged in before there is trouble.
        assert next((mount.root / "recent").iterdir())
        for fault, code in LISTINGS:
            box.fault(path=API, times=None, **fault)
            assert errno_of(os.listdir, mount.root / "by-date") == code, fault
            assert attribute(mount.root / "by-date", "error"), fault
            box.clear_faults()


def test_a_remount_shows_what_was_listed_without_the_service() -> None:
    with recorder(media=20) as (box, mount):
        found = sorted(by_id(mount, "by-date").items())
        read, unread = found[0][1], found[1][1]
        content = read.read_bytes()
        before = inodes(mount, "by-date")
        assert mount.umount().returncode == 0
        box.fault("refuse", path="/", times=None)
        assert mount.mount().returncode == 0
        assert inodes(mount, "by-date") == before
        assert read.read_bytes() == content, "what is kept on disk"
        assert errno_of(unread.read_bytes) == "EIO"
        box.clear_faults()
        assert digest(unread) == truth(box, digest=True)[found[1][0]]["sha256"]


def test_a_call_that_is_made_is_there_with_the_next_listing() -> None:
    with recorder('fresh_for = "1s"') as (box, mount):
        by_id(mount, "by-date")
        made = box.add(media_type="audio", created="2025-12-31T23:00:00+00:00", owner=1001)
        going = box.add(media_type="audio", status="in_progress", created="2025-12-31T23:10:00+00:00")
        wait_until(lambda: call_id(made["id"]) in ids(mount, "by-date"))
        assert call_id(going["id"]) not in by_id(mount, "by-date"), "it has no recording yet"
        box.update(going["id"], status="completed")
        wait_until(lambda: call_id(going["id"]) in ids(mount, "by-date"))
        assert json.loads(attribute(by_id(mount, "by-date")[call_id(made["id"])], "record") or "{}")
