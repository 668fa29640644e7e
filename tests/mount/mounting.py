"""A real mount of a sandbox account, made by the real command, and always taken away again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mediafs.control import NoDaemon, call, find_sockets

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 60.0
"""For any one command of a test: far above what it takes, below the suite's own limit."""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What every process of a test runs in: our code, and folders of its own instead of the user's."""
    return {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TZ": "UTC",
        **more,
    }


@dataclass
class Mount:
    """One account, mounted. `root` is the mount point."""

    root: Path
    folder: Path
    account: str
    env: dict[str, str]
    config: Path
    pids: list[int] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return self.folder / "cache" / "mediafs"

    @property
    def log(self) -> str:
        path = self.cache / f"{self.account}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def mediafs(self, *arguments: str, timeout: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mediafs", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @contextmanager
    def begun(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A command of mediafs while it goes on."""
        process = subprocess.Popen(
            [sys.executable, "-m", "mediafs", *map(str, arguments)],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def mount(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.mediafs("mount", self.account, str(self.root), *arguments)
        if done.returncode == 0:
            self.pids.append(int(str(self._ask("who")["pid"])))
        return done

    def umount(self) -> subprocess.CompletedProcess[str]:
        return self.mediafs("umount", str(self.root))

    def status(self) -> dict[str, Any]:
        """What `mediafs status --json` says, asked of the daemon itself: a command takes half a second."""
        return self._ask("status")

    def _ask(self, verb: str) -> dict[str, object]:
        for path in find_sockets(Path(self.env["XDG_RUNTIME_DIR"]) / "mediafs"):
            with suppress(NoDaemon):  # a daemon that was killed leaves its socket behind
                if call(path, "who", timeout_s=PATIENCE_S)["mountpoint"] == str(self.root):
                    return call(path, verb, timeout_s=PATIENCE_S)
        raise AssertionError(f"no daemon of {self.root} answers\n{self.log}")

    def kill(self) -> None:
        """`kill -9` of the daemon, as a crash would."""
        os.kill(self.pids[-1], signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{self.pids[-1]}").exists())

    def run(self, *command: str, timeout: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """A command as a user types it, with the mount point as its folder."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )

    def files(self, under: str) -> dict[str, os.stat_result]:
        """Path, relative to the mount -> stat, of every file below a folder."""
        found = {}
        for folder, _, names in os.walk(self.root / under, onerror=_raise):
            for name in names:
                path = Path(folder, name)
                found[str(path.relative_to(self.root))] = path.lstat()
        return found


def _raise(error: OSError) -> None:
    raise error


def wait_until(condition: Any, timeout: float = 15.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def prepared(
    url: str,
    *,
    token: str | None = "sandbox-admin-token",
    lines: Sequence[str] = (),
    user: str | None = "all",
    vendor: str = "apizee",
) -> Iterator[Mount]:
    """Folders and a configuration; nothing is mounted yet. Takes everything away at the end.

    `token` and `user` are Apizee's; all that another vendor's account needs is in `lines`, which
    `vendor_accounts.py` makes.
    """
    folder = Path(tempfile.mkdtemp(prefix="mfs-"))
    for name in ("home", "run", "config/mediafs", "cache", "mnt"):
        (folder / name).mkdir(mode=0o700, parents=True)
    config = folder / "config/mediafs/config.toml"
    text = ["[accounts.clinic]", f'vendor = "{vendor}"', f'base_url = "{url}"']
    if vendor == "apizee":
        text += [f'token = "{token}"'] if token else []
        text += [f'user = "{user}"'] if user else []
    config.write_text("\n".join([*text, *lines]) + "\n")
    config.chmod(0o600)
    mount = Mount(folder / "mnt", folder, "clinic", environment(folder), config)
    try:
        yield mount
    finally:
        _end(mount)
        shutil.rmtree(mount.folder, ignore_errors=True)


@contextmanager
def beside(mount: Mount, account: str) -> Iterator[Mount]:
    """Another account of its configuration, with the same cache folder; not mounted yet."""
    other = replace(mount, root=mount.folder / f"mnt-{account}", account=account, pids=[])
    other.root.mkdir()
    try:
        yield other
    finally:
        _end(other)


def _end(mount: Mount) -> None:
    for _ in range(3):
        if str(mount.root) not in Path("/proc/self/mountinfo").read_text():
            break
        subprocess.run(["fusermount3", "-uz", str(mount.root)], check=False, capture_output=True, timeout=20)
    for pid in mount.pids:
        try:
            wait_until(lambda pid=pid: not is_alive(pid), 10)
        except AssertionError:
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


@contextmanager
def mounted(url: str, *arguments: str, **options: Any) -> Iterator[Mount]:
    """`prepared`, and mounted. A daemon that logged an error or a bug fails the test."""
    with prepared(url, **options) as mount:
        done = mount.mount(*arguments)
        assert done.returncode == 0, done.stderr + mount.log
        yield mount
        log = mount.log
    assert "Traceback" not in log, log
    assert " ERROR " not in log, log


def requests(box: Any, path: str = "") -> list[Mapping[str, Any]]:
    """What the service was asked since the last reset."""
    return [r for r in box.requests() if path in r["path"]]
