"""What a listing costs at least: `python -m bench.bare_client URL`.

As many requests in flight as mediafs has, each for a page by its offset, with the same libraries; the JSON is
parsed, and forgotten. Tells in one line of JSON how many media it was shown, and how long that took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import httpx
import trio

from .archive import PAGE, TOKEN

LANES: Final = 8


async def crawl(url: str) -> int:
    """How many media the service lists."""
    seen: set[int] = set()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:

        async def page(offset: int) -> int:
            query = f"orderby=date&order=asc&limit={PAGE}&offset={offset}&user_id=all"
            reply = await client.get(f"{url}/api/v3/medias?{query}")
            shown = json.loads(reply.content)
            seen.update(record["id"] for record in shown["data"])
            return int(shown["total"])

        offsets = iter(range(PAGE, await page(0), PAGE))

        async def lane() -> None:
            for offset in offsets:
                await page(offset)

        async with trio.open_nursery() as nursery:
            for _ in range(LANES):
                nursery.start_soon(lane)
    return len(seen)


if __name__ == "__main__":
    started = time.monotonic()
    count = trio.run(crawl, sys.argv[1])
    print(json.dumps({"count": count, "seconds": time.monotonic() - started}))
