"""When a listing is shown as it is, refreshed behind, or refreshed first: a pure decision."""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..catalogue import ListingState

STALE_FACTOR: Final = 10
"""A listing up to so many times `fresh_for` old is shown at once and refreshed behind."""

RETRY_AFTER_S: Final = 15.0
"""A scope whose last try failed is shown from the last whole listing for so long without a new try."""


class Answer(Enum):
    AS_IT_IS = "as it is"
    REFRESH_BEHIND = "refresh behind"
    REFRESH_FIRST = "refresh first"
    LIST_NOW = "list now"


def answer_for(state: ListingState, now: float, fresh_for_s: float) -> Answer:
    """`now` in Unix seconds. A listing from the future (a clock turned back) counts as old."""
    if state.listed is None:
        return Answer.LIST_NOW
    age = now - state.listed
    if 0 <= age < fresh_for_s:
        return Answer.AS_IT_IS
    if state.failed is not None and 0 <= now - state.failed < RETRY_AFTER_S:
        return Answer.AS_IT_IS
    if 0 <= age < STALE_FACTOR * fresh_for_s:
        return Answer.REFRESH_BEHIND
    return Answer.REFRESH_FIRST
