"""A TOML file as it stands on disk: its values, the lines they stand on, who may read it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from .files import read_file
from .lines import Where, key_lines

_LONGEST_BYTES: Final = 1 << 20
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that is TOML. What it means is not known here."""

    path: Path
    mode: int
    """As `stat` gives it."""
    data: Mapping[str, object] = field(repr=False)
    lines: Mapping[Where, int] = field(repr=False)

    def line(self, where: Where) -> int:
        """The line of a place, or of the nearest place around it."""
        for length in range(len(where), 0, -1):
            if where[:length] in self.lines:
                return self.lines[where[:length]]
        return 1


def read(path: Path) -> Document:
    """Reads a TOML file. Raises ConfigError when it is not there, not readable, or not TOML."""
    try:
        mode, raw = read_file(path, _LONGEST_BYTES)
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; README.md shows one"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(raw) > _LONGEST_BYTES:
        raise ConfigError([f"{path}: is larger than {_LONGEST_BYTES >> 20} MiB"])
    text, data, fault = _parse(raw)
    if fault is not None:
        # Raised out here: the reader's own errors would carry the text, with its secrets, along.
        line, why = fault
        raise ConfigError([f"{path}:{line}: {why}"])
    return Document(path=path, mode=mode, data=data, lines=key_lines(text))


def _parse(raw: bytes) -> tuple[str, dict[str, object], tuple[int, str] | None]:
    """The text, its values, and where and why it is not TOML, if it is not."""
    try:
        text = raw.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        return "", {}, (raw.count(b"\n", 0, error.start) + 1, "is not UTF-8 text")
    try:
        return text, tomllib.loads(text), None
    except RecursionError:
        return "", {}, (1, "is nested too deeply")
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        why = message[: found.start()] if found else message
        if found and found[1]:
            return "", {}, (int(found[1]), f"is not TOML: {_one_line(why)} (column {found[2]})")
        return "", {}, (text.rstrip("\n").count("\n") + 1, f"is not TOML: {_one_line(why)}")
    except ValueError:
        # Python refuses to convert integers of thousands of digits.
        return "", {}, (1, "is not TOML that can be read: it holds a number that is far too long")


def _one_line(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


def dotted(where: Where) -> str:
    """A place as it would be written in TOML, on one line."""
    parts: list[str] = []
    for part in where:
        if isinstance(part, int):
            parts.append(f"[{part}]")
            continue
        name = part if _BARE.fullmatch(part) else json.dumps(part)
        name = name if len(name) <= 80 else f"{name[:77]}..."
        parts.append(f".{name}" if parts else name)
    return "".join(parts)
