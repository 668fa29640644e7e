"""A run: the server is started, then each work is done round after round, its competitors in a new order."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .machine import facts, warm_memory
from .media import MIB, Library
from .metadata_peers import Archives, Ground
from .peers import Stage, versions
from .rig import Failure, run
from .server import FAR, Origin, linked, serving
from .work import Work

Note = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Places:
    """Where things go: results, caches (a real disk; None: the system's temporary folder), served files."""

    out: Path
    scratch: Path | None
    memory: Path


@dataclass(frozen=True)
class Setting:
    """What all works of a run share."""

    origins: Mapping[str, Origin]
    library: Library
    archives: Archives
    scratch: Path
    note: Note

    def stage(self, work: Work, scratch: Path) -> Stage | Ground:
        """What its competitors are given."""
        if work.where == "archive":
            return Ground(self.archives, scratch)
        return Stage(self.origins[work.where], self.library, work.files, scratch)


def measure(works: Sequence[Work], rounds: int, seed: int, places: Places) -> int:
    """Writes `results.jsonl`, a line as soon as it is known; returns how many samples failed."""
    with ExitStack() as stack:
        stack.enter_context(_alone())
        results = stack.enter_context((places.out / "results.jsonl").open("w"))

        def note(what: Mapping[str, Any]) -> None:
            results.write(json.dumps(what) + "\n")
            results.flush()

        def folder(parent: Path | None) -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mfb-", dir=parent)))

        scratch, memory = folder(places.scratch), folder(places.memory)
        print("making the files", flush=True)
        warm_memory()
        library = Library(memory, {work.files for work in works if work.files}, seed)
        archives = Archives(scratch, memory)
        origins: dict[str, Origin] = {}
        link: dict[str, float] = {}
        if library.files:
            near = stack.enter_context(serving(library, scratch / "near", host="127.0.0.1"))
            origins |= zip(("plain", "tls"), near, strict=True)
        if any(work.where == "link" for work in works):
            inside = stack.enter_context(linked(scratch))
            far = stack.enter_context(serving(library, scratch / "far", host=FAR, inside=inside))
            origins["link"], link = far[0], _link_facts(far[0], library)
        note({"machine": facts(), "versions": versions(), "link": link, "rounds": rounds, "seed": seed})
        setting = Setting(origins, library, archives, scratch, note)
        return sum(_rounds(work, min(rounds, work.most_rounds), seed, setting) for work in works)


@contextmanager
def _alone() -> Iterator[None]:
    """Two at once would measure each other. Raises Failure for the second."""
    with (Path(tempfile.gettempdir()) / "mediafs-bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("another bench/run is at work") from None
        yield


def _rounds(work: Work, rounds: int, seed: int, setting: Setting) -> int:
    print(f"\n{work.name}: {work.title}", flush=True)
    dice, failed = random.Random(f"{seed}:{work.name}"), 0
    for number in range(1, rounds + 1):
        order = list(work.peers)
        dice.shuffle(order)
        offsets = dice.randrange(1 << 32)
        print(f"round {number}: {', '.join(order)}", flush=True)
        for peer in order:
            sample = _one(work, peer, offsets, setting)
            failed += "error" in sample
            setting.note({"work": work.name, "round": number, "peer": peer, **sample})
            print(f"  {peer:24}{_words(sample)}", flush=True)
    return failed


def _one(work: Work, peer: str, seed: int, setting: Setting) -> dict[str, float | str]:
    """One sample, from an empty folder to an empty folder; or `error` and, in words, what went wrong."""
    scratch = setting.scratch / "peer"
    scratch.mkdir()
    stage = setting.stage(work, scratch)
    began = time.time()
    try:
        with work.peers[peer](stage) as subject:
            return {**work.do(stage, subject, seed), "began": began}
    except (Failure, OSError) as failure:
        return {"error": str(failure), "began": began}
    finally:
        shutil.rmtree(scratch)


def _words(sample: Mapping[str, float | str]) -> str:
    if "error" in sample:
        return f"FAILED: {sample['error']}"
    return "  ".join(f"{key} {value:.4g}" for key, value in sample.items() if key != "began")


def _link_facts(origin: Origin, library: Library) -> dict[str, float]:
    """What curl finds of the link. Raises Failure where it is not the one that is wanted."""
    largest = max(library.files, key=lambda file: file.size)
    url = f"{origin.url}/media/{largest.group}/{largest.name}"
    show = "%{time_connect} %{time_starttransfer} %{speed_download}"
    said, _ = run("curl", "-sS", "-o", "/dev/null", "-r", f"0-{128 * MIB - 1}", "-w", show, url)
    connect_s, first_s, speed = map(float, said.split())
    if not 0.029 < connect_s < 0.040:
        raise Failure(f"the link has a round trip of {1e3 * connect_s:.1f} ms")
    return {"connect_ms": 1e3 * connect_s, "first_byte_ms": 1e3 * first_s, "curl_mb_s": speed / 1e6}
