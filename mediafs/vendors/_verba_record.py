"""One call of Verba as `verbacdr` shows it, read into a media."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final

from ..model import EARLIEST, LATEST, ConversationId, Media, MediaId, Owner, UserId
from ._json import At, clean
from ._record import scrubbed
from .verba_options import CALL_ID, EXTENSION, VerbaOptions

GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_DURATION: Final = re.compile(r"(?:(\d{1,4})[. ])?(\d{1,4}):(\d\d):(\d\d)(?:[.,](\d{1,9}))?", re.ASCII)
_ONGOING: Final = "ongoing"

_INCOMING: Final = frozenset(("in", "inbound", "incoming"))
_OUTGOING: Final = frozenset(("out", "outbound", "outgoing"))
_SHORT: Final = re.compile(r"[0-9*#]{1,6}", re.ASCII)
"""A number that is dialled inside a company."""

_EXTENSIONS: Final = (
    # The file is as it was recorded. Only what the codec says plainly is believed: telephone codecs are
    # kept in WAV files, compressed ones in files of their own, and everything else may be in the
    # vendor's own format.
    (re.compile(r"mp3|mpeg.?(1.?)?(audio )?layer.?(3|iii)", re.IGNORECASE), ".mp3"),
    (re.compile(r"\bogg|vorbis", re.IGNORECASE), ".ogg"),
    (re.compile(r"wav|l?pcm|g\.?711|a-?law|[uµμ]-?law|linear ?16", re.IGNORECASE), ".wav"),
)


def is_ongoing(at: At) -> bool:
    """The call is not over: there is no recording of it yet."""
    return _text(at, "state").lower() == _ONGOING


def call_id(at: At) -> str:
    """The id of a call, of any state. Raises InvalidReply."""
    found = _text(at, "ccdr_id", "ccdrid")
    if not CALL_ID.fullmatch(found):
        at["ccdr_id"].refuse("this cannot be the id of a call")
    return found


def media_of(at: At, options: VerbaOptions) -> Media:
    """One call. Unknown members are ignored. Raises InvalidReply where id or start cannot be read."""
    id_ = call_id(at)
    codec, video = _text(at, "audio_codec"), _text(at, "video_codec")
    extension = extension_of(codec) if not video else ".bin"
    created = _moment(at, options.replies_in)
    source, destination = _text(at, "source_caller_id"), _text(at, "destination_caller_id")
    direction = _text(at, "userdirection", "defdirection")
    extra = {
        "direction": direction,
        "source": source,
        "destination": destination,
        "meeting": _text(at, "meeting_id"),
        **metadata_of(at, options.metadata_fields),
    }
    return Media(
        id=MediaId(id_),
        created=created,
        filename=_filename(created, (source, destination), id_, extension),
        filename_is_unique=True,
        size=None,  # no reply tells it
        # Without a kind, the name keeps its own extension.
        media_type="audio" if extension != ".bin" else "",
        owner=_owner(at, options, source, destination, direction),
        conversation=ConversationId(id_),
        status=_text(at, "state") or None,
        duration_s=_duration(_text(at, "duration")),
        extra=tuple(sorted((name, value) for name, value in extra.items() if value)),
        record=scrubbed(at, at.mapping()),
    )


def metadata_of(at: At, fields: tuple[str, ...]) -> dict[str, str]:
    """The values of the configured fields that the call has, wherever in it they stand."""
    found: dict[str, str] = {}
    wanted = {field.lower(): field for field in fields}

    def look(value: object) -> None:
        if isinstance(value, dict):
            for key, member in value.items():
                field = wanted.get(key.lower())
                if field is not None and isinstance(member, str) and not found.get(field):
                    found[field] = clean(member)
                look(member)
        elif isinstance(value, list):
            for member in value:
                look(member)

    look(at.mapping())
    return found


def extension_of(codec: str) -> str:
    """What a recording of that codec is called; `.bin` where it does not tell the file's format."""
    return next((extension for codecs, extension in _EXTENSIONS if codecs.search(codec)), ".bin")


def _text(at: At, *names: str) -> str:
    """The first of these members that says something. Tags come in any case, and may be repeated."""
    members: Mapping[str, object] = {key.lower(): value for key, value in at.mapping().items()}
    for name in names:
        value = members.get(name)
        if isinstance(value, list):
            value = next((one for one in value if isinstance(one, str) and one), None)
        if isinstance(value, str) and value.strip():
            return clean(value.strip())
    return ""


def _moment(at: At, zone: tzinfo) -> datetime:
    """When the call began. Of an hour that the clock shows twice, the first is meant: replies do not tell."""
    text = _text(at, "start_time", "starttime", "startdate")
    match = _TIME.fullmatch(text)
    if match is not None:
        day, minute, second, fraction, offset = match.groups()
        try:
            made = datetime.fromisoformat(
                f"{day}T{minute}:{second or '00'}.{(fraction or '0')[:6]:0<6}{offset or ''}"
            )
            made = made if made.tzinfo is not None else made.replace(tzinfo=zone)
            return min(max(made.astimezone(UTC), EARLIEST), LATEST)
        except (ValueError, OverflowError):
            pass
    at["start_time"].refuse("a date and time was expected")


def _duration(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds, fraction = match.groups()
    whole = int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + float(f"0.{fraction or 0}")


def _owner(at: At, options: VerbaOptions, source: str, destination: str, direction: str) -> Owner | None:
    """Whose recording it is: the side that was recorded, by its number; a name only where there is none.

    Told by the account's own `extensions`, else by the direction, which is the recorded user's, else by
    the user's name, else by which number is one inside a company.
    """
    user = _text(at, "verba_user_name")
    sides = {
        source: _text(at, "source_name"),
        destination: _text(at, "destination_name"),
    }
    sides.pop("", None)
    tests: tuple[Callable[[str], bool], ...] = (
        lambda number: number in options.extensions,
        lambda number: direction.lower() in (_OUTGOING if number == source else _INCOMING),
        lambda number: bool(user) and sides[number].casefold() == user.casefold(),
        lambda number: _SHORT.fullmatch(number) is not None,
    )
    for test in tests:
        matching = [number for number in sides if test(number)]
        if len(matching) == 1:
            return _named(matching[0], user or sides[matching[0]])
    if sides:
        first = next(iter(sides))
        return _named(first, user or sides[first])
    return _named(user, None) if user else None


def _named(id_: str, name: str | None) -> Owner:
    return Owner(id=UserId(id_[:256]), name=name or None)


def _filename(created: datetime, numbers: tuple[str, str], id_: str, extension: str) -> str:
    """Start in UTC, who with whom, and the beginning of the id: `2024-05-17 10.15 8856-3619999 a8343631.wav`.

    To the minute: some replies leave the seconds out, and a name must not hang on which reply came last.
    """
    shown = [re.sub(r"[^A-Za-z0-9+@._]", "_", number)[:40] for number in numbers if number]
    short = id_[:8].lower() if GUID.fullmatch(id_) else hashlib.sha256(id_.encode()).hexdigest()[:8]
    return " ".join(filter(None, (f"{created:%Y-%m-%d %H.%M}", "-".join(shown), f"{short}{extension}")))


def is_extension(text: str) -> bool:
    return EXTENSION.fullmatch(text) is not None
