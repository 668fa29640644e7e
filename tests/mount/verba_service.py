"""The twin of Verba behind a mount: its calls, and what it was asked."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final
from urllib.parse import parse_qsl

from mediafs.sandbox.testing import Box
from mediafs.sandbox.verba_xml import call_id

API: Final = "/verba/api"
FIELDS: Final = ("subject", "ticket")


def lines_of(*lines: str, search: bool = True, extensions: tuple[str, ...] = ()) -> list[str]:
    """Lines of the configuration beside the credentials."""
    return [
        f"search = {'true' if search else 'false'}",
        f"extensions = {json.dumps(extensions)}",
        f"metadata_fields = {json.dumps(FIELDS)}",
        *lines,
    ]


def truth(box: Box, **options: Any) -> dict[str, dict[str, Any]]:
    """The recordings that the service has, by their id there."""
    return {call_id(media["id"]): media for media in box.world(**options) if media["completed"]}


def asked(box: Box) -> list[dict[str, str]]:
    """The parameters of each request's query, without the keys to the service."""
    return [
        {name: value for name, value in parse_qsl(request["query"]) if name not in ("apiKey", "token")}
        for request in box.requests(path=API)
    ]


def actions(box: Box) -> Counter[str]:
    """How often each action was asked for, by GET and by POST."""
    return Counter(parameters["action"] for parameters in asked(box))
