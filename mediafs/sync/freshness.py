"""When a listing is shown as it is, refreshed behind, or refreshed first: a pure decision."""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..catalogue import ListingState

STALE_FACTOR: Final = 10
"""A listing up to so many times `fresh_for` old is shown at once and refreshed behind."""

RETRY_AFTER_S: Final = 15.0
"""After a failure the last whole listing is shown for so long without a new try."""


class Answer(Enum):
    AS_IT_IS = "as it is"
    REFRESH_BEHIND = "refresh behind"
    REFRESH_FIRST = "refresh first"
    LIST_NOW = "list now"


def is_younger(since: float | None, now: float, than_s: float) -> bool:
    """Whether `since`, in Unix seconds, is less than so long ago. What lies in the future (a clock was
    turned back) counts as old."""
    return since is not None and 0 <= now - since < than_s


def answer_for(state: ListingState, now: float, fresh_for_s: float) -> Answer:
    """What to do for somebody who looks at a scope at `now`, Unix seconds."""
    if state.listed is None:
        return Answer.LIST_NOW
    if is_younger(state.listed, now, fresh_for_s):
        return Answer.AS_IT_IS
    if is_younger(state.listed, now, STALE_FACTOR * fresh_for_s):
        return Answer.AS_IT_IS if is_younger(state.failed, now, RETRY_AFTER_S) else Answer.REFRESH_BEHIND
    return Answer.REFRESH_FIRST
