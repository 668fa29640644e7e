"""Vonage's side of a mount: what the service shows to somebody else, and accounts of one media."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt

from mediafs.sandbox.testing import Answer, Box, sandbox_process

from .mounting import Mount
from .vendor_accounts import mounted_vendor

LIST = "/v3/media"
OLD = ('fresh_for = "100ms"', 'list_deadline = "5s"')
OLD_AFTER_S = 1.1
OWN = "user.mediafs."


def errno_of(action: Callable[[], object]) -> str:
    """The name of the errno that an action fails with, or `success`."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")  # one number, two names
    return "success"


def truth_of(box: Box) -> dict[str, dict[str, Any]]:
    """The media of the account, by the hash of their bytes, which no two have in common."""
    found = {media["sha256"]: media for media in box.world(digest=True) if media["completed"]}
    assert len(found) == sum(media["completed"] for media in box.world())
    return found


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def number_of(path: Path) -> int:
    """The number of a media at the sandbox, which its UUID ends with."""
    return int(os.getxattr(path, f"{OWN}id").decode().rpartition("-")[2], 16)


def value(path: Path, name: str) -> str | None:
    """`user.mediafs.NAME`; None: ENODATA."""
    try:
        return os.getxattr(path, OWN + name).decode()
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


@contextmanager
def one_media(*lines: str, size: int = 1000, **options: Any) -> Iterator[tuple[Box, Mount, Path]]:
    with sandbox_process("vonage", media=0, **options) as box:
        box.add(created="2025-06-01T10:00:00+00:00", filename="test.wav", media_type="audio", size=size)
        with mounted_vendor(box, lines=['since = "2025-05-01"', *lines]) as mount:
            (path,) = mount.files("by-date")
            box.reset()
            yield box, mount, mount.root / path


class Service:
    """The service as another program of the application uses it."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def record(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", f"{value(path, 'id')}/info").json
        return found

    def put(self, path: Path, **fields: object) -> None:
        """An edit as the Node SDK sends it; the sandbox has to take that form."""
        answer = self._call("PUT", value(path, "id") or "", json.dumps(fields))
        assert answer.status == 204, answer

    def _call(self, method: str, target: str, body: str | None = None) -> Answer:
        now = int(time.time())
        credentials = self._box.credentials
        claims = {"application_id": credentials["application_id"], "iat": now, "exp": now + 60, "jti": "x"}
        token = jwt.encode(claims, credentials["private_key"], algorithm="RS256")
        headers = {"Content-Type": "application/json"} if body else {}
        return self._box.call(method, f"{LIST}/{target}", body=body, headers=headers, token=token)
