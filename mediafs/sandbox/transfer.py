"""Sending a media's bytes: ranges, validators and the headers that go with them (RFC 9110, sections 8.8, 13
and 14).
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from mediafs.sandbox.media import Body
from mediafs.sandbox.options import CommonOptions
from mediafs.sandbox.records import Media
from mediafs.sandbox.wire import Delivery, Request, Response, Slice

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def send_body(
    request: Request, options: CommonOptions, media: Media, reshape: Callable[[Body], Body] | None
) -> Response:
    """200, 206, 304 or 416 with the bytes of *media*."""
    body = media.body if reshape is None else reshape(media.body)
    etag = f'"{body.etag}"'
    headers = [("Content-Type", body.content_type), ("Content-Disposition", _disposition(media.filename))]
    if options.etags:
        headers.append(("ETag", etag))
        if request.headers.get("if-none-match") == etag:
            return Response(status=304, headers=tuple(headers))
    start, stop, status = 0, body.size, 200
    if options.ranges:
        headers.append(("Accept-Ranges", "bytes"))
        condition = request.headers.get("if-range")
        holds = condition is None or (options.etags and condition == etag)
        asked = _RANGE.fullmatch(request.headers.get("range", "")) if holds else None
        # Anything else (several ranges, other units, "-") is ignored, as RFC 9110 allows.
        if asked and asked.group() != "bytes=-":
            span = _span(asked, body.size)
            if span is None:
                return Response(status=416, headers=(("Content-Range", f"bytes */{body.size}"),))
            (start, stop), status = span, 206
            headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{body.size}"))
    return Response(
        status=status,
        headers=tuple(headers),
        payload=Slice(body=body, start=start, stop=stop),
        chunked=options.chunked,
        delivery=Delivery(bytes_per_s=options.bytes_per_s),
    )


def _span(asked: re.Match[str], size: int) -> tuple[int, int] | None:
    """Start and stop of the bytes asked for, None when there are none."""
    first, last = asked.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    return (start, stop) if start < stop else None


def _disposition(filename: str) -> str:
    """RFC 6266: an ASCII name for old clients and the true one, encoded, so that no name can add a header."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
