"""`mediafs warm`, on real mounts: each docstring here is a quotation from docs/SEMANTICS.md."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mediafs.sandbox.testing import Box, sandbox_process

from .mounting import Mount, mounted, prepared, requests, wait_until
from .quotations import unfounded
from .test_disk_cache import DAY, MIB, Kept, blocks, truth

SMALL = 200_000
LARGE = 5 * MIB + 123
"""More than is fetched whole in one request."""


@contextmanager
def archive(
    sizes: Sequence[int], lines: Sequence[str] = (), *, config: Sequence[str] = (), **options: Any
) -> Iterator[Kept]:
    with sandbox_process(media=0, **options) as box:
        filled(box, sizes)
        with mounted(box.url, user=None, lines=[*config, *lines]) as mount:
            yield Kept(box, mount)


def filled(box: Box, sizes: Sequence[int]) -> None:
    for number, size in enumerate(sizes):
        created = f"2025-06-01T10:00:{number:02}+00:00"
        box.add(size=size, seed=number, title=f"file {number}", created=created)


def warm(mount: Mount, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return mount.mediafs("warm", *map(str, arguments))


def day(mount: Mount) -> Path:
    return mount.root / DAY


def test_each_docstring_here_is_a_quotation_from_the_document() -> None:
    assert unfounded(globals()) == []


def test_a_folder_that_was_warmed_is_copied_without_the_service() -> None:
    """`mediafs warm PATH...` fetches files, and all files below folders, into the disk cache: they can then
    be read without the service.

    What is held already costs no request; of every other file what is missing is fetched, in one request
    where it is in one piece.

    `--check` fetches nothing and says how much is held, with the same status.
    """
    sizes = [SMALL, 3 * LARGE, 1, LARGE, *[SMALL] * 30]
    with ExitStack() as service:
        box = service.enter_context(sandbox_process(media=0))
        filled(box, sizes)
        with mounted(box.url, user=None) as mount:
            here = Kept(box, mount)
            with here.path("file 1").open("rb", buffering=0) as file:
                assert os.pread(file.fileno(), MIB, 0) == truth(1, 3 * LARGE)[:MIB]
            box.reset()
            before = warm(mount, "--check", mount.root / "by-date")
            assert before.returncode == 1
            assert f"0 of {len(sizes)} files held, 0 B of" not in before.stdout, "some of one was read"
            assert here.downloads() == 0
            done = warm(mount, mount.root / "by-date")
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            total = f"{sum(sizes) / MIB:.1f} MiB"
            assert done.stdout.startswith(f"{len(sizes)} files held, {total}; ")
            assert here.downloads() == len(sizes)
            box.reset()
            again = warm(mount, day(mount), here.path("file 0"))
            assert again.stdout == f"{len(sizes)} files held, {total}; 0 B of it fetched now\n"
            after = warm(mount, "--check", day(mount), here.path("file 0"))
            assert after.returncode == 0
            assert after.stdout.splitlines() == [
                f"{day(mount)}: {len(sizes)} of {len(sizes)} files held, {total} of {total}",
                f"{here.path('file 0')}: 1 of 1 files held, 195.3 KiB of 195.3 KiB",
            ]
            assert here.downloads() == 0
            for path in day(mount).iterdir():
                assert os.getxattr(path, "user.mediafs.cached") == str(path.stat().st_size).encode()
            service.close()
            here.remount()
            copy = mount.folder / "copy"
            shutil.copytree(day(mount), copy)
            found = sorted(path.read_bytes() for path in copy.iterdir())
            assert found == sorted(truth(number, size) for number, size in enumerate(sizes))


def test_of_a_service_without_ranges_each_is_one_download() -> None:
    with archive([LARGE, SMALL, LARGE], ranges=False) as here:
        for fetched in (True, False):
            here.box.reset()
            assert warm(here.mount, day(here.mount)).returncode == 0
            assert here.downloads() == (3 if fetched else 0)
        assert here.path("file 0").read_bytes() == truth(0, LARGE)
        assert here.downloads() == 0


def test_what_is_evicted_is_off_the_disk() -> None:
    """`--evict` takes files from the disk, pinned ones too; those of which each download counts at the
    service stay."""
    with archive([LARGE] * 3) as here:
        assert warm(here.mount, "--pin", day(here.mount)).returncode == 0
        assert blocks(here.folder) >= 3 * LARGE
        one = warm(here.mount, "--evict", here.path("file 0"))
        assert (one.returncode, one.stdout) == (0, "evicted: 5.0 MiB freed\n")
        assert 2 * LARGE <= blocks(here.folder) < 3 * LARGE
        assert warm(here.mount, "--check", here.path("file 0")).returncode == 1
        assert warm(here.mount, "--check", here.path("file 1")).returncode == 0
        assert warm(here.mount, "--evict", day(here.mount)).returncode == 0
        assert blocks(here.folder) == 0
        assert os.listdir(here.folder) == []
        here.box.reset()
        here.remount()
        assert here.path("file 1").read_bytes() == truth(1, LARGE)
        assert here.downloads() == 1


def test_what_may_be_downloaded_only_so_often_is_downloaded_once_and_stays() -> None:
    # To this service a second download is one too many.
    with sandbox_process("vonage", media=3, limits_all=True) as box:
        filled(box, [LARGE] * 2)
        with prepared(box.url, token=None, user=None) as mount:
            key = mount.folder / "key.pem"
            key.write_text(box.credentials["private_key"])
            key.chmod(0o600)
            mount.config.write_text(
                f'[accounts.clinic]\nvendor = "vonage"\nbase_url = "{box.url}"\nprivate_key_file = "{key}"\n'
                f'application_id = "{box.credentials["application_id"]}"\n'
            )
            assert mount.mount().returncode == 0, mount.log
            for path in day(mount).iterdir():
                os.setxattr(path, "user.mediafs.max_downloads_allowed", b"1")
            for fetched in ("10.0 MiB", "0 B"):
                done = warm(mount, day(mount))
                assert (done.returncode, done.stderr) == (0, "")
                assert done.stdout == f"2 files held, 10.0 MiB; {fetched} of it fetched now\n"
            done = warm(mount, "--evict", day(mount))
            assert done.stdout.startswith("evicted: 0 B freed\n2 files stay: ")
            found = sorted(path.read_bytes() for path in day(mount).iterdir())
            assert found == sorted(truth(number, LARGE) for number in range(2))


def test_what_is_pinned_stays() -> None:
    """What is fetched with `--pin` stays, also over remounts, whatever else needs the room, until `--unpin`,
    `--evict`, or the end of its media."""
    with archive([LARGE] * 6, config=["[cache]", 'size = "17MiB"', 'memory = "64MiB"']) as here:
        first, second = here.path("file 0"), here.path("file 1")
        done = warm(here.mount, "--pin", first, second)
        assert done.stdout.startswith("2 files held and pinned, 10.0 MiB; ")
        for _ in range(2):
            here.remount()
            for number in range(2, 6):
                assert here.path(f"file {number}").read_bytes() == truth(number, LARGE)
            checked = warm(here.mount, "--check", day(here.mount))
            assert ", 2 pinned" in checked.stdout
            assert here.mount.status()["cache"]["pinned"] == 2
            assert "2 pinned" in here.mount.mediafs("status").stdout
            assert warm(here.mount, "--check", first, second).returncode == 0
            assert blocks(here.folder) <= 17 * MIB
        assert warm(here.mount, "--unpin", day(here.mount)).returncode == 0
        assert here.mount.status()["cache"]["pinned"] == 0
        for number in range(2, 6):
            assert warm(here.mount, here.path(f"file {number}")).returncode == 0
        assert warm(here.mount, "--check", first).returncode == 1


def test_a_run_that_is_interrupted_goes_on_where_it_was() -> None:
    """What was fetched stays when it is interrupted or fails: a second run fetches the rest."""
    with archive([LARGE] * 4, bytes_per_s=2 * MIB) as here:
        with here.mount.begun("warm", day(here.mount)) as process:
            wait_until(lambda: here.folder.exists() and blocks(here.folder) > 6 * MIB)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert out.splitlines()[-1].startswith("interrupted: ")
        assert "Traceback" not in err
        wait_until(lambda: here.mount.status()["reading"]["open"] == 0)
        wait_until(lambda: here.mount.status()["reading"]["streams"] == 0)
        held = blocks(here.folder)
        here.box.set(bytes_per_s=None)
        here.box.reset()
        assert warm(here.mount, day(here.mount)).returncode == 0
        sent = sum(one["bytes_sent"] for one in requests(here.box, "download"))
        assert sent <= 4 * LARGE - held + 2 * MIB
        assert warm(here.mount, "--check", day(here.mount)).returncode == 0


def test_a_cache_that_has_no_room_or_is_off_is_said() -> None:
    """What one run has fetched is not evicted for what comes later in it; where `[cache] size` has no room
    for more, that is said.

    The status is 0 when all is held, else 1.
    """
    with archive([LARGE] * 5, config=["[cache]", 'size = "17MiB"', 'memory = "64MiB"']) as here:
        done = warm(here.mount, day(here.mount))
        assert done.returncode == 1
        assert done.stdout.startswith("3 files held, ")
        assert done.stdout.endswith(", 2 failed\n")
        assert done.stderr.count("raise size of [cache]") == 2
        assert str(day(here.mount)) in done.stderr
        assert here.downloads() == 3
        assert "3 of 5 files held" in warm(here.mount, "--check", day(here.mount)).stdout
    with archive([SMALL], config=["[cache]", 'size = "0"']) as here:
        done = warm(here.mount, day(here.mount))
        assert done.returncode == 1
        assert 'nothing is kept on disk: size = "0" in [cache]' in done.stderr
        assert here.downloads() == 0


def test_what_fails_is_told_by_its_path_and_the_others_are_held() -> None:
    with archive([SMALL] * 5) as here:
        path = here.path("file 2")
        id_ = os.getxattr(path, "user.mediafs.id").decode()
        here.box.fault("status", path=f"*/{id_}/*download*", status=403, times=99)
        done = warm(here.mount, day(here.mount), here.mount.root / "by-date/nothing")
        assert done.returncode == 1
        assert done.stdout.startswith("4 files held, ")
        lines = done.stderr.splitlines()
        assert len(lines) == 2
        assert any(str(path) in each for each in lines)
        assert any("by-date/nothing: No such file" in each for each in lines)
        here.box.clear_faults()
        assert warm(here.mount, day(here.mount)).returncode == 0


def test_the_rate_limit_is_waited_for_and_people_go_first() -> None:
    """Requests of people go first, and the service's rate limit is waited for."""
    with archive([SMALL] * 24, rate_limit=12) as here:
        paths = sorted(day(here.mount).iterdir())
        with here.mount.begun("warm", day(here.mount)) as process:
            # The last three requests of a window are left to people.
            wait_until(lambda: here.mount.status()["requests"]["left"] == 3)
            wait_until(lambda: here.mount.status()["reading"]["streams"] == 0)
            time.sleep(1)  # what it has is counted by itself as well, and it looks for a request to spare
            held = [os.getxattr(path, "user.mediafs.cached") != b"0" for path in paths]
            assert 0 < sum(held) < 12
            assert len(paths[held.index(False)].read_bytes()) == SMALL
            assert here.mount.status()["requests"]["left"] == 2
            assert process.poll() is None, "it waits"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (130, "")
        assert out.splitlines()[-1].startswith(f"interrupted: {sum(held)} files held, ")
        assert here.downloads() == sum(held) + 1
        assert not [one for one in requests(here.box) if one["status"] == 429]


def test_what_lies_in_no_mount_is_refused() -> None:
    with archive([SMALL]) as here:
        done = warm(here.mount, here.mount.folder)
        assert done.returncode == 1
        assert "lies in no mount of yours" in done.stderr


def test_the_service_is_gone_and_the_rest_is_left() -> None:
    with ExitStack() as service:
        box = service.enter_context(sandbox_process(media=0))
        filled(box, [SMALL] * 3)
        with mounted(box.url, user=None) as mount:
            assert len(list(day(mount).iterdir())) == 3
            service.close()
            done = warm(mount, day(mount))
            assert done.returncode == 1
            assert done.stderr.count("mediafs: ") == 3
            assert done.stdout.startswith("0 files held, 0 B; ")
