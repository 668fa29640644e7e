"""Media of Vonage's on a real mount: edited, deleted and read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from functools import partial

import pytest

from mediafs.sandbox.testing import sandbox_process

from .quotations import quotations, unfounded
from .vendor_accounts import mounted_vendor, prepared_vendor
from .vonage_service import (
    LIST,
    OWN,
    Service,
    errno_of,
    hash_of,
    number_of,
    one_media,
    truth_of,
    value,
)

BIG = 9 << 20

FIELDS = {
    "title": "Straße & Dach: 100 %?",
    "description": "zwei\nZeilen \U0001f600",
    "metadata_primary": '{"case": 12}',
    "metadata_secondary": "second",
    "mime_type": "audio/x-wav",
    "public": "true",
    "max_downloads_allowed": "7",
}


@pytest.mark.parametrize(
    ("update", "shows_title"),
    [("multipart", True), ("multipart", False), ("json-info", True), ("json", False)],
)
def test_seven_fields_are_written_in_the_form_that_the_service_takes(update: str, shows_title: bool) -> None:
    """`title`, `description`, `metadata_primary`, `metadata_secondary`, `mime_type`, `public` and
    `max_downloads_allowed` can be written.

    Three forms of the edit were published (multipart, and two of JSON): they are tried until one is seen to
    stand, and that one is remembered, over restarts too. An edit is then two requests, since the record is
    read back.
    """
    with one_media(update=update, shows_title=shows_title) as (box, mount, path):
        service = Service(box)
        for name, wanted in FIELDS.items():
            done = mount.run("setfattr", "-n", OWN + name, "-v", wanted, str(path))
            assert (done.returncode, done.stderr) == (0, ""), name
            assert value(path, name) == wanted
            (path,) = path.parent.iterdir()  # another type is another extension
        record = service.record(path)
        shown = FIELDS if shows_title else {k: v for k, v in FIELDS.items() if k in record}
        assert len(shown) == (7 if shows_title else 5)
        for name, wanted in shown.items():
            assert record[name] == {"public": True, "max_downloads_allowed": 7}.get(name, wanted), name
        puts = [r["status"] for r in box.requests() if r["method"] == "PUT"]
        others = ["multipart", "json-info", "json"].index(update)
        assert len(puts) == 7 + others, "the form is found once"
        # Kept over a refresh and a remount, also where no record shows it.
        assert mount.umount().returncode == 0
        assert mount.mount().returncode == 0
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert {name: value(path, name) for name in FIELDS} == FIELDS
        box.reset()
        os.setxattr(path, f"{OWN}metadata_primary", b"again")
        assert [r["method"] for r in box.requests()] == ["PUT", "GET"], "and remembered"


def test_what_no_record_shows_is_this_machines_only() -> None:
    """what was written here is remembered here, over remounts, and what was written elsewhere is not seen.
    Where the record shows them, what it shows is shown.
    """
    with one_media(update="json") as (box, mount, path):
        os.setxattr(path, "user.xdg.comment", b"said here")
        os.setxattr(path, f"{OWN}title", b"title of here")
        assert value(path, "description") == "said here"
        assert "title" not in Service(box).record(path)
        with mounted_vendor(box, lines=['since = "2025-05-01"']) as elsewhere:
            (other,) = elsewhere.files("by-date")
            assert value(elsewhere.root / other, "title") is None
            assert value(elsewhere.root / other, "description") is None
        # What is written elsewhere is seen here only where the service shows it.
        Service(box).put(path, title="title of there")
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert value(path, "title") == "title of here"
        box.set(shows_title=True)
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert value(path, "title") == "title of there"
        os.setxattr(path, f"{OWN}title", b"")
        assert value(path, "title") in ("", None)


def test_taking_away_and_values_that_cannot_be_right() -> None:
    """Any other value is EINVAL, and nothing is sent.

    A text that is taken away is written empty, and a limit on downloads as 0; `mime_type` and `public`
    cannot be taken away, which is EINVAL.
    """
    with one_media(shows_title=True) as (box, mount, path):
        for name in ("title", "description", "metadata_primary", "metadata_secondary"):
            os.setxattr(path, OWN + name, b"x")
            assert mount.run("setfattr", "-x", OWN + name, str(path)).returncode == 0
            assert value(path, name) in ("", None)
        os.setxattr(path, f"{OWN}max_downloads_allowed", b"3")
        os.removexattr(path, f"{OWN}max_downloads_allowed")
        assert Service(box).record(path)["max_downloads_allowed"] == 0
        os.setxattr(path, f"{OWN}public", b"true")
        box.reset()
        for name, wrong in (
            ("public", b"yes"),
            ("public", b"TRUE"),
            ("max_downloads_allowed", b"-1"),
            ("max_downloads_allowed", b"3.5"),
            ("max_downloads_allowed", b"99999999999"),
            ("mime_type", b"wave"),
            ("mime_type", b"audio/wav\r\nX-Evil: 1"),
            ("title", b"\xff"),
            ("metadata_primary", b"a\0b"),
        ):
            assert errno_of(partial(os.setxattr, path, OWN + name, wrong)) == "EINVAL", (name, wrong)
        for name in ("public", "mime_type"):
            assert errno_of(partial(os.removexattr, path, OWN + name)) == "EINVAL", name
        for name, code in (("latitude", "EOPNOTSUPP"), ("id", "EPERM"), ("times_downloaded", "EPERM")):
            assert errno_of(partial(os.setxattr, path, OWN + name, b"1")) == code, name
        assert box.requests() == [], "nothing is sent"
        assert errno_of(partial(os.setxattr, path, f"{OWN}metadata_primary", b"x" * 5000)) == "EINVAL"
        box.set(forbidden_updates=[number_of(path)])
        assert (
            "Permission denied"
            in mount.run("setfattr", "-n", f"{OWN}public", "-v", "false", str(path)).stderr
        )
        assert value(path, "public") == "true"


def test_attributes_tell_what_the_record_tells() -> None:
    with one_media() as (box, _, path):
        record = Service(box).record(path)
        assert value(path, "etag") == record["etag"]
        assert value(path, "times_downloaded") == "0"
        assert value(path, "downloads_left") is None
        assert value(path, "public") == "false"
        assert json.loads(value(path, "record") or "")["original_file_name"] == "test.wav"
        assert value(path, "conversation") is None
        box.reset()
        for name in os.listxattr(path):
            os.getxattr(path, name)
        assert box.requests() == []


# --- deleting ----------------------------------------------------------------------------------------------


def test_rm_deletes_where_it_is_permitted_and_the_default_is_no() -> None:
    """Vonage has no trash. `delete` is `"deny"` unless the configuration says `"permanent"`."""
    with one_media() as (box, mount, path):
        assert errno_of(path.unlink) == ("EPERM" if os.geteuid() == 0 else "EACCES")
        assert "trash" not in os.listdir(mount.root)
        assert box.requests() == []
        assert mount.umount().returncode == 0
        assert mount.mount("--delete", "permanent").returncode == 0
        assert mount.run("rm", "-r", str(path.parent)).returncode == 0
        assert [r["method"] for r in box.requests()].count("DELETE") == 1
        assert box.world() == []
        # The last media is gone, and the service says 404: it is believed now.
        assert mount.mediafs("refresh", str(mount.root / "recent")).returncode == 0
        assert os.listdir(mount.root / "recent") == []


def test_a_trash_cannot_be_configured() -> None:
    with (
        sandbox_process("vonage", media=0) as box,
        prepared_vendor(box, lines=['delete = "trash"']) as mount,
    ):
        done = mount.mount()
        assert done.returncode == 3
        assert 'delete = "trash"' in done.stderr or "delete" in done.stderr


# --- bytes -------------------------------------------------------------------------------------------------


def test_a_media_whose_downloads_are_limited_is_one_get_and_never_prefetched() -> None:
    """A media whose `max_downloads_allowed` is above 0 is never fetched ahead; `user.mediafs.downloads_left`
    says how many downloads were left when it was last listed.
    """
    with sandbox_process("vonage", media=0, limits_all=True) as box:
        for number in range(12):
            created = f"2025-06-01T10:{number:02}:00+00:00"
            box.add(
                created=created,
                filename=f"{number}.wav",
                media_type="audio",
                size=BIG if number == 5 else 900,
            )
        with mounted_vendor(box, lines=['since = "2025-05-01"']) as mount:
            paths = sorted(
                (mount.root / path for path in mount.files("by-date")), key=lambda path: path.stat().st_mtime
            )
            limited = paths[5]
            os.setxattr(limited, f"{OWN}max_downloads_allowed", b"1")
            assert value(limited, "downloads_left") == "1"
            box.reset()
            mine = f"{LIST}/{value(limited, 'id')}"
            for path in paths[:5]:  # in order, as copies do: what is next may be fetched ahead
                path.read_bytes()
            time.sleep(0.3)
            assert box.requests(path=mine) == []
            with limited.open("rb", buffering=0) as file:
                file.seek(5 << 20)
                middle = file.read(100)
            assert hash_of(limited) in truth_of(box)
            assert limited.read_bytes()[5 << 20 :][:100] == middle
            got = box.requests(path=mine)
            assert [(r["method"], r["range"]) for r in got] == [("GET", None)]
            assert mount.mediafs("refresh", str(limited.parent)).returncode == 0
            assert value(limited, "downloads_left") == "0"
            assert value(limited, "cached") == str(BIG)
            assert mount.umount().returncode == 0
            assert mount.mount().returncode == 0
            assert hash_of(limited) in truth_of(box), "also after a remount"
            assert len(box.requests(path=mine)) == 1


def test_the_etag_is_the_validator_and_a_resumed_download_asks_if_range() -> None:
    """What the bytes of a file are known by is the record's `etag`, in `user.mediafs.etag`. A download that
    breaks off is taken up with `If-Range`, so that it goes on with the same content or fails.
    """
    with one_media(size=BIG, redirect=True) as (box, _, path):
        (digest,) = truth_of(box)
        box.fault("cut", path="/stored", after_bytes=3 << 20)
        assert hash_of(path) == digest
        first, *again = box.requests(origin="storage")
        assert "if-range" not in first["headers"]
        assert 1 <= len(again) <= 2, "on a busy machine the kernel may be far ahead by then"
        for each in again:
            assert each["headers"]["if-range"].strip('"') == value(path, "etag")
            assert each["headers"]["range"].startswith("bytes=")
        assert box.leaks() == []


@pytest.mark.parametrize("redirect", [False, True], ids=["direct", "redirected"])
def test_content_that_changed_is_never_mixed_with_what_was_before(redirect: bool) -> None:
    with one_media(size=BIG, redirect=redirect) as (box, mount, path):
        old = truth_of(box).keys()
        with path.open("rb", buffering=0) as file:
            begin = file.read(1 << 20)
            box.fault("cut", path="/stored" if redirect else LIST + "/", after_bytes=1 << 20)
            box.update(number_of(path), size=BIG)
            try:
                content = begin + b"".join(iter(partial(file.read, 1 << 20), b""))
            except OSError as error:
                content = None
                code = errno.errorcode[error.errno or 0]
        if content is None:
            assert code == "ESTALE"
        else:
            assert hashlib.sha256(content).hexdigest() in old, "all of it was on its way already"
        etag = value(path, "etag")
        assert mount.mediafs("refresh", str(path.parent)).returncode == 0
        assert value(path, "etag") != etag
        assert hash_of(path) in truth_of(box)


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert len(quotations(globals())) >= 6
    assert unfounded(globals()) == []
