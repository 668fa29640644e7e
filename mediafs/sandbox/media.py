"""What bytes a media has, decided here and only here. A body knows its size without making its bytes.

There are some forty sample files; the bytes of each media are one of them with a marker of fixed length that
carries the media's own text, so all bodies differ, and an account of a million media costs nothing to
create.
"""

import hashlib
import random
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from mediafs.sandbox.formats import FORMATS, SampleType, Template

CHUNK_BYTES: Final = 256 * 1024
"""Bytes handed out at a time: large enough that the HTTP framing costs nothing, small enough to stay
cancellable.
"""

NOISE_BLOCK_BYTES: Final = 64 * 1024


class Body(Protocol):
    """Bytes of known size; ``chunks`` yields those of [start, stop), never more than CHUNK_BYTES at once."""

    @property
    def size(self) -> int: ...
    @property
    def etag(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    def chunks(self, start: int, stop: int) -> Iterator[bytes]: ...


def read_all(body: Body) -> bytes:
    """All bytes of *body* in memory."""
    return b"".join(body.chunks(0, body.size))


def sha256_of(body: Body) -> str:
    """The hex digest of *body*, made chunk by chunk."""
    digest = hashlib.sha256()
    for chunk in body.chunks(0, body.size):
        digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesBody:
    """A body given as bytes."""

    data: bytes = field(repr=False)
    content_type: str = "application/octet-stream"

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def etag(self) -> str:
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, CHUNK_BYTES):
            yield self.data[at : min(at + CHUNK_BYTES, stop)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseBody:
    """Any number of incompressible bytes, made by offset: block n is its number and a rotated random text.

    Holds one 64 KiB text, never the body, so a body of a gibibyte or a tebibyte costs the same.
    """

    size: int
    seed: int = 0
    content_type: str = "application/octet-stream"
    text: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = random.Random(f"noise:{self.seed}").randbytes(NOISE_BLOCK_BYTES)
        # Twice, so that every rotation is one slice.
        object.__setattr__(self, "text", text + text)

    @property
    def etag(self) -> str:
        return hashlib.md5(f"noise:{self.seed}:{self.size}".encode(), usedforsecurity=False).hexdigest()

    def _block(self, number: int) -> bytes:
        turn = (number * 40503) % NOISE_BLOCK_BYTES
        return struct.pack(">Q", number) + self.text[turn : turn + NOISE_BLOCK_BYTES - 8]

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        at = start
        while at < stop:
            end = min(at + CHUNK_BYTES, stop)
            first, last = at // NOISE_BLOCK_BYTES, (end - 1) // NOISE_BLOCK_BYTES
            blocks = b"".join(self._block(number) for number in range(first, last + 1))
            yield blocks[at - first * NOISE_BLOCK_BYTES : end - first * NOISE_BLOCK_BYTES]
            at = end


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedBody:
    """Another body cut to, or lengthened with noise to, *size*: a server whose record and file disagree."""

    base: Body
    size: int

    @property
    def etag(self) -> str:
        return hashlib.md5(f"{self.base.etag}:{self.size}".encode(), usedforsecurity=False).hexdigest()

    @property
    def content_type(self) -> str:
        return self.base.content_type

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        edge = self.base.size
        yield from self.base.chunks(min(start, edge), min(stop, edge))
        if stop > edge:
            tail = NoiseBody(size=self.size - edge)
            yield from tail.chunks(max(start - edge, 0), stop - edge)


class Samples:
    """The templates, at most ``capacity_bytes`` of them in memory."""

    def __init__(self, *, capacity_bytes: int = 12_000_000) -> None:
        self._capacity_bytes = capacity_bytes
        self._held: OrderedDict[tuple[SampleType, int], Template] = OrderedDict()
        self._held_bytes = 0
        self._sizes: dict[tuple[SampleType, int], int] = {}

    def size(self, kind: SampleType, number: int) -> int:
        """Bytes of template *number* with its marker, without making it."""
        known = self._sizes.get((kind, number))
        if known is None:
            known = self._sizes[(kind, number)] = FORMATS[kind].size(number)
        return known

    def render(self, kind: SampleType, number: int, text: str) -> bytes:
        """The file of template *number* whose marker says *text* (cut to 56 ASCII characters)."""
        key = (kind, number)
        template = self._held.get(key)
        if template is None:
            template = self._held[key] = FORMATS[kind].make(number)
            self._held_bytes += len(template.tail)
            while self._held_bytes > self._capacity_bytes and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                self._held_bytes -= len(dropped.tail)
        self._held.move_to_end(key)
        return template.head + FORMATS[kind].mark(text) + template.tail


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBody:
    """One media's file: a template and the media's own marker text."""

    samples: Samples = field(repr=False, compare=False)
    kind: SampleType
    number: int
    text: str

    @property
    def size(self) -> int:
        return self.samples.size(self.kind, self.number)

    @property
    def etag(self) -> str:
        return hashlib.md5(
            f"{self.kind}:{self.number}:{self.text}".encode(), usedforsecurity=False
        ).hexdigest()

    @property
    def content_type(self) -> str:
        return FORMATS[self.kind].content_type

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        data = self.samples.render(self.kind, self.number, self.text)
        for at in range(start, stop, CHUNK_BYTES):
            yield data[at : min(at + CHUNK_BYTES, stop)]
