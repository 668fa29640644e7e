"""How a record is kept in one column: everything of `model.Media` that no query asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from ..model import Aspect, ConversationId, Media, MediaId, Owner, UserId

_PLAIN = (
    "filename",
    "filename_is_unique",
    "media_type",
    "mime_type",
    "title",
    "description",
    "conversation",
    "status",
    "source_type",
    "latitude",
    "longitude",
    "etag",
    "duration_s",
    "conversation_name",
    "locator",
    "record",
)
_plain: Final = attrgetter(*_PLAIN)

_ENCODED: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
"""Made once: `json.dumps` makes an encoder a call where it is told more than its defaults."""


def dump_fields(media: Media) -> str:
    """The same media gives the same text: a changed record is found by comparing."""
    told = zip(_PLAIN, _plain(media), strict=True)
    fields: dict[str, Any] = {key: value for key, value in told if value is not None}
    if media.extra:
        fields["extra"] = media.extra
    if media.download_once:
        fields["download_once"] = True
    if media.owner is not None:
        fields["owner"] = [media.owner.id, media.owner.name]
    return _ENCODED(fields)


def with_kept(media: Media, kept: str) -> Media:
    """With what was written to fields that the service shows in no record."""
    values: dict[str, Any] = json.loads(kept)
    unshown = {name: value for name, value in values.items() if getattr(media, name) is None}
    return replace(media, **unshown) if unshown else media


def with_settled(media: Media, size: int | None, created: float, fields: str) -> Media:
    """A size that was settled by reading holds as long as the record stays what it was."""
    settled = replace(media, size=size)
    same = dump_fields(settled) == fields and created == media.created.timestamp()
    return settled if same else media


def aspect_of(was: tuple[Media, object], now: tuple[Media, object], *, renamed: bool) -> Aspect | None:
    """What is new about a media, from two records of it, each with whether it is in the trash; None where
    both say the same."""
    (before, was_trashed), (after, is_trashed) = was, now
    news = {
        Aspect.CONTENT: before.validator != after.validator,
        Aspect.RENAMED: renamed,
        Aspect.RETITLED: before.title != after.title,
        Aspect.TRASHED: bool(is_trashed) and not was_trashed,
        Aspect.RECOVERED: bool(was_trashed) and not is_trashed,
        Aspect.OTHER: before != after,
    }
    return next((aspect for aspect, holds in news.items() if holds), None)


def load_media(id_: str, created: float, size: int | None, text: str) -> Media:
    fields: dict[str, Any] = json.loads(text)
    owner = fields.pop("owner", None)
    conversation = fields.pop("conversation", None)
    extra = tuple((str(name), str(value)) for name, value in fields.pop("extra", ()))
    return Media(
        id=MediaId(id_),
        created=datetime.fromtimestamp(created, UTC),
        size=size,
        owner=Owner(id=UserId(owner[0]), name=owner[1]) if owner else None,
        conversation=ConversationId(conversation) if conversation is not None else None,
        extra=extra,
        **fields,
    )
