"""The twin of Veriff behind a mount: its sessions, and what it was asked."""

from __future__ import annotations

import json
from typing import Any

from mediafs.sandbox.testing import Box
from mediafs.sandbox.veriff_sessions import media_uuid

NOBODY = "0a1b2c3d-0000-4000-8000-000000000003"
"""A session of nobody's."""


def sessions_of(box: Box) -> list[str]:
    return box.credentials["sessions"].split(",")


def lines_of(*sessions: str) -> list[str]:
    return [f"sessions = {json.dumps(sessions)}"]


def truth(box: Box, **options: Any) -> dict[str, dict[str, Any]]:
    """The media that the service has, by their id there."""
    return {media_uuid(media["id"]): media for media in box.world(**options) if media["completed"]}


def asked(box: Box, path: str = "") -> list[str]:
    """`METHOD path` of what was asked."""
    return [f"{r['method']} {r['path']}" for r in box.requests(path=path)]
