"""How a record is kept in one column: everything of `model.Media` that no query asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..model import ConversationId, Media, MediaId, Owner, UserId

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


def dump_fields(media: Media) -> str:
    """The same media gives the same text: a changed record is found by comparing."""
    fields: dict[str, Any] = {key: getattr(media, key) for key in _PLAIN}
    fields["extra"] = media.extra or None
    fields["download_once"] = media.download_once or None
    if media.owner is not None:
        fields["owner"] = [media.owner.id, media.owner.name]
    return json.dumps({k: v for k, v in fields.items() if v is not None}, ensure_ascii=False, sort_keys=True)


def with_kept(media: Media, kept: str) -> Media:
    """With what was written to fields that the service shows in no record."""
    values: dict[str, Any] = json.loads(kept)
    unshown = {name: value for name, value in values.items() if getattr(media, name) is None}
    return replace(media, **unshown) if unshown else media


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
