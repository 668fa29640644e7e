"""What the service knows of one media, and the record it shows of it.

Field names, types and order of the record are those of the service's own sample; the conversation, group
and tags are known to the service and never shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from mediafs.sandbox.media import Body

COMPLETED: Final = "completed"
STATUSES: Final = (COMPLETED, "in_progress", "failed")
"""Only ``completed`` is documented; the other two are this sandbox's guess at what else there is."""

MEDIA_TYPES: Final = ("image", "video", "audio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A user of the account. ``named=False`` leaves the name out of records; ``name=None`` shows it as
    null.
    """

    id: int
    name: str | None
    named: bool = True
    group: int = 300

    def record(self) -> dict[str, object]:
        return {"id": self.id, "name": self.name} if self.named else {"id": self.id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One media. ``created_s`` is in seconds since 1970 UTC; ``filesize`` is what the record claims."""

    id: int
    hash: str = field(repr=False)
    created_s: int
    owner: Owner
    title: str
    description: str | None
    filename: str
    status: str
    media_type: str
    source_type: str
    filesize: int | None
    geoloc: tuple[float, float] | None
    conversation: str
    tags: tuple[str, ...]
    body: Body = field(repr=False)

    @property
    def completed(self) -> bool:
        return self.status == COMPLETED

    def record(self, origin: str) -> dict[str, object]:
        """The JSON object of the listing; *origin* is the scheme, host and port of its links."""
        link = f"{origin}/media/showVideo/{self.id}/hash/{self.hash}"
        return {
            "id": self.id,
            "hash": self.hash,
            "created": datetime.fromtimestamp(self.created_s, UTC).isoformat(timespec="seconds"),
            "owner": self.owner.record(),
            "title": self.title,
            "description": self.description,
            "filename": self.filename,
            "status": self.status,
            "media_type": self.media_type,
            "source_type": self.source_type,
            "filesize": self.filesize,
            "geoloc": None if self.geoloc is None else {"lat": self.geoloc[0], "lng": self.geoloc[1]},
            "thumbnail_url": f"{link}?thumbnail=1",
            "url": link,
        }

    def truth(self, origin: str) -> dict[str, object]:
        """The record and what the service hides, for tests to compare with."""
        return self.record(origin) | {
            "conversation": self.conversation,
            "group": self.owner.group,
            "tags": list(self.tags),
            "completed": self.completed,
            "size": self.body.size,
            "etag": self.body.etag,
        }

    def facets(self) -> Mapping[str, tuple[object, ...]]:
        """The values under which each index of the world files this media."""
        return {
            "all": (None,),
            "user": (self.owner.id,),
            "group": (self.owner.group,),
            "conversation": (self.conversation,),
            "tag": self.tags,
            "media_type": (self.media_type,),
            "source_type": (self.source_type,),
        }
