"""Reading a service's JSON at the door: a value of the right type, or `InvalidReply` saying where.

Shared by the vendors' modules. Bombs (nesting, numbers of thousands of digits), constants that are
no JSON (`NaN`) and lone surrogates are dealt with here, so that nothing behind the door meets them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

from ..errors import InvalidReply

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WHOLE: Final = re.compile(r"\d{1,19}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(\.\d{1,30})?", re.ASCII)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s?(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_LARGEST: Final = 2**63 - 1
"""What SQLite and the kernel can hold."""
_ENCODED: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def clean(text: str) -> str:
    """`text` with every lone surrogate replaced: it can be encoded as UTF-8."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True, slots=True)
class At:
    """A value inside a reply, with the words to say where it stands.

    Every method raises InvalidReply where the value is not what it asks for.
    """

    vendor: str
    operation: str
    path: str
    value: object

    def refuse(self, why: str) -> NoReturn:
        raise InvalidReply(f"{self.vendor}: {self.operation}: {self.path}: {why}")

    def mapping(self) -> Mapping[str, object]:
        if not isinstance(self.value, dict):
            self.refuse(f"an object was expected, not {_kind(self.value)}")
        return self.value

    def items(self) -> tuple[At, ...]:
        if not isinstance(self.value, list):
            self.refuse(f"a list was expected, not {_kind(self.value)}")
        return tuple(
            At(self.vendor, self.operation, f"{self.path}[{index}]", value)
            for index, value in enumerate(self.value)
        )

    def has(self, key: str) -> bool:
        return key in self.mapping()

    def __getitem__(self, key: str) -> At:
        """The member `key`; a missing one is `null`."""
        return At(self.vendor, self.operation, f"{self.path}.{key}", self.mapping().get(key))

    def text(self) -> str | None:
        """A string, cleaned; None for null."""
        if self.value is None:
            return None
        if not isinstance(self.value, str):
            self.refuse(f"a string was expected, not {_kind(self.value)}")
        return clean(self.value)

    def whole(self) -> int | None:
        """A whole number of at least 0, also as a string of digits; None for null."""
        value = self.value
        if value is None:
            return None
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(f"a whole number was expected, not {_kind(value)}")
        if not 0 <= value <= _LARGEST:
            self.refuse("the number is out of range")
        return value

    def number(self) -> float | None:
        """A finite number, also as a string; None for null."""
        value = self.value
        if value is None:
            return None
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.refuse(f"a number was expected, not {_kind(value)}")
        if abs(value) > 1e15 or not math.isfinite(value):
            self.refuse("the number is out of range")
        return float(value)

    def moment(self) -> datetime:
        """An ISO 8601 date and time, in UTC; one without offset is UTC."""
        text = self.text()
        match = _MOMENT.fullmatch(text.strip()) if text is not None else None
        if match is None:
            self.refuse(f"an ISO 8601 date and time was expected, not {_kind(self.value)}")
        day, clock, fraction, offset = match.groups()
        offset = "+00:00" if offset in (None, "Z", "z") else offset
        try:
            made = datetime.fromisoformat(
                f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset}"
                if clock.count(":") == 2
                else f"{day}T{clock}{offset}"
            )
            return made.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.refuse("there is no such date and time")


def parse(vendor: str, operation: str, body: bytes) -> At:
    """The root of a JSON reply. Raises InvalidReply where `body` is no JSON that can be held."""
    value: object = None
    why = ""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        why = "the JSON is nested too deeply"
    except ValueError:  # also: not UTF-8, a number with more digits than Python will read
        start = body.lstrip()[:1]
        why = "HTML or XML came where JSON was expected" if start == b"<" else "this is not JSON"
    if why:
        raise InvalidReply(f"{vendor}: {operation}: $: {why}")
    return At(vendor, operation, "$", value)


def dump(value: object) -> str:
    """Compact JSON of `value`, which came out of `parse`; safe to encode as UTF-8."""
    return clean(_ENCODED(value))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _kind(value: object) -> str:
    """What a value is, never the value itself: it may be personal data or a secret."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "such a number"
        case str():
            return "such a string" if value else "an empty string"
        case list():
            return "a list"
        case _:
            return "an object"
