"""What an account has spent of its requests today. Counts only: what may be spent is `window.py`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from ..model import Urgency


class Spent:
    """Requests of the present day (UTC), by who waited for them and by operation.

    A crash loses what was counted since the last `export`.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._day = self._today()
        self._by_urgency: Counter[Urgency] = Counter()
        self._by_operation: Counter[str] = Counter()

    def count(self, urgency: Urgency, operation: str) -> None:
        self._turn_over()
        self._by_urgency[urgency] += 1
        self._by_operation[operation] += 1

    def by_urgency(self) -> dict[Urgency, int]:
        self._turn_over()
        return dict(self._by_urgency)

    def by_operation(self) -> dict[str, int]:
        self._turn_over()
        return dict(self._by_operation)

    def export(self) -> dict[str, object]:
        """What `restore` takes, as JSON can hold it."""
        self._turn_over()
        by_urgency = {urgency.name: count for urgency, count in self._by_urgency.items()}
        return {"day": self._day, "by_urgency": by_urgency, "by_operation": dict(self._by_operation)}

    def restore(self, state: object) -> None:
        """Adds what an earlier process has counted today; what cannot be right is left out."""
        self._turn_over()
        if not isinstance(state, Mapping) or state.get("day") != self._day:
            return
        for name, count in _counts(state.get("by_urgency")):
            if name in Urgency.__members__:
                self._by_urgency[Urgency[name]] += count
        for name, count in _counts(state.get("by_operation")):
            self._by_operation[name] += count

    def _today(self) -> str:
        return datetime.fromtimestamp(self._wall(), UTC).date().isoformat()

    def _turn_over(self) -> None:
        if (today := self._today()) != self._day:
            self._day = today
            self._by_urgency.clear()
            self._by_operation.clear()


def _counts(value: object) -> list[tuple[str, int]]:
    if not isinstance(value, Mapping):
        return []
    return [(str(name), count) for name, count in value.items() if type(count) is int and count > 0]
