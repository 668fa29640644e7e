"""Large buffers that are used again.

A new one has to be filled with zeros, page by page as it is touched: for a stream at the speed of memory
that is a fifth of its CPU (measured). One that was used is still in the processor's cache, too.
"""

from __future__ import annotations

import ctypes
import mmap
from collections import deque
from contextlib import suppress
from typing import Final

_HUGE: Final = 2 * 1024 * 1024
"""The kernel's large page: pinned and looked up as one, for each call that is given a buffer."""


class Buffers:
    """Buffers of one size, of which at most so many are kept."""

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self._most = most
        self._kept: deque[mmap.mmap] = deque()

    def take(self) -> memoryview:
        """One that nobody looks at. It is free again when its last view is gone."""
        for _ in range(len(self._kept)):
            self._kept.rotate()
            if _is_free(self._kept[0]):
                return self._view(self._kept[0])
        made = mmap.mmap(-1, self.size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without them
            made.madvise(mmap.MADV_HUGEPAGE)
        self._kept.appendleft(made)
        if len(self._kept) > self._most:
            self._kept.pop()  # and is gone with its last view
        return self._view(made)

    def _view(self, buffer: mmap.mmap) -> memoryview:

        at = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        start = -at % _HUGE
        return memoryview(buffer)[start : start + self.size]


def _is_free(buffer: mmap.mmap) -> bool:
    try:
        buffer.resize(len(buffer))  # refused while there are views of it
    except BufferError:
        return False
    return True
