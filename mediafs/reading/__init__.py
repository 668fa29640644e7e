"""Bytes of a version at a span: streams, memory, spools, the disk cache.

What a user of this room needs is below; how a missing byte becomes a request is in `plan`, what a
reply must be like in `checks`.
"""

from .disk import Room, Usage, purge_folder, usage
from .live import LiveReader
from .options import CacheOptions, CacheStatistics, ReadingOptions, ReadingStatistics
from .push import Pages
from .reader import Reader
from .service import Reading, reading
from .spool import MakeStore, Spool, Store
from .warming import Progress, Warming, warming

__all__ = [
    "CacheOptions",
    "CacheStatistics",
    "LiveReader",
    "MakeStore",
    "Pages",
    "Progress",
    "Reader",
    "Reading",
    "ReadingOptions",
    "ReadingStatistics",
    "Room",
    "Spool",
    "Store",
    "Usage",
    "Warming",
    "purge_folder",
    "reading",
    "usage",
    "warming",
]
