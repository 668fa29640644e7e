"""The only room that knows FUSE: a tree, mounted."""

from .available import check_fuse
from .errors import FuseUnavailable, UnmountFailed
from .fusectl import ConnectionLimits, connection_limits
from .guard import Deadlines
from .kernel import KernelCaches
from .mountinfo import Mount, mount_at, mounts, resolved
from .options import MountOptions, with_words
from .session import serve
from .stale import unmount

__all__ = [
    "ConnectionLimits",
    "Deadlines",
    "FuseUnavailable",
    "KernelCaches",
    "Mount",
    "MountOptions",
    "UnmountFailed",
    "check_fuse",
    "connection_limits",
    "mount_at",
    "mounts",
    "resolved",
    "serve",
    "unmount",
    "with_words",
]
