"""Names that desktops and players try in every folder; they are never an id and never cost a request.

Measured with Thunar, Nautilus, PCManFM, Dolphin, tracker and gvfs; the rest are names that players
and other systems are known to look for.
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = frozenset(
    (
        "autorun.inf",
        "autorun.exe",
        "autorun.sh",
        "autoopen",
        "autoopen.sh",
        "desktop.ini",
        "thumbs.db",
        "ehthumbs.db",
        "folder.jpg",
        "folder.png",
        "cover.jpg",
        "cover.png",
        "albumart.jpg",
        "video_ts",
        "audio_ts",
        "bdmv",
        "bdav",
        "aacs",
        "hvdvd_ts",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
    )
)
_SUFFIXES: Final = (".xmp", ".cue", ".nfo", ".srt", ".sub", ".idx", ".ass", ".desktop", ".directory")


def is_probe(name: str) -> bool:
    """Whether a name that is not known is one that programs try everywhere."""
    lower = name.lower()
    return name.startswith(".") or lower in _NAMES or lower.endswith(_SUFFIXES)
