"""The listing of the Apizee API, and nothing else, at the least cost: `python -m bench.listing_server COUNT
PER_DAY DELAY_MS`.

Every answer comes so many milliseconds after its request, however many are under way. `POST /add` makes one
media more, and `GET /asked` tells how many pages were asked for. Prints its port; ends with standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from .archive import PAGE, Archive

_ALL: Final = "all"


class Service:
    """One archive."""

    def __init__(self, archive: Archive, delay_s: float) -> None:
        self._archive = archive
        self._delay_s = delay_s
        self._asked = 0

    async def answer(self, method: str, target: str) -> bytes:
        url = urlsplit(target)
        match method, url.path:
            case "POST", "/add":
                self._archive.count += 1
                return b"{}"
            case "GET", "/asked":
                return str(self._asked).encode()
            case "GET", "/api/v3/medias":
                self._asked += 1
                await asyncio.sleep(self._delay_s)
                return self.page(dict(parse_qsl(url.query)))
        raise ValueError(f"{method} {target} was not expected")

    def page(self, given: Mapping[str, str]) -> bytes:
        """The answer to these parameters."""
        if given.get("user_id", _ALL) != _ALL or "conversation_id" in given:
            return self._archive.page((), 0)  # a filter is asked only whether it filters
        first, last = 1, self._archive.count
        if "since" in given:
            first = self._archive.from_on(datetime.fromisoformat(given["since"]))
        if "until" in given:
            until = datetime.fromisoformat(given["until"])
            last = min(last, self._archive.from_on(until) - 1)
        total = max(0, last - first + 1)
        start = int(given.get("offset", 0))
        stop = min(start + min(int(given.get("limit", 10)), PAGE), total)
        newest_first = given.get("order", "desc") == "desc"
        numbers = [last - at if newest_first else first + at for at in range(start, stop)]
        return self._archive.page(numbers, total)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b" ", 2)
                body = await self.answer(method.decode(), target.decode())
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def run(service: Service) -> None:
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    count, per_day, delay_ms = map(int, sys.argv[1:])
    asyncio.run(run(Service(Archive(count, per_day), delay_ms / 1000)))
