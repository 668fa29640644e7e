"""File and directory names: pure functions of a record, legal on Linux, distinct.

A media has one name in every view, after every remount, on every machine. The vendor's own name is
kept where the vendor makes it unique; any other carries `~` and a hash of the id. Nothing here
looks at other media: that two names met is told by `level`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from enum import Enum
from typing import Final
from urllib.parse import quote

from ..model import Media, UserId

NAME_MAX: Final = 255
"""Bytes in one Linux file name."""

HASH_DIGITS: Final = (8, 16, 32, 64)
"""How much of a hash is shown at each level; eight hex digits are enough until two media meet."""

# Literal tables, not the `mimetypes` module: that one reads the machine's files, and a name must be
# the same on every machine. Audio and video share their containers.
_IMAGE: Final = "avif bmp gif heic heif jfif jpeg jpg png svg tif tiff webp"
_AUDIO: Final = "aac aif aiff amr flac m4a mka mp3 mp4 oga ogg opus wav wave weba webm wma"
_VIDEO: Final = "3gp avi flv m4v mkv mov mp4 mpeg mpg mts ogg ogv ts webm wmv"
_EXTENSIONS: Final = {
    kind: frozenset(words.split())
    for kind, words in (("image", _IMAGE), ("audio", _AUDIO), ("video", _VIDEO))
}
_FALLBACK_EXTENSION: Final = {"image": ".png", "video": ".mp4", "audio": ".wav"}
"""For records that name a kind and no file type; Apizee's samples are PNG."""
_MIME_EXTENSION: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/vnd.wave": ".wav",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "application/pdf": ".pdf",
    "application/json": ".json",
    "text/plain": ".txt",
    "text/vtt": ".vtt",
}

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}$")

# Direction-changing and zero-width characters make one name look like another. Not the joiners
# U+200C and U+200D: Persian words and many emoji are spelt with them.
_INVISIBLE: Final = frozenset("\u200b\u200e\u200f\u2060\u2061\u2062\u2063\u2064\u061c\ufeff") | {
    chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


class Names(Enum):
    """What file names are made from: the configuration key `names`."""

    FILENAME = "filename"
    TITLE = "title"


def file_name(media: Media, level: int, names: Names = Names.FILENAME) -> str:
    """The name of a media. `level` counts how often its name met another's: 0 for nearly all."""
    source = _legal(media.filename)
    extension = _extension(media, source)
    stem = source.removesuffix(extension) if source.endswith(extension) else source
    unique = media.filename_is_unique and source == media.filename
    if names is Names.TITLE and media.title:
        stem, unique = _legal(media.title), False
        stem = stem.removesuffix(extension)
    if unique and level == 0:
        return _fit(stem, extension)
    digits = HASH_DIGITS[min(level - 1 if unique else level, len(HASH_DIGITS) - 1)]
    return _fit(stem, f"~{_hash(media.id)[:digits]}{extension}")


def title_in(name: str, media: Media) -> str:
    """The title that somebody means who gives a media this file name: without its extension and hash."""
    extension = _extension(media, _legal(media.filename))
    stem = name[: -len(extension)] if name.lower().endswith(extension.lower()) else name
    for digits in HASH_DIGITS:
        stem = stem.removesuffix(f"~{_hash(media.id)[:digits]}")
    return stem


def folder_name(id_: str, human: str | None) -> str:
    """`Human name (id)`, or the id alone; what is not legal in an id is percent-encoded."""
    shown_id = legal_id(id_)
    legal = _legal(human or "", empty="")
    return _fit(legal, f" ({shown_id})") if legal else shown_id


def legal_id(id_: str) -> str:
    """An id as a directory name: reversible, since what is not plain is percent-encoded."""
    encoded = quote(id_, safe="@+=:,-_")
    if encoded[:1] in (".", "-", "~"):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if encoded.endswith("."):
        encoded = f"{encoded[:-1]}%2E"
    if len(encoded) > NAME_MAX - 2:
        encoded = f"{encoded[:180]}~{_hash(id_)[:32]}"
    return encoded


def mime_of(filename: str) -> str | None:
    """The MIME type that a file name's extension stands for, by the table that extensions come from."""
    ending = "." + filename.rsplit(".", 1)[-1].lower()
    return next((mime for mime, extension in _MIME_EXTENSION.items() if extension == ending), None)


def id_in_folder_name(name: str) -> UserId | None:
    """The encoded id at the end of `Human name (id)`; None where there is none."""
    found = re.fullmatch(r".* \(([^()]+)\)", name, re.DOTALL)
    return UserId(found[1]) if found else None


def _hash(id_: str) -> str:
    return hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()


def _legal(text: str, empty: str = "media") -> str:
    """NFC, without what a file system, a terminal or a person would stumble over."""
    if text.isascii() and text.isprintable():  # nearly all, and ten times as fast
        kept = text.replace("/", "_")
    else:
        kept = "".join("_" if _is_hostile(c) else c for c in unicodedata.normalize("NFC", text))
    return kept.lstrip("-. ").rstrip(". ") or empty


def _is_hostile(c: str) -> bool:
    # Cc control, Cs lone surrogate, Co/Cn private and unassigned print as nothing anyone can type;
    # Zl/Zp break lines in listings.
    return c == "/" or c in _INVISIBLE or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")


def _extension(media: Media, name: str) -> str:
    """The name's own extension where it fits the type, else one that does."""
    found = _EXTENSION.search(name)
    own = found[0] if found and found.start() > 0 else ""
    kind = (media.mime_type or media.media_type or "").split("/")[0].lower()
    if own and (kind not in _EXTENSIONS or own[1:].lower() in _EXTENSIONS[kind]):
        return own
    exact = _MIME_EXTENSION.get((media.mime_type or "").lower())
    return exact or _FALLBACK_EXTENSION.get(kind, own or ".bin")


def _fit(stem: str, tail: str) -> str:
    """`stem` cut at a character so that the whole fits in a name; `tail` is always kept."""
    room = NAME_MAX - len(tail.encode())
    cut = stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    return (cut.rstrip(". ") if cut != stem else cut) + tail
