"""The catalogue of one account: what is known of its archive, on disk, over restarts.

The only room that knows SQLite. Every call is synchronous and short: a point query costs some
10 us, a page of 100 records under a millisecond (measured), so they run on the trio thread, and
what happens between two awaits of a caller is one critical section.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Final

from ..errors import LocalFailure
from .changelog import ChangeLog
from .contents import Contents
from .coverage import Coverage
from .database import Database, Trouble, Untrusted, connect
from .directories import Directories
from .filenames import NameOf
from .humans import FolderOf
from .views import Views
from .words import Words

log = logging.getLogger(__name__)

_ASIDE: Final = ".set-aside-"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One account's archive: `contents` takes in, `coverage` remembers what was listed whole,
    `views` answers, `directories` has the inodes of what is not a media, `changes` is the log of what
    listings found, `words` searches."""

    path: Path
    database: Database
    contents: Contents
    coverage: Coverage
    views: Views
    directories: Directories
    changes: ChangeLog
    words: Words

    def scrub(self) -> None:
        """Nothing on this disk holds the text of what was removed before: not the file (SQLite writes zeros
        over it), not its journal, and not a catalogue that was set aside."""
        self.database.scrub()
        for aside in self.path.parent.glob(f"{self.path.name}{_ASIDE}*"):
            with contextlib.suppress(OSError):
                aside.unlink()


@contextmanager
def opened(
    path: Path,
    *,
    identity: str,
    zone: tzinfo,
    name_of: NameOf,
    folder_of: FolderOf,
    wall_clock: Callable[[], float] = time.time,
) -> Iterator[Catalogue]:
    """The catalogue at `path`, made where there is none.

    `identity` says which archive it holds and by which rules. A file that is damaged, or holds
    another identity, is set aside with a warning, never trusted. Raises OSError where the folder
    cannot be written, or somebody else has the file open.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        database = connect(path, identity)
    except Untrusted as why:
        database = _anew(path, identity, why, wall_clock())
    directories = Directories(database, wall_clock)
    contents = Contents(database, directories, zone=zone, name_of=name_of, folder_of=folder_of)
    try:
        changes = ChangeLog(database, folder_of, wall_clock)
        coverage, views = Coverage(database), Views(database)
        words = Words(database, path)
        yield Catalogue(path, database, contents, coverage, views, directories, changes, words)
        words.forget()
    finally:
        database.close()


def _anew(path: Path, identity: str, why: Untrusted, now: float) -> Database:
    """An empty catalogue instead of one that cannot be trusted, which is set aside."""
    log.warning("the catalogue %s %s", path, why)
    aside = _set_aside(path, now)
    log.warning("it was set aside as %s; the archive will be listed anew", aside)
    try:
        database = connect(path, identity)
    except Untrusted as still:
        raise OSError(f"{path}: no usable catalogue can be made here: it {still}") from still
    if why.damaged:
        told = LocalFailure(f"the catalogue {why}: it was set aside as {aside.name} and is made anew")
        database.trouble = Trouble(told, now)
    return database


def _set_aside(path: Path, now: float) -> Path:
    aside = f"{path.name}{_ASIDE}{now:.0f}"
    # The journals go along: left behind, they would be replayed into the new file.
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(aside + suffix))
    return path.with_name(aside)
