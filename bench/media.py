"""The files that are read: made once a run, with their digests, in groups that one directory each holds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from .rig import run

MIB: Final = 1 << 20
_PIECE: Final = 16 * MIB
_FIRST_DAY: Final = datetime(2025, 6, 1, 10, tzinfo=UTC)
_FILM_S: Final = 60


@dataclass(frozen=True)
class Group:
    """What one directory holds: *count* files of *size* bytes of noise, or one film."""

    name: str
    count: int
    size: int
    suffix: str = "mp4"
    film: bool = False


GROUPS: Final = {
    group.name: group
    for group in (
        Group("large", 1, 1024 * MIB),
        Group("medium", 1, 128 * MIB),
        Group("small", 500, 120_000, suffix="jpg"),
        Group("film", 1, 60_000_000, film=True),
        Group("readers", 16, 64 * MIB),
    )
}


@dataclass(frozen=True)
class File:
    """One media, numbered as the API numbers it."""

    id: int
    group: str
    day: datetime
    path: Path
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.path.name


class Library:
    """All files of a run, below *folder*: `media/GROUP/NAME`."""

    def __init__(self, folder: Path, groups: Iterable[str], seed: int) -> None:
        self.media = folder / "media"
        self.files: list[File] = []
        for at, name in enumerate(sorted(groups)):
            group = GROUPS[name]
            (self.media / name).mkdir(parents=True)
            for number in range(group.count):
                # The form of Apizee's own names, which mediafs shows as they are.
                path = self.media / name / f"media-{name}0000-{number + 1}.{group.suffix}"
                digest = _film(path) if group.film else _noise(path, group.size, f"{seed}:{path.name}")
                day = _FIRST_DAY + timedelta(days=at)
                size = path.stat().st_size
                self.files.append(File(len(self.files) + 1, name, day, path, size, digest))

    def group(self, name: str) -> list[File]:
        return [file for file in self.files if file.group == name]

    def write_catalogue(self, path: Path) -> None:
        """What `service.py` reads."""
        entries = []
        for at, file in enumerate(self.files):
            entries.append(
                {
                    "name": file.name,
                    "created": (file.day + timedelta(seconds=at)).isoformat(),
                    "media_type": "image" if file.name.endswith("jpg") else "video",
                    "size": file.size,
                }
            )
        path.write_text(json.dumps(entries))


def _noise(path: Path, size: int, seed: str) -> str:
    dice, digest = random.Random(seed), hashlib.sha256()
    with path.open("wb") as file:
        for at in range(0, size, _PIECE):
            piece = dice.randbytes(min(_PIECE, size - at))
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def _film(path: Path) -> str:
    """A film of about 60 MB with its index at the end, as a recorder writes it."""
    picture = f"testsrc2=size=1280x720:rate=25:duration={_FILM_S},noise=alls=30:allf=t"
    sound = f"anoisesrc=duration={_FILM_S}:color=pink"
    video = (
        "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 7800k -minrate 7800k -maxrate 7800k -bufsize 8M"
    )
    words = f"{video} -c:a aac -b:a 128k -map_metadata -1".split()
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    run("ffmpeg", "-v", "error", *inputs, *words, str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
