"""The disk cache: bodies kept over remounts under a hard cap, and gone when their media is.

What a user of it needs is below; what is kept, and when it goes, is said in `cache`. Of the room around it
this knows only `checks`, `files`, `options` and `spool`.
"""

from .cache import DiskCache
from .cachefolder import Usage, purge_folder, usage
from .partial import PartialBody
from .room import Room

__all__ = ["DiskCache", "PartialBody", "Room", "Usage", "purge_folder", "usage"]
