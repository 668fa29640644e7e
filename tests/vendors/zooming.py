"""A vendor for Zoom, and a service that answers it: what its tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from mediafs.model import Media, Page, Question
from mediafs.vendors.protocol import Call, Flow, Reply
from mediafs.vendors.zoom import Zoom, ZoomOptions

T = TypeVar("T")
Answer = Callable[[Call], Reply]

HERE = Path(__file__).parent / "zoom"
KEY = "key-of-the-api"
SECRET = "secret-of-the-api-of-32-characters"
NOW = datetime(2022, 5, 17, 10, 30, tzinfo=UTC)
SESSION = "KkMHZ4y8QhSUWAHi5sWvfg=="
FILE = "35497738-9fef-4f8a-97db-0ec34caef065"
DAY = timedelta(days=1)
MARCH = datetime(2022, 3, 1, tzinfo=UTC)


def zoom(**options: Any) -> Zoom:
    return Zoom(ZoomOptions(**({"api_key": KEY, "api_secret": SECRET} | options)))


def reply(value: object, status: int = 200, **headers: str) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body)


def sample(name: str) -> Any:
    return json.loads((HERE / name).read_text())


def driven(flow: Flow[T], answer: Answer | list[Reply]) -> tuple[T, list[Call]]:
    """The outcome of a flow whose calls are answered by a function, or one after the other."""
    calls: list[Call] = []
    try:
        call = next(flow)
        while True:
            calls.append(call)
            assert len(calls) < 5000
            call = flow.send(answer[len(calls) - 1] if isinstance(answer, list) else answer(call))
    except StopIteration as stop:
        return stop.value, calls


def envelope(*sessions: object, **members: object) -> Reply:
    return reply({"page_size": 300, "next_page_token": "", "sessions": list(sessions)} | members)


def recording(**changes: object) -> dict[str, object]:
    made = sample("list.json")["sessions"][0]["recording_files"][0]
    return {key: value for key, value in (made | changes).items() if value is not ...}


def session(*files: object, **changes: object) -> dict[str, object]:
    made = sample("list.json")["sessions"][0] | {"recording_files": list(files)}
    return {key: value for key, value in (made | changes).items() if value is not ...}


def history(answer: Answer | list[Reply], vendor: Zoom | None = None, **question: Any) -> Page:
    asked = Question(**({"since": MARCH, "until": MARCH + 20 * DAY} | question))
    return driven((vendor or zoom()).page(asked, NOW), answer)[0]


def media(**changes: object) -> Media:
    """The one media of a session with one recording that is like the sample but for `changes`."""
    (found,) = history([envelope(session(recording(**changes)))]).media
    return found


def days(call: Call) -> tuple[date, date]:
    query = dict(call.query)
    return date.fromisoformat(query["from"]), date.fromisoformat(query["to"])


class Archive:
    """A service in memory: sessions by the day they began, and echoes of what it listed."""

    def __init__(self, *sessions: dict[str, Any]) -> None:
        self.sessions = list(sessions)
        self.calls: list[Call] = []

    def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        first, last = days(call)
        found = [s for s in self.sessions if str(first) <= s["start_time"][:10] <= str(last)]
        return envelope(*found, **{"from": str(first), "to": str(last)}, total_records=len(found))


def whole_history(archive: Answer, vendor: Zoom | None = None, **question: Any) -> Iterator[Page]:
    asked = Question(**question)
    vendor = vendor or zoom()
    while True:
        page, _ = driven(vendor.page(asked, NOW), archive)
        yield page
        if page.next is None:
            return
        asked = replace(asked, cursor=page.next)


def on(day: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    """A session that began on `day` with one recording that did."""
    file = recording(
        id=f"file-{number}", recording_start=f"{day}T10:00:00Z", recording_end=f"{day}T10:05:00Z"
    )
    return session(file, session_id=f"session-{number:04}==", start_time=f"{day}T09:59:00Z") | changes
