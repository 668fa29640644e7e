"""What the mount looks like."""

from .kept import Evicted, Kept
from .names import Names, file_name, folder_name
from .options import TreeOptions
from .tree import Tree
from .values import ROOT, Absent, Attributes, Entry, Kind, Space
from .warm import Holding, News, Run

__all__ = [
    "ROOT",
    "Absent",
    "Attributes",
    "Entry",
    "Evicted",
    "Holding",
    "Kept",
    "Kind",
    "Names",
    "News",
    "Run",
    "Space",
    "Tree",
    "TreeOptions",
    "file_name",
    "folder_name",
]
