"""A sandbox in a process of its own, for tests: a mount and its server must not share an interpreter.

Standard library only, and synchronous, so that any test can use it.
"""

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final
from urllib.parse import urlsplit

import mediafs.sandbox

END_WITHIN_S: Final = 5.0
ANSWER_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the service, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Box:
    """A running sandbox seen from outside. Attributes as announced; methods are control requests.

    Every method raises RuntimeError with the sandbox's own words when it refuses.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.url: str = facts["url"]
        self.storage_url: str = facts["storage_url"]
        self.vendor: str = facts["vendor"]
        self.credentials: dict[str, str] = facts["credentials"]
        # Apizee's by their names; another vendor's are in credentials under its own.
        self.token = self.credentials.get("token", "")
        self.user_token = self.credentials.get("user_token", "")
        self.username = self.credentials.get("username", "")
        self.password = self.credentials.get("password", "")
        self.pid: int = facts["pid"]
        self._key: str = facts["control_key"]

    def __repr__(self) -> str:
        return f"<Box {self.url} pid {self.pid}>"

    def requests(self, *, origin: str | None = None, path: str = "") -> list[dict[str, Any]]:
        """The requests since the last reset whose path contains *path*, oldest first."""
        found = self.counts()["requests"]
        return [item for item in found if origin in (None, item["origin"]) and path in item["path"]]

    def counts(self) -> dict[str, Any]:
        """The whole log: ``requests``, ``connections``, ``in_flight`` and ``peak_in_flight``."""
        return self._call("GET", "requests")

    def leaks(self, *secrets: str) -> list[dict[str, Any]]:
        """The requests that brought a credential to the storage origin: a header made for one, or any of
        ``credentials`` or of *secrets* anywhere.
        """
        found: list[dict[str, Any]] = self._call("POST", "leaks", secrets)["requests"]
        return found

    def reset(self) -> None:
        """Empties the log; faults and options stay."""
        self._call("POST", "reset")

    def fault(self, kind: str, **fields: Any) -> None:
        """Adds one fault to the script, for instance ``fault("status", path="/api/v3/medias", status=503,
        times=2)``.
        """
        self._call("POST", "faults", [{"kind": kind, **fields}])

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def pending_faults(self) -> int:
        return int(self._call("GET", "faults")["pending"])

    def set(self, **options: Any) -> dict[str, Any]:
        """Changes options while it runs; returns all of them."""
        return self._call("POST", "options", options)

    def expire_tokens(self) -> None:
        """Makes every token given out by a login worthless."""
        self._call("POST", "expire")

    def add(self, *, body: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Adds a media (fields of ``World.add``; ``created`` as ISO 8601 text); returns its truth."""
        return self._call("POST", "media", _with_body(body, fields))

    def update(self, media_id: int, *, body: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Changes a media behind the client's back, its bytes with *body* or ``size``; returns its truth."""
        return self._call("PATCH", f"media/{media_id}", _with_body(body, fields))

    def remove(self, media_id: int) -> None:
        self._call("DELETE", f"media/{media_id}")

    def add_owner(self, owner_id: int, name: str | None, *, named: bool = True, group: int = 300) -> None:
        self._call("POST", "owners", {"id": owner_id, "name": name, "named": named, "group": group})

    def world(self, *, digest: bool = False) -> list[dict[str, Any]]:
        """Every media in order of creation: its record and conversation, group, tags, completed, size, etag.

        With *digest* also ``sha256`` of its bytes, which takes about a millisecond each.
        """
        media: list[dict[str, Any]] = self._call("GET", f"world{'?digest=1' if digest else ''}")["media"]
        return media

    def call(
        self,
        method: str,
        target: str,
        *,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = "",
    ) -> Answer:
        """One request as a client makes it, on a connection of its own; *target* may be a whole URL.

        Sends *token* as its bearer: by default Apizee's administrator's on an Apizee sandbox and none on any
        other; none with None. Follows no redirect. Raises what http.client raises.
        """
        parts = urlsplit(target)
        connection = HTTPConnection(parts.netloc or urlsplit(self.url).netloc, timeout=ANSWER_WITHIN_S)
        if token == "" and self.vendor == "apizee":
            token = self.token
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        place = parts._replace(scheme="", netloc="").geturl()
        try:
            connection.request(method, place, body, bearer | dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=names, body=response.read())
        finally:
            connection.close()

    def _call(self, method: str, path: str, value: object = None) -> dict[str, Any]:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=ANSWER_WITHIN_S)
        try:
            body = None if value is None else json.dumps(value)
            connection.request(method, f"/_sandbox/{path}", body, {"X-Sandbox-Key": self._key})
            response = connection.getresponse()
            reply: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"sandbox refused {method} {path}: {response.status} {reply.get('error')}")
        return reply


def _with_body(body: bytes | None, fields: dict[str, Any]) -> dict[str, Any]:
    return fields if body is None else fields | {"body": b64encode(body).decode()}


@contextmanager
def sandbox_process(
    vendor: str = "apizee",
    *,
    media: int = 300,
    seed: int = 1,
    first: date | str = "2024-01-01",
    last: date | str = "2025-12-31",
    users: int = 8,
    conversations: int = 30,
    hostile: bool = False,
    port: int = 0,
    storage_port: int = 0,
    **options: Any,
) -> Iterator[Box]:
    """A sandbox of *vendor* while the block runs; *options* are fields of its own class of options. Raises
    RuntimeError if it does not start.

    It ends with the block, and with this process however that ends, because its standard input is a pipe
    from here.
    """
    command = [sys.executable, "-m", "mediafs.sandbox", "--json", "--until-eof", "--vendor", vendor]
    numbers = {"media": media, "seed": seed, "users": users, "conversations": conversations}
    places = {"first": first, "last": last, "port": port, "storage-port": storage_port}
    for name, value in (numbers | places).items():
        command += [f"--{name}", str(value)]
    command += ["--options", json.dumps(options, default=sorted)] + ["--hostile"] * hostile
    with TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment()
        )
        try:
            yield Box(_announced(process, errors))
        finally:
            _end(process)
            errors.seek(0)
            # A traceback of the sandbox belongs into the output of the test that provoked it.
            sys.stderr.write(errors.read().decode("utf-8", "replace"))


def _announced(process: "subprocess.Popen[bytes]", errors: Any) -> dict[str, Any]:
    if process.stdout is None:
        raise RuntimeError("the sandbox has no standard output")
    line = process.stdout.readline()
    if not line:
        process.wait()
        errors.seek(0)
        raise RuntimeError(f"the sandbox did not start: {errors.read().decode('utf-8', 'replace')}")
    facts: dict[str, Any] = json.loads(line)
    return facts


def _environment() -> dict[str, str]:
    """This environment, in which the same mediafs is found from any directory."""
    root = str(Path(mediafs.sandbox.__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, before] if before else [root])}


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
