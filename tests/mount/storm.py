"""Everything at once: processes that read, walk, edit and delete on one mount, while faults rain and the
archive changes under them.

    python -m tests.mount.storm [SECONDS [SEED]]

What is not explained by docs/SEMANTICS.md is a failure. Each media has its part by its number, so that what
must hold of it is known: see `Part`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from mediafs.sandbox.media import NoiseBody, sha256_of
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, prepared
from .soaks import main, memory_kib

WORKERS: Final = ("read", "read", "read", "find", "ls", "edit", "edit", "delete")
"""The eight processes."""

FIRST, LAST = "2025-05-01", "2025-06-30"
MEDIA: Final = 300
LARGE: Final = (5_000_000, 6_500_000, 9_000_000, 12_000_000)
"""Sizes of media that are streamed, while their content changes."""
LARGE_FROM: Final = 1_000_000
LARGE_DAYS: Final = 10
"""They were created on the first days of May."""
LINES: Final = (
    f'since = "{FIRST}"',
    'fresh_for = "2s"',  # so that listings are refreshed all the time
    'delete = "permanent"',
    "delete_limit = 0",
    "[cache]",
    'memory = "8MiB"',  # so that a leak shows beside it, and little is read without a request
)
END_WITHIN_S: Final = 80.0
"""After the end a process may still wait for one operation: no deadline is longer."""
AGREE_WITHIN_S: Final = 60.0
"""A failure is remembered for up to 15 s, in which old listings are shown."""
MORE_MEMORY_KIB: Final = 32 << 10
"""What the daemon may have gained: its budget of blocks, streams under way, and what malloc keeps."""
MORE_DESCRIPTORS: Final = 16
"""Idle connections that are kept."""

_PIECES: Final = (4096, 65_536, 131_072, 1 << 20)


class Part(IntEnum):
    """What happens to a media; its number modulo their number."""

    EDITED = 0
    """Its title is changed through the mount, by one process, and never at the service."""
    DELETED = 1
    """It may be deleted through the mount."""
    REPLACED = 2
    """Its content changes at the service."""
    REMOVED = 3
    """It is retitled at the service, and removed there."""
    LEFT = 4
    """Nothing."""

    @classmethod
    def of(cls, media: int) -> Part:
        return cls(media % len(cls))


# --- a process of the storm ----------------------------------------------------------------------------

_AWAY: Final = frozenset({errno.EIO, errno.ETIMEDOUT, errno.EACCES})
"""The service fails, is late, or refuses."""
EXPLAINED: Final[Mapping[str, frozenset[int]]] = {
    "read": _AWAY | {errno.ENOENT, errno.ESTALE},
    "find": _AWAY | {errno.ENOENT},
    "ls": _AWAY | {errno.ENOENT},
    "edit": _AWAY,
    "delete": _AWAY | {errno.ENOENT},
}


@dataclass
class Diary:
    """What a process did, and what must not have been."""

    kind: str
    done: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    titles: dict[int, list[str]] = field(default_factory=dict)
    """Media -> the titles that it may have; one after an edit that succeeded."""
    deleted: list[int] = field(default_factory=list)

    def met(self, number: int, what: str) -> None:
        self.errors[errno.errorcode.get(number, str(number))] += 1
        if number not in EXPLAINED[self.kind]:
            self.failures.append(f"{what}: {os.strerror(number)}")


@dataclass
class Worker:
    root: Path
    truth: Path
    until: float
    number: int
    dice: random.Random
    diary: Diary

    def run(self) -> None:
        act = {
            "read": self.read,
            "find": lambda: self.walk("find", "by-date", "recent", "-type", "f"),
            "ls": lambda: self.walk("ls", "-lR", "by-date", "by-user", "recent"),
            "edit": self.edit,
            "delete": self.delete,
        }[self.diary.kind]
        while time.time() < self.until:
            act()
            self.diary.done += 1

    def file(self, part: Part | None = None, *, large: bool = False) -> tuple[Path, int] | None:
        """Some file of those that a day shows, and its number."""
        month, day = self.dice.choice(("05", "06")), 1 + self.dice.randrange(30)
        if large:
            month, day = "05", 1 + self.dice.randrange(LARGE_DAYS)
        folder = self.root / f"by-date/2025/{month}/{day:02}"
        try:
            paths = list(folder.iterdir())
        except OSError as error:
            # A folder of a day can always be looked up; to a deletion or an edit that is no more than a look.
            if error.errno not in EXPLAINED["read"]:
                self.diary.met(error.errno or 0, f"listing {folder.name}")
            return None
        self.dice.shuffle(paths)
        for path in paths:
            try:
                media = int(os.getxattr(path, "user.mediafs.id"))
                fits = not large or path.stat().st_size >= LARGE_FROM
            except OSError as error:
                if error.errno != errno.ENOENT:  # gone since
                    self.diary.met(error.errno or 0, f"asking {path.name} for its id")
                continue
            if fits and part in (None, Part.of(media)):
                return path, media
        return None

    # --- reading

    def read(self) -> None:
        found = self.file(large=self.dice.random() < 0.4)
        if found is None:
            return
        path, media = found
        try:
            with path.open("rb", buffering=0) as file:
                digest = self._digest(file.fileno())
        except OSError as error:
            self.diary.met(error.errno or 0, f"reading media {media}")
            return
        if digest is not None and not self._is_true(media, digest):
            self.diary.failures.append(f"media {media}: bytes that it never had")

    def _digest(self, descriptor: int) -> str | None:
        """Of all bytes, in one order or another; None: it was left early."""
        size, piece = os.fstat(descriptor).st_size, self.dice.choice(_PIECES)
        if self.dice.random() < 0.7:  # not from what the kernel holds
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        match self.dice.randrange(6):
            case 0:
                os.pread(descriptor, piece, self.dice.randrange(max(size, 1)))
                return None
            case 1:
                offsets = list(range(0, size, max(piece, size // 50)))
                step = offsets[1] - offsets[0] if len(offsets) > 1 else max(size, 1)
                parts = {at: b"" for at in offsets}
                self.dice.shuffle(offsets)
                for at in offsets:
                    parts[at] = _pread(descriptor, min(step, size - at), at)
                return hashlib.sha256(b"".join(parts[at] for at in sorted(parts))).hexdigest()
        digest, slow = hashlib.sha256(), size >= LARGE_FROM and piece >= 65_536
        while data := os.read(descriptor, piece):
            digest.update(data)
            if slow:  # as a player: there is time for the content to change
                time.sleep(self.dice.uniform(0, 0.02))
        return digest.hexdigest()

    def _is_true(self, media: int, digest: str) -> bool:
        """Whether the media has, or had, such a content. The truth of a new one may take a moment."""
        for _ in range(50):
            with suppress(FileNotFoundError):
                return digest in (self.truth / str(media)).read_text().split()
            time.sleep(0.1)
        return False

    # --- walking

    def walk(self, *words: str) -> None:
        walker = subprocess.Popen(
            words,
            cwd=self.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
        ended = threading.Timer(max(0.1, self.until - time.time()), walker.terminate)
        ended.start()
        _, said = walker.communicate()
        ended.cancel()
        numbers = {os.strerror(number): number for number in errno.errorcode}
        for line in said.decode(errors="replace").splitlines():
            number = numbers.get(line.rpartition(": ")[2])
            if number is None:
                self.diary.failures.append(f"{words[0]}: {line}")
            else:
                self.diary.met(number, f"{words[0]}: {line}")

    # --- changing

    def edit(self) -> None:
        found = self.file(Part.EDITED)
        if found is None or found[1] // len(Part) % WORKERS.count("edit") != self.number:
            return
        path, media = found
        before = self.diary.titles.get(media, [])
        title = f"storm {self.number} {self.diary.done}"
        try:
            os.setxattr(path, "user.mediafs.title", title.encode())
        except OSError as error:
            # Made or not made: nobody knows who was told so.
            self.diary.titles[media] = [*before, title]
            if not before:
                self.diary.titles.pop(media)
            self.diary.met(error.errno or 0, f"editing media {media}")
            return
        self.diary.titles[media] = [title]
        try:
            shown = os.getxattr(path, "user.mediafs.title").decode()
        except OSError as error:
            self.diary.failures.append(f"media {media}, edited: {error}")
            return
        if shown != title:
            self.diary.failures.append(f"media {media}: {shown!r} shown after {title!r} was set")

    def delete(self) -> None:
        time.sleep(0.2)  # else nothing would be left
        found = self.file(Part.DELETED)
        if found is None:
            return
        path, media = found
        try:
            path.unlink()
        except OSError as error:
            self.diary.met(error.errno or 0, f"deleting media {media}")
            return
        self.diary.deleted.append(media)
        with suppress(OSError):
            path.lstat()
            self.diary.failures.append(f"media {media}: there after it was deleted")


def _pread(descriptor: int, length: int, offset: int) -> bytes:
    parts = []
    while length > 0 and (data := os.pread(descriptor, length, offset)):
        parts.append(data)
        offset, length = offset + len(data), length - len(data)
    return b"".join(parts)


def _work(arguments: Sequence[str]) -> None:
    kind, number, root, truth, until, seed = arguments
    diary = Diary(kind)
    worker = Worker(Path(root), Path(truth), float(until), int(number), random.Random(seed), diary)
    try:
        worker.run()
    finally:
        print(json.dumps(vars(diary)))


# --- what happens at the service -------------------------------------------------------------------------


@dataclass
class Weather:
    """Rain of faults, and an archive that changes; `truth` holds the digests that each media ever had."""

    box: Box
    truth: Path
    dice: random.Random
    stop: threading.Event = field(default_factory=threading.Event)
    faults: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    broken: list[BaseException] = field(default_factory=list)

    @contextmanager
    def raging(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._guard, args=(do,)) for do in (self._rain, self._change)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
            self.box.clear_faults()
            self.box.set(redirect=False, redirect_ttl_s=300.0)

    def _guard(self, do: Any) -> None:
        try:
            do(random.Random(self.dice.random()))
        except BaseException as error:
            self.broken.append(error)

    def _rain(self, dice: random.Random) -> None:
        began = time.monotonic()
        refused = -5.0
        while not self.stop.wait(dice.uniform(0.02, 0.12)):
            now = time.monotonic() - began
            kind, fields = _drop(dice)
            if fields.get("status") == 401:
                if now < refused + 5:
                    continue  # two for one request are refused credentials, and a minute without a storm
                refused = now
            self.box.fault(kind, **fields)
            self.faults[f"{kind} {fields.get('status', '')}".strip()] += 1
            if dice.random() < 0.02:
                self.box.clear_faults()
            if dice.random() < 0.05:
                self.box.set(redirect=dice.random() < 0.5, redirect_ttl_s=dice.choice((0.05, 0.5, 300.0)))

    def _change(self, dice: random.Random) -> None:
        while not self.stop.wait(dice.uniform(0.1, 0.4)):
            choice = dice.choice(("add", "add", "replace", "replace", "retitle", "remove"))
            part = Part.REPLACED if choice == "replace" else Part.REMOVED
            known = [m for m in self.box.world() if m["completed"] and Part.of(m["id"]) is part]
            media = dice.choice(known) if known else None
            if choice == "add":
                body = dice.randbytes(dice.randrange(10_000, 300_000))
                day = f"2025-{dice.choice(('05', '06'))}-{1 + dice.randrange(30):02}"
                added = self.box.add(body=body, created=f"{day}T12:00:{dice.randrange(60):02}+00:00")
                self.believe(int(added["id"]), hashlib.sha256(body).hexdigest())
            elif media is None:
                continue
            elif choice == "replace":
                large = [m for m in known if m["size"] >= LARGE_FROM]
                if large and dice.random() < 0.5:
                    media = dice.choice(large)
                size, seed = media["size"], dice.randrange(1 << 30)
                if dice.random() < 0.3:
                    size = size - 4096 if size >= LARGE_FROM else dice.randrange(10_000, 300_000)
                self.believe(media["id"], sha256_of(NoiseBody(size=size, seed=seed)))
                self.box.update(media["id"], size=size, seed=seed)
            elif choice == "retitle":
                self.box.update(media["id"], title=f"by the service {dice.randrange(1000)}")
            elif dice.random() < 0.7:
                self.box.remove(media["id"])
            self.changes[choice] += 1

    def believe(self, media: int, digest: str) -> None:
        with (self.truth / str(media)).open("a") as file:
            file.write(f"{digest}\n")


_DOWNLOADS: Final = "/api/v3/medias/*/download"
_BODIES: Final = ("cut", "cut", "stall", "trickle", "short", "long", "wrong-range", "ignore-range")
_ANSWERS: Final = ("html", "bad-json", "json", "empty", "blank", "redirect-loop")
_LINES: Final = ("refuse", "reset", "late", "lost", "delay")
_KINDS: Final = (*_BODIES, *_ANSWERS, *_LINES, "status", "status", "status", "status")


def _drop(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """One fault, for a request or two of some kind.

    Not among them: a service that says of what it has that it is gone, and of what it has not done that it
    is done. Its word is believed, so the mount would be right to be wrong.
    """
    kind = dice.choice(_KINDS)
    fields: dict[str, Any] = {"path": "/", "times": dice.choice((1, 1, 2))}
    match kind:
        case "cut":
            fields["after_bytes"] = dice.choice((0, 10, 1000, 100_000))
        case "stall":
            fields |= {"after_bytes": dice.choice((0, 10, 100_000)), "seconds": dice.uniform(0.5, 3)}
        case "trickle":
            fields["bytes_per_s"] = 200_000
        case "short" | "long":
            fields |= {"path": _DOWNLOADS, "after_bytes": dice.choice((1, 1000))}
        case "wrong-range" | "ignore-range":
            fields["path"] = _DOWNLOADS
        case "late" | "delay":
            fields["seconds"] = dice.uniform(0.2, 2)
        case "blank":
            fields["method"] = dice.choice(("PUT", "DELETE"))
        case "empty":
            fields["method"] = "GET"
        case "json" | "html":
            fields["method"] = dice.choice(("GET", "PUT", "DELETE"))
        case "status":
            status = dice.choice((500, 502, 503, 503, 429, 401, 409, 403, 404, 204))
            fields["status"] = status
            if status == 429:
                form = dice.choice(("reset-seconds", "reset-unix", "retry-seconds", "retry-date"))
                fields |= {"wait_s": 1, "wait_form": form, "times": 1}
            elif status == 401:
                fields["times"] = 1
            elif status in (403, 404, 204):
                fields["path"] = _DOWNLOADS
    return kind, fields


# --- the whole -------------------------------------------------------------------------------------------


@dataclass
class Report:
    """How a storm went. `failures` is empty where all was explained."""

    seconds: float
    diaries: list[Diary]
    faults: Counter[str]
    changes: Counter[str]
    requests: int
    memory_kib: list[int]
    """Resident, of the daemon: before, every five seconds, and in the end."""
    descriptors: list[int]
    failures: list[str]

    def lines(self) -> Iterator[str]:
        for diary in self.diaries:
            errors = (
                ", ".join(f"{name} {count}" for name, count in sorted(diary.errors.items())) or "no errors"
            )
            yield f"{diary.kind:7} {diary.done:6} times: {errors}"
        yield f"faults: {sum(self.faults.values())} of {len(self.faults)} kinds"
        yield "changes at the service: " + ", ".join(f"{k} {n}" for k, n in sorted(self.changes.items()))
        yield f"requests: {self.requests}"
        memory = self.memory_kib
        yield f"memory: {memory[0]} KiB before, at most {max(memory)}, {memory[-1]} in the end"
        held = self.descriptors
        yield f"descriptors: {held[0]} before, at most {max(held)}, {held[-1]} in the end"
        for failure in self.failures:
            yield f"FAILURE: {failure}"


def storm(seconds: float, seed: int = 1) -> Report:
    """Runs one, from a fresh sandbox to the last comparison; the mount is taken away again."""
    dice = random.Random(seed)
    sandbox = sandbox_process(media=MEDIA, users=4, first=FIRST, last=LAST, rate_limit=1_000_000)
    with sandbox as box, prepared(box.url, lines=LINES) as mount:
        for number in range(3 * LARGE_DAYS):
            streamed = number % len(Part) < 2
            size = LARGE[number % len(LARGE)] if streamed else 20_000
            created = f"2025-05-{1 + number % LARGE_DAYS:02}T10:00:{number:02}+00:00"
            box.add(size=size, seed=number, created=created)
        truth = mount.folder / "truth"
        truth.mkdir()
        weather = Weather(box, truth, dice)
        for media in box.world(digest=True):
            weather.believe(media["id"], media["sha256"])
        done = mount.mount()
        assert done.returncode == 0, done.stderr + mount.log
        try:
            return _storm(seconds, mount, weather)
        finally:
            mount.umount()


def _storm(seconds: float, mount: Mount, weather: Weather) -> Report:
    box, failures = weather.box, list[str]()
    # All is listed, and memory is full, before anything is measured.
    for path in mount.files("by-date"):
        (mount.root / path).read_bytes()
    memory, descriptors = [memory_kib(mount)], [_descriptors(mount)]
    box.reset()
    until = time.time() + seconds
    processes = _started(mount, weather, until)
    with weather.raging():
        while time.time() < until:
            time.sleep(min(5.0, max(0.0, until - time.time())))
            memory.append(memory_kib(mount))
            descriptors.append(_descriptors(mount))
    requests = len(box.requests())
    failures += [f"the weather broke: {error!r}" for error in weather.broken]
    diaries = [_ended(process, until, failures) for process in processes]
    failures += [f"{diary.kind}: {failure}" for diary in diaries for failure in diary.failures]
    _compare(mount, box, diaries, failures)
    memory.append(memory_kib(mount))
    descriptors.append(_descriptors(mount))
    if memory[-1] > memory[0] + MORE_MEMORY_KIB:
        failures.append("the daemon's memory has grown")
    if descriptors[-1] > descriptors[0] + MORE_DESCRIPTORS:
        failures.append("the daemon's descriptors have become more")
    reading = mount.status()["reading"]
    if reading["open"] or reading["streams"] or reading["spools"]:
        failures.append(f"the daemon still reads: {reading}")
    log = mount.log
    failures += [line for line in log.splitlines() if "Traceback" in line or " ERROR " in line]
    return Report(seconds, diaries, weather.faults, weather.changes, requests, memory, descriptors, failures)


def _started(mount: Mount, weather: Weather, until: float) -> list[subprocess.Popen[str]]:
    seen: Counter[str] = Counter()
    processes = []
    for kind in WORKERS:
        arguments = [kind, str(seen[kind]), str(mount.root), str(weather.truth), str(until)]
        seen[kind] += 1
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", __spec__.name, "worker", *arguments, str(weather.dice.random())],
                env=mount.env,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def _ended(process: subprocess.Popen[str], until: float, failures: list[str]) -> Diary:
    try:
        said, _ = process.communicate(timeout=max(1.0, until + END_WITHIN_S - time.time()))
    except subprocess.TimeoutExpired:
        failures.append(f"process {process.args!r} is stuck")
        process.kill()
        return Diary("read")
    if process.returncode != 0:
        failures.append(f"process {process.args!r} ended with {process.returncode}")
    told = json.loads(said)
    titles = {int(media): titles for media, titles in told.pop("titles").items()}
    errors: Counter[str] = Counter(told.pop("errors"))
    return Diary(**told, titles=titles, errors=errors)


def _compare(mount: Mount, box: Box, diaries: Sequence[Diary], failures: list[str]) -> None:
    """The mount shows what the service has, and the service has what its users were told."""
    world = {media["id"]: media for media in box.world()}
    for diary in diaries:
        failures += [f"media {m}: `rm` succeeded, and it is there" for m in diary.deleted if m in world]
        for media, titles in diary.titles.items():
            if media not in world:
                failures.append(f"media {media}: gone, and nobody deleted it")
            elif world[media]["title"] not in titles:
                failures.append(f"media {media}: {world[media]['title']!r}, told was {titles}")
    wanted = {m["id"]: (m["size"], m["title"]) for m in world.values() if m["completed"]}
    newest = sorted(wanted, key=lambda m: (world[m]["created"], m))[-100:]
    until, differs = time.monotonic() + AGREE_WITHIN_S, ["never looked"]
    while differs and time.monotonic() < until:
        differs = []
        for folder, ids in (("by-date", set(wanted)), ("by-user", set(wanted)), ("recent", set(newest))):
            shown = _shown(mount, folder)
            if shown is None or set(shown) != ids:
                found = None if shown is None else set(shown) ^ ids
                differs.append(f"{folder} differs from the service in {found}")
            elif any(shown[media] != wanted[media] for media in ids):
                differs.append(f"{folder} shows other sizes or titles than the service")
    failures += differs


def _shown(mount: Mount, folder: str) -> dict[int, tuple[int, str]] | None:
    """Media -> size and title, after a refresh; None: not even listed."""
    mount.mediafs("refresh", str(mount.root))
    mount.mediafs("refresh", str(mount.root / "recent"))
    try:
        return {
            int(_attribute(mount.root / path, "id")): (stat.st_size, _attribute(mount.root / path, "title"))
            for path, stat in mount.files(folder).items()
        }
    except OSError:
        return None


def _attribute(path: Path, name: str) -> str:
    try:
        return os.getxattr(path, f"user.mediafs.{name}").decode()
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return ""


def _descriptors(mount: Mount) -> int:
    return len(os.listdir(f"/proc/{mount.pids[-1]}/fd"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "a storm of", storm, _work))
