"""Right bytes, or the errno of the failure: whatever the service does to a download, on real mounts.

What went wrong concerns the one file: after each fault a healthy file is read, and then the same one.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from mediafs.mount import FuseUnavailable, check_fuse
from mediafs.sandbox.media import NoiseBody, read_all
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, requests, wait_until

MIB: Final = 1 << 20
HEALTHY: Final = 100_000
SMALL: Final = 300_000
"""Fetched whole in one request."""
LARGE: Final = 5 * MIB + 123
"""Streamed, and read in ranges."""
BIG: Final = 20 * MIB
RIGHT: Final = "right bytes"


@dataclass(frozen=True)
class Fault:
    """What happens to each download of one file, and what its readers may see: nothing else will do."""

    kind: str
    outcomes: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    times: int | None = None


FAULTS: Final[dict[str, Fault]] = {
    "ignored range": Fault("ignore-range", (RIGHT,)),
    "cut": Fault("cut", (RIGHT,), {"after_bytes": 200_000}, times=1),
    "cut at the start": Fault("cut", (RIGHT,), {"after_bytes": 0}, times=1),
    "cut each time": Fault("cut", (RIGHT, "EIO"), {"after_bytes": 250_000}),
    "short": Fault("short", ("EIO",)),
    "short by much": Fault("short", ("EIO",), {"after_bytes": 200_000}),
    "long": Fault("long", ("EIO",)),
    "wrong Content-Range": Fault("wrong-range", ("EIO",)),
    "web page": Fault("html", ("EIO",)),
    "JSON": Fault("json", ("EIO",)),
    "JSON that breaks off": Fault("bad-json", ("EIO",)),
    "nothing": Fault("empty", ("EIO",)),
    "not ready": Fault("status", ("EIO",), {"status": 204}),
    "not ready at first": Fault("status", (RIGHT, "EIO"), {"status": 204}, times=1),
    "not modified": Fault("status", ("EIO",), {"status": 304}),
    "range not satisfiable": Fault("status", ("EIO",), {"status": 416}),
    "forbidden": Fault("status", ("EACCES",), {"status": 403}),
    "not found": Fault("status", ("ENOENT",), {"status": 404}),
    "down for a moment": Fault("status", (RIGHT,), {"status": 503}, times=1),
    "reset": Fault("reset", (RIGHT,), times=1),
    "redirects in a loop": Fault("redirect-loop", ("EIO",)),
    "stall": Fault("stall", (RIGHT,), {"after_bytes": 100_000, "seconds": 0.7}, times=1),
}
APART: Final = 4
"""Files that nobody reads between two that are read."""
SIZES: Final = {"small": SMALL, "large": LARGE}
NONSENSE: Final = ("html", "json", "short", "long", "wrong-range")
WITHOUT_RANGES: Final = ("cut", "short", "long", "web page", "JSON", "nothing", "not ready", "stall")
PAIRS: Final = (("small", "cat"), ("large", "cp"), ("large", "random"))


# --- ways of reading -----------------------------------------------------------------------------------


def errno_name(error: OSError) -> str:
    return errno.errorcode[error.errno or 0]


def cat(path: Path, truth: bytes, scratch: Path) -> set[str]:
    done = subprocess.run(["cat", path], capture_output=True, timeout=90, check=False)
    assert truth.startswith(done.stdout), "what did come is right"
    return {RIGHT if done.stdout == truth else ""} if done.returncode == 0 else {_said(done)}


def cp(path: Path, truth: bytes, scratch: Path) -> set[str]:
    copy = scratch / "copy"
    done = subprocess.run(["cp", path, copy], capture_output=True, timeout=90, check=False)
    return {RIGHT if copy.read_bytes() == truth else ""} if done.returncode == 0 else {_said(done)}


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    words = done.stderr.decode().strip().rpartition(": ")[2]
    return next(name for number, name in errno.errorcode.items() if os.strerror(number) == words)


def at_random(path: Path, truth: bytes, scratch: Path) -> set[str]:
    """A dozen reads anywhere; each by itself is right or fails."""
    dice, found = random.Random(7), set()
    with path.open("rb", buffering=0) as file:
        for _ in range(12):
            offset, length = dice.randrange(len(truth)), dice.choice([1, 4096, 70_001])
            try:
                data = os.pread(file.fileno(), length, offset)
            except OSError as error:
                found.add(errno_name(error))
                continue
            found.add(RIGHT if data == truth[offset : offset + length] else "")
    return found


WAYS: Final[dict[str, Callable[[Path, bytes, Path], set[str]]]] = {"cat": cat, "cp": cp, "random": at_random}


# --- the service, its files, and a mount that outlives what is done to them ----------------------------


@dataclass
class Scene:
    box: Box
    mount: Mount
    paths: dict[str, Path]
    truths: dict[str, NoiseBody]

    def truth(self, name: str) -> bytes:
        return read_all(self.truths[name])

    def id_of(self, name: str) -> int:
        return int(os.getxattr(self.paths[name], "user.mediafs.id"))

    def target(self, name: str) -> str:
        return f"/api/v3/medias/{self.id_of(name)}/download"

    def healthy(self) -> None:
        """A file is read that nothing was done to, and not from what the kernel holds."""
        descriptor = os.open(self.paths["healthy"], os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(descriptor, HEALTHY, 0) == self.truth("healthy")
        finally:
            os.close(descriptor)

    def spool(self) -> list[str]:
        """What the daemon has open in its cache folder beside catalogue, log and lock, nameless files too."""
        folder = self.mount.cache / self.mount.account
        assert list((folder / "spool").iterdir()) == []
        descriptors = Path(f"/proc/{self.mount.pids[-1]}/fd")
        opened = [os.readlink(each) for each in descriptors.iterdir() if each.is_symlink()]
        return [path for path in opened if path.startswith(str(folder / "spool"))]


@contextmanager
def mounted_files(
    sizes: dict[str, int],
    claims: dict[str, int] | None = None,
    *,
    lines: Sequence[str] = (),
    **options: Any,
) -> Iterator[Scene]:
    """A mount of an account with one file for each title, and a healthy one; options are the sandbox's.

    `claims` are sizes that records state against the truth.
    """
    claims = claims or {}
    with sandbox_process(media=0, **options) as box:
        truths = {}
        second = datetime.fromisoformat("2025-06-01T10:00:00+00:00")
        for number, (title, size) in enumerate({"healthy": HEALTHY, **sizes}.items()):
            claim = claims.get(title, size)
            box.add(size=size, seed=number, title=title, created=second.isoformat(), filesize=claim)
            truths[title] = NoiseBody(size=size, seed=number)
            # No two of them are neighbours: what is fetched ahead would not meet what is done to it.
            for _ in range(APART):
                second += timedelta(seconds=1)
                box.add(size=LARGE, title="between", created=second.isoformat())
            second += timedelta(seconds=1)
        with mounted(box.url, user=None, lines=lines) as mount:
            folder = mount.root / "by-date/2025/06/01"
            paths = {os.getxattr(path, "user.mediafs.title").decode(): path for path in folder.iterdir()}
            yield Scene(box, mount, paths, truths)


@contextmanager
def mounted_if_fuse(
    sizes: dict[str, int], claims: dict[str, int] | None = None, **options: Any
) -> Iterator[Scene | None]:
    try:
        check_fuse()
    except FuseUnavailable:
        yield None  # the fixture `fuse` says so
        return
    with mounted_files(sizes, claims, **options) as scene:
        yield scene


CASES: Final = [(name, *pair) for name in FAULTS for pair in PAIRS]
CLAIMS: Final = (LARGE - 1, LARGE + 1, LARGE // 2, 1, 2 * LARGE)
RESIZED: Final = (0, -4096, 4096)
STALLED: Final = ("stalled 0", "stalled 1", "stalled 2")


@pytest.fixture(scope="module")
def mounted_scene() -> Iterator[Scene | None]:
    sizes = {f"{name} {size} {way}": SIZES[size] for name, size, way in CASES}
    sizes |= {f"claims {claim}": LARGE for claim in CLAIMS} | dict.fromkeys(STALLED, LARGE)
    sizes |= {f"resized {by}": BIG for by in RESIZED} | {"goes": BIG, "claims 0": SMALL, "reopened": BIG}
    sizes |= {"ranges end": BIG, "replaced BIG": BIG, "replaced SMALL": SMALL, "mapped": BIG}
    with mounted_if_fuse(sizes, {f"claims {claim}": claim for claim in (0, *CLAIMS)}) as scene:
        yield scene


@pytest.fixture
def scene(mounted_scene: Scene | None) -> Scene:
    """Of a service as it should be, but for what a test does to it."""
    assert mounted_scene is not None
    return mounted_scene


@pytest.fixture(scope="module")
def stalling(mounted_scene: Scene | None) -> Iterator[Mapping[str, Future[bytes]]]:
    """Reads of files whose downloads have stalled, under way while the other tests run."""
    if mounted_scene is None:
        yield {}
        return
    with ThreadPoolExecutor(len(STALLED)) as pool:
        for name in STALLED:
            target = mounted_scene.target(name)
            mounted_scene.box.fault("stall", path=target, after_bytes=1_000_000, seconds=300)
        yield {name: pool.submit(mounted_scene.paths[name].read_bytes) for name in STALLED}


@pytest.fixture
def stalled(stalling: Mapping[str, Future[bytes]]) -> Mapping[str, Future[bytes]]:
    return stalling


@pytest.fixture(scope="module")
def mounted_elsewhere() -> Iterator[Scene | None]:
    names = [f"{size} {way}" for size in SIZES for way in WAYS]
    sizes = {name: SIZES[name.split()[0]] for name in names}
    sizes |= {"expires": BIG, "refused 403": LARGE, "refused 410": LARGE}
    sizes |= dict.fromkeys(NONSENSE, LARGE)
    with mounted_if_fuse(sizes, redirect=True, redirect_ttl_s=0.3) as scene:
        yield scene


@pytest.fixture
def elsewhere(mounted_elsewhere: Scene | None) -> Scene:
    """Of a service whose downloads come from a second origin, by links that soon expire."""
    assert mounted_elsewhere is not None
    return mounted_elsewhere


@pytest.fixture(scope="module")
def mounted_without_ranges() -> Iterator[Scene | None]:
    sizes = {f"{name} {way}": LARGE for name in WITHOUT_RANGES for way in ("cat", "random")}
    sizes |= {f"resized {by}": BIG for by in RESIZED} | {"random": BIG}
    # What is LARGE fits into half of it, and is held there; what is BIG goes to a spool on disk.
    lines = ["[cache]", 'memory = "16MiB"', 'size = "0"']
    with mounted_if_fuse(sizes, lines=lines, ranges=False) as scene:
        yield scene


@pytest.fixture
def without_ranges(mounted_without_ranges: Scene | None) -> Scene:
    assert mounted_without_ranges is not None
    return mounted_without_ranges


def test_nobody_waits_for_a_download_that_has_stalled(
    scene: Scene, stalled: Mapping[str, Future[bytes]]
) -> None:
    wait_until(lambda: len(requests(scene.box, "download")) == len(STALLED))
    began = time.monotonic()
    for _ in range(5):
        scene.healthy()
        assert scene.paths["healthy"].stat().st_size == HEALTHY
        assert os.listdir(scene.mount.root / "recent")
    assert time.monotonic() - began < 5
    assert not any(read.done() for read in stalled.values())


@pytest.mark.parametrize(("name", "size", "way"), CASES)
def test_a_fault_gives_right_bytes_or_its_errno(
    scene: Scene, tmp_path: Path, name: str, size: str, way: str
) -> None:
    fault, file = FAULTS[name], f"{name} {size} {way}"
    path, truth = scene.paths[file], scene.truth(file)
    scene.box.fault(fault.kind, path=scene.target(file), times=fault.times, **fault.fields)
    assert WAYS[way](path, truth, tmp_path) <= set(fault.outcomes)
    scene.healthy()
    scene.box.clear_faults()
    assert path.read_bytes() == truth, "it is over, and nothing wrong was kept"


# --- records that are wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_record_with_another_size_than_the_body_is_an_error(
    scene: Scene, tmp_path: Path, claim: int
) -> None:
    path = scene.paths[f"claims {claim}"]
    assert path.stat().st_size == claim
    for way in WAYS.values():
        assert way(path, b"?" * claim, tmp_path) == {"EIO"}
    scene.healthy()


def test_a_record_that_says_nothing_is_there_does_not_hide_what_is(scene: Scene, tmp_path: Path) -> None:
    assert cat(scene.paths["claims 0"], scene.truth("claims 0"), tmp_path) <= {RIGHT, "EIO"}


# --- content that changes ------------------------------------------------------------------------------


def reads(descriptor: int, old: bytes) -> set[str]:
    """What reads of an open file come to after its content has changed: what was held, or is on its way from
    before the change, may still be shown; new content never.
    """
    seen = set()
    for offset in (15 * MIB, 9 * MIB, 100, 19 * MIB):
        try:
            assert os.pread(descriptor, 4096, offset) == old[offset : offset + 4096]
            seen.add(RIGHT)
        except OSError as error:
            seen.add(errno_name(error))
    return seen


def reopened(path: Path, new: bytes) -> None:
    """A file shows its new content; who is the first to notice the change may be refused once."""
    try:
        content = path.read_bytes()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        content = path.read_bytes()
    assert content == new


@pytest.mark.parametrize("by", RESIZED)
def test_content_that_changes_between_two_ranges_is_estale_and_never_mixed(scene: Scene, by: int) -> None:
    name = f"resized {by}"
    path, old = scene.paths[name], scene.truth(name)
    with path.open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 4096, 0) == old[:4096]
        scene.box.update(scene.id_of(name), size=BIG + by, seed=4711)
        seen = reads(file.fileno(), old)
        assert "ESTALE" in seen
        assert seen <= {RIGHT, "ESTALE"}
    scene.healthy()
    assert scene.mount.mediafs("refresh", str(path.parent)).returncode == 0
    reopened(path, read_all(NoiseBody(size=BIG + by, seed=4711)))


@pytest.mark.parametrize("by", RESIZED)
def test_content_that_changes_while_it_is_spooled_is_never_mixed(without_ranges: Scene, by: int) -> None:
    scene, name = without_ranges, f"resized {by}"
    path, old = scene.paths[name], scene.truth(name)
    # The body comes to a halt, and is cut, after the change: what is asked for anew is another content.
    scene.box.fault("cut", path=scene.target(name), after_bytes=4 * MIB)
    scene.box.fault("change", path=scene.target(name), after_bytes=BIG + by)
    with path.open("rb", buffering=0) as file:
        assert reads(file.fileno(), old) <= {RIGHT, "ESTALE", "EIO"}
    scene.box.clear_faults()
    scene.healthy()
    assert scene.mount.mediafs("refresh", str(path.parent)).returncode == 0
    new = scene.box.call("GET", scene.target(name)).body
    reopened(path, new)


def test_content_that_changes_between_two_openings_is_not_mixed_with_the_kernels_pages(scene: Scene) -> None:
    path, old = scene.paths["reopened"], scene.truth("reopened")
    with path.open("rb") as file:
        assert file.read(3 * MIB) == old[: 3 * MIB]
    # Of the same size and time: the record does not show it.
    scene.box.update(scene.id_of("reopened"), size=BIG, seed=4711)
    new = read_all(NoiseBody(size=BIG, seed=4711))
    with path.open("rb", buffering=0) as file, pytest.raises(OSError, match="Stale file handle"):
        os.pread(file.fileno(), 4096, 15 * MIB)
    for _ in range(2):
        assert path.read_bytes() == new


@pytest.mark.parametrize(("name", "size"), [("replaced BIG", BIG), ("replaced SMALL", SMALL)])
def test_who_opens_a_replaced_content_shows_nothing_of_it_to_who_has_the_old_one_open(
    scene: Scene, name: str, size: int
) -> None:
    path, old = scene.paths[name], scene.truth(name)

    def shown(file: io.FileIO) -> set[str]:
        """What reads come to that show the old content or fail."""
        seen = set()
        for offset in (0, 4096, size // 2, size - 5000):
            try:
                found = os.pread(file.fileno(), 5000, offset)
            except OSError as error:
                seen.add(errno_name(error))
            else:
                assert found == old[offset : offset + 5000], offset
                seen.add(RIGHT)
        return seen

    with path.open("rb", buffering=0) as first:
        assert os.pread(first.fileno(), 4096, 0) == old[:4096]
        # Of the same size and time: only the ETag tells.
        scene.box.update(scene.id_of(name), size=size, seed=4712)
        with path.open("rb", buffering=0) as second:
            if size == SMALL:  # all of the old one is held, and nobody notices
                assert shown(second) == shown(first) == {RIGHT}
            else:
                assert "ESTALE" in shown(second)
                for _ in range(2):
                    assert "ESTALE" in shown(first)
                    assert path.read_bytes() == read_all(NoiseBody(size=size, seed=4712))
                assert "ESTALE" in shown(first)
    scene.healthy()


def test_beside_an_older_content_that_is_open_the_newer_one_can_be_mapped_privately(scene: Scene) -> None:
    path, old = scene.paths["mapped"], scene.truth("mapped")
    with path.open("rb", buffering=0) as first:
        assert os.pread(first.fileno(), 4096, 0) == old[:4096]
        scene.box.update(scene.id_of("mapped"), size=BIG, seed=4713)
        new = read_all(NoiseBody(size=BIG, seed=4713))
        with pytest.raises(OSError, match="Stale file handle"):
            os.pread(first.fileno(), 4096, 15 * MIB)
        with path.open("rb", buffering=0) as newer:
            # Its reads go past the kernel's pages, which are the older one's too.
            with pytest.raises(OSError, match="No such device"):
                mmap.mmap(newer.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
            with mmap.mmap(newer.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapped:
                for offset in (0, 4095, 9 * MIB, BIG - 5000):
                    assert mapped[offset : offset + 5000] == new[offset : offset + 5000]
    with (
        path.open("rb", buffering=0) as alone,
        mmap.mmap(alone.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as mapped,
    ):
        assert mapped[:] == new
    scene.healthy()


def test_a_media_that_goes_while_it_is_read_is_estale(scene: Scene) -> None:
    with scene.paths["goes"].open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 4096, 0) == scene.truth("goes")[:4096]
        scene.box.remove(scene.id_of("goes"))
        with pytest.raises(OSError, match="Stale file handle"):
            os.pread(file.fileno(), 4096, 15 * MIB)
    scene.healthy()


# --- links and other hosts -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_downloads_from_the_second_origin_are_right(
    elsewhere: Scene, tmp_path: Path, size: str, way: str
) -> None:
    name = f"{size} {way}"
    elsewhere.box.reset()
    assert WAYS[way](elsewhere.paths[name], elsewhere.truth(name), tmp_path) == {RIGHT}
    assert elsewhere.box.requests(origin="storage")


def test_a_link_that_expired_is_asked_for_anew_in_the_middle_of_a_read(elsewhere: Scene) -> None:
    truth = elsewhere.truth("expires")
    with elsewhere.paths["expires"].open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 4096, 0) == truth[:4096]
        for offset in (15 * MIB, 9 * MIB):
            time.sleep(0.4)
            assert os.pread(file.fileno(), 4096, offset) == truth[offset : offset + 4096]


@pytest.mark.parametrize("status", [403, 410])
def test_a_storage_that_refuses_a_link_once_is_asked_by_a_new_one(elsewhere: Scene, status: int) -> None:
    name = f"refused {status}"
    elsewhere.box.fault("status", path=f"/stored/{elsewhere.id_of(name)}/*", status=status)
    elsewhere.box.reset()
    assert elsewhere.paths[name].read_bytes() == elsewhere.truth(name)
    assert len(elsewhere.box.requests(origin="api", path="/download")) == 2


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_storage_that_talks_nonsense_is_an_error(elsewhere: Scene, kind: str) -> None:
    elsewhere.box.fault(kind, path=f"/stored/{elsewhere.id_of(kind)}/*", times=None)
    with pytest.raises(OSError, match="Input/output error"):
        elsewhere.paths[kind].read_bytes()
    elsewhere.healthy()
    elsewhere.box.clear_faults()
    assert elsewhere.paths[kind].read_bytes() == elsewhere.truth(kind)


def test_a_service_that_honours_ranges_no_more_gives_right_bytes_also_to_who_has_the_file_open(
    scene: Scene,
) -> None:
    truth, dice, target = scene.truth("ranges end"), random.Random(5), scene.target("ranges end")
    with scene.paths["ranges end"].open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 4096, 0) == truth[:4096]
        # Its answer to If-Range has the ETag that was sent: nothing has changed.
        scene.box.fault("ignore-range", path=target, times=None)
        before = len(requests(scene.box, target))
        for _ in range(10):
            offset = dice.randrange(5 * MIB, BIG - 5000)
            assert os.pread(file.fileno(), 5000, offset) == truth[offset : offset + 5000]
        assert len(requests(scene.box, target)) == before + 1
    scene.box.clear_faults()
    scene.healthy()


# --- a service without ranges --------------------------------------------------------------------------


def test_without_ranges_random_reads_of_a_large_media_are_one_get_and_the_room_is_given_back(
    without_ranges: Scene,
) -> None:
    scene, dice = without_ranges, random.Random(3)
    truth = scene.truth("random")
    for _ in range(2):
        scene.box.reset()
        descriptor = os.open(scene.paths["random"], os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            for _ in range(30):
                offset = dice.randrange(BIG - 5000)
                assert os.pread(descriptor, 5000, offset) == truth[offset : offset + 5000]
            assert len(requests(scene.box, "download")) == 1
            assert len(scene.spool()) == 1
            assert scene.mount.status()["reading"]["spools"] == 1
        finally:
            os.close(descriptor)
        wait_until(lambda: scene.spool() == [])
        assert scene.mount.status()["reading"]["spools"] == 0


def test_without_ranges_a_fault_gives_right_bytes_or_its_errno(without_ranges: Scene, tmp_path: Path) -> None:
    scene = without_ranges
    for name in WITHOUT_RANGES:
        for way in ("cat", "random"):
            fault, file = FAULTS[name], f"{name} {way}"
            scene.box.fault(fault.kind, path=scene.target(file), times=fault.times, **fault.fields)
            assert WAYS[way](scene.paths[file], scene.truth(file), tmp_path) <= set(fault.outcomes), file
            scene.healthy()
            scene.box.clear_faults()
            assert scene.paths[file].read_bytes() == scene.truth(file), file
    wait_until(lambda: scene.spool() == [])


@pytest.mark.parametrize("options", [{"etags": False}, {"ranges": False}])
def test_a_service_that_states_no_length_gives_the_same_bytes(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    names = [f"{size} {way}" for size in SIZES for way in WAYS]
    with mounted_files({name: SIZES[name.split()[0]] for name in names}, chunked=True, **options) as scene:
        for name in names:
            assert WAYS[name.split()[1]](scene.paths[name], scene.truth(name), tmp_path) == {RIGHT}


# --- and at the end ------------------------------------------------------------------------------------


def test_a_stalled_download_is_cut_and_taken_up(scene: Scene, stalled: Mapping[str, Future[bytes]]) -> None:
    for name, read in stalled.items():
        assert read.result(60) == scene.truth(name)
        assert len([r for r in scene.box.requests(path=scene.target(name)) if r["range"] != "bytes=0-"]) == 1
