"""Listings of an account: whole windows of its history, and its trash.

A listing is whole or it fails. What the service says of itself is held against what was asked: the days it
echoes, the number of records it states, the tokens of its pages, which are good for a quarter of an hour.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from ..errors import Incomplete, MediafsError
from ..model import Everything, Media, MediaId, Question, Scope, Trash
from ._json import At, parse
from ._zoom_record import NAME, Session, sessions_in, shared_file_ids
from ._zoom_replies import LIST, status_of
from ._zoom_windows import DAY, Reach, Window, pieces, window_of
from .protocol import Call, Flow, Pairs, Reply

PAGE_SIZE: Final = 300
"""The convention of the vendor's page on pagination; not documented for this listing."""
DOCUMENTED_PAGE_SIZE: Final = 30
"""What the seed's sample asks for, where the other one is refused."""
EMPTY_WINDOWS: Final = 6
"""Windows without a recording that one page goes on over; then it is a page without media."""
ALL_WINDOWS: Final = 1000
RESTARTS: Final = 3
"""How often a window is begun anew whose page token was refused, or whose count did not add up."""
MOST_PAGES: Final = 2000
"""Pages of one question: 600,000 sessions a month."""
MOST_SHARED: Final = 10_000
_TOKEN_REFUSED: Final = frozenset({400, 404, 410, 422})
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)([T ].*)?", re.ASCII | re.DOTALL)

Failure = Callable[[Call, Reply, Scope], MediafsError]


@dataclass(frozen=True, slots=True)
class _Answer:
    """All pages of one question."""

    sessions: list[Session]
    first: date | None
    last: date | None
    """The days that the service says it listed; None where it does not say."""


class Listing:
    """`learnt` is the vendor's own: `reach`, `page_size` and `shared` are kept in it."""

    def __init__(self, root: str, learnt: Callable[[], dict[str, object]], failure: Failure) -> None:
        self._url = f"{root}/videosdk/recordings"
        self._learnt = learnt
        self._failure = failure

    # --- by date

    def history(self, question: Question, now: datetime) -> Flow[tuple[list[Media], Window | None]]:
        """The media of the next window that has some, and that window; None: there is no window left."""
        cursor, window = question.cursor, None
        for _ in range(_most_windows(question)):
            reach = Reach.of(self._learnt())
            window = window_of(question, cursor, reach, now)
            if window is None:
                return [], None
            found = yield from self.days(window.first, window.last, today=now.astimezone(UTC).date())
            media = [each for each in found if window.has(each.created)]
            if media or window.next is None:
                return media, window
            cursor = window.next
        return [], window

    def days(self, first: date, last: date, *, today: date) -> Flow[list[Media]]:
        """All media that the service lists for the days `first` to `last`, and more around them.

        Where an answer shows that recordings lie farther from the day they are listed under than was known,
        the days beyond are asked for too.
        """
        found: dict[MediaId, Media] = {}
        asked: tuple[date, date] | None = None
        while True:
            reach = Reach.of(self._learnt())
            wide = (first - reach.before * DAY, min(last + reach.after * DAY, max(today + DAY, last)))
            for begin, end in _beyond(wide, asked):
                sessions = yield from self._whole(begin, end, today)
                for session in sessions:
                    found.update((media.id, media) for media in session.media)
                widened = Reach.of(self._learnt()).widened(sessions, begin, end)
                self._learnt()["reach"] = widened.as_json()
            if asked == wide:
                return list(found.values())
            asked = wide

    def _whole(self, first: date, last: date, today: date) -> Flow[list[Session]]:
        """All sessions of the days `first` to `last`, in as many questions as the service needs."""
        found: list[Session] = []
        pending = pieces(first, last)
        while pending:
            begin, end = pending.pop()
            dates = (("from", begin.isoformat()), ("to", end.isoformat()))
            answer = yield from self._pages((*dates, ("trash", "false")), Everything())
            found += answer.sessions
            pending += _left(begin, end, answer, today)
        self._note_shared(found)
        return found

    # --- the trash

    def trash(self) -> Flow[list[Media]]:
        """All media in the trash: files that were put there alone, and those of whole sessions."""
        found: dict[MediaId, Media] = {}
        sessions: list[Session] = []
        for kind in ("recording_file", "session_recordings"):
            answer = yield from self._pages((("trash", "true"), ("trash_type", kind)), Trash())
            sessions += answer.sessions
            for session in answer.sessions:
                found.update((media.id, media) for media in session.media)
        self._note_shared(sessions)
        return list(found.values())

    # --- pages

    def _pages(self, query: Pairs, scope: Scope) -> Flow[_Answer]:
        """All pages of one question. Raises Incomplete where they do not come to an end that adds up."""
        for _ in range(1 + RESTARTS):
            answer = yield from self._try_pages(query, scope)
            if answer is not None:
                return answer
        raise Incomplete(
            f"{NAME}: {LIST}: the service's pages do not add up, or do not stay open for long enough;"
            " try again later"
        )

    def _try_pages(self, query: Pairs, scope: Scope) -> Flow[_Answer | None]:
        """None where it has to be begun anew."""
        sessions: list[Session] = []
        size = DOCUMENTED_PAGE_SIZE if self._learnt().get("page_size") == DOCUMENTED_PAGE_SIZE else PAGE_SIZE
        token = ""
        tokens: set[str] = set()
        first = last = total = None
        for _ in range(MOST_PAGES):
            call = self._call(query, size, token)
            reply = yield call
            status = status_of(call, reply)
            if token and status in _TOKEN_REFUSED:
                return None
            if status == 400 and size != DOCUMENTED_PAGE_SIZE:
                size = DOCUMENTED_PAGE_SIZE
                continue
            if not 200 <= status < 300:
                raise self._failure(call, reply, scope)
            if size == DOCUMENTED_PAGE_SIZE:
                self._learnt()["page_size"] = size
            root = parse(NAME, LIST, reply.body)
            sessions += sessions_in(root, trashed=isinstance(scope, Trash))
            first = max(filter(None, (first, _echoed(root["from"]))), default=None)
            last = min(filter(None, (last, _echoed(root["to"]))), default=None)
            total = root["total_records"].whole() if root.has("total_records") else total
            token = root["next_page_token"].text() or ""
            if not token:
                return _Answer(sessions, first, last) if _adds_up(sessions, total) else None
            if token in tokens:
                raise Incomplete(f"{NAME}: {LIST}: the service repeats a page token")
            tokens.add(token)
        raise Incomplete(f"{NAME}: {LIST}: the service's pages do not end")

    def _call(self, query: Pairs, size: int, token: str) -> Call:
        query = (("page_size", str(size)), *query)
        if token:
            query += (("next_page_token", token),)
        return Call(method="GET", url=self._url, query=query, operation=LIST)

    # --- file ids that several recordings share

    def _note_shared(self, sessions: Iterable[Session]) -> None:
        note_shared(self._learnt(), list(sessions))


def note_shared(learnt: dict[str, object], sessions: list[Session]) -> None:
    """Remembers the file ids that stand for several recordings of `sessions`."""
    found = shared_file_ids(sessions)
    known = shared(learnt)
    if found and known is not None and not found <= known:
        every = sorted(known | found)
        learnt["shared"] = every if len(every) <= MOST_SHARED else "all"


def shared(learnt: dict[str, object]) -> frozenset[str] | None:
    """`session:file` of the ids that are known to be shared; None: too many to tell."""
    known = learnt.get("shared")
    if known == "all":
        return None
    return (
        frozenset(known)
        if isinstance(known, list) and all(isinstance(k, str) for k in known)
        else frozenset()
    )


def _adds_up(sessions: list[Session], total: int | None) -> bool:
    """Whether that many were listed. Whether sessions are counted or files is not documented, nor whether
    unfinished ones and those that are listed twice."""
    if total is None or total <= len(sessions):
        return True
    return sum(len(each.media) for each in sessions) <= total <= sum(each.files for each in sessions)


def _most_windows(question: Question) -> int:
    """How many windows one page may go on over."""
    if question.limit <= 1:
        return 1  # to see whether the service answers
    # The oldest page tells where the archive begins: without a recording in it, it would tell something else.
    oldest = question.since is None and question.cursor is None and not question.newest_first
    return ALL_WINDOWS if oldest else EMPTY_WINDOWS


def _beyond(wide: tuple[date, date], asked: tuple[date, date] | None) -> list[tuple[date, date]]:
    """What of `wide` was not asked for yet."""
    if asked is None:
        return [wide]
    (first, last), (begin, end) = wide, asked
    before = [(first, begin - DAY)] if first < begin else []
    return [*before, *([(end + DAY, last)] if last > end else [])]


def _left(begin: date, end: date, answer: _Answer, today: date) -> list[tuple[date, date]]:
    """The days that the service has left out of what it was asked for, by its own account.

    The last day listed is asked for again: `to` may be excluded. Raises Incomplete where it lists none of
    what was asked, so that asking again would not end.
    """
    first = max(answer.first or begin, begin)
    last = min(answer.last or end, end)
    # What has not begun yet may be cut off, by a service whose day begins later than ours, too.
    stuck = last == begin < end and last < today - DAY
    if first > last or stuck or (first == end > begin):
        raise Incomplete(f"{NAME}: {LIST}: asked for {begin} to {end}, the service lists {first} to {last}")
    after = [(last, end)] if begin < last < min(end, today) else []
    return [*after, *([(begin, first)] if first > begin else [])]


def _echoed(at: At) -> date | None:
    text = at.text()
    if not text:
        return None
    found = _DATE.fullmatch(text)
    try:
        return date.fromisoformat(found[1]) if found else at.refuse("a date was expected")
    except ValueError:
        at.refuse("there is no such date")
