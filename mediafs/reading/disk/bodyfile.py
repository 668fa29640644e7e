"""One whole body as a file: the bytes, and behind them what proves that these are the bytes.

    body        `size` bytes
    checksums   CRC-32 of each `BLOCK` bytes of the body
    record      whose bytes they are
    tail        magic, size, length of the record, CRC-32 of checksums, record and tail

The tail is written last. A file counts as whole only where its length is exactly what the tail says
and the checksum of the tail holds; each block is held against its own when it is read. So a file that
was cut, extended, overwritten in part or left half on disk by a power cut is noticed, whatever order
the disk wrote it in, and is then not there. Nothing here is asynchronous.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...model import Data, MediaId
from ..files import read_all

BLOCK: Final = 64 * 1024
"""What is checked together: half of the kernel's largest read, so that little is read in vain."""

ENTRY: Final = 4
"""Bytes of a checksum in a file."""

MAGIC: Final = b"mediafs1"
_TAIL: Final = struct.Struct("<8sQII")
_TEXT: Final = struct.Struct("<I")
_NONE: Final = 0xFFFFFFFF
_LONGEST_RECORD: Final = 64 * 1024


class Damaged(Exception):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Whose bytes a file holds."""

    realm: str
    """The account and archive; media ids mean something only within one."""
    media: MediaId
    validators: tuple[str, ...]
    """Of the version: two where its size was not known before it was fetched."""
    size: int
    """Bytes of the body."""
    etag: str | None
    last_modified: str | None
    limited: bool
    """Each download of the media counts: it should not have to be fetched again."""


def name_of(realm: str, media: MediaId) -> str:
    """The name of its file: tells nothing about the media, and is found without a search."""
    return hashlib.sha256(f"{len(realm)}:{realm}{media}".encode()).hexdigest()[:40]


class Checksums:
    """Those of a body that arrives in order."""

    def __init__(self) -> None:
        self.length = 0
        """Bytes of the body so far."""
        self._whole = array("I")
        self._last = 0

    def add(self, data: Data) -> None:
        view = memoryview(data)
        while view:
            room = BLOCK - self.length % BLOCK
            part, view = view[:room], view[room:]
            self._last = zlib.crc32(part, self._last)
            self.length += len(part)
            if len(part) == room:
                self._whole.append(self._last)
                self._last = 0

    def table(self) -> bytes:
        table = array("I", self._whole)
        if self.length % BLOCK:
            table.append(self._last)
        return little(table)


def blocks_of(size: int) -> int:
    """Of how many blocks a body of so many bytes is made."""
    return -(-size // BLOCK)


def little(table: array[int]) -> bytes:
    """A table of checksums as it stands in a file."""
    if sys.byteorder == "big":
        table = array("I", table)
        table.byteswap()
    return table.tobytes()


def ending(magic: bytes, record: Record, table: bytes = b"") -> bytes:
    """What follows the body, from `table` on; its last checksum is of all of that."""
    text = b"".join(_packed(record))
    begin = _TAIL.pack(magic, record.size, len(text), 0)[:-4]
    return table + text + begin + struct.pack("<I", zlib.crc32(table + text + begin))


def read_ending(descriptor: int, magic: bytes, *, sealed: bool) -> tuple[Record, array[int]]:
    """Whose body a file holds, and the table behind it; `sealed`: its last checksum is of the table too.

    Raises Damaged for what is no such file, OSError where it cannot be read.
    """
    there = os.fstat(descriptor)
    if not stat.S_ISREG(there.st_mode):
        raise Damaged("it is no file")
    length = there.st_size
    tail = read_all(descriptor, length - _TAIL.size, _TAIL.size) if length >= _TAIL.size else b""
    if len(tail) != _TAIL.size:
        raise Damaged("it is too short")
    said, size, text_length, checksum = _TAIL.unpack(tail)
    entries = ENTRY * blocks_of(size)
    if said != magic or text_length > _LONGEST_RECORD:
        raise Damaged("it has no end that is ours")
    if length != size + entries + text_length + _TAIL.size:
        raise Damaged("its length is not what its end says")
    before = read_all(descriptor, size, entries + text_length)
    proved = before if sealed else before[entries:]
    if len(before) != entries + text_length or zlib.crc32(proved + tail[:-4]) != checksum:
        raise Damaged("the checksum of its end does not hold")
    try:
        record = _unpacked(before[entries:], size)
    except (ValueError, struct.error) as error:
        raise Damaged(f"its record cannot be read: {error}") from error
    table = array("I")
    table.frombytes(before[:entries])
    if sys.byteorder == "big":
        table.byteswap()
    return record, table


def ending_length(size: int) -> int:
    """No more bytes than these follow a body of `size`, with a record of common length."""
    return ENTRY * blocks_of(size) + 4096


def _packed(record: Record) -> Iterator[bytes]:
    texts = (record.realm, record.media, record.etag, record.last_modified, "y" if record.limited else "")
    for text in (*texts, *record.validators):
        if text is None:
            yield _TEXT.pack(_NONE)
        else:
            raw = text.encode("utf-8", "surrogatepass")
            yield _TEXT.pack(len(raw)) + raw


def _unpacked(raw: bytes, size: int) -> Record:
    texts: list[str | None] = []
    at = 0
    while at < len(raw):
        (length,) = _TEXT.unpack_from(raw, at)
        at += _TEXT.size
        if length == _NONE:
            texts.append(None)
        else:
            texts.append(raw[at : at + length].decode("utf-8", "surrogatepass"))
            at += length
    realm, media, etag, last_modified, limited, *validators = texts
    return Record(
        realm=realm or "",
        media=MediaId(media or ""),
        validators=tuple(each or "" for each in validators),
        size=size,
        etag=etag,
        last_modified=last_modified,
        limited=bool(limited),
    )


class BodyFile:
    """A whole body, open for reading. Its descriptor is the caller's."""

    def __init__(self, record: Record, checksums: array[int]) -> None:
        self.record = record
        self._checksums = checksums

    @classmethod
    def at(cls, descriptor: int) -> BodyFile:
        """Raises Damaged for what is not a whole body, OSError where it cannot be read."""
        return cls(*read_ending(descriptor, MAGIC, sealed=True))

    def read(self, descriptor: int, offset: int, length: int) -> bytes:
        """Bytes of the body that were checked. Raises Damaged and OSError."""
        if length <= 0:
            return b""
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        start, stop = first * BLOCK, min((last + 1) * BLOCK, self.record.size)
        data = memoryview(read_all(descriptor, start, stop - start))
        for number in range(first, last + 1):
            block = data[(number - first) * BLOCK : (number - first + 1) * BLOCK]
            if len(block) != min(BLOCK, self.record.size - number * BLOCK):
                raise Damaged(f"it ends within block {number}")
            if zlib.crc32(block) != self._checksums[number]:
                raise Damaged(f"the checksum of block {number} does not hold")
        return bytes(data[offset - start : offset - start + length])
