"""A source in memory: the shortest true account of what `Source` promises, with failures on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import trio

from mediafs.errors import FilterRefused, MediafsError, NotFound
from mediafs.model import (
    Conversation,
    Cursor,
    Edited,
    Edits,
    Erased,
    Everything,
    Media,
    MediaId,
    Owner,
    Page,
    Question,
    Removal,
    Span,
    Traits,
    Urgency,
    User,
    UserId,
)
from mediafs.source import Body

START = datetime(2024, 1, 1, tzinfo=UTC)


def make_media(
    number: int,
    *,
    created: datetime | None = None,
    owner: str | None = "1000",
    filename: str | None = None,
    **rest: object,
) -> Media:
    values: dict[str, object] = {
        "id": MediaId(str(number)),
        "created": created or START + timedelta(hours=number),
        "filename": f"media-{number:016d}-1538745137.png" if filename is None else filename,
        "filename_is_unique": filename is None,
        "size": 1000 + number,
        "media_type": "image",
        "title": f"title {number}",
        "description": f"description {number}",
        "owner": Owner(id=UserId(owner), name=f"Owner {owner}") if owner is not None else None,
        "record": "{}",
    }
    return Media(**{**values, **rest})  # type: ignore[arg-type]


@dataclass
class MemorySource:
    """Lists `archive` as a service would: pages by offset, totals, filters. Counts what is asked."""

    archive: list[Media] = field(default_factory=list)
    conversations: dict[str, set[MediaId]] = field(default_factory=dict)
    page_limit: int = 100
    in_order: bool = True
    """False: pages come newest first, whatever is asked."""
    filters_work: bool = True
    fail: Callable[[Question], MediafsError | None] = lambda question: None
    refuse: Callable[[str, Media], MediafsError | None] = lambda operation, media: None
    """Why an `update` or `erase` fails before it does anything."""
    before_page: Callable[[Question], None] = lambda question: None
    gate: trio.Event | None = None
    asked: Counter[str] = field(default_factory=Counter)
    questions: list[tuple[Question, Urgency]] = field(default_factory=list)
    live_names: dict[UserId, tuple[tuple[str, Media], ...]] = field(default_factory=dict)
    wait: float = 0
    to_spare: int | None = None
    all_users: bool = False
    searches: bool = False
    searches_work: bool = True
    user: UserId | None = None
    """Whose media alone are listed, unless somebody else's are asked for."""

    @property
    def traits(self) -> Traits:
        return Traits(
            page_limit=self.page_limit,
            conversations=True,
            users=True,
            all_users=self.all_users,
            user=self.user,
            editable=frozenset({"title", "description", "latitude", "longitude"}),
            deletable=True,
            searches=self.searches,
        )

    async def page(self, question: Question, *, urgency: Urgency) -> Page:
        self.asked["page"] += 1
        self.questions.append((question, urgency))
        self.before_page(question)
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if (error := self.fail(question)) is not None:
            raise error
        found = [m for m in self.archive if self._matches(m, question)]
        newest_first = question.newest_first or not self.in_order
        found.sort(key=lambda m: (m.created, int(m.id)), reverse=newest_first)
        offset = int(question.cursor or 0)
        some = found[offset : offset + min(question.limit, self.page_limit)]
        more = offset + len(some) < len(found) and some
        return Page(
            media=tuple(some),
            total=len(found),
            next=Cursor(str(offset + len(some))) if more else None,
            again=Cursor(str(offset + len(some) - 1)) if more and len(some) > 1 else None,
        )

    def _matches(self, media: Media, question: Question) -> bool:
        match question.scope:
            case Conversation(id_) if self.filters_work:
                if media.id not in self.conversations.get(id_, set()):
                    return False
            case User(id_) if self.filters_work:
                if media.owner is None or media.owner.id != id_:
                    return False
            case Everything() if self.user is not None:
                if media.owner is None or media.owner.id != self.user:
                    return False
        wanted = question.only.search
        if wanted is not None and self.searches_work and wanted not in f"{media.title} {media.description}":
            return False
        second = timedelta(seconds=1)
        after = question.since is None or media.created >= question.since - second
        return after and (question.until is None or media.created <= question.until + second)

    async def media(self, media: Media, *, urgency: Urgency) -> Media:
        self.asked["media"] += 1
        await trio.lowlevel.checkpoint()
        return self._found(media)

    def _found(self, media: Media) -> Media:
        for one in self.archive:
            if one.id == media.id:
                return one
        raise NotFound(f"no media {media.id}")

    async def update(self, media: Media, edits: Edits, *, urgency: Urgency) -> Edited:
        self.asked["update"] += 1
        await trio.lowlevel.checkpoint()
        if (error := self.refuse("update", media)) is not None:
            raise error
        old = self._found(media)
        numbers = ("latitude", "longitude")
        values = {k: float(v) if k in numbers and v is not None else v for k, v in edits.items()}
        new = replace(old, **values)  # type: ignore[arg-type]
        self.archive[self.archive.index(old)] = new
        return Edited(media=new)

    async def erase(self, media: Media, removal: Removal, *, urgency: Urgency) -> Erased:
        self.asked["erase"] += 1
        await trio.lowlevel.checkpoint()
        if (error := self.refuse("erase", media)) is not None:
            raise error
        try:
            self.archive.remove(self._found(media))
        except NotFound:
            return Erased(answer="not there", carried_out=False)
        return Erased(answer="done")

    async def recover(self, media: Media, *, urgency: Urgency) -> Media:
        self.asked["recover"] += 1
        await trio.lowlevel.checkpoint()
        return media

    async def prove_filter(self, scope: Conversation | User, *, urgency: Urgency) -> None:
        self.asked["probe"] += 1
        await trio.lowlevel.checkpoint()
        if not self.filters_work:
            raise FilterRefused("the filter is ignored")

    @asynccontextmanager
    async def body(
        self, media: Media, span: Span, *, if_range: str | None = None, urgency: Urgency
    ) -> AsyncIterator[Body]:
        self.asked["body"] += 1
        await trio.lowlevel.checkpoint()
        whole = content_of(self._found(media))
        content = whole[span.start : span.stop]

        async def chunks() -> AsyncIterator[bytes]:
            await trio.lowlevel.checkpoint()
            yield content

        yield Body(
            start=span.start,
            length=len(content),
            total=len(whole),
            partial=True,
            content_type="image/png",
            etag=None,
            last_modified=None,
            chunks=chunks(),
        )

    def live(self, user: UserId) -> tuple[tuple[str, Media], ...]:
        return self.live_names.get(user, ())

    def wait_s(self, task: trio.lowlevel.Task) -> float:
        return self.wait

    def spare(self, urgency: Urgency) -> int | None:
        return self.to_spare

    def is_media_id(self, text: str) -> bool:
        return text.isascii() and text.isdigit()

    def is_conversation_id(self, text: str) -> bool:
        return text.isascii() and text.isalnum()

    def is_user_id(self, text: str) -> bool:
        return text.isascii() and text.isdigit()


def content_of(media: Media) -> bytes:
    """Bytes that tell one media from another."""
    unit = f"{media.id}.".encode()
    size = media.size if media.size is not None else 777
    return (unit * (size // len(unit) + 1))[:size]
