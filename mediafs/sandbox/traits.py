"""What the 64 random bits of a generated media mean: who, where, what, and which sample file.

Each trait reads bits of its own, so that no two of them go together. Bits: 0-4 and 49-50
status, 6-9 type, 10-19 user, 20-35 conversation, 36-43 file, 44-45 source, 46-48 tag, 53-63 moment.
"""

import random
from string import ascii_letters, digits
from typing import Final

from mediafs.sandbox.formats import MediaType
from mediafs.sandbox.records import COMPLETED, Owner

TAGS: Final = ("before", "after", "meter", "damage")
NAMES: Final = (
    "John Doe",
    "Amélie Laurent",
    "Jürgen Weiß",
    "Zoë O'Neill",
    "李 小龙",
    "Anna-Maria Rossi",
    "Mohamed Ben Ali",
    "Søren Kjær",
)
SUBJECTS: Final = (
    "Boiler plate",
    "Meter reading",
    "Roof, north side",
    "Cable tray",
    "Front door",
    "Pump n° 2",
)


class Traits:
    """One facet's values of a generated media, from its bits alone."""

    def __init__(self, kind: str, owners: list[Owner], conversations: tuple[str, ...]) -> None:
        self._kind = kind
        self._owners = [owner.group if kind == "group" else owner.id for owner in owners]
        self._conversations = conversations

    def __call__(self, bits: int) -> tuple[object, ...]:
        match self._kind:
            case "all":
                return (None,)
            case "user" | "group":
                return (self._owners[(bits >> 10 & 1023) % len(self._owners)],)
            case "conversation":
                return (self._conversations[(bits >> 20 & 0xFFFF) % len(self._conversations)],)
            case "tag":
                return tags_of(bits)
            case "media_type":
                return (media_type_of(bits),)
            case _:
                return (source_type_of(bits),)


def status_of(bits: int) -> str:
    """Three per cent are not completed."""
    if bits & 31:
        return COMPLETED
    return "failed" if bits >> 49 & 3 == 0 else "in_progress"


def media_type_of(bits: int) -> MediaType:
    share = bits >> 6 & 15
    return "image" if share < 9 else "video" if share < 13 else "audio"


def source_type_of(bits: int) -> str:
    if media_type_of(bits) != "image":
        return "recording"
    return "unknown" if bits >> 44 & 3 == 0 else "snapshot"


def tags_of(bits: int) -> tuple[str, ...]:
    share = bits >> 46 & 7
    return (TAGS[share],) if share < len(TAGS) else ()


def token_name(dice: random.Random, created_s: int) -> str:
    return f"media-{''.join(dice.choices(ascii_letters + digits, k=16))}-{created_s}"


def uuid_like(dice: random.Random) -> str:
    """Eight-four-four-four-eleven hex digits: the last group of the service's own sample is one short of a
    UUID.
    """
    text = f"{dice.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:31]}"


def place_of(dice: random.Random) -> tuple[float, float]:
    return round(dice.uniform(-60, 70), 6), round(dice.uniform(-180, 180), 6)
