"""One reading program: `python -I -S reader.py sequential PATH` or `random PATH OFFSET...`.

Says `ready`; reads when it is given a line, and tells its times in one line of JSON; when given another,
tells the SHA-256 of what it read, and ends. A sequential reader hashes what the kernel has kept for its
descriptor: those are the very bytes that it was given.
"""

import hashlib
import json
import os
import sys
import time

FIRST = 128 * 1024
STEP = 1024 * 1024


def tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def sequential(path: str) -> None:
    buffer = memoryview(bytearray(STEP))
    sys.stdin.readline()
    start = time.monotonic()
    file = os.open(path, os.O_RDONLY)
    total = os.readv(file, [buffer[:FIRST]])
    first = time.monotonic()
    while got := os.readv(file, [buffer]):
        total += got
    end = time.monotonic()
    tell({"bytes": total, "start": start, "first": first, "end": end})
    sys.stdin.readline()
    digest, at = hashlib.sha256(), 0
    while got := os.preadv(file, [buffer], at):
        digest.update(buffer[:got])
        at += got
    tell({"sha256": digest.hexdigest()})


def random(path: str, offsets: list[int]) -> None:
    buffers = [bytearray(FIRST) for _ in offsets]
    sys.stdin.readline()
    start = time.monotonic()
    file = os.open(path, os.O_RDONLY)
    took, total, before = [], 0, start
    for offset, buffer in zip(offsets, buffers, strict=True):
        total += os.preadv(file, [buffer], offset)
        now = time.monotonic()
        took.append(now - before)
        before = now
    tell({"bytes": total, "start": start, "first": start + took[0], "end": before, "took": took})
    sys.stdin.readline()
    tell({"sha256": hashlib.sha256(b"".join(buffers)).hexdigest()})


if __name__ == "__main__":
    tell("ready")
    if sys.argv[1] == "sequential":
        sequential(sys.argv[2])
    else:
        random(sys.argv[2], [int(word) for word in sys.argv[3:]])
