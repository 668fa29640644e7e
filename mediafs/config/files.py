"""Reading a whole small file that the operator named, and nothing that only looks like one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, most: int) -> tuple[int, bytes]:
    """The mode and the content of a regular file; one byte more than `most` where it is longer.

    Raises OSError, with an EINVAL of ours for a pipe, a folder or a device: reading those may wait
    for ever, or never end.
    """
    try:
        # O_NONBLOCK: opening a named pipe would wait for its other end.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError:
        raise OSError(errno.EINVAL, "its path holds a NUL") from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a file")
        content = bytearray()
        while len(content) <= most and (part := os.read(handle, most + 1 - len(content))):
            content += part
        return mode, bytes(content)
    finally:
        os.close(handle)
