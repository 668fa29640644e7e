"""The floor of what pyfuse3 can do: one file, in memory. `python -m bench.memoryfs MOUNTPOINT FILE`."""

from __future__ import annotations

import errno
import signal
import stat
import sys
from pathlib import Path
from typing import Final

import pyfuse3
import trio

_FILE: Final = pyfuse3.InodeT(2)
_FOREVER_S: Final = 300.0


class OneFile(pyfuse3.Operations):
    """A root directory with one file of the given bytes."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__()
        self._name = name.encode()
        self._content = memoryview(content)

    async def getattr(
        self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        is_file = inode == _FILE
        entry.st_mode = stat.S_IFREG | 0o444 if is_file else stat.S_IFDIR | 0o555
        entry.st_size = len(self._content) if is_file else 0
        entry.st_nlink = 1
        entry.attr_timeout = entry.entry_timeout = _FOREVER_S
        return entry

    async def lookup(
        self, parent_inode: pyfuse3.InodeT, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        if parent_inode != pyfuse3.ROOT_INODE or name != self._name:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(_FILE)

    async def opendir(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileHandleT:
        return pyfuse3.FileHandleT(inode)

    async def readdir(self, fh: pyfuse3.FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        if start_id == 0:
            pyfuse3.readdir_reply(token, self._name, await self.getattr(_FILE), 1)

    async def open(
        self, inode: pyfuse3.InodeT, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(inode), keep_cache=False)

    async def read(self, fh: pyfuse3.FileHandleT, off: int, size: int) -> bytes:
        return self._content[off : off + size]  # type: ignore[return-value]  # any buffer will do, uncopied


async def _serve() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_told)
        await pyfuse3.main()
        nursery.cancel_scope.cancel()


async def _until_told() -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            pyfuse3.terminate()


def main() -> None:
    mountpoint, path = sys.argv[1], Path(sys.argv[2])
    pyfuse3.init(OneFile(path.name, path.read_bytes()), mountpoint, {"fsname=memoryfs", "ro"})
    try:
        trio.run(_serve)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main()
