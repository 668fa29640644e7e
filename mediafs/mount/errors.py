"""What can go wrong with the mount itself, before and after it serves.

    MediafsError
    |- FuseUnavailable     this machine, or this mount point, cannot be mounted on (exit code 5)
    `- UnmountFailed       a mount could not be taken away (exit code 1)

No operation of a file raises these, so `errnos.py` does not know them.
"""

from __future__ import annotations

from ..errors import MediafsError


class FuseUnavailable(MediafsError):
    """FUSE cannot be used here; the message says what to do."""


class UnmountFailed(MediafsError):
    """A mount is still there, is not ours, or is none; the message says which."""
