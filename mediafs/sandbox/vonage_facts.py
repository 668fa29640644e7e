"""What the Vonage twin knows of a media beside the world's record, and the record it shows."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import md5
from typing import Final

from mediafs.sandbox.records import Media
from mediafs.sandbox.vonage_options import VonageOptions
from mediafs.sandbox.wire import Refusal

MAX_TEXT: Final = 4096
OLD_NAMES: Final = {
    "id": "id",
    "original_file_name": "originalFileName",
    "mime_type": "mimeType",
    "account_id": "accountId",
    "store_id": "storeId",
    "max_downloads_allowed": "maxDownloadsAllowed",
    "times_downloaded": "timesDownloaded",
    "etag": "etag",
    "media_size": "mediaSize",
    "time_created": "timeCreated",
    "time_last_updated": "timeLastUpdated",
    "public": "publicItem",
    "metadata_primary": "metadataPrimary",
    "metadata_secondary": "metadataSecondary",
    "title": "title",
    "description": "description",
}
"""The specification's names and those of the older reference."""


@dataclass(slots=True, kw_only=True)
class Facts:
    """What can be changed through the API, and what is counted. The first seven are the writable fields."""

    title: str
    description: str | None
    metadata_primary: str | None = None
    metadata_secondary: str | None = None
    mime_type: str
    public: bool = False
    max_downloads_allowed: int = 0
    times_downloaded: int = 0
    updated_s: float


WRITABLE: Final = tuple(item.name for item in fields(Facts))[:7]


def facts_of(media: Media) -> Facts:
    """What is known of a media that nobody has touched yet."""
    return Facts(
        title=media.title,
        description=media.description,
        mime_type=media.body.content_type,
        updated_s=media.created_s,
    )


def uuid_of(media_id: int, seed: int) -> str:
    """A UUID whose last group is the world's number, so that it can be read back."""
    text = md5(f"vonage:{seed}:{media_id}".encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{media_id:012x}"


def number_in(text: str, seed: int) -> int | None:
    """The world's number in a UUID of ours; None for any other text."""
    try:
        number = int(text.rpartition("-")[2], 16)
    except ValueError:
        return None
    return number if uuid_of(number, seed) == text else None


def record(media: Media, facts: Facts, seed: int, options: VonageOptions) -> dict[str, object]:
    """The JSON object of a media, in the order of the specification's schema."""
    values: dict[str, object] = {
        "id": uuid_of(media.id, seed),
        "original_file_name": media.filename,
        "mime_type": facts.mime_type,
        "account_id": options.api_key,
        "store_id": "s3",
        "max_downloads_allowed": facts.max_downloads_allowed,
        "times_downloaded": facts.times_downloaded,
        "etag": media.body.etag,
        "media_size": media.filesize,
        "time_created": _time(media.created_s, options),
        "time_last_updated": _time(facts.updated_s, options),
        "public": facts.public,
        "metadata_primary": facts.metadata_primary,
        "metadata_secondary": facts.metadata_secondary,
    }
    if options.shows_title:
        values |= {"title": facts.title, "description": facts.description}
    if options.spelling == "camel":
        values = {OLD_NAMES[name]: value for name, value in values.items()}
        values |= {
            "storeMetaParams": '{"filesize":"1024"}',
            "sourceUrl": f"https://source.example/{media.id}",
        }
    return values


def change(facts: Facts, given: dict[str, object], now_s: float) -> None:
    """Takes over the fields that are known, all or none. Raises Refusal 400."""
    values = {name: _fitting(name, given[name]) for name in WRITABLE if name in given}
    for name, value in values.items():
        setattr(facts, name, value)
    facts.updated_s = now_s


def _fitting(name: str, value: object) -> object:
    match name:
        case "public":
            if value in ("true", "false") or isinstance(value, bool):
                return value in ("true", True)
        case "max_downloads_allowed":
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
            if isinstance(value, str) and value.isascii() and value.isdigit():
                return int(value)
        case _:
            if isinstance(value, str) and len(value) <= MAX_TEXT:
                return value
    raise Refusal(400, f"{name} is not valid")


def _time(moment_s: float, options: VonageOptions) -> object:
    if options.times == "epoch-ms":
        return int(moment_s * 1000)
    utc = datetime.fromtimestamp(moment_s, UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='milliseconds')}Z"
