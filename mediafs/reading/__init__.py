"""Bytes of a version at a span: streams, memory, spools.

What a user of this room needs is below; how a missing byte becomes a request is in `plan`, what a
reply must be like in `checks`.
"""

from .live import LiveReader
from .options import ReadingOptions, ReadingStatistics
from .reader import Reader, Reading, reading
from .spool import MakeStore, Spool, Store

__all__ = [
    "LiveReader",
    "MakeStore",
    "Reader",
    "Reading",
    "ReadingOptions",
    "ReadingStatistics",
    "Spool",
    "Store",
    "reading",
]
