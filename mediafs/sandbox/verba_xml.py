"""What Verba's twin shows of a call, and its answers as XML."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from mediafs.sandbox.records import COMPLETED, Media
from mediafs.sandbox.verba_options import VerbaOptions
from mediafs.sandbox.wire import Refusal, Response

FAILED: Final = "failed"
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SERVERS_WORDS: Final = {-43: "Token expired.", -42: "Login required."}


def call_id(number: int) -> str:
    """The GUID of the world's media of that number."""
    text = hashlib.md5(f"verba:{number}".encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[12:15]}-a{text[15:18]}-{number:012x}"


def number_of(text: str) -> int | None:
    """The media that a GUID is of."""
    tail = text.rpartition("-")[2]
    if not re.fullmatch(r"[0-9a-f]{12}", tail):
        return None
    number = int(tail, 16)
    return number if call_id(number) == text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    number: str
    name: str


def parties(media: Media) -> tuple[Party, Party, str]:
    """Who called, who was called, and the direction as the recorded user sees it."""
    user = Party(number=str(media.owner.id), name=media.owner.name or "")
    other = Party(number=f"+36155{media.id % 100000:05d}", name="")
    if media.id % 7 == 0:
        other = Party(number=str(media.owner.id + 1), name="Colleague")
    return (user, other, "outbound") if media.id % 2 else (other, user, "inbound")


def is_ongoing(media: Media) -> bool:
    return media.status not in (COMPLETED, FAILED)


def worded(moment_s: float, zone: tzinfo, form: str) -> str:
    moment = datetime.fromtimestamp(moment_s, UTC).astimezone(zone)
    return {
        "seconds": f"{moment:%Y-%m-%d %H:%M:%S}",
        "minutes": f"{moment:%Y-%m-%d %H:%M}",
        "fraction": f"{moment:%Y-%m-%d %H:%M:%S}.{media_fraction(moment_s):03d}",
    }[form]


def media_fraction(moment_s: float) -> int:
    """Milliseconds that the world does not have."""
    return int(moment_s) * 37 % 1000


def record(
    media: Media, options: VerbaOptions, zone: tzinfo, form: str, metadata: Mapping[str, str] | None
) -> str:
    """One `verbacdr`; `metadata` None leaves them out."""
    caller, called, direction = parties(media)
    length_s = media.id % 600 + 1
    end = worded(media.created_s + length_s, zone, form)
    tags = {
        "ccdr_id": call_id(media.id),
        options.time_tag: worded(media.created_s, zone, form),
        options.time_tag.replace("start", "end"): end,
        "duration": f"{length_s // 3600:02d}:{length_s // 60 % 60:02d}:{length_s % 60:02d}",
        "source_caller_id": caller.number,
        "source_name": caller.name,
        "source_ip": "10.0.0.1",
        "destination_caller_id": called.number,
        "destination_name": called.name,
        "destination_ip": "10.0.0.2",
        "userdirection": direction,
        "usercause": "normal",
        "location": "HQ",
        "audio_codec": "G.711" if media.media_type == "audio" else "G.729",
        "video_codec": "H.264" if media.media_type == "video" else "",
        "ondemand": "false",
        "secondary": "false",
        "meeting_id": media.conversation,
        "url": f"http://sandbox.invalid/verba/player?id={call_id(media.id)}",
        "verba_user_name": media.owner.name or "",
    }
    members = "".join(f"<{tag}>{text(value)}</{tag}>" for tag, value in tags.items())
    for name, value in (metadata or {}).items():
        members += (
            f"<{name}>{text(value)}</{name}>"
            if options.metadata_as == "elements"
            else f"<metadata><field id={quoteattr(name)}>{text(value)}</field></metadata>"
        )
    state = "ongoing" if is_ongoing(media) else "recorded"
    return f'<verbacdr state="{state}">{members}</verbacdr>'


def text(value: str) -> str:
    """*value* as XML can hold it."""
    return escape(_NO_XML.sub("?", value))


def listing(action: str, records: Sequence[str], options: VerbaOptions) -> Response:
    inner, count = "".join(records), len(records)
    match options.root:
        case "verbacdrlist":
            return xml(f'<verbacdrlist rowcount="{count}">{inner}</verbacdrlist>')
        case "VerbaData":
            return xml(f'<VerbaData rowcount="{count}"><Response code="0"/>{inner}</VerbaData>')
    return xml(
        f'<VerbaApi><Response code="0" type="{action}"><verbacdrlist rowcount="{count}">{inner}'
        "</verbacdrlist></Response></VerbaApi>"
    )


def done(action: str) -> Response:
    return xml(f'<VerbaApi><Response code="0" type="{action}"/></VerbaApi>')


def failure(refusal: Refusal, options: VerbaOptions) -> Response:
    """A failure is 200 and a code, unless what is before the service said otherwise."""
    code = refusal.code if isinstance(refusal.code, int) else -1
    said = _SERVERS_WORDS.get(code, refusal.text)
    body = f'<VerbaApi><Response code="{code}"/><ErrorMessage>{text(said)}</ErrorMessage></VerbaApi>'
    return xml(body, *refusal.headers, status=refusal.status, kind=options.error_type)


def xml(body: str, *headers: tuple[str, str], status: int = 200, kind: str = "text/xml") -> Response:
    typed = () if kind == "none" else (("Content-Type", kind),)
    payload = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()
    return Response(status=status, headers=(*typed, *headers), payload=payload)
