"""How many requests the kernel keeps under way at once, read and raised through fusectl.

The kernel lets 12 background requests (read-ahead) of a mount through: thirteen stalled reads then
delay a healthy one by seconds. pyfuse3 cannot say more at INIT, so it is written where it can be.
Nothing is mounted for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .mountinfo import MOUNTINFO, mount_at

FUSECTL: Final = Path("/sys/fs/fuse/connections")

MAX_BACKGROUND: Final = 256
_CONGESTION: Final = MAX_BACKGROUND * 3 // 4
"""Where the kernel begins to hold read-ahead back; three quarters is its own proportion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What the kernel allows one mount. None: fusectl cannot be read here."""

    connection: int | None
    max_background: int | None
    congestion_threshold: int | None
    advice: str
    """What to do where the limit is low or not known; empty where all is well."""


def connection_limits(
    mountpoint: str, *, fusectl: Path = FUSECTL, mountinfo: Path = MOUNTINFO
) -> ConnectionLimits:
    """The limits of the mount at this resolved path. Never touches the mount."""
    mount = mount_at(mountpoint, mountinfo)
    if mount is None:
        return ConnectionLimits(
            connection=None, max_background=None, congestion_threshold=None, advice="nothing is mounted there"
        )
    folder = fusectl / str(mount.connection)
    background = _number(folder / "max_background")
    if background is None:
        advice = f"not readable: as root, mount -t fusectl none {fusectl}"
    elif background < MAX_BACKGROUND:
        advice = f"low: as root, echo {MAX_BACKGROUND} > {folder / 'max_background'}"
    else:
        advice = ""
    return ConnectionLimits(
        connection=mount.connection,
        max_background=background,
        congestion_threshold=_number(folder / "congestion_threshold"),
        advice=advice,
    )


def raise_connection_limits(
    mountpoint: str, *, fusectl: Path = FUSECTL, mountinfo: Path = MOUNTINFO
) -> ConnectionLimits:
    """Raises the limits where fusectl is mounted and writable, and says what they are then.

    Only ever upwards: an administrator's higher number stays.
    """
    now = connection_limits(mountpoint, fusectl=fusectl, mountinfo=mountinfo)
    if now.connection is None or now.max_background is None or now.max_background >= MAX_BACKGROUND:
        return now
    folder = fusectl / str(now.connection)
    try:
        (folder / "max_background").write_text(f"{MAX_BACKGROUND}\n", encoding="ascii")
        (folder / "congestion_threshold").write_text(f"{_CONGESTION}\n", encoding="ascii")
    except OSError:
        pass  # not ours to write: the advice below says so
    return connection_limits(mountpoint, fusectl=fusectl, mountinfo=mountinfo)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
