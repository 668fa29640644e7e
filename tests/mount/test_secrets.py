"""No token, password, query, signature or capability is shown, whatever goes wrong and whoever asks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from mediafs.sandbox.faults import Kind
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, prepared, requests

TOKEN = "tok-5d1c7e0b9a3f4826-admin"
PASSWORD = "pa55-word-9f27c4e1"
USERNAME = "somebody.particular@example.org"
WORDS = (
    *("orderby=", "limit=", "user_id=", "since=", "until=", "offset=", "grant_type=", "conversation_id="),
    *("signature", "expires=", "authorization", "bearer"),
)
LOGIN = (f'username = "{USERNAME}"', f'password = "{PASSWORD}"')
LISTS = "/api/v3/medias"


@pytest.fixture
def redirecting() -> Iterator[Box]:
    """Downloads are signed links to a second origin."""
    with sandbox_process(
        media=120, redirect=True, token=TOKEN, username=USERNAME, password=PASSWORD
    ) as running:
        yield running


def capabilities(box: Box) -> set[str]:
    """What opens a media without a login: the hashes in its record and in its links."""
    return {str(media["hash"]) for media in box.world()}


def signatures(box: Box) -> set[str]:
    """The values of the signed links that were followed."""
    found = set()
    for request in box.requests(origin="storage"):
        found |= {value for _, value in parse_qsl(request["query"]) if len(value) >= 12}
    return found


def secrets_of(box: Box) -> set[str]:
    """All that must not be seen. `eyJ` is how every token that the sandbox gives for a login begins."""
    return {TOKEN, PASSWORD, USERNAME, "eyJ"} | capabilities(box) | signatures(box)


def leaks(text: str, secrets: set[str]) -> list[str]:
    """What of all that is secret stands in a text, and words that only a query or a header has."""
    lower = text.lower()
    return [secret for secret in secrets if secret in text] + [w for w in WORDS if w in lower]


def read(path: Path) -> int:
    """Reads a file to its end; the errno it fails with, or 0."""
    try:
        path.read_bytes()
    except OSError as error:
        return error.errno or -1
    return 0


def media_of(path: Path) -> str:
    return os.getxattr(path, "user.mediafs.id").decode()


def echo(*secrets: str) -> str:
    """A service that repeats in its answer what it was sent."""
    return json.dumps({"error": f"{' and '.join(secrets)} are of no use"})


FAULTS: list[dict[str, Any]] = [
    {"kind": kind, "after_bytes": 33 << 20} if kind is Kind.HUGE_JSON else {"kind": kind}
    for kind in Kind
    if kind not in (Kind.STALL, Kind.TRICKLE, Kind.STATUS)
]
FAULTS += [
    {"kind": "status", "status": status, "body": echo(TOKEN)}
    for status in (400, 403, 404, 410, 418, 500, 503)
]
FAULTS += [
    {"kind": "redirect", "location": location}
    for location in (
        f"http://127.0.0.1:9/away?signature={'ab' * 16}&token={TOKEN}",
        f"http://{USERNAME}:{PASSWORD}@127.0.0.1:9/x?token={TOKEN}",
        f"ftp://127.0.0.1/{TOKEN}",
        f"//[::1:bad?{TOKEN}",
    )
]


def everything_said(mount: Mount) -> str:
    """All that a person, or a log, gets to see of a mount."""
    said = [mount.log]
    for arguments in (
        ("status", str(mount.root)),
        ("status", "--json", "--verbose"),
        ("check", "--verbose"),
        ("refresh", "--verbose", str(mount.root / "by-conversation" / "5000")),
    ):
        done = mount.mediafs(*arguments)
        said += [done.stdout, done.stderr]
    return "\n".join(said)


def test_no_fault_of_the_service_brings_a_secret_into_a_log_or_an_answer(redirecting: Box) -> None:
    box = redirecting
    with mounted(box.url, "--verbose", token=TOKEN, lines=['conversations = ["5000"]']) as mount:
        files = sorted((mount.root / "recent").iterdir())
        assert len(files) >= 2 * len(FAULTS)
        for number, fault in enumerate(FAULTS):
            box.fault(path=f"{LISTS}/{media_of(files[number])}/download", times=2, **fault)
            box.fault(path=f"/*stored*{media_of(files[-1 - number])}*", times=2, **fault)
        with ThreadPoolExecutor(24) as pool:
            results = list(pool.map(read, files))
        assert set(results) <= {0, errno.EIO, errno.EACCES, errno.ENOENT, errno.ETIMEDOUT, errno.ESTALE}
        assert sum(map(bool, results)) >= 5, "the faults bit"
        assert signatures(box), "the links were signed and followed"
        for fault in FAULTS:
            if fault["kind"] not in (Kind.CHANGE, Kind.SHORT, Kind.LONG, Kind.WRONG_RANGE, Kind.IGNORE_RANGE):
                box.fault(path=LISTS, times=1, **fault)
        scopes = [f"by-conversation/{5001 + n}" for n in range(len(FAULTS))]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda scope: mount.run("ls", scope), scopes))
        box.clear_faults()
        box.fault("status", path=LISTS, status=403, body=echo(TOKEN), times=1)
        said = everything_said(mount)
        assert "DEBUG" in mount.log, "verbose is verbose"
        assert leaks(said, secrets_of(box)) == []
        assert "of no use" in said, "what the service says is passed on, without what it repeats"


def test_a_login_that_is_refused_is_told_without_what_it_sent(redirecting: Box) -> None:
    with mounted(redirecting.url, "--verbose", token=None, lines=LOGIN) as mount:
        said = []
        for status in (400, 401, 403, 404):
            redirecting.clear_faults()
            body = echo(PASSWORD, USERNAME)
            redirecting.fault("status", path="/api/v3/token", status=status, body=body, times=None)
            done = mount.mediafs("check", "--verbose")
            assert done.returncode == 4, done.stdout
            assert "of no use" in done.stdout
            said.append(done.stdout + done.stderr)
        assert mount.run("ls", "recent").returncode != 0
        assert len(requests(redirecting, "/api/v3/token")) >= 5
        assert leaks("".join(said) + everything_said(mount), secrets_of(redirecting)) == []


def test_a_service_that_repeats_the_token_of_a_login_does_not_get_it_into_a_log(redirecting: Box) -> None:
    granted = json.dumps({"access_token": TOKEN, "expires_in": 3600})
    redirecting.fault("json", path="/api/v3/token", body=granted, times=None)
    redirecting.fault("status", path=LISTS, status=403, body=echo(TOKEN), times=None)
    with mounted(redirecting.url, token=None, lines=LOGIN) as mount:
        mount.run("ls", "recent")
        if "of no use" not in mount.log:
            pytest.fail("the service's words did not come through", pytrace=False)
        assert TOKEN not in mount.log


def test_no_extended_attribute_holds_a_capability_or_a_link(redirecting: Box) -> None:
    with mounted(redirecting.url, token=TOKEN) as mount:
        files = sorted((mount.root / "recent").iterdir())
        assert len(files) == 100
        secrets = secrets_of(redirecting)
        known = ["record", "etag", "status", "source_type", "duration", "cached", "account", "owner_id"]
        for path in files:
            names = [*os.listxattr(path), *(f"user.mediafs.{name}" for name in known)]
            for name in names:
                try:
                    value = os.getxattr(path, name).decode()
                except OSError as error:
                    if error.errno != errno.ENODATA:
                        raise
                    continue
                assert leaks(value, secrets) == [], name
                assert "http" not in value, name
        record = json.loads(os.getxattr(files[0], "user.mediafs.record"))
        assert {"id", "created", "filesize"} <= record.keys()
        assert not {"hash", "url", "thumbnail_url"} & record.keys()
        for name in ("url", "hash", "thumbnail_url", "token"):
            with pytest.raises(OSError, match="No data available"):
                os.getxattr(files[0], f"user.mediafs.{name}")


def test_the_second_origin_sees_nothing_of_the_credential(redirecting: Box) -> None:
    for token, lines in ((TOKEN, ()), (None, LOGIN)):
        redirecting.reset()
        with mounted(redirecting.url, token=token, lines=lines) as mount:
            files = sorted((mount.root / "recent").iterdir())[:6]
            # Straight there, by a link that expired, and over a chain that comes back.
            redirecting.fault("status", path="/stored", status=403, times=1)
            redirecting.fault("redirect", path=f"{LISTS}/{media_of(files[3])}/download", times=1)
            for path in files:
                read(path)
        stored = redirecting.requests(origin="storage")
        assert len(stored) >= len(files)
        for request in stored:
            headers = {name.lower(): value for name, value in request["headers"].items()}
            assert not {"authorization", "cookie", "proxy-authorization", "referer"} & headers.keys()
            assert leaks(json.dumps(headers), {TOKEN, PASSWORD, USERNAME, "eyJ"}) == []
            assert TOKEN not in request["query"] + request["path"]
        assert not {"access_token", "token"} & {k for r in stored for k, _ in parse_qsl(r["query"])}


@pytest.mark.parametrize("how", ["text", "env"])
def test_ps_shows_no_secret_wherever_it_comes_from(how: str) -> None:
    with prepared("http://127.0.0.1:9", token=None) as mount:
        with mount.config.open("a") as config:
            config.write(f'token = "{TOKEN}"\n' if how == "text" else 'token = { env = "CLINIC_TOKEN" }\n')
        mount.env["CLINIC_TOKEN"] = TOKEN
        done = mount.mount("--verbose")
        assert done.returncode == 0, done.stderr
        shown = subprocess.run(
            ["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True
        ).stdout
        assert str(mount.root) in shown
        assert TOKEN not in shown


def test_nothing_that_is_remembered_on_disk_holds_a_secret_and_nobody_else_can_read_it(
    redirecting: Box,
) -> None:
    with mounted(redirecting.url, token=None, lines=LOGIN) as mount:
        for path in sorted((mount.root / "recent").iterdir())[:5]:
            read(path)
        assert mount.umount().returncode == 0
        kept = [p for p in mount.cache.rglob("*") if p.is_file()]
        assert any(p.suffix == ".sqlite3" for p in kept)
        secrets = secrets_of(redirecting) - {USERNAME}
        for path in kept:
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path
        for path in (mount.cache, *mount.cache.rglob("*")):
            if path.is_dir() or path.parent == mount.cache:
                assert path.stat().st_mode & 0o077 == 0, path
