"""What is done with a competitor, and what is noted: times, CPU, memory, and whether the bytes were right."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from .media import File
from .peers import Stage
from .rig import PATIENCE_S, Failure, cpu_s, end, environment, peak_rss_mib, run, watched
from .work import Sample, Subject

GIB: Final = 1 << 30
READ: Final = 128 * 1024
PAGE: Final = 4096
RANDOM_READS: Final = 25


class Reader:
    """`reader.py` in a process of its own, started and waiting for its go."""

    def __init__(self, *arguments: str) -> None:
        script = str(Path(__file__).with_name("reader.py"))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            start_new_session=True,
        )
        self.told()

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def told(self) -> Any:
        assert self._process.stdout is not None
        with watched(self._process):
            line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        assert self._process.stderr is not None
        said = self._process.stderr.read().strip().splitlines()
        raise Failure(f"reading: {said[-1] if said else f'not within {PATIENCE_S:.0f} s'}")

    def close(self) -> None:
        end(self._process)
        assert self._process.stderr is not None
        self._process.stderr.close()


@contextmanager
def reader(*arguments: str) -> Iterator[Reader]:
    one = Reader(*arguments)
    try:
        yield one
    finally:
        one.close()


class Daemon:
    """The CPU of a competitor since this was made, and its memory."""

    def __init__(self, subject: Subject) -> None:
        self._pid = subject.pid
        self._before = 0.0 if self._pid is None else cpu_s(self._pid)

    def costs(self, read: int) -> Sample:
        if self._pid is None:
            return {}
        spent = cpu_s(self._pid) - self._before
        return {"cpu_s": spent, "cpu_s_per_gib": spent * GIB / read, "peak_mib": peak_rss_mib(self._pid)}


def right(told: Any, read: int, size: int, sha256: str) -> None:
    """Raises Failure unless all bytes came, and the right ones."""
    if read != size:
        raise Failure(f"WRONG: {read} bytes of {size}")
    if told["sha256"] != sha256:
        raise Failure("WRONG BYTES")


def sequential(stage: Stage, subject: Subject, seed: int) -> Sample:
    (file,) = stage.library.group(stage.group)
    if subject.root is None:
        return _curl(stage, file)
    return _read_whole(subject, file)


def _read_whole(subject: Subject, file: File) -> Sample:
    assert subject.root is not None
    with reader("sequential", str(subject.root / file.name)) as one:
        daemon = Daemon(subject)
        one.go()
        said = one.told()
        costs = daemon.costs(file.size)
        one.go()
        right(one.told(), said["bytes"], file.size, file.sha256)
    took = said["end"] - said["start"]
    return {"mb_s": file.size / took / 1e6, "first_ms": 1e3 * (said["first"] - said["start"]), **costs}


def _curl(stage: Stage, file: File) -> Sample:
    """Its first byte is a header's, and so not comparable: it is not noted."""
    trust = ["--cacert", str(stage.origin.ca_file)] if stage.origin.ca_file else []
    url = f"{stage.origin.url}/media/{file.group}/{file.name}"
    show = "%{size_download} %{time_total} %{http_code}"
    said, spent = run("curl", "-sS", *trust, "-o", "/dev/null", "-w", show, url)
    size, took, status = said.split()
    if (int(size), status) != (file.size, "200"):
        raise Failure(f"WRONG: curl: {said}")
    return {"mb_s": file.size / float(took) / 1e6, "cpu_s_per_gib": spent * GIB / file.size}


def again(stage: Stage, subject: Subject, seed: int) -> Sample:
    """The second reading of a file, by another process."""
    (file,) = stage.library.group(stage.group)
    _read_whole(subject, file)
    return _read_whole(subject, file)


def randomly(stage: Stage, subject: Subject, seed: int) -> Sample:
    (file,) = stage.library.group(stage.group)
    assert subject.root is not None
    dice = random.Random(seed)
    offsets = [dice.randrange((file.size - READ) // PAGE) * PAGE for _ in range(RANDOM_READS)]
    digest = hashlib.sha256()
    with file.path.open("rb") as original:
        for offset in offsets:
            original.seek(offset)
            digest.update(original.read(READ))
    with reader("random", str(subject.root / file.name), *map(str, offsets)) as one:
        daemon = Daemon(subject)
        one.go()
        said = one.told()
        costs = daemon.costs(RANDOM_READS * READ)
        one.go()
        right(one.told(), said["bytes"], RANDOM_READS * READ, digest.hexdigest())
    took: list[float] = said["took"]
    return {"ms_per_read": 1e3 * sum(took) / len(took), "worst_ms": 1e3 * max(took), **costs}


def copying(stage: Stage, subject: Subject, seed: int) -> Sample:
    """`cp -r` of a directory into memory; what was copied is compared afterwards."""
    assert subject.root is not None
    originals = stage.library.media / stage.group
    copy = stage.library.media.parent / "copy"
    daemon = Daemon(subject)
    try:
        start = time.monotonic()
        run("cp", "-r", str(subject.root), str(copy))
        took = time.monotonic() - start
        costs = daemon.costs(sum(file.size for file in stage.library.group(stage.group)))
        try:
            run("diff", "-rq", str(originals), str(copy))
        except Failure as failure:
            raise Failure(f"WRONG BYTES: {failure}") from failure
    finally:
        run("rm", "-rf", str(copy))
    return {"seconds": took, **costs}


def probing(stage: Stage, subject: Subject, seed: int) -> Sample:
    """ffprobe, whose answer must be the one about the original."""
    assert subject.root is not None
    (file,) = stage.library.group(stage.group)
    words = ["ffprobe", "-v", "error", "-show_streams", "-of", "json"]
    truth, _ = run(*words, str(file.path))
    daemon = Daemon(subject)
    start = time.monotonic()
    said, _ = run(*words, str(subject.root / file.name))
    took = time.monotonic() - start
    costs = daemon.costs(file.size)
    if said != truth:
        raise Failure("WRONG: ffprobe says something else")
    return {"ms": 1e3 * took, **costs}


def together(stage: Stage, subject: Subject, seed: int) -> Sample:
    """Every file of the group by a reader of its own, all at once."""
    assert subject.root is not None
    files = stage.library.group(stage.group)
    total = sum(file.size for file in files)
    with ExitStack() as stack:
        readers = [stack.enter_context(reader("sequential", str(subject.root / f.name))) for f in files]
        daemon = Daemon(subject)
        for one in readers:
            one.go()
        said = [one.told() for one in readers]
        costs = daemon.costs(total)
        for one, file, times in zip(readers, files, said, strict=True):
            one.go()
            right(one.told(), times["bytes"], file.size, file.sha256)
    took = max(times["end"] for times in said) - min(times["start"] for times in said)
    worst = max(times["first"] - times["start"] for times in said)
    return {"mb_s": total / took / 1e6, "first_ms": 1e3 * worst, **costs}
