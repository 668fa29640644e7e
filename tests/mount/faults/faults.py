"""What can go wrong at a service, each by the name that docs/RELIABILITY.md calls it, and how it is done.

Times are those of the daemon's clock, which goes `FACTOR` times as fast as the sandbox's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

FACTOR: Final = 10.0
"""How much faster the daemon's time goes than everybody else's."""

MINUTE_S: Final = 60.0
WAIT_S: Final = 5
"""What a 429 asks to wait; its header says it in whole seconds."""
FOR_EVER_S: Final = 600.0
"""Of the sandbox's time: longer than any deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with the requests of one operation."""

    name: str
    script: tuple[Mapping[str, Any], ...] = ()
    """Faults of the sandbox, without the request that they are for."""
    front: Literal["", "refuse", "fill"] = ""
    """What the relay before the sandbox does."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the sandbox, while it lasts."""
    lasts_s: float | None = None
    """When it is over by itself."""
    cuts: bool = False
    """After how many bytes it strikes is the operation's to say."""
    outlasts: bool = False
    """It asks for a wait that is longer than the operation's deadline."""


def _once(kind: str, **fields: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"kind": kind, "times": 1, **fields},)


def _always(kind: str, **fields: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"kind": kind, "times": None, **fields},)


def _throttled(words: str, form: str) -> Fault:
    return Fault(name=f"429 once, {words}", script=_once("status", status=429, wait_s=WAIT_S, wait_form=form))


_FAULTS: Final[Sequence[Fault]] = (
    Fault(name="connection refused", front="refuse"),
    Fault(name="connect timeout", front="fill"),
    Fault(name="reset before the headers, once", script=_once("refuse")),
    Fault(name="reset before the headers, always", script=_always("refuse")),
    Fault(name="reset in the headers, once", script=_once("reset")),
    Fault(name="reset in the headers, always", script=_always("reset")),
    Fault(name="no answer, once", script=_once("late", seconds=FOR_EVER_S)),
    Fault(name="no answer, always", script=_always("late", seconds=FOR_EVER_S)),
    Fault(name="carried out, answer lost, once", script=_once("lost")),
    Fault(name="carried out, answer lost, always", script=_always("lost")),
    Fault(name="cut, once", script=_once("cut"), cuts=True),
    Fault(name="cut, always", script=_always("cut"), cuts=True),
    Fault(name="stall, once", script=_once("stall", seconds=FOR_EVER_S), cuts=True),
    Fault(name="stall, always", script=_always("stall", seconds=FOR_EVER_S), cuts=True),
    Fault(name="trickle, 10 KB/s", script=_always("trickle", bytes_per_s=10_000 * FACTOR)),
    Fault(name="trickle, 60 B/s", script=_always("trickle", bytes_per_s=60 * FACTOR)),
    Fault(name="short", script=_always("short", after_bytes=1000)),
    Fault(name="long", script=_always("long", after_bytes=1000)),
    Fault(name="wrong Content-Range", script=_always("wrong-range")),
    Fault(name="ignored Range", script=_always("ignore-range")),
    Fault(name="403", script=_always("status", status=403)),
    Fault(name="404", script=_always("status", status=404)),
    Fault(name="409", script=_always("status", status=409)),
    Fault(name="410", script=_always("status", status=410)),
    *(Fault(name=f"{status} once", script=_once("status", status=status)) for status in (500, 502, 503)),
    Fault(
        name="503 once, Retry-After",
        script=_once("status", status=503, wait_s=WAIT_S, wait_form="retry-seconds"),
    ),
    *(Fault(name=f"{status} always", script=_always("status", status=status)) for status in (500, 502, 503)),
    Fault(
        name="500, 502, 503 for a minute",
        script=(
            {"kind": "status", "status": 500, "times": 5},
            {"kind": "status", "status": 502, "times": 5},
            {"kind": "status", "status": 503, "times": None},
        ),
        lasts_s=MINUTE_S,
    ),
    Fault(name="HTML", script=_always("html")),
    Fault(name="bad JSON", script=_always("bad-json")),
    Fault(name="nothing, as 200", script=_always("empty")),
    Fault(name="redirect loop", script=_always("redirect-loop")),
    Fault(name="redirect to another origin", options={"redirect": True}),
    Fault(name="redirect to another origin that does not know it", script=_always("redirect")),
    Fault(name="expired signed link, once", options={"redirect": True}),
    Fault(name="expired signed link, always", options={"redirect": True, "redirect_ttl_s": -60.0}),
    Fault(name="content changed between two ranges"),
    Fault(name="record changed under an open handle"),
    _throttled("X-RateLimit-Reset as seconds", "reset-seconds"),
    _throttled("X-RateLimit-Reset as Unix time", "reset-unix"),
    _throttled("Retry-After as seconds", "retry-seconds"),
    _throttled("Retry-After as HTTP date", "retry-date"),
    _throttled("Retry-After as ISO 8601", "retry-iso"),
    Fault(name="429 always, 1 s", script=_always("status", status=429, wait_s=1, wait_form="retry-seconds")),
    Fault(
        name="429 once, a wait beyond the deadline",
        script=_once("status", status=429, wait_form="retry-seconds"),
        outlasts=True,
    ),
    Fault(name="429 once, no header", script=_once("status", status=429, wait_form="none")),
    Fault(name="401 once", script=_once("status", status=401)),
    Fault(name="401 always", script=_always("status", status=401)),
)

FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _FAULTS}
"""In the order of the document; those that a mount remembers for a while come last."""
