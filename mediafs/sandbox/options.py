"""How a twin behaves where its service's documentation is silent, contradicts itself, or depends on the
account.

The defaults are the likeliest reading; every other reading is one option away, so that a client can be
tried on all. Here is what every twin has; each adds its own in a subclass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import NoneType, UnionType
from typing import Literal, Self, get_args, get_origin, get_type_hints

from mediafs.sandbox.wire import WaitForm


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """The switches of every twin. Durations in seconds; media are named by the world's own numbers.

    A field is a bool, int, float, str or Literal, a tuple or frozenset of str or of int, or None or one of
    these.
    """

    # Download.
    ranges: bool = True
    etags: bool = True
    chunked: bool = False
    """Whether media come without a Content-Length."""
    redirect: bool = False
    """Whether a download answers 302 to a signed link on the storage origin."""
    redirect_ttl_s: float = 300.0
    latency_s: float = 0.0
    """Wait before every answer."""
    bytes_per_s: int | None = None
    """Speed of every media body; None: as fast as it goes."""

    # What is refused with 403.
    forbidden_downloads: frozenset[int] = frozenset()
    forbidden_updates: frozenset[int] = frozenset()
    forbidden_deletes: frozenset[int] = frozenset()

    # Limits.
    rate_limit: int | None = None
    """Requests per window and user. None: no limit."""
    rate_window_s: float = 60.0
    rate_mode: Literal["rolling", "fixed"] = "rolling"
    rate_header: WaitForm = "reset-seconds"
    """How a 429 tells the wait; with "none" nothing is said of the limit at all."""

    def patched(self, changes: Mapping[str, object]) -> Self:
        """These options with *changes*, as JSON has them. Raises ValueError naming the option that is
        wrong.
        """
        hints = get_type_hints(type(self))
        known = {item.name for item in fields(self)}
        for name in changes:
            if name not in known:
                raise ValueError(f"no option is called {name}")
        values = {name: _fitting(name, value, hints[name]) for name, value in changes.items()}
        # Each value was checked against its field's own type just above.
        return replace(self, **values)  # type: ignore[arg-type]

    def as_json(self) -> dict[str, object]:
        """Every option, sets as sorted lists."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def _fitting(name: str, value: object, wanted: object) -> object:
    origin = get_origin(wanted)
    if origin is Literal:
        if value in get_args(wanted):
            return value
    elif isinstance(wanted, UnionType):
        kinds = [kind for kind in get_args(wanted) if kind is not NoneType]
        return None if value is None else _fitting(name, value, kinds[0])
    elif origin in (tuple, frozenset):
        if isinstance(value, list | tuple | set | frozenset) and all(
            type(item) is get_args(wanted)[0] for item in value
        ):
            # A set has no order of its own: the same set must always make the same tuple.
            ordered = sorted(value) if isinstance(value, set | frozenset) else value
            return tuple(ordered) if origin is tuple else frozenset(value)
    elif wanted is float and type(value) is int:
        return float(value)
    elif type(value) is wanted:
        return value
    raise ValueError(f"option {name} cannot be {value!r}")
