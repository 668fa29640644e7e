"""What is kept on disk, on real mounts: each docstring here is a quotation from docs/SEMANTICS.md."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from mediafs.sandbox.media import NoiseBody, read_all
from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, beside, mounted, prepared, requests, wait_until
from .quotations import unfounded

MIB: Final = 1 << 20
SIZE: Final = 5 * MIB + 123
DAY: Final = "by-date/2025/06/01"


@dataclass
class Kept:
    box: Box
    mount: Mount

    @property
    def folder(self) -> Path:
        return self.mount.cache / self.mount.account / "bytes"

    @property
    def files(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if not path.name.endswith(".part")]

    def path(self, title: str) -> Path:
        for path in (self.mount.root / DAY).iterdir():
            if os.getxattr(path, "user.mediafs.title") == title.encode():
                return path
        raise AssertionError(f"no {title}")

    def downloads(self) -> int:
        return len(requests(self.box, "download"))

    def wait_kept(self, count: int) -> None:
        """A file is on its way into the cache for a moment after it was read."""
        wait_until(lambda: self.mount.status()["cache"]["files"] == count)

    def remount(self) -> None:
        assert self.mount.umount().returncode == 0
        assert self.mount.mount().returncode == 0


def truth(number: int, size: int = SIZE) -> bytes:
    return read_all(NoiseBody(size=size, seed=number))


def fill(box: Box, count: int, size: int = SIZE) -> None:
    for number in range(count):
        created = f"2025-06-01T10:00:{number:02}+00:00"
        box.add(size=size, seed=number, title=f"file {number}", created=created)


@contextmanager
def kept(count: int = 2, lines: Sequence[str] = (), *, size: int = SIZE, **options: Any) -> Iterator[Kept]:
    """A mount of a service without ranges; `lines` are those of its configuration."""
    with sandbox_process(media=0, ranges=False, **options) as box:
        fill(box, count, size)
        with mounted(box.url, user=None, lines=lines) as mount:
            yield Kept(box, mount)


def blocks(folder: Path) -> int:
    total = 0
    for name in os.listdir(folder):
        try:
            total += os.lstat(folder / name).st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert unfounded(globals()) == []


def test_a_second_read_costs_no_request() -> None:
    """From a service that ignores ranges, also from some moment on only, the whole body is fetched once,
    into the disk cache, and random reads are answered from it.

    A second read, also after a remount and while the service cannot be reached, costs no request.

    `user.mediafs.cached` says how many bytes of a file are on disk.
    """
    with ExitStack() as service:
        box = service.enter_context(sandbox_process(media=0, ranges=False))
        fill(box, 2)
        with mounted(box.url, user=None) as mount:
            here = Kept(box, mount)
            path, other, dice = here.path("file 0"), here.path("file 1"), random.Random(3)
            assert os.getxattr(path, "user.mediafs.cached") == b"0"
            assert mount.run("cat", str(path)).returncode == 0
            assert path.read_bytes() == truth(0)
            with other.open("rb", buffering=0) as file:
                for _ in range(10):
                    offset = dice.randrange(SIZE - 5000)
                    assert os.pread(file.fileno(), 5000, offset) == truth(1)[offset : offset + 5000]
            assert here.downloads() == 2
            # The one that was closed before its end had come is not kept; this one is.
            here.wait_kept(len(here.files) or 1)
            assert os.getxattr(path, "user.mediafs.cached") == str(SIZE).encode()
            here.remount()
            box.reset()
            assert here.path("file 0").read_bytes() == truth(0)
            assert here.downloads() == 0
            assert os.getxattr(path, "user.mediafs.cached") == str(SIZE).encode()
            assert mount.status()["cache"]["hits"] == 1
            service.close()
            here.remount()
            assert path.read_bytes() == truth(0)


def test_who_may_read_them_and_what_they_tell() -> None:
    """They are files in `bytes/` of the account's cache folder, with modes 0700 and 0600, and names that
    tell nothing of the media.
    """
    with kept() as here:
        path = here.path("file 0")
        path.read_bytes()
        here.wait_kept(1)
        assert stat.S_IMODE(here.folder.stat().st_mode) == 0o700
        (file,) = here.folder.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert path.name not in file.name
        assert "file" not in file.name


def test_a_deletion_takes_the_bytes_before_rm_returns() -> None:
    """They go at once, before `rm` returns, when their media is deleted, here or as a listing finds;
    when a newer content of the media has been fetched; and with `mediafs cache --purge`.

    Who has such a file open reads on until it is closed, but after a deletion reads are ESTALE.
    """
    with kept(5, lines=['delete = "permanent"', 'fresh_for = "100ms"']) as here:
        marks = [truth(number)[70_000:70_032] for number in range(5)]
        for number in range(4):
            assert here.path(f"file {number}").read_bytes() == truth(number)
        here.wait_kept(4)
        assert all(any(mark in file.read_bytes() for file in here.files) for mark in marks[:4])

        def found(mark: bytes) -> bool:
            """Whether a piece of a body is anywhere in the cache folder."""
            done = subprocess.run(
                ["grep", "-rlaP", "".join(f"\\x{byte:02x}" for byte in mark), str(here.mount.cache)],
                env={**os.environ, "LC_ALL": "C"},
                check=False,
                capture_output=True,
            )
            assert done.returncode in (0, 1), done.stderr
            return done.returncode == 0

        assert found(marks[0])
        assert here.mount.run("rm", str(here.path("file 0"))).returncode == 0
        assert not found(marks[0])
        path = here.path("file 1")
        with path.open("rb", buffering=0) as file:
            assert os.pread(file.fileno(), 10, 0) == truth(1)[:10]
            path.unlink()
            assert not found(marks[1])
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with pytest.raises(OSError, match="Stale file handle"):
                os.pread(file.fileno(), 4096, SIZE - 4096)
        elsewhere = here.path("file 2")
        here.box.remove(int(os.getxattr(elsewhere, "user.mediafs.id")))
        assert here.mount.mediafs("refresh", str(here.mount.root / DAY)).returncode == 0
        wait_until(lambda: not elsewhere.exists() and not found(marks[2]))
        replaced = here.path("file 3")
        here.box.update(int(os.getxattr(replaced, "user.mediafs.id")), size=SIZE + 1, seed=77)
        assert here.mount.mediafs("refresh", str(here.mount.root / DAY)).returncode == 0
        assert replaced.read_bytes() == truth(77, SIZE + 1)
        wait_until(lambda: not found(marks[3]) and len(here.files) == 1)
        held = replaced.open("rb", buffering=0)
        done = here.mount.mediafs("cache", "--purge")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "clinic: removed 5.0 MiB in 1 files\n"
        assert os.listdir(here.folder) == []
        with held:
            os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(held.fileno(), 4096, MIB) == truth(77, SIZE + 1)[MIB : MIB + 4096]
        assert replaced.read_bytes() == truth(77, SIZE + 1)
        assert len((here.mount.cache / "clinic" / "deletions.jsonl").read_text().splitlines()) == 2


def test_the_cap_holds() -> None:
    """All of them together never take up more of the disk than `[cache] size`, what is being fetched
    included, and leave others `keep_free` of it; what was used longest ago makes room, and nothing that
    is open does.
    """
    cap = 22 * MIB
    with kept(10, lines=["[cache]", 'size = "22MiB"', 'memory = "64MiB"']) as here:
        first = here.path("file 0")
        paths = [here.path(f"file {number}") for number in range(10)]
        assert first.read_bytes() == truth(0)
        here.wait_kept(1)
        with first.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(file.fileno(), 10, 0) == truth(0)[:10]
            most = 0
            with ThreadPoolExecutor(4) as pool:
                reads = [pool.submit(path.read_bytes) for path in paths[1:]]
                while not all(read.done() for read in reads):
                    most = max(most, blocks(here.folder))
            assert [read.result() for read in reads] == [truth(number) for number in range(1, 10)]
            assert 0 < most <= cap
            assert os.getxattr(first, "user.mediafs.cached") == str(SIZE).encode()
        wait_until(lambda: here.mount.status()["reading"]["spools"] == 0)
        cache = here.mount.status()["cache"]
        assert cache["files"] == len(here.files) == 4
        assert cache["bytes"] == blocks(here.folder) <= cap == cache["size"]
        assert f"4 files, of {cap / MIB:.1f} MiB" in here.mount.mediafs("status", str(here.mount.root)).stdout


def at_once(folders: Sequence[Path]) -> int:
    """Bytes of disk that they take up at one moment, and no more than that: between the two passes a file
    only grew, or only shrank, or was removed."""
    paths = [path for folder in folders if folder.exists() for path in folder.iterdir()]

    def passed() -> list[int]:
        return [os.lstat(path).st_blocks * 512 if path.exists() else 0 for path in paths]

    while True:
        with suppress(FileNotFoundError):
            return sum(map(min, passed(), passed()))


@pytest.mark.parametrize("ranges", [True, False])
def test_the_cap_holds_over_two_accounts(ranges: bool) -> None:
    """It is one cap for all accounts that share a cache folder, mounted or not. Who has less than its equal
    share of it gets room from those that have more, within seconds.
    """
    # Little memory: what it has is not fetched again, and only what is fetched comes into the cache.
    cap, lines = 24 * MIB, ["[cache]", 'size = "24MiB"', 'memory = "8MiB"']
    with ExitStack() as stack:
        box = stack.enter_context(sandbox_process(media=0, ranges=ranges))
        fill(box, 8)
        account = [
            f'[accounts.other]\nvendor = "apizee"\nbase_url = "{box.url}"\ntoken = "sandbox-admin-token"'
        ]
        first = stack.enter_context(mounted(box.url, user=None, lines=[*account, *lines]))
        second = stack.enter_context(beside(first, "other"))
        mounts = [first, second]
        accounts = [Kept(box, mount) for mount in mounts]
        for number in range(5):  # one fills it before the other comes
            assert accounts[0].path(f"file {number}").read_bytes() == truth(number)
        assert second.mount().returncode == 0, second.log
        folders = [here.folder for here in accounts]
        paths = [(number, here.path(f"file {number}")) for number in range(8) for here in accounts]
        most = 0
        with ThreadPoolExecutor(16) as pool:
            reads = [(number, pool.submit(path.read_bytes)) for number, path in paths]
            while not all(read.done() for _, read in reads):
                most = max(most, at_once(folders))
        assert all(read.result() == truth(number) for number, read in reads)
        assert cap // 3 < most <= cap

        def kept_by_both() -> bool:
            for here in accounts:
                for number in range(3):
                    with here.path(f"file {number}").open("rb", buffering=0) as file:
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                        assert file.readall() == truth(number)
            assert at_once(folders) <= cap
            return all(folder.exists() and blocks(folder) >= SIZE for folder in folders)

        wait_until(kept_by_both, 30)
        du = subprocess.run(["du", "-s", "-B1", *folders], check=True, capture_output=True, text=True)
        assert sum(int(line.split()[0]) for line in du.stdout.splitlines()) <= cap + 2 * 4096
        for mount in mounts:
            wait_until(lambda mount=mount: mount.status()["cache"]["others"] >= SIZE)
            status = mount.status()["cache"]
            assert status["size"] == cap >= status["bytes"] + status["others"]
            assert "of other accounts" in mount.mediafs("status", str(mount.root)).stdout
            room = os.statvfs(mount.root)
            assert SIZE < room.f_bavail * room.f_frsize <= cap


def test_a_size_of_0_keeps_nothing() -> None:
    """With `size = "0"` nothing is kept."""
    with kept(1, lines=["[cache]", 'size = "0"']) as here:
        assert here.path("file 0").read_bytes() == truth(0)
        wait_until(lambda: here.mount.status()["reading"]["spools"] == 0)
        assert not here.folder.exists()
        assert (
            here.mount.mediafs("cache").stdout == 'clinic: 0 B in 0 files; size = "0": nothing new is kept\n'
        )


def test_a_daemon_that_is_killed_while_it_fetches_leaves_right_bytes_or_none() -> None:
    """A crash or a power cut, at any moment, costs at most the body that was being fetched: what was not
    written whole and confirmed by the disk is not there afterwards, and each part is held against a
    checksum when it is read.
    """
    with kept(2, bytes_per_s=8 * MIB) as here:
        whole, cut = here.path("file 0"), here.path("file 1")
        assert whole.read_bytes() == truth(0)
        here.wait_kept(1)
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(cut.read_bytes)
            wait_until(lambda: any(path.name.endswith(".part") for path in here.folder.iterdir()))
            here.mount.kill()
            with pytest.raises(OSError, match=r"Transport endpoint|Software caused|not connected"):
                read.result()
        assert here.mount.mount().returncode == 0
        wait_until(lambda: not any(path.name.endswith(".part") for path in here.folder.iterdir()))
        here.box.reset()
        assert whole.read_bytes() == truth(0)
        assert here.downloads() == 0
        assert cut.read_bytes() == truth(1)
        assert here.downloads() == 1


def test_a_disk_that_can_only_be_read_or_is_full() -> None:
    """On a disk that is full or read-only nothing is kept, one line in the log says so, and reads go on."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    with sandbox_process(media=0, ranges=False) as box, prepared(box.url, user=None) as mount:
        fill(box, 3)
        here = Kept(box, mount)
        disk = mount.cache / "clinic" / "bytes"
        disk.mkdir(mode=0o700, parents=True)
        mount.cache.chmod(0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M,mode=700", "small", str(disk)], check=True)
        try:
            assert mount.mount().returncode == 0, mount.log
            for _ in range(2):
                hashes = [hashlib.sha256(here.path(f"file {n}").read_bytes()).digest() for n in range(3)]
                assert hashes == [hashlib.sha256(truth(n)).digest() for n in range(3)]
            assert os.listdir(disk) == []
            assert mount.log.count("not everything is kept in the disk cache") == 1
            assert "not everything was kept" in mount.mediafs("status").stdout
            assert mount.umount().returncode == 0
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
        assert " ERROR " not in mount.log


# --- the command -----------------------------------------------------------------------------------------


def test_the_command_works_with_and_without_a_mount() -> None:
    with kept(2) as here:
        for number in range(2):
            here.path(f"file {number}").read_bytes()
        here.wait_kept(2)
        shown = here.mount.mediafs("cache")
        assert (shown.returncode, shown.stdout) == (0, "clinic: 10.0 MiB in 2 files, of 10.0 GiB\n")
        assert here.mount.mediafs("cache", "clinic").stdout == shown.stdout
        assert here.mount.mediafs("cache", "klinic").returncode == 3
        assert here.mount.mediafs("cache", "--purge", "../cache").returncode == 3
        assert here.mount.umount().returncode == 0
        assert here.mount.mediafs("cache").stdout == shown.stdout
        here.mount.config.unlink()
        gone = here.mount.mediafs("cache", "--purge", "clinic")
        assert (gone.returncode, gone.stdout) == (0, "clinic: removed 10.0 MiB in 2 files\n")
        assert os.listdir(here.folder) == []
        assert (here.mount.cache / "clinic" / "catalogue.sqlite3").exists()
        assert here.mount.mediafs("cache").stdout == "clinic: 0 B in 0 files\n"


def test_a_daemon_that_cannot_be_reached_keeps_its_bytes() -> None:
    with kept(1) as here:
        here.path("file 0").read_bytes()
        here.wait_kept(1)
        env = {**here.mount.env, "XDG_RUNTIME_DIR": str(here.mount.folder / "home")}
        before, here.mount.env = here.mount.env, env
        done = here.mount.mediafs("cache", "--purge")
        here.mount.env = before
        assert done.returncode == 1
        assert "already in use" in done.stderr
        assert len(here.files) == 1


# --- media of which each download counts -----------------------------------------------------------------


def test_a_limited_media_is_downloaded_once_ever() -> None:
    """Media of which each download counts at the service are fetched once, whole, by one GET without a
    range, whoever reads what of it: the download goes on to its end when its readers have gone, and its
    body is evicted for nothing else.
    """
    # To this service a second download is one too many, whoever asks.
    with sandbox_process("vonage", media=3, limits_all=True, bytes_per_s=4 * MIB) as box:
        fill(box, 3)
        with prepared(box.url, token=None, user=None) as mount:
            key = mount.folder / "key.pem"
            key.write_text(box.credentials["private_key"])
            key.chmod(0o600)
            mount.config.write_text(
                f'[accounts.clinic]\nvendor = "vonage"\nbase_url = "{box.url}"\nprivate_key_file = "{key}"\n'
                f'application_id = "{box.credentials["application_id"]}"\n'
                '[cache]\nsize = "12MiB"\nmemory = "8MiB"\n'
            )
            assert mount.mount().returncode == 0, mount.log
            day = mount.root / DAY
            paths = {path.stat().st_mtime: path for path in day.iterdir()}
            first, second, third = (paths[moment] for moment in sorted(paths))
            for path in (first, second, third):
                os.setxattr(path, "user.mediafs.max_downloads_allowed", b"1")
            box.reset()
            with ThreadPoolExecutor(3) as pool:
                reads = [pool.submit(first.read_bytes) for _ in range(2)]
                with second.open("rb", buffering=0) as file:
                    assert os.pread(file.fileno(), 10, 0) == truth(1)[:10]
                assert [read.result() for read in reads] == [truth(0)] * 2
            wait_until(lambda: mount.status()["cache"]["files"] == 2)
            for _ in range(2):
                assert [path.read_bytes() for path in (first, second)] == [truth(0), truth(1)]
                # What has room for two has none for a third: it is not asked for at all.
                with pytest.raises(OSError, match="No space left"):
                    third.read_bytes()
                assert mount.umount().returncode == 0
                assert mount.mount().returncode == 0
            downloads = [one for one in box.requests() if one["method"] == "GET" and one["range"] is not None]
            assert downloads == []
            bodies = [one for one in box.requests() if one["bytes_sent"] > MIB]
            assert len(bodies) == 2
