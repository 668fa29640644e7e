"""On which line each key of a TOML text stands, which the standard library's reader does not tell.

The text has been accepted by that reader before, so this only follows its shape. It is best effort:
where it loses its way it keeps what it found, and it never raises.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from bisect import bisect_right
from typing import Final

Where = tuple[str | int, ...]
"""A place in a document: keys of tables, indexes of arrays."""

_BLANK: Final = re.compile(r"[ \t]*")
_BLANK_OR_COMMENT: Final = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE: Final = re.compile(r"[^,\]}\n#]+")
# Longest opening first: `""` followed by another quote opens a text of many lines. Up to two quotes
# may stand right before the closing three.
_TEXT: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?""""{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Where, int]:
    """The line, from 1, on which each table, key and array element of `text` is first written."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with contextlib.suppress(_Lost, RecursionError):
        scanner.document()
    return scanner.lines


class _Lost(Exception):
    """The text is not what was expected here."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Where, int] = {}
        self._text = text
        self._at = 0
        self._ends = [i for i, char in enumerate(text) if char == "\n"]
        self._tables_in_array: dict[Where, int] = {}

    def document(self) -> None:
        table: Where = ()
        while True:
            self._skip(_BLANK_OR_COMMENT)
            if self._at >= len(self._text):
                return
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Where:
        at = self._at
        in_array = self._peek("[[")
        self._at += 2 if in_array else 1
        place = self._resolved(self._key())
        self._expect("]]" if in_array else "]")
        if in_array:
            nth = self._tables_in_array.get(place, 0)
            self._tables_in_array[place] = nth + 1
            place = (*place, nth)
        self._note(place, at)
        return place

    def _resolved(self, key: Where) -> Where:
        """`[a.b]` below `[[a]]` belongs to the newest element of `a`."""
        place: Where = ()
        for nth, part in enumerate(key):
            place = (*place, part)
            if nth < len(key) - 1 and place in self._tables_in_array:
                place = (*place, self._tables_in_array[place] - 1)
        return place

    def _pair(self, table: Where) -> None:
        at = self._at
        place = table + self._key()
        self._note(place, at)
        self._expect("=")
        self._value(place)

    def _key(self) -> Where:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            if self._peek('"') or self._peek("'"):
                parts.append(_unquoted(self._match(_TEXT)))
            else:
                parts.append(self._match(_BARE_KEY))
            self._skip(_BLANK)
            if not self._peek("."):
                return tuple(parts)
            self._at += 1

    def _value(self, place: Where) -> None:
        self._skip(_BLANK)
        if self._peek("["):
            self._array(place)
        elif self._peek("{"):
            self._inline_table(place)
        elif self._peek('"') or self._peek("'"):
            self._match(_TEXT)
        else:
            self._match(_BARE_VALUE)

    def _array(self, place: Where) -> None:
        self._at += 1
        nth = 0
        while True:
            self._skip(_BLANK_OR_COMMENT)
            if self._peek("]"):
                self._at += 1
                return
            self._note((*place, nth), self._at)
            self._value((*place, nth))
            nth += 1
            self._skip(_BLANK_OR_COMMENT)
            if self._peek(","):
                self._at += 1
            elif not self._peek("]"):
                raise _Lost

    def _inline_table(self, place: Where) -> None:
        self._at += 1
        while True:
            self._skip(_BLANK_OR_COMMENT)
            if self._peek("}"):
                self._at += 1
                return
            self._pair(place)
            self._skip(_BLANK_OR_COMMENT)
            if self._peek(","):
                self._at += 1
            elif not self._peek("}"):
                raise _Lost

    def _note(self, place: Where, at: int) -> None:
        line = bisect_right(self._ends, at - 1) + 1
        for length in range(1, len(place) + 1):
            self.lines.setdefault(place[:length], line)

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _expect(self, token: str) -> None:
        if not self._peek(token):
            raise _Lost
        self._at += len(token)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise _Lost
        self._at = found.end()
        return found.group()


def _unquoted(literal: str) -> str:
    try:
        value = tomllib.loads(f"key = {literal}")["key"]
    except ValueError:
        raise _Lost from None
    if not isinstance(value, str):
        raise _Lost
    return value
