"""What must come of each operation under each fault: a cell, or why there is none.

Bounds are those that docs/SEMANTICS.md and docs/DESIGN.md promise, in seconds of the default deadlines; the
document is made from this table and from a run that has kept to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from .faults import FAULTS
from .operations import CHANGED, OPERATIONS, RECORD_CHANGED, SUCCESS

AT_ONCE_S: Final = 1
"""One answer settles it."""
RETRIED_S: Final = 4
"""Three tries, with pauses of at most 0.5 and 1 s between them; the kernel may ask twice."""
THREE_CONNECTS_S: Final = 33
"""Three attempts of 10 s, and the pauses."""
SILENT_S: Final = 16
"""One answer that does not come for 15 s, and a second try."""
THREE_SILENT_S: Final = 48
WAITED_S: Final = 9
"""The 5 s that the service asks for, up to 2 s of rounding, and the request."""

KERNEL: Final = "the kernel asks twice for what its read-ahead did not get"
REMEMBERED: Final = "for a minute nobody asks again"
BELIEVED: Final = "its word is believed; the next listing shows the media if it is there after all"
LOOKED: Final = "whether it was carried out is asked afterwards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What the user's process sees, and at what cost."""

    sees: str
    """`success` or the errno."""
    within_s: float
    sent: int
    """Requests that reach the service, at most."""
    at_least: int = -1
    """Requests that it takes; -1: as many as `sent`."""
    note: str = ""

    @property
    def retried(self) -> str:
        """For the document: what was sent again."""
        fewest = self.sent if self.at_least < 0 else self.at_least
        if self.sent == 0:
            return "none arrives"
        if self.sent == fewest:
            return "sent once" if self.sent == 1 else f"sent {self.sent} times"
        return f"sent {fewest} to {self.sent} times"


@dataclass(frozen=True, slots=True)
class NotApplicable:
    why: str


Row = Cell | NotApplicable


def _cell(sees: str, within_s: float, sent: int, note: str = "", at_least: int = -1) -> Cell:
    return Cell(sees=sees, within_s=within_s, sent=sent, note=note, at_least=at_least)


def _answered(deadline_s: float) -> dict[str, Row]:
    """Of a request whose whole answer is read before anything comes of it: listings, records, changes.

    `deadline_s` is for all tries together.
    """
    download = NotApplicable("of downloads only")
    patient = deadline_s > SILENT_S
    once_silent = _cell(SUCCESS, SILENT_S, 2) if patient else _cell("ETIMEDOUT", deadline_s, 1)
    silent = _cell("ETIMEDOUT", min(deadline_s, THREE_SILENT_S), 1 + int(patient))
    down = _cell("EIO", RETRIED_S, 3)
    unreachable = replace(down, sent=0)
    refused = _cell("EIO", AT_ONCE_S, 1)
    once = _cell(SUCCESS, RETRIED_S, 2)
    waited = _cell(SUCCESS, WAITED_S, 2)
    return {
        "connection refused": unreachable,
        "connect timeout": _cell("ETIMEDOUT", deadline_s, 0, "two attempts of 10 s"),
        "reset before the headers, once": once,
        "reset before the headers, always": down,
        "reset in the headers, once": once,
        "reset in the headers, always": down,
        "no answer, once": once_silent,
        "no answer, always": silent,
        "carried out, answer lost, once": NotApplicable("a GET changes nothing: as a reset"),
        "carried out, answer lost, always": NotApplicable("a GET changes nothing: as a reset"),
        "cut, once": once,
        "cut, always": down,
        "stall, once": once_silent,
        "stall, always": silent,
        "trickle, 10 KB/s": _cell(SUCCESS, deadline_s, 1),
        "short": NotApplicable(
            "nothing tells how long a JSON answer is but its own header: see cut, bad JSON"
        ),
        "long": NotApplicable("nothing tells how long a JSON answer is but its own header: see bad JSON"),
        "wrong Content-Range": download,
        "ignored Range": download,
        "403": replace(refused, sees="EACCES"),
        "404": replace(refused, sees="ENOENT"),
        "409": refused,
        "410": replace(refused, sees="ENOENT"),
        **{f"{status} once": once for status in (500, 502, 503)},
        "503 once, Retry-After": waited,
        **{f"{status} always": down for status in (500, 502, 503)},
        "500, 502, 503 for a minute": replace(down, note="each try in that minute; then success"),
        "HTML": refused,
        "bad JSON": refused,
        "nothing, as 200": refused,
        "redirect loop": refused,
        "redirect to another origin": download,
        "redirect to another origin that does not know it": refused,
        "expired signed link, once": download,
        "expired signed link, always": download,
        CHANGED: download,
        RECORD_CHANGED: NotApplicable("no handle of a file is concerned"),
        "429 once, X-RateLimit-Reset as seconds": waited,
        "429 once, X-RateLimit-Reset as Unix time": waited,
        "429 once, Retry-After as seconds": waited,
        "429 once, Retry-After as HTTP date": waited,
        "429 once, Retry-After as ISO 8601": waited,
        "429 always, 1 s": _cell("ETIMEDOUT", min(deadline_s, 15), 5),
        "429 once, a wait beyond the deadline": _cell("ETIMEDOUT", AT_ONCE_S, 1),
        "429 once, no header": _cell("ETIMEDOUT", AT_ONCE_S, 1, "taken for a minute"),
        "401 once": once,
        "401 always": _cell("EACCES", AT_ONCE_S, 2, REMEMBERED),
    }


def _downloaded(deadline_s: float) -> dict[str, Row]:
    """Of a download: what is wrong before its body comes."""
    table = _answered(deadline_s)
    table |= {
        "carried out, answer lost, once": NotApplicable("a GET changes nothing: as a reset"),
        "wrong Content-Range": _cell("EIO", AT_ONCE_S, 1),
        "redirect to another origin": _cell(SUCCESS, AT_ONCE_S, 1, "without the account's credentials"),
        "expired signed link, once": _cell(SUCCESS, AT_ONCE_S, 2, "another link is asked for"),
        "expired signed link, always": _cell("EIO", AT_ONCE_S, 2, "another link is asked for"),
    }
    return table


def _read(deadline_s: float) -> dict[str, Row]:
    """Of a download that a reader waits for: who asks is the kernel, and it asks again."""
    table: dict[str, Row] = {}
    for name, row in _downloaded(deadline_s).items():
        twice = isinstance(row, Cell) and row.sees == "EIO" and row.sent
        if twice:
            assert isinstance(row, Cell)
            row = replace(row, sent=2 * row.sent, at_least=row.sent, note=row.note or KERNEL)
        table[name] = row
    return table | {
        "connect timeout": _cell("EIO", THREE_CONNECTS_S, 0, "three attempts of 10 s"),
        "no answer, always": _cell("ETIMEDOUT", THREE_SILENT_S, 3),
        "stall, once": _cell(SUCCESS, deadline_s, 2, "cut after 15 s, and taken up where it stopped"),
        "cut, once": _cell(SUCCESS, RETRIED_S, 2, "taken up where it broke off"),
        "trickle, 60 B/s": _cell("ETIMEDOUT", deadline_s, 1),
        "429 always, 1 s": _cell("ETIMEDOUT", 30, 10, KERNEL, at_least=5),
        "429 once, no header": _cell(SUCCESS, deadline_s, 2, "taken for a minute, and waited for"),
        CHANGED: _cell("ESTALE", AT_ONCE_S, 1),
        RECORD_CHANGED: _cell("ESTALE", AT_ONCE_S, 0, "the size of another content"),
    }


TABLE: Final[Mapping[str, Mapping[str, Row]]] = {
    "list": _answered(20)
    | {
        "no answer, always": _cell("ETIMEDOUT", 20, 2, "the listing goes on behind"),
        "stall, always": _cell("ETIMEDOUT", 20, 2, "the listing goes on behind"),
        "trickle, 60 B/s": _cell("ETIMEDOUT", 20, 1, "the listing goes on behind"),
        "404": _cell("EIO", AT_ONCE_S, 1, "no archive is empty by a 404"),
        "410": _cell("EIO", AT_ONCE_S, 1, "no archive is empty by a 410"),
    },
    "look up": _answered(15)
    | {
        "trickle, 60 B/s": _cell(SUCCESS, 15, 1, "a short answer"),
        "404": _cell("ENOENT", AT_ONCE_S, 1, "asked again after `fresh_for`"),
        "410": _cell("ENOENT", AT_ONCE_S, 1, "asked again after `fresh_for`"),
    },
    "get": _answered(15)
    | {
        "trickle, 60 B/s": _cell(SUCCESS, 15, 1, "a short answer"),
        "500, 502, 503 for a minute": _cell(
            "EIO", RETRIED_S, 9, "each try in that minute, and looking again behind; then success", at_least=3
        ),
    },
    "open": _downloaded(15)
    | {
        "cut, once": _cell(SUCCESS, AT_ONCE_S, 1, "the headers tell the size"),
        "cut, always": _cell(SUCCESS, AT_ONCE_S, 1, "the headers tell the size"),
        "stall, once": _cell(SUCCESS, AT_ONCE_S, 1, "the headers tell the size"),
        "stall, always": _cell(SUCCESS, AT_ONCE_S, 1, "the headers tell the size"),
        "trickle, 10 KB/s": _cell(SUCCESS, AT_ONCE_S, 1, "the headers tell the size"),
        "trickle, 60 B/s": _cell(SUCCESS, AT_ONCE_S, 1, "the headers tell the size"),
        "short": NotApplicable("nothing but the header tells the size"),
        "long": NotApplicable("nothing but the header tells the size"),
        "ignored Range": _cell(SUCCESS, AT_ONCE_S, 1),
        "nothing, as 200": _cell("EIO", AT_ONCE_S, 1, "never taken for an empty file"),
        CHANGED: NotApplicable("nothing was read before"),
        RECORD_CHANGED: NotApplicable("no handle is open before"),
        "429 once, no header": _cell("ETIMEDOUT", 15, 1, "taken for a minute, which the download waits for"),
    },
    "read": _read(65)
    | {
        "cut, always": _cell(SUCCESS, RETRIED_S, 6, "a megabyte each time"),
        "stall, always": _cell(SUCCESS, 80, 6, "a megabyte each time, and each `read` within 65 s"),
        "trickle, 10 KB/s": _cell(SUCCESS, 65, 1, "a file of 200 kB"),
        "short": _cell("EIO", AT_ONCE_S, 2, KERNEL, at_least=1),
        "long": _cell("EIO", AT_ONCE_S, 2, KERNEL, at_least=1),
        "ignored Range": _cell(SUCCESS, AT_ONCE_S, 1, "fetched whole, into a file without a name"),
        CHANGED: _cell("ESTALE", RETRIED_S, 2, "found out where the download is taken up"),
    },
    "second range": _read(65)
    | {
        "cut, always": _cell(SUCCESS, RETRIED_S, 10, "a kilobyte each time", at_least=4),
        "stall, always": _cell(SUCCESS, 65, 6, "a kilobyte each time", at_least=4),
        "trickle, 10 KB/s": _cell(SUCCESS, 65, 1),
        "short": _cell("ESTALE", AT_ONCE_S, 1, "it is another content"),
        "long": _cell("ESTALE", AT_ONCE_S, 1, "it is another content"),
        "ignored Range": _cell(SUCCESS, RETRIED_S, 1, "the same `ETag`: fetched whole"),
        "404": _cell("ESTALE", AT_ONCE_S, 1, "gone while it was read"),
        "410": _cell("ESTALE", AT_ONCE_S, 1, "gone while it was read"),
        "nothing, as 200": _cell("ESTALE", AT_ONCE_S, 1, "without the `ETag`, it is another content"),
    },
    "update": _answered(15)
    | {
        "trickle, 60 B/s": _cell(SUCCESS, 15, 1, "a short answer"),
        "carried out, answer lost, once": _cell(SUCCESS, RETRIED_S, 2),
        "carried out, answer lost, always": _cell("EIO", RETRIED_S, 3, LOOKED),
        "no answer, once": _cell("ETIMEDOUT", 15, 1, LOOKED),
        "no answer, always": _cell("ETIMEDOUT", 15, 1, LOOKED),
        "nothing, as 200": _cell(
            "EINVAL", RETRIED_S, 3, "the record read back shows the old value, however it is sent"
        ),
        RECORD_CHANGED: _cell(SUCCESS, AT_ONCE_S, 1, "the edit stands; the later word counts"),
    },
    "delete": _answered(70)
    | {
        "connect timeout": _cell("EIO", THREE_CONNECTS_S, 0, "three attempts of 10 s"),
        "carried out, answer lost, once": _cell(SUCCESS, RETRIED_S, 2, "the second try finds it gone"),
        "carried out, answer lost, always": _cell("EIO", RETRIED_S, 3, LOOKED),
        "no answer, always": _cell("ETIMEDOUT", THREE_SILENT_S, 3, LOOKED),
        "stall, always": _cell("ETIMEDOUT", THREE_SILENT_S, 3, LOOKED),
        "cut, always": _cell("EIO", RETRIED_S, 3, LOOKED),
        "trickle, 60 B/s": _cell(SUCCESS, AT_ONCE_S, 1, "a short answer"),
        "404": _cell(SUCCESS, AT_ONCE_S, 1, BELIEVED),
        "410": _cell(SUCCESS, AT_ONCE_S, 1, BELIEVED),
        "nothing, as 200": _cell(SUCCESS, AT_ONCE_S, 1, BELIEVED),
        "429 once, no header": _cell(SUCCESS, 70, 2, "taken for a minute, and waited for"),
        RECORD_CHANGED: _cell(SUCCESS, AT_ONCE_S, 1, "the open handle reads what is held, else ESTALE"),
    },
}


def cells(operation: str) -> list[str]:
    """The faults that are run for an operation, in the document's order."""
    return [name for name in FAULTS if isinstance(TABLE[operation][name], Cell)]


def whole() -> bool:
    """Whether every operation has a row for every fault."""
    return TABLE.keys() == OPERATIONS.keys() and all(rows.keys() == FAULTS.keys() for rows in TABLE.values())
