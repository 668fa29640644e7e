"""Edits of a Vonage media: which values can be sent, how they are sent, and whether they stand.

Three forms of the PUT were published: a multipart form at `/info` (the specification), JSON with the
older names at `/info` (the older reference), and JSON with the newer names at the media itself (the
vendor's Node SDK).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

from ..errors import Unsupported, ValueRefused
from ..model import Edits, Media
from ._vonage_failures import NAME
from ._vonage_record import EDITABLE, OLD_NAMES
from .protocol import Call

WAYS: Final = ("multipart", "json at info", "json")
"""In the order in which they are tried."""
OTHER_WAY: Final = frozenset({400, 404, 405, 415})
"""What a service may answer to a form of the PUT that it does not know."""
MOST_DOWNLOADS: Final = 2**31 - 1

_MIME: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,10}", re.ASCII)

Values = Mapping[str, str | bool | int]


def checked(edits: Edits) -> Values:
    """The values as they are sent. Raises ValueRefused, and Unsupported for what cannot be changed."""
    return {name: _checked(name, value) for name, value in edits.items()}


def _checked(name: str, value: str | None) -> str | bool | int:
    match name:
        case "public":
            if value not in ("true", "false"):
                raise ValueRefused(f"{NAME}: public is true or false")
            return value == "true"
        case "max_downloads_allowed":
            # 0 is how a record shows that there is no limit.
            text = "0" if value is None else value
            if not _WHOLE.fullmatch(text) or int(text) > MOST_DOWNLOADS:
                raise ValueRefused(
                    f"{NAME}: max_downloads_allowed is a whole number from 0 (no limit) to {MOST_DOWNLOADS}"
                )
            return int(text)
        case "mime_type":
            if value is None or not _MIME.fullmatch(value):
                raise ValueRefused(f"{NAME}: mime_type is a type such as audio/vnd.wave")
            return value
        case _ if name in EDITABLE:
            return value or ""
        case _:
            raise Unsupported(f"{NAME}: the service has no way to change {name}")


def known_way(learnt: Mapping[str, object]) -> str | None:
    """The way that has worked before."""
    way = learnt.get("update")
    return way if isinstance(way, str) and way in WAYS else None


def ways(known: str | None) -> Iterator[str]:
    """What to try, in order."""
    if known is not None:
        yield known
    yield from (way for way in WAYS if way != known)


def edit_call(url: str, values: Values, way: str) -> Call:
    """The PUT of the changed fields, and of no others; `url` is the media's own address."""
    if way == "multipart":
        fields = [(name, _text(value).encode()) for name, value in values.items()]
        boundary, body = multipart(fields)
        content_type = f"multipart/form-data; boundary={boundary}"
    else:
        old = way == "json at info"
        named = {OLD_NAMES[name] if old else name: value for name, value in values.items()}
        body, content_type = json.dumps(named, ensure_ascii=False).encode(), "application/json"
    return Call(
        method="PUT",
        url=url if way == "json" else f"{url}/info",
        headers=(("Content-Type", content_type),),
        body=body,
        operation="update",
    )


def multipart(fields: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Boundary and body of a form (RFC 7578). The boundary follows from the values and is in none of
    them, so a value can neither end its part nor begin another."""
    digest = hashlib.sha256(b"\0".join(value for _, value in fields))
    boundary = digest.hexdigest()
    while any(boundary.encode() in value for _, value in fields):
        digest.update(b"\0")
        boundary = digest.hexdigest()
    parts = []
    for name, value in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        if not value.isascii():
            # Some servers read a part without a charset as Latin-1.
            head += "Content-Type: text/plain; charset=utf-8\r\n"
        parts.append(head.encode() + b"\r\n" + value + b"\r\n")
    return boundary, b"".join(parts) + f"--{boundary}--\r\n".encode()


def stands(shown: Mapping[str, str | None], values: Values) -> bool:
    """Whether every value is the one that the record shows, as far as it shows them."""
    return all(_same(shown[name], _text(value)) for name, value in values.items() if name in shown)


def is_untouched(shown: Mapping[str, str | None], values: Values, before: Media) -> bool:
    """Whether the record shows some of the fields, and all of those as they were before the edit."""
    names = shown.keys() & values.keys()
    was = _fields(before)
    return bool(names) and all(_same(shown[name], was.get(name) or "") for name in names)


def has_changed(shown: Mapping[str, str | None], values: Values, before: Media) -> bool:
    """Whether the record shows that the edit did something: only then was its form understood."""
    return bool(shown.keys() & values.keys()) and not is_untouched(shown, values, before)


def _fields(media: Media) -> dict[str, str | None]:
    own = {"title": media.title, "description": media.description, "mime_type": media.mime_type}
    return own | dict(media.extra)


def _text(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same(shown: str | None, wanted: str) -> bool:
    return _plain(shown or "") == _plain(wanted)


def _plain(text: str) -> str:
    """Without what services tidy up when they store a text."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
