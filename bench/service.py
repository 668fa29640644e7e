"""The Apizee API of the benchmark's media: `python -m bench.service CATALOGUE`.

The sandbox's own twin, with records that claim the files which nginx serves; nobody asks it for their bytes.
Prints its port; ends with standard input.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import trio

from mediafs.sandbox.media import BytesBody
from mediafs.sandbox.server import serve
from mediafs.sandbox.world import World


def world_of(catalogue: Path) -> World:
    """A world whose media are numbered from 1 in the catalogue's order."""
    world = World()
    for entry in json.loads(catalogue.read_text()):
        world.add(
            filename=entry["name"],
            created=datetime.fromisoformat(entry["created"]),
            media_type=entry["media_type"],
            filesize=entry["size"],
            body=BytesBody(data=b"asked of the wrong server"),
        )
    return world


async def _run(world: World) -> None:
    async with serve(world) as server:
        print(urlsplit(server.url).port, flush=True)
        while await trio.to_thread.run_sync(os.read, 0, 4096, abandon_on_cancel=True):
            pass


if __name__ == "__main__":
    trio.run(_run, world_of(Path(sys.argv[1])))
