"""Where a recording's bytes are, and whether the account's credential may be sent there.

A record holds the address. Whoever can put one into a record would otherwise be handed the token.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ..errors import InvalidReply, Unsupported
from ..model import Media
from ._zoom_record import NAME
from ._zoom_replies import DOWNLOAD
from .protocol import Call, Pairs
from .zoom_options import ZoomOptions

_ADDRESS: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,8192}")
"""Printable ASCII without a backslash, which some take for a slash."""
_HOST: Final = re.compile(r"[a-z0-9.-]{1,100}", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}


def download_call(media: Media, options: ZoomOptions) -> Call:
    """GET of the recording's own address; its `subject` is the extension of what is asked for.

    Raises Unsupported where there is no address, InvalidReply where it is not one of Zoom's.
    """
    if media.locator is None:
        raise Unsupported(
            f"{NAME}: the service gives no address to read this recording from; what is kept in a storage of"
            " your own is not read through Zoom"
        )
    url, query = _trusted(media.locator, options)
    extension = media.filename.rpartition(".")[2]
    return Call(method="GET", url=url, query=query, subject=extension, operation=DOWNLOAD)


def _trusted(address: str, options: ZoomOptions) -> tuple[str, Pairs]:
    """The address without its query, and that. Neither stands in the message where it is refused."""
    what = f"{NAME}: {DOWNLOAD}: the record's download_url"
    home = urlsplit(options.base_url)
    parts: SplitResult | None = None
    query: Pairs = ()
    try:
        if _ADDRESS.fullmatch(address):
            parts = urlsplit(address)
            query = tuple(parse_qsl(parts.query, keep_blank_values=True, errors="strict"))
            parts.port  # noqa: B018  # raises for what is no port
    except ValueError:
        parts = None
    if parts is None or not parts.hostname or "@" in parts.netloc:
        raise InvalidReply(f"{what} is no address of a host")
    if _origin(parts) != _origin(home):
        # Only an account that is itself reached without TLS (a sandbox) may be sent elsewhere without.
        if parts.scheme not in ("https", home.scheme):
            raise InvalidReply(f"{what} is not https")
        host = _origin(parts)[1]
        if not any(host == known or host.endswith(f".{known}") for known in options.download_hosts):
            shown = host if _HOST.fullmatch(host) else "a host"
            raise InvalidReply(
                f"{what} points to {shown}, where the account's token is not sent; if it is right, name the"
                " host in download_hosts"
            )
    return parts._replace(query="", fragment="").geturl(), query


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
