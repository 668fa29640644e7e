"""Reading typed values out of a document, while collecting every problem instead of the first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from ..errors import ConfigError
from .document import Document, dotted
from .lines import Where
from .values import Wrong, did_you_mean

T = TypeVar("T")
D = TypeVar("D")


class Problems:
    """Every fault of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, where: Where, message: str) -> None:
        line = self._document.line(where)
        name = f"{dotted(where)}: " if where else ""
        self._found.append((line, f"{self._document.path}:{line}: {name}{message}"))

    def error(self) -> ConfigError:
        """All of them, in the order of the file."""
        return ConfigError([text for _, text in sorted(self._found, key=lambda one: one[0])])


class Table:
    """One table of a document, and where it stands."""

    def __init__(self, values: Mapping[str, object], where: Where, problems: Problems) -> None:
        self.where = where
        self.problems = problems
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @property
    def keys(self) -> list[str]:
        return list(self._values)

    def wrong(self, key: str, message: str) -> None:
        self.problems.add((*self.where, key), message)

    def take(self, key: str, convert: Callable[[object], T], default: D) -> T | D:
        """The value of `key`, or `default` where it is absent or (noted as a problem) wrong."""
        if key not in self._values:
            return default
        try:
            return convert(self._values[key])
        except Wrong as wrong:
            self.problems.add((*self.where, key, *wrong.below), wrong.message)
            return default

    def table(self, key: str, example: str) -> Table:
        """The table at `key`; an empty one where it is absent or (noted as a problem) no table."""
        values = self._values.get(key, {})
        if not isinstance(values, dict):
            self.wrong(key, f"must be a table, as in {example}")
            values = {}
        return Table(values, (*self.where, key), self.problems)

    def list(self, key: str) -> Table | None:
        """The list at `key` as a table of its places, 0 and on; None where there is no list."""
        values = self._values.get(key)
        if not isinstance(values, list):
            return None
        return Table({str(nth): value for nth, value in enumerate(values)}, (*self.where, key), self.problems)

    def changed(self, key: str, change: Callable[[object], object]) -> Table:
        """The table with another value at `key`; messages still name the place in the document."""
        return Table({**self._values, key: change(self._values.get(key))}, self.where, self.problems)

    def refuse_others(self, known: Collection[str]) -> None:
        """Every key that is not `known` is a problem."""
        for key in self._values:
            if key not in known:
                self.wrong(key, f"unknown key{did_you_mean(key, sorted(known))}")
