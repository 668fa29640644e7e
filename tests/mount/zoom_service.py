"""Zoom's side of a mount: what its console shows and does, by the ids that files carry."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import jwt

from mediafs.sandbox.testing import Answer, Box

ROOT = "/v2/videosdk"
LIST = f"{ROOT}/recordings"


def id_of(path: Path) -> str:
    return os.getxattr(path, "user.mediafs.id").decode()


def encoded(session: str) -> str:
    """The id of a session in an address, as Zoom documents it."""
    once = quote(session, safe="")
    return quote(once, safe="") if session.startswith("/") or "//" in session else once


@dataclass(frozen=True)
class Console:
    """Somebody else who works on the account."""

    box: Box

    def trash(self) -> set[str]:
        """`SESSION:FILE` of what is in the trash."""
        found: set[str] = set()
        for kind in ("recording_file", "session_recordings"):
            answer = self._call("GET", f"{LIST}?trash=true&trash_type={kind}&page_size=300")
            for session in answer.json["sessions"]:
                found |= {f"{session['session_id']}:{file['id']}" for file in session["recording_files"]}
        return found

    def has_trashed(self, media: str) -> bool:
        return ":".join(media.split(":")[:2]) in self.trash()

    def put_into_trash(self, media: str) -> None:
        self._changed("DELETE", media, "?action=trash")

    def delete(self, media: str) -> None:
        """For good, in the trash or not."""
        self._changed("DELETE", media, "?action=delete")

    def recover(self, media: str) -> None:
        self._changed("PUT", media, "/status", b'{"action":"recover"}')

    def put_session_into_trash(self, media: str) -> None:
        """With all its files."""
        session = encoded(media.split(":")[0])
        answer = self._call("DELETE", f"{ROOT}/sessions/{session}/recordings?action=trash")
        assert answer.status == 204, answer

    def _changed(self, method: str, media: str, rest: str, body: bytes | None = None) -> None:
        session, file = media.split(":")[:2]
        target = f"{ROOT}/sessions/{encoded(session)}/recordings/{file}{rest}"
        answer = self._call(method, target, body)
        assert answer.status == 204, (target, answer)

    def _call(self, method: str, target: str, body: bytes | None = None) -> Answer:
        now = int(time.time())
        claims = {"iss": self.box.credentials["api_key"], "iat": now, "exp": now + 600}
        token = jwt.encode(claims, self.box.credentials["api_secret"], headers={"typ": "JWT"})
        return self.box.call(method, target, body=body, token=token)


def changes(box: Box) -> list[tuple[str, str]]:
    """Method and what follows the file, of every change that was asked for."""
    found = []
    for request in box.requests():
        if request["method"] in ("DELETE", "PUT"):
            action = request["query"] or json.dumps(request["path"].rpartition("/")[2])
            found.append((request["method"], action.strip('"')))
    return found
