"""Whether a reply may be what was asked: pure, before a byte of it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from ..errors import Changed, InvalidReply
from ..model import Media, Span
from ..source import Body

_TEXT: Final = frozenset({"txt", "log"})

# Types in which services and proxies word errors and sign-in pages, with the file name extensions
# of media that may really be of such a type.
_SUSPECT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "text/html": frozenset({"html", "htm", "xhtml"}) | _TEXT,
        "application/xhtml+xml": frozenset({"html", "htm", "xhtml"}) | _TEXT,
        "text/xml": frozenset({"xml", "xhtml", "svg", "ttml"}) | _TEXT,
        "application/xml": frozenset({"xml", "xhtml", "svg", "ttml"}) | _TEXT,
        "application/json": frozenset({"json"}) | _TEXT,
        "application/problem+json": frozenset({"json"}) | _TEXT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How the service identified the content that it sent."""

    etag: str | None
    last_modified: str | None
    total: int | None

    @property
    def strong_etag(self) -> str | None:
        """What can be sent as If-Range: a tag beyond ASCII is compared, but goes into no header."""
        etag = self.etag
        return etag if etag is not None and etag.isascii() and not etag.startswith("W/") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A reply that may be what was asked."""

    identity: Identity
    size: int | None
    """Bytes of the media. None: the service does not say, and the end of the body will tell."""


def identify(body: Body) -> Identity:
    total = body.total
    if total is None and not body.partial:
        total = body.length
    return Identity(etag=body.etag, last_modified=body.last_modified, total=total)


def accept(
    body: Body, asked: Span, *, media: Media, size: int | None, known: Identity | None, if_range: str | None
) -> Accepted:
    """What the reply says of itself, where that fits the question, the record and earlier replies.

    Raises Changed where the content is not that of earlier replies, InvalidReply where the reply
    cannot be right.
    """
    _check_type(body.content_type, media)
    identity = identify(body)
    # With the ETag that was sent the content is the same, and the service has no ranges (any more).
    if if_range is not None and not body.partial and identity.etag != if_range:
        raise Changed(f"media {media.id}: the content changed while it was read (If-Range)")
    if known is not None:
        check_same(identity, known, media)
    if body.partial and body.start != asked.start:
        raise InvalidReply(f"media {media.id}: asked for byte {asked.start}, the reply is from {body.start}")
    if not body.partial and body.start != 0:
        raise InvalidReply(f"media {media.id}: a whole body that is from byte {body.start}")
    if size is not None and identity.total is not None and identity.total != size:
        raise InvalidReply(f"media {media.id}: {identity.total} bytes, where the record says {size}")
    if size is None and identity.total == 0:
        # A failure looks like this. Believed, it would be the media's size from now on.
        raise InvalidReply(f"media {media.id}: an empty body, of a media whose size no record tells")
    size = identity.total if size is None else size
    if size is None and body.partial:
        raise InvalidReply(f"media {media.id}: a part of a media whose size neither record nor reply tells")
    if size is not None and body.length is not None:
        stop = asked.stop if body.partial and asked.stop is not None else size
        if body.start + body.length > stop:
            raise InvalidReply(
                f"media {media.id}: a body up to {body.start + body.length}, asked up to {stop}"
            )
    return Accepted(identity=identity, size=size)


def _check_type(content_type: str | None, media: Media) -> None:
    explained_by = _SUSPECT.get(content_type or "")
    if explained_by is None:
        return
    recorded = (media.mime_type or "").partition(";")[0].strip().lower()
    extension = media.filename.rpartition(".")[2].lower() if "." in media.filename else ""
    if recorded != content_type and extension not in explained_by:
        raise InvalidReply(f"media {media.id}: the service sent {content_type} where media was asked")


class Told(Protocol):
    """What a service says of a content, with each reply."""

    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> str | None: ...


def same_content(now: Told, before: Told) -> bool | None:
    """Whether two replies were of one content: the first trait that both have decides. None: they have none
    in common."""
    for one, other in (
        (_opaque(now.etag), _opaque(before.etag)),
        (now.last_modified, before.last_modified),
    ):
        if one is not None and other is not None:
            return one == other
    return None


def check_same(identity: Identity, known: Identity, media: Media) -> None:
    """Raises Changed."""
    if same_content(identity, known) is False:
        raise Changed(f"media {media.id}: the content changed while it was read")
    if identity.total is not None and known.total is not None and identity.total != known.total:
        raise Changed(f"media {media.id}: the size changed while it was read")


def _opaque(etag: str | None) -> str | None:
    """A weak and a strong form of one tag name the same content well enough to read on."""
    return None if etag is None else etag.removeprefix("W/")
