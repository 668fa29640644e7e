"""Three file formats written by hand, PNG, WAV and MP4, and JSON: their sizes are known before their bytes
are made.

Everything is stored uncompressed, so that size is arithmetic and does not depend on the zlib of the
machine. A file is a head, one marker box of fixed length that carries a text, and a tail.
"""

import random
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi, sin
from types import MappingProxyType
from typing import Final, Literal

from mediafs.sandbox.documents import DOCUMENT_TEMPLATES, document_mark, document_parts, document_size

MediaType = Literal["image", "video", "audio"]
SampleType = Literal["image", "video", "audio", "document"]
"""What a sample file is. No media is a document by itself: a service may serve some of its media as such."""

MARKER_BYTES: Final = 64
TEMPLATES: Final[Mapping[SampleType, int]] = MappingProxyType(
    {"image": 24, "audio": 8, "video": 8, "document": DOCUMENT_TEMPLATES}
)
"""How many different files there are of each type."""

VIDEO_WIDTH: Final = 160
VIDEO_HEIGHT: Final = 120
FRAMES_PER_SECOND: Final = 4


@dataclass(frozen=True, slots=True)
class Template:
    """A file without its marker, which belongs between the two."""

    head: bytes
    tail: bytes


def _padded(text: str, length: int) -> bytes:
    return text.encode("ascii", "replace")[:length].ljust(length)


# PNG: https://www.w3.org/TR/png/


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_shape(number: int) -> tuple[int, int, bool]:
    """Width, height, and whether it has four palette colours (else RGB)."""
    if number == TEMPLATES["image"] - 1:
        return 640, 800, False
    return 64 + 25 * number, 48 + 19 * number, number < 4


def _stride(width: int, palette: bool) -> int:
    return 1 + ((width + 3) // 4 if palette else width * 3)


def _stored_size(length: int) -> int:
    return 2 + length + 5 * max(1, -(-length // 65535)) + 4


def _stored(data: bytes) -> bytes:
    """A zlib stream of stored blocks, by hand: zlib's own level 0 splits differently per version."""
    out = [b"\x78\x01"]
    starts = range(0, len(data), 65535)
    for at in starts:
        block = data[at : at + 65535]
        out.append(struct.pack("<BHH", at == starts[-1], len(block), len(block) ^ 0xFFFF))
        out.append(block)
    out.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(out)


def _png_size_of(width: int, height: int, palette: bool) -> int:
    pixels = _stored_size(_stride(width, palette) * height)
    return 8 + 25 + (24 if palette else 0) + 12 + MARKER_BYTES + 12 + pixels + 12


def _png_size(number: int) -> int:
    return _png_size_of(*_png_shape(number))


def _pixels(width: int, height: int, palette: bool, dice: random.Random) -> bytes:
    """Scan lines: a gradient with a rectangle of noise in its middle, as a camera's texture would be."""
    stride = _stride(width, palette) - 1
    if palette:
        base = bytes((0b00011011 + 57 * (x // 4)) & 0xFF for x in range(stride))
    else:
        tint = dice.randrange(256)
        base = bytes((tint + c * 60 + x * 180 // width) & 0xFF for x in range(width) for c in (0, 1, 2))
    tables = [bytes((value + shade * 2) & 0xFF for value in range(256)) for shade in range(32)]
    left, right = stride // 3, stride - stride // 3
    rows = []
    for y in range(height):
        row = base.translate(tables[y * 32 // height])
        if height // 4 <= y < height - height // 4:
            row = row[:left] + dice.randbytes(right - left) + row[right:]
        rows.append(b"\0" + row)
    return b"".join(rows)


def _png_parts(width: int, height: int, palette: bool, dice: random.Random) -> Template:
    header = struct.pack(">IIBBBBB", width, height, 2 if palette else 8, 3 if palette else 2, 0, 0, 0)
    colours = _png_chunk(b"PLTE", dice.randbytes(12)) if palette else b""
    image = _png_chunk(b"IDAT", _stored(_pixels(width, height, palette, dice)))
    return Template(
        b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header), colours + image + _png_chunk(b"IEND", b"")
    )


def _png_make(number: int) -> Template:
    return _png_parts(*_png_shape(number), random.Random(f"png:{number}"))


def _png_mark(text: str) -> bytes:
    return _png_chunk(b"tEXt", b"Comment\0" + _padded(text, MARKER_BYTES - 8))


def thumbnail(text: str) -> bytes:
    """A PNG of 64 by 48 pixels whose comment is *text*."""
    parts = _png_parts(64, 48, True, random.Random(f"thumbnail:{text}"))
    return parts.head + _png_mark(text) + parts.tail


# WAV: RIFF, PCM 16 bit mono


def _wav_shape(number: int) -> tuple[int, int]:
    """Samples per second, seconds."""
    return (8000, 11025, 16000, 22050)[number % 4], (1, 3, 5, 8, 10, 13, 16, 20)[number]


def _wav_size(number: int) -> int:
    rate, seconds = _wav_shape(number)
    return 12 + 24 + 8 + 12 + MARKER_BYTES + 8 + rate * seconds * 2


def _wav_make(number: int) -> Template:
    rate, seconds = _wav_shape(number)
    period = rate // (220 + 55 * number)
    wave = bytes(round(40 * sin(2 * pi * t / period)) & 0xFF for t in range(period))
    samples = bytearray(rate * seconds * 2)
    # The low byte is hiss: without it any period could be mistaken for any other by a test of offsets.
    samples[0::2] = random.Random(f"wav:{number}").randbytes(rate * seconds)
    samples[1::2] = (wave * (rate * seconds // period + 1))[: rate * seconds]
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", _wav_size(number) - 8, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16
    )
    return Template(head, struct.pack("<4sI", b"data", len(samples)) + bytes(samples))


def _wav_mark(text: str) -> bytes:
    comment = b"INFO" + struct.pack("<4sI", b"ICMT", MARKER_BYTES) + _padded(text, MARKER_BYTES)
    return struct.pack("<4sI", b"LIST", len(comment)) + comment


# MP4: ISO/IEC 14496-12; object type 0x6D is PNG in the MP4 registration authority's table


def _box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def _frames(number: int) -> int:
    return 4 + 3 * number


def _mp4_head() -> bytes:
    return _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isom", b"iso2", b"mp41")


def _moov(number: int) -> bytes:
    frames, width, height = _frames(number), VIDEO_WIDTH, VIDEO_HEIGHT
    size = _png_size_of(width, height, False)
    media_at = len(_mp4_head()) + 8 + MARKER_BYTES + 8
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    timing = struct.pack(">IIIII", 0, 0, 0, FRAMES_PER_SECOND, frames)
    movie = _box(
        b"mvhd", timing, struct.pack(">IH10x", 0x10000, 0x100), matrix, bytes(24), struct.pack(">I", 2)
    )
    track = _box(
        b"tkhd",
        struct.pack(">IIIIII8xHHHH", 3, 0, 0, 1, 0, frames, 0, 0, 0, 0),
        matrix,
        struct.pack(">II", width << 16, height << 16),
    )
    config = bytes((4, 13, 0x6D, 0x11)) + size.to_bytes(3, "big") + bytes(8)
    descriptor = bytes((3, 3 + len(config) + 3, 0, 1, 0)) + config + bytes((6, 1, 2))
    visual = struct.pack(">6xH16xHHIIIH", 1, width, height, 0x480000, 0x480000, 0, 1) + bytes(32)
    entry = _box(b"mp4v", visual, struct.pack(">Hh", 24, -1), _box(b"esds", bytes(4), descriptor))
    table = _box(
        b"stbl",
        _box(b"stsd", struct.pack(">II", 0, 1), entry),
        _box(b"stts", struct.pack(">IIII", 0, 1, frames, 1)),
        _box(b"stsc", struct.pack(">IIIII", 0, 1, 1, frames, 1)),
        _box(b"stsz", struct.pack(">III", 0, size, frames)),
        _box(b"stco", struct.pack(">III", 0, 1, media_at)),
    )
    media = _box(
        b"mdia",
        _box(b"mdhd", timing, struct.pack(">HH", 0x55C4, 0)),
        _box(b"hdlr", struct.pack(">II", 0, 0), b"vide", bytes(12), b"sandbox\0"),
        _box(
            b"minf",
            _box(b"vmhd", struct.pack(">IHHHH", 1, 0, 0, 0, 0)),
            _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1), _box(b"url ", struct.pack(">I", 1)))),
            table,
        ),
    )
    return _box(b"moov", movie, _box(b"trak", track, media))


def _mp4_size(number: int) -> int:
    frames = _frames(number) * _png_size_of(VIDEO_WIDTH, VIDEO_HEIGHT, False)
    return len(_mp4_head()) + 8 + MARKER_BYTES + 8 + frames + len(_moov(number))


def _mp4_make(number: int) -> Template:
    """The index comes last, as recorders write it: a player must read the end before it can show the
    beginning.
    """
    frames = []
    for frame in range(_frames(number)):
        parts = _png_parts(VIDEO_WIDTH, VIDEO_HEIGHT, False, random.Random(f"mp4:{number}:{frame}"))
        frames.append(parts.head + _png_mark(f"frame {frame}") + parts.tail)
    return Template(_mp4_head(), _box(b"mdat", *frames) + _moov(number))


def _mp4_mark(text: str) -> bytes:
    return _box(b"free", _padded(text, MARKER_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One file format: its size and its bytes per template number, and its marker for a text."""

    size: Callable[[int], int]
    make: Callable[[int], Template]
    mark: Callable[[str], bytes]
    extension: str
    content_type: str


FORMATS: Final[Mapping[SampleType, Format]] = MappingProxyType(
    {
        "image": Format(
            size=_png_size, make=_png_make, mark=_png_mark, extension="png", content_type="image/png"
        ),
        "audio": Format(
            size=_wav_size, make=_wav_make, mark=_wav_mark, extension="wav", content_type="audio/wav"
        ),
        "video": Format(
            size=_mp4_size, make=_mp4_make, mark=_mp4_mark, extension="mp4", content_type="video/mp4"
        ),
        "document": Format(
            size=document_size,
            make=lambda number: Template(*document_parts(number)),
            mark=document_mark,
            extension="json",
            content_type="application/json",
        ),
    }
)
