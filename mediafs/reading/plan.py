"""Which request, if any, brings a missing byte: a pure function of what is known.

Decided here and only here: when bytes come in one exact range and when in an open-ended stream,
what is read through, and when a read waits for a request that is already under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Span
from .options import ReadingOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A GET under way."""

    position: int
    """The next byte that it will show: those before it are held, or were."""
    end: int
    """Where its body ends."""
    target: int
    """How far it runs before it is parked, with the reads made so far."""
    answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a version when a byte is missing."""

    size: int
    ranges: bool | None
    """Whether the service honours ranges. None: not known yet."""
    prefix: int
    """The first byte of the media that is not held; at most the missing one, and only looked at
    where that is within `gap` or the media is fetched whole."""
    flows: Sequence[Flow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A read, and its reader's reads before it."""

    offset: int
    stop: int
    missing: int
    """The first byte of the read that is not held."""
    history: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for the flow of this index: for the byte, or to learn whether the service has ranges."""

    flow: int
    brings: bool = True


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make a new request. `whole`: let it run to the end without being parked."""

    span: Span
    whole: bool = False


def plan(ask: Ask, known: Known, options: ReadingOptions) -> Join | Fetch:
    """The cheapest way to the missing byte. Terminates: every answer brings it, or the knowledge
    whether the service has ranges."""
    coming = [index for index, flow in enumerate(known.flows) if _brings(flow, ask.missing, options)]
    if coming:
        return Join(max(coming, key=lambda index: known.flows[index].position))
    if not known.ranges:
        # A service without ranges answers each request with the whole body: ask once, and learn.
        for index, flow in enumerate(known.flows):
            if not flow.answered:
                return Join(index, brings=False)
    if known.ranges is False:
        return Fetch(Span(0))
    if options.fetched_whole(known.size):
        return Fetch(Span(known.prefix), whole=True)
    if goes_forward(ask.offset, ask.history):
        return Fetch(Span(ask.missing))
    if ask.offset == 0 or (not known.flows and ask.missing < options.gap):
        return Fetch(Span(known.prefix))
    return Fetch(Span(ask.missing, ask.stop))


def goes_forward(offset: int, history: Sequence[Span]) -> bool:
    """Whether a read there goes on from where one before it was."""
    return any(before.start < offset <= (before.stop or 0) for before in history)


def _brings(flow: Flow, missing: int, options: ReadingOptions) -> bool:
    near = missing < flow.target or missing <= flow.position + options.gap
    return flow.position <= missing < flow.end and near
