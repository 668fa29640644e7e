"""One program that asks for attributes: `python -I -S stater.py FOLDER LIST`, LIST a file of a name a line.

Says `ready`; asks for each name once when it is given a line, and tells in one line of JSON when it began and
ended, how many it asked for, and the sum of their sizes.
"""

import json
import os
import sys
import time


def tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(folder: str, listed: str) -> None:
    with open(listed) as file:
        names = file.read().split()
    at = os.open(folder, os.O_PATH)
    tell("ready")
    sys.stdin.readline()
    start, total = time.monotonic(), 0
    for name in names:
        total += os.stat(name, dir_fd=at).st_size
    tell({"start": start, "end": time.monotonic(), "count": len(names), "bytes": total})


if __name__ == "__main__":
    main(*sys.argv[1:])
