"""The operations of a user's process that the faults are tried on, each with files or folders of its own.

`success` is right bytes, a complete listing, a change that stands: anything less fails the test.
"""

from __future__ import annotations

import errno
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

from mediafs.sandbox.media import NoiseBody, read_all

from .faults import Fault
from .stage import LISTED_FOR, SHOWN, Stage

MIB: Final = 1 << 20
SUCCESS: Final = "success"
PATIENCE_S: Final = 60.0
"""Of everybody's time: ten minutes of the daemon's, far beyond any deadline."""

CHANGED: Final = "content changed between two ranges"
RECORD_CHANGED: Final = "record changed under an open handle"
LISTS: Final = "/api/v3/medias"


@dataclass
class Target:
    """What one cell works on."""

    path: Path
    media: int = 0
    number: int = 0
    size: int = 0
    ids: frozenset[int] = frozenset()
    opened: int = -1
    """A descriptor that is open before anything goes wrong."""
    title: str = ""
    """Given at the service."""
    deceived: bool = False
    """The service says that it is gone, and has it."""
    tried: int = 0

    @property
    def wanted(self) -> str:
        """The title that the last edit asks for."""
        return f"new {self.number} {self.tried}"

    @property
    def truth(self) -> bytes:
        return read_all(NoiseBody(size=self.size, seed=self.number))

    def close(self) -> None:
        if self.opened >= 0:
            os.close(self.opened)
            self.opened = -1


def command(*words: str | Path) -> str:
    """How a command ended: `success`, or the name of the errno that it told."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
        timeout=PATIENCE_S,
        check=False,
    )
    return SUCCESS if done.returncode == 0 else said(done.stderr)


def said(stderr: bytes) -> str:
    """The errno that a command told last."""
    words = stderr.decode(errors="replace").strip().splitlines()[-1].rpartition(": ")[2]
    names = [name for number, name in errno.errorcode.items() if os.strerror(number) == words]
    assert names, stderr
    return names[0]


def errno_name(error: OSError) -> str:
    return errno.errorcode[error.errno or 0]


class Operation(ABC):
    """One kind of thing that a process does, and the requests that it causes."""

    name: ClassVar[str]
    words: ClassVar[str]
    """What is run, for the document."""
    deadline_s: ClassVar[float]
    method: ClassVar[str] = "GET"
    lines: ClassVar[Sequence[str]] = (LISTED_FOR,)
    cut_after: ClassVar[int] = 100
    generated: ClassVar[int] = 0
    """Media that the sandbox makes up."""

    @abstractmethod
    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        """A target for each fault."""

    @abstractmethod
    def request(self, target: Target) -> dict[str, Any]:
        """Which requests the faults are for, as a fault of the sandbox says it."""

    @abstractmethod
    def perform(self, stage: Stage, target: Target) -> str:
        """Does it, and says how that ended."""

    @abstractmethod
    def agrees(self, stage: Stage, target: Target, saw: str) -> bool:
        """Whether what the mount shows is what the service has; asked until it is so."""

    def before(self, stage: Stage, target: Target, fault: Fault) -> None:
        """What a process did before anything went wrong."""
        assert target.opened < 0

    def arm(self, stage: Stage, target: Target, fault: Fault) -> None:
        request = self.request(target)
        edge = {"after_bytes": self.cut_after} if fault.cuts else {}
        if fault.outlasts:
            edge = {"wait_s": int(self.deadline_s) + 10}
        for each in fault.script:
            stage.box.fault(**{**request, **each, **edge})
        if fault.options:
            stage.box.set(**fault.options)
        if fault.front:
            getattr(stage.front, fault.front)()
        if fault.name == "expired signed link, once":
            stage.box.fault("status", path=f"/stored/{target.media}/*", status=403)

    def sent(self, stage: Stage, target: Target) -> int:
        """Requests of the operation that the service has seen."""
        request = self.request(target)
        return sum(
            each["method"] == request["method"] and each["path"] == request["path"]
            for each in stage.box.requests(origin="api")
        )

    def again(self, stage: Stage, target: Target) -> str:
        """Once more, when nothing is wrong any longer."""
        return self.perform(stage, target)


def files(stage: Stage, names: Sequence[str], size: int, **fields: Any) -> dict[str, Target]:
    """A file for each name, in the folder that is shown; and a few that nothing is done to."""
    made = {name: stage.add(number, size=size, **fields) for number, name in enumerate(names)}
    for number in range(len(names), len(names) + 3):
        stage.add(number, size=1000)
    stage.show()
    paths = stage.paths()
    return {
        name: Target(paths[media], media, number, size) for number, (name, media) in enumerate(made.items())
    }


# --- listings ------------------------------------------------------------------------------------------


class List(Operation):
    name = "list"
    words = "`ls` of a day that was never listed"
    deadline_s = 20
    generated = 1000

    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        days: dict[date, set[int]] = {}
        for media in stage.box.world():
            if media["completed"]:
                days.setdefault(date.fromisoformat(str(media["created"])[:10]), set()).add(int(media["id"]))
        stage.add(1, size=1000)
        stage.show()
        # From the newest to the oldest, and no two neighbours: a page brings the days that follow, and a
        # neighbour of one that is known would be asked for together with days before it.
        last = date.fromisoformat(SHOWN.removeprefix("by-date/").replace("/", "-"))
        found: list[date] = []
        for day in sorted(days, reverse=True):
            if day < (found[-1] if found else last) - timedelta(days=2):
                found.append(day)
        targets = {}
        for name, day in zip(names, found, strict=False):
            folder = f"by-date/{day:%Y/%m/%d}"
            # A page that takes longer than any deadline.
            more = [stage.add(n, folder, size=1000) for n in range(10)] if name.startswith("trickle") else []
            targets[name] = Target(stage.root / folder, ids=frozenset({*days[day], *more}))
        return targets

    def request(self, target: Target) -> dict[str, Any]:
        return {"method": "GET", "path": LISTS, "exact": True}

    def perform(self, stage: Stage, target: Target) -> str:
        saw = command("ls", target.path)
        if saw == SUCCESS:
            assert self._ids(target) == target.ids, "a listing is complete, or it fails"
        return saw

    def _ids(self, target: Target) -> frozenset[int]:
        return frozenset(int(os.getxattr(path, "user.mediafs.id")) for path in target.path.iterdir())

    def agrees(self, stage: Stage, target: Target, saw: str) -> bool:
        return True  # `again` is the proof


class LookUp(Operation):
    name = "look up"
    words = "`ls -d` of a conversation that is not known"
    deadline_s = 15
    # What is answered with 404 is absent for so long.
    lines = ('fresh_for = "3s"',)

    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        stage.add(0, size=1000)
        found = {}
        for number, name in enumerate(names, 1):
            media = stage.add(number, "by-date/2025/03/01", size=1000, conversation=f"c{number}")
            found[name] = Target(
                stage.root / f"by-conversation/c{number}", media, number, ids=frozenset({media})
            )
        stage.add(1000, "by-date/2025/03/01", size=1000, conversation="proof")
        # That the service heeds the filter is asked once a day, if it has any media.
        assert stage.paths()
        assert len(os.listdir(stage.root / "by-conversation/proof")) == 1
        stage.show("by-date")
        return found

    def request(self, target: Target) -> dict[str, Any]:
        return {"method": "GET", "path": LISTS, "exact": True}

    def perform(self, stage: Stage, target: Target) -> str:
        return command("ls", "-d", target.path)

    def agrees(self, stage: Stage, target: Target, saw: str) -> bool:
        return True

    def again(self, stage: Stage, target: Target) -> str:
        try:
            found = {int(os.getxattr(path, "user.mediafs.id")) for path in target.path.iterdir()}
        except OSError as error:
            return errno_name(error)
        assert found == target.ids, "a listing is complete, or it fails"
        return SUCCESS


# --- bytes ---------------------------------------------------------------------------------------------


class Bytes(Operation):
    """Of downloads."""

    size: ClassVar[int] = 5 * MIB + 123
    cut_after = 1_000_000

    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        return files(stage, names, self.size)

    def request(self, target: Target) -> dict[str, Any]:
        return {"method": "GET", "path": f"{LISTS}/{target.media}/download", "exact": True}

    def cat(self, target: Target) -> str:
        done = subprocess.run(
            ["cat", target.path],
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=PATIENCE_S,
            check=False,
        )
        assert target.truth.startswith(done.stdout), "what did come is right"
        if done.returncode != 0:
            return said(done.stderr)
        assert len(done.stdout) == target.size, "a short body is never passed off as the end"
        return SUCCESS

    def changed(self, stage: Stage, target: Target, size: int) -> None:
        """The content is another one, and from now on that is the truth."""
        target.number, target.size = target.number + 10_000, size
        stage.box.update(target.media, size=target.size, seed=target.number)

    def refreshed(self, stage: Stage, target: Target) -> None:
        done = stage.mount.mediafs("refresh", str(target.path.parent))
        assert done.returncode == 0, done.stderr

    def agrees(self, stage: Stage, target: Target, saw: str) -> bool:
        target.close()
        return True

    def again(self, stage: Stage, target: Target) -> str:
        return self.cat(target)


class Open(Bytes):
    name = "open"
    words = (
        "`open` of a file whose size the record does not tell; any other is opened without a request,"
        " whatever the service does"
    )
    deadline_s = 15
    size = 300_000
    cut_after = 0

    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        made = [stage.add(number, size=self.size) for number in range(len(names))]
        for media in made:
            stage.box.update(media, filesize=None)
        stage.add(len(names), size=1000)
        stage.show()
        paths = stage.paths()
        return {
            name: Target(paths[media], media, number, self.size)
            for number, (name, media) in enumerate(zip(names, made, strict=True))
        }

    def perform(self, stage: Stage, target: Target) -> str:
        def opening() -> str:
            try:
                descriptor = os.open(target.path, os.O_RDONLY)
            except OSError as error:
                return errno_name(error)
            try:
                assert os.fstat(descriptor).st_size == target.size
            finally:
                os.close(descriptor)
            return SUCCESS

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(opening).result(PATIENCE_S)


class Read(Bytes):
    name = "read"
    words = "`cat` of a file of 5 MiB"
    deadline_s = 65

    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        found = super().prepare(stage, names)
        slow = "trickle, 10 KB/s"
        if slow in found:  # else it would take its time
            media = stage.add(900, size=200_000)
            self.refreshed(stage, found[slow])
            stage.show()
            found[slow] = Target(stage.paths()[media], media, 900, 200_000)
        return found

    def before(self, stage: Stage, target: Target, fault: Fault) -> None:
        if fault.name == RECORD_CHANGED:
            target.opened = os.open(target.path, os.O_RDONLY)
            assert os.pread(target.opened, 4096, 0) == target.truth[:4096]

    def arm(self, stage: Stage, target: Target, fault: Fault) -> None:
        super().arm(stage, target, fault)
        if fault.name == CHANGED:
            # The download is cut, and where it would be taken up there is another content.
            stage.box.fault("cut", after_bytes=self.cut_after, **self.request(target))
            stage.box.fault("change", **self.request(target))
        elif fault.name == RECORD_CHANGED:
            self.changed(stage, target, target.size + 4096)
            self.refreshed(stage, target)

    def perform(self, stage: Stage, target: Target) -> str:
        if target.opened < 0:
            return self.cat(target)
        try:
            os.pread(target.opened, 4096, 4 * MIB)
        except OSError as error:
            return errno_name(error)
        return "bytes of a content that is not there any more"

    def again(self, stage: Stage, target: Target) -> str:
        new = stage.box.call("GET", f"{LISTS}/{target.media}/download").body
        try:
            shown = target.path.read_bytes()
        except OSError as error:
            return errno_name(error)
        assert shown == new, "the content that the service has now, which the fault may have chosen"
        return SUCCESS


class SecondRange(Bytes):
    name = "second range"
    words = "`pread` elsewhere in an open file of 20 MiB"
    deadline_s = 65
    size = 20 * MIB
    cut_after = 1000

    def before(self, stage: Stage, target: Target, fault: Fault) -> None:
        target.opened = os.open(target.path, os.O_RDONLY)
        assert os.pread(target.opened, 4096, 0) == _noise(target, 0, 4096)

    def arm(self, stage: Stage, target: Target, fault: Fault) -> None:
        super().arm(stage, target, fault)
        if fault.name == CHANGED:
            self.changed(stage, target, target.size)
        elif fault.name == RECORD_CHANGED:
            self.changed(stage, target, target.size + 4096)
            self.refreshed(stage, target)

    def perform(self, stage: Stage, target: Target) -> str:
        def reading() -> str:
            try:
                data = os.pread(target.opened, 4096, 15 * MIB)
            except OSError as error:
                return errno_name(error)
            assert data == _noise(target, 15 * MIB, 4096), "never a wrong byte"
            return SUCCESS

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(reading).result(PATIENCE_S)

    def again(self, stage: Stage, target: Target) -> str:
        try:
            with target.path.open("rb", buffering=0) as file:
                for offset in (0, 15 * MIB, target.size - 4096):
                    assert os.pread(file.fileno(), 4096, offset) == _noise(target, offset, 4096)
        except OSError as error:
            return errno_name(error)
        return SUCCESS


def _noise(target: Target, start: int, length: int) -> bytes:
    body = NoiseBody(size=target.size, seed=target.number)
    return b"".join(body.chunks(start, start + length))


# --- changes -------------------------------------------------------------------------------------------


class Update(Operation):
    name = "update"
    words = "`setfattr -n user.mediafs.title`"
    deadline_s = 15
    method = "PUT"

    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        found = files(stage, [*names, "first"], 100_000)
        # The first edit finds out how the service wants to have them.
        assert self.perform(stage, found.pop("first")) == SUCCESS
        return found

    def request(self, target: Target) -> dict[str, Any]:
        return {"method": self.method, "path": f"{LISTS}/{target.media}", "exact": True}

    def before(self, stage: Stage, target: Target, fault: Fault) -> None:
        if fault.name == RECORD_CHANGED:
            target.opened = os.open(target.path, os.O_RDONLY)
            target.title = "by somebody else"
            stage.box.update(target.media, title=target.title)

    def perform(self, stage: Stage, target: Target) -> str:
        target.tried += 1
        return command("setfattr", "-n", "user.mediafs.title", "-v", target.wanted, target.path)

    def agrees(self, stage: Stage, target: Target, saw: str) -> bool:
        target.close()
        record = stage.record(target.media)
        assert record is not None
        stands = record["title"] == target.wanted
        assert stands or (saw != SUCCESS and record["title"] == (target.title or f"m{target.number}")), record
        return os.getxattr(target.path, "user.mediafs.title").decode() == str(record["title"])


class Get(Update):
    """The request that reads a record back, where the answer to an edit does not show it."""

    name = "get"
    words = "`setfattr` where the service answers the edit with an empty 200, so that the record is read back"
    method = "GET"

    def arm(self, stage: Stage, target: Target, fault: Fault) -> None:
        stage.box.fault("blank", method="PUT", path=f"{LISTS}/{target.media}", exact=True, times=None)
        super().arm(stage, target, fault)


LIES: Final = frozenset({"404", "410", "nothing, as 200"})
"""With these the service says of a media that it has that it is gone; its word is believed."""


class Delete(Operation):
    name = "delete"
    words = '`rm` with `delete = "permanent"`'
    deadline_s = 70
    method = "DELETE"
    cut_after = 1

    def prepare(self, stage: Stage, names: Sequence[str]) -> dict[str, Target]:
        return files(stage, names, 100_000)

    def request(self, target: Target) -> dict[str, Any]:
        return {"method": self.method, "path": f"{LISTS}/{target.media}", "exact": True}

    def before(self, stage: Stage, target: Target, fault: Fault) -> None:
        if fault.name == RECORD_CHANGED:
            target.opened = os.open(target.path, os.O_RDONLY)
            stage.box.update(target.media, title="by somebody else")

    def perform(self, stage: Stage, target: Target) -> str:
        saw = command("rm", "-f", target.path) if target.path.exists() else SUCCESS
        if saw == SUCCESS:
            assert not target.path.exists(), "gone from the mount when `rm` returns"
            if target.opened >= 0:
                assert os.fstat(target.opened).st_nlink == 0
        return saw

    def arm(self, stage: Stage, target: Target, fault: Fault) -> None:
        super().arm(stage, target, fault)
        target.deceived = fault.name in LIES

    def agrees(self, stage: Stage, target: Target, saw: str) -> bool:
        target.close()
        there = stage.record(target.media) is not None
        if there and saw == SUCCESS:
            assert target.deceived, "`rm` succeeds when the service has confirmed"
            # A listing shows the media again.
            assert stage.mount.mediafs("refresh", str(target.path.parent)).returncode == 0
        views = (target.path, stage.root / "by-user" / "1000" / target.path.name)
        return all(path.exists() == there for path in views)


OPERATIONS: Final[Mapping[str, Operation]] = {
    each.name: each for each in (List(), LookUp(), Get(), Open(), Read(), SecondRange(), Update(), Delete())
}
