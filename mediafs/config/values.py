"""How single values are written: each function turns a TOML value into a typed one, or raises `Wrong`.

Messages never repeat a value that could hold a secret by mistake (addresses, secrets).
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from ..model import ConversationId
from .lines import Where
from .options import Delete, KeepFree, Names

E = TypeVar("E", bound=Enum)

_SECONDS: Final = MappingProxyType({"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0})
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)?", re.ASCII)
_LONGEST_S: Final = 3650 * 86400.0
_DEADLINE_LONGEST_S: Final = 600.0  # a process that waits in the kernel cannot be killed: never for long
_PERIOD_SHORTEST_S: Final = 10.0
# As rclone and du read them: K, M, G alone are powers of 1024; with a B they are powers of 1000.
_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"": 1, "B": 1}
    | {letter: 1024 ** (nth + 1) for nth, letter in enumerate("KMGT")}
    | {f"{letter}iB": 1024 ** (nth + 1) for nth, letter in enumerate("KMGT")}
    | {f"{letter}B": 1000 ** (nth + 1) for nth, letter in enumerate("KMGT")}
)
_SIZE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{0,3})", re.ASCII)
_LARGEST: Final = 2**63 - 1  # what the kernel's and SQLite's integers hold
_HIGHEST_ID: Final = 2**32 - 2  # of users and groups
_PERCENT: Final = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,6})?)\s*%", re.ASCII)
_MEMORY_FLOOR: Final = 1 << 20
_HOST: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?",
    re.ASCII,
)
_QUERY_NAME: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}", re.ASCII)
_EARLIEST: Final = date(1970, 1, 1)
_ID_LENGTH: Final = 200


class Wrong(Exception):
    """A value is not what it should be; `below` leads from the key to the part that is wrong."""

    def __init__(self, message: str, *below: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.below: Where = below


def shown(value: object) -> str:
    """A value as a message may show it: one line, short."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def did_you_mean(word: str, words: list[str]) -> str:
    """A hint to append to a message; empty where nothing is near."""
    near = difflib.get_close_matches(word[:100], words, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Wrong("must be a text that is not empty")
    if not value.isprintable():
        raise Wrong("holds characters that cannot be printed")
    return value


def identifier(value: object) -> str:
    """A vendor's id. Numbers are taken as they are written."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
        return str(value)
    if not isinstance(value, str):
        raise Wrong("must be a text or a number")
    if not value or value != value.strip() or not value.isprintable() or len(value) > _ID_LENGTH:
        raise Wrong("must be an id: not empty, printable, without spaces around it")
    return value


_WORD: Final = re.compile(r"[A-Za-z0-9_-]{3,128}", re.ASCII)


def words(value: object) -> tuple[str, ...]:
    """Words of letters, digits, `_` and `-`."""
    if not isinstance(value, list):
        raise Wrong('must be a list, as in ["case_number"]')
    for nth, item in enumerate(value):
        if not isinstance(item, str) or not _WORD.fullmatch(item):
            raise Wrong("must be 3 to 128 letters, digits, '_' and '-'", nth)
    return tuple(dict.fromkeys(value))


def conversations(value: object) -> tuple[ConversationId, ...]:
    if not isinstance(value, list):
        raise Wrong('must be a list, as in ["12345"]')
    found: dict[ConversationId, None] = {}
    for nth, item in enumerate(value):
        try:
            one = ConversationId(identifier(item))
        except Wrong as wrong:
            raise Wrong(wrong.message, nth) from None
        if one in found:
            raise Wrong(f"{shown(one)} is listed twice", nth)
        found[one] = None
    return tuple(found)


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong("must be true or false")
    return value


def count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**31 - 1:
        raise Wrong("must be a whole number, 0 or more")
    return value


def owner(value: object) -> int:
    """The number of a user or group. The one after the highest means no one to chown and the kernel."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _HIGHEST_ID:
        raise Wrong(f"must be a number from 0 to {_HIGHEST_ID}")
    return value


def umask(value: object) -> int:
    # A number would be read as decimal: `umask = 22` would mean 026.
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{1,3}", value, re.ASCII):
        raise Wrong('must be octal digits in quotes, as in "077"')
    return int(value, 8)


def duration(value: object) -> float:
    """Seconds: "60s", "5m", "2h", "1d", "250ms"; a plain number is seconds."""
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Compared before it is converted: an integer may be too large for a float.
        seconds = float(value) if 0 <= value <= _LONGEST_S else math.nan
    elif isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _SECONDS[found[2] or "s"]
    if not 0 <= seconds <= _LONGEST_S:
        raise Wrong('must be a time such as "60s", "5m", "2h" or "1d", at most ten years')
    return seconds


def deadline(value: object) -> float:
    """Seconds that a process may be kept waiting."""
    seconds = duration(value)
    if not 0 < seconds <= _DEADLINE_LONGEST_S:
        raise Wrong("must be more than 0 and at most 10 minutes")
    return seconds


def period(value: object) -> float:
    """Seconds between two questions; 0: none are asked."""
    seconds = duration(value)
    if 0 < seconds < _PERIOD_SHORTEST_S:
        raise Wrong(f'must be 0, which is never, or at least "{_PERIOD_SHORTEST_S:.0f}s"')
    return seconds


def size(value: object) -> int:
    """Bytes: "10GiB", "256MiB", "1.5GB", "0"; a plain number is bytes."""
    amount: Decimal | int = -1
    if isinstance(value, int) and not isinstance(value, bool):
        amount = value
    elif isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())) and found[2] in _BYTES:
        amount = Decimal(found[1]) * _BYTES[found[2]]
    if not 0 <= amount <= _LARGEST:
        raise Wrong('must be a size such as "10GiB", "256MiB", "1.5GB" or "0"')
    return int(amount)


def memory(value: object) -> int:
    amount = size(value)
    if amount < _MEMORY_FLOOR:
        raise Wrong('must be at least "1MiB"')
    return amount


def keep_free(value: object) -> KeepFree:
    """A share of the disk ("5%") or a size."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value.strip())):
        return KeepFree(percent=float(found[1]))
    try:
        return KeepFree(bytes=size(value))
    except Wrong:
        raise Wrong('must be a share such as "5%" (less than 100%) or a size such as "10GiB"') from None


def delete(value: object) -> Delete:
    return _choice(value, Delete)


def names(value: object) -> Names:
    return _choice(value, Names)


def _choice(value: object, kind: type[E]) -> E:
    words = [str(member.value) for member in kind]
    for member in kind:
        if value == member.value:
            return member
    hint = did_you_mean(value, words) if isinstance(value, str) else ""
    raise Wrong("must be one of " + ", ".join(f'"{word}"' for word in words) + hint)


def day(value: object) -> date:
    """A day, as TOML's own date or as a text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        found = value
    elif isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII):
        try:
            found = date.fromisoformat(value)
        except ValueError:
            raise Wrong(f"there is no day {value}") from None
    else:
        raise Wrong('must be a day such as "2023-01-01"')
    if found < _EARLIEST:
        raise Wrong("must not be before 1970")
    return found


def time_zone(value: object) -> ZoneInfo:
    name = text(value)
    try:
        return ZoneInfo(name)
    # KeyError: no such zone; the others: names that lead to a directory, or to no zone file.
    except (KeyError, ValueError, OSError):
        raise Wrong(f'{shown(name)} is not a time zone known here; examples: "UTC", "Europe/Paris"') from None


def query_name(value: object) -> str:
    if not isinstance(value, str) or not _QUERY_NAME.fullmatch(value):
        raise Wrong('must be the name of a query parameter, as in "conversation_id"')
    return value


def hosts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Wrong('must be a list of hosts, as in ["media.example.com"]')
    found: dict[str, None] = {}
    for nth, item in enumerate(value):
        host = item.lower() if isinstance(item, str) else ""
        if not _HOST.fullmatch(host) and not _ip(host):
            raise Wrong("must be the name of a host alone, without scheme, port or path", nth)
        found[host] = None
    return tuple(found)


def base_url(value: object, *, insecure: bool) -> str:
    """An address in canonical form: lower case scheme and host, no trailing slash.

    https, or http to loopback, or http anywhere with `insecure`. Neither credentials nor a query.
    """
    # urlsplit drops tabs and line breaks in silence, so they are refused before.
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,2000}", value) or "\\" in value:
        raise Wrong('must be an address such as "https://cloud.apizee.com"')
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Wrong("is not an address: its host or port cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise Wrong("must begin with https://")
    if "@" in value:
        raise Wrong("must not hold credentials: use token, or username and password")
    if "?" in value or "#" in value:
        raise Wrong("must not hold a query or a fragment")
    address = _ip(host)
    bracketed = parts.netloc.startswith("[")
    if bracketed != (address is not None and address.version == 6) or not (address or _HOST.fullmatch(host)):
        raise Wrong("is not an address: its host cannot be read")
    if port == 0 or parts.netloc.endswith(":"):
        raise Wrong("is not an address: its port cannot be read")
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        raise Wrong("plain http only to loopback: use https, or set insecure = true")
    where = f"[{host}]" if bracketed else host
    return f"{parts.scheme}://{where}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if "%" in host:  # a zone of this machine's interfaces: means nothing in an address
        return None
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _ip(host)
    if address is not None:
        return address.is_loopback
    name = host.rstrip(".")
    return name == "localhost" or name.endswith(".localhost")  # RFC 6761, section 6.3
