"""What a piece of measuring is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from .rig import REPOSITORY
from .targets import Target

ROUNDS: Final = 5

Sample = dict[str, float]


@dataclass(frozen=True)
class Subject:
    """A competitor that is ready. Without a *root* it reads no files but the URLs itself."""

    root: Path | None
    pid: int | None = None


@dataclass(frozen=True)
class Group:
    """Works that stand in one document. *name* is that of its file, and *method* what it says of how."""

    name: str
    title: str
    method: str

    @property
    def document(self) -> Path:
        return REPOSITORY / "docs" / f"{self.name}.md"

    @property
    def plot(self) -> Path:
        return self.document.with_suffix(".svg")


@dataclass(frozen=True)
class Work:
    """One table of the report. *shown* are the measures in it, the first of them the result.

    Each of *peers* is made ready, with what *where* says is there: a server behind a link or not, that has
    the files of *files*, or archives and their catalogues. *most_rounds*: a work that takes long.
    """

    name: str
    title: str
    group: Group
    where: Literal["plain", "tls", "link", "archive"]
    peers: Mapping[str, Callable[[Any], AbstractContextManager[Any]]]
    do: Callable[[Any, Any, int], Sample]
    shown: tuple[str, ...]
    targets: tuple[Target, ...]
    files: str = ""
    note: str = ""
    most_rounds: int = 1000
