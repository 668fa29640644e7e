"""A link of 30 ms and 1 Gbit/s between two TUN devices: `python -m bench.link NEAR FAR`.

Both devices hand over whole TCP segments of up to 64 KiB (IFF_VNET_HDR with TSO), so Python is quick enough.
Each way has its own line: packets leave one after the other at the rate, arrive half the round trip later,
and are dropped where the queue is full. Says `ready` when both devices are there; ends with standard input,
and the devices with it.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from typing import Final

ROUND_TRIP_S: Final = 0.030
BYTES_PER_S: Final = 1000e6 / 8
"""Of IP packets: what a real line adds around them is not counted."""
QUEUE_BYTES: Final = 8e6

_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_IFF_TUN_NO_PI_VNET_HDR: Final = 0x0001 | 0x1000 | 0x4000
_CSUM_TSO4_TSO6_ECN: Final = 0x01 | 0x02 | 0x04 | 0x08
_LARGEST: Final = 10 + 65_535
_AT_ONCE: Final = 16
"""Packets taken from one side before what is due on the other is looked at."""


def tun(name: str) -> int:
    """A descriptor of a new TUN device, non-blocking. Raises OSError where that is not permitted."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI_VNET_HDR))
    fcntl.ioctl(device, _TUNSETOFFLOAD, _CSUM_TSO4_TSO6_ECN)
    return device


class Way:
    """Packets from one device on their way to the other."""

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self._sink = sink
        self._line_free_at = 0.0
        self._flying: deque[tuple[float, bytes]] = deque()
        self.dropped = 0

    @property
    def next_due(self) -> float | None:
        return self._flying[0][0] if self._flying else None

    def take(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(self.source, _LARGEST)
            except BlockingIOError:
                return
            now = time.monotonic()
            begins = max(now, self._line_free_at)
            if (begins - now) * BYTES_PER_S + len(packet) > QUEUE_BYTES:
                self.dropped += 1
                continue
            self._line_free_at = begins + len(packet) / BYTES_PER_S
            self._flying.append((self._line_free_at + ROUND_TRIP_S / 2, packet))

    def deliver(self) -> None:
        now = time.monotonic()
        while self._flying and self._flying[0][0] <= now:
            packet = self._flying.popleft()[1]
            try:
                os.write(self._sink, packet)
            except OSError:  # the device is down, or its queue full: a packet is lost
                self.dropped += 1


def main() -> None:
    near, far = tun(sys.argv[1]), tun(sys.argv[2])
    ways = {near: Way(near, far), far: Way(far, near)}
    print("ready", flush=True)
    while True:
        due = [at for way in ways.values() if (at := way.next_due) is not None]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        readable, _, _ = select.select([near, far, 0], [], [], wait)
        for source in readable:
            if source == 0:
                if not os.read(0, 4096):
                    return
            else:
                ways[source].take()
        for way in ways.values():
            way.deliver()


if __name__ == "__main__":
    main()
