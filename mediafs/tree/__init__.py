"""What the mount looks like."""

from .names import Names, file_name, folder_name
from .options import TreeOptions
from .tree import Tree
from .values import ROOT, Absent, Attributes, Entry, Kind, Space

__all__ = [
    "ROOT",
    "Absent",
    "Attributes",
    "Entry",
    "Kind",
    "Names",
    "Space",
    "Tree",
    "TreeOptions",
    "file_name",
    "folder_name",
]
