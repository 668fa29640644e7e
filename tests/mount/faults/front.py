"""What stands before a service and can go away: a relay for TCP on a port that stays its own.

A service cannot script its own absence: that a connection is refused, or that nobody answers the attempt
to connect. Both are done here without a firewall.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

_PIECE_BYTES: Final = 256 * 1024
_HOST: Final = "127.0.0.1"


class Front:
    """Relays to the service at `url` while the block runs, from an address of its own."""

    def __init__(self, url: str) -> None:
        self._target = (_HOST, urlsplit(url).port or 80)
        self._open: set[socket.socket] = set()
        self._broken: set[socket.socket] = set()
        """Those of them that end with RST and not in order."""
        self._lock = threading.Lock()
        self._door = _bound(0)
        self._fillers: list[socket.socket] = []
        self._port = self._door.getsockname()[1]
        self.url: Final = f"http://{_HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shut()

    def refuse(self) -> None:
        """Connections break, and new ones are refused: the port is held, and nobody listens there."""
        self._shut()
        self._door = _bound(self._port)

    def fill(self) -> None:
        """Connections break, and attempts to connect are never answered.

        A listener with room for one connection that nobody accepts, and that one is made here: the kernel
        drops every further attempt, as a firewall does that answers nothing.
        """
        self._shut()
        self._door = _bound(self._port)
        self._door.listen(0)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((_HOST, self._port))
            self._fillers.append(filler)

    def serve(self) -> None:
        """Relays again, if it did not."""
        if self._fillers or not self._door.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._shut()
            self._door = _bound(self._port)
            self._listen()

    def _shut(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # wakes who accepts there
        self._door.close()
        with self._lock:
            for each in self._open:
                self._break(each)

    def _listen(self) -> None:
        self._door.listen(128)
        threading.Thread(target=self._accept, args=(self._door,), daemon=True).start()

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                client, _ = door.accept()
                service = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                self._open |= {client, service}
            for here, there in ((client, service), (service, client)):
                threading.Thread(target=self._relay, args=(here, there), daemon=True).start()

    def _relay(self, here: socket.socket, there: socket.socket) -> None:
        """Carries bytes one way; an end or a break of the one is an end or a break of the other."""
        try:
            while piece := here.recv(_PIECE_BYTES):
                there.sendall(piece)
        except ConnectionResetError:
            with self._lock:
                self._break(there)
        except OSError:
            pass
        with self._lock, suppress(OSError):
            if here not in self._broken:
                there.shutdown(socket.SHUT_RDWR)
                here.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(here)
            self._broken.discard(here)
        here.close()

    def _break(self, connection: socket.socket) -> None:
        """Makes whoever relays from it close it, with RST: what a peer that broke down sends."""
        if connection in self._open:
            self._broken.add(connection)
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RD)


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((_HOST, port))
    return made
