"""What this machine is, and what it lacks for a run."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Final

from .rig import BIN, REPOSITORY, run

_DEBIAN: Final = {
    "nginx": "nginx-light",
    "ip": "iproute2",
    "curl": "curl",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "openssl": "openssl",
    "fusermount3": "fuse3",
}
_LEFT: Final = 2 << 30
_TOUCH: Final = "import mmap as m, sys; m.mmap(-1, int(sys.argv[1]), flags=m.MAP_PRIVATE | m.MAP_POPULATE)"


def missing() -> list[str]:
    """What must be done before a run, a command each where there is one."""
    lacks = []
    if os.geteuid() != 0:
        lacks.append("to be root (network namespaces, TUN devices): sudo bench/run")
    for device in ("/dev/net/tun", "/dev/fuse"):
        if not Path(device).exists():
            lacks.append(f"{device}, which the kernel or the container's host must provide")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if packages := sorted({of for tool, of in _DEBIAN.items() if shutil.which(tool, path=path) is None}):
        lacks.append(f"apt-get install --no-install-recommends {' '.join(packages)}")
    if importlib.util.find_spec("matplotlib") is None or not (BIN / "rclone").exists():
        lacks.append(".venv/bin/python -m pip install -r bench/requirements.txt")
    return lacks


def warm_memory() -> None:
    """Touches nearly all that is free: a virtual machine's host is slow to hand out a page for the first
    time, and that would be counted against whoever comes first."""
    size = _meminfo_kib("MemAvailable") * 1024 - _LEFT
    if size > 0:  # in a process of its own: the peak of ours is that of the children to come
        touch = (
            "import mmap, sys; mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_POPULATE)"
        )
        run(sys.executable, "-I", "-S", "-c", touch, str(size))


def facts() -> dict[str, str]:
    """For the report: what figures depend on."""
    commit, _ = run("git", "-C", str(REPOSITORY), "log", "-1", "--format=%h")
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{_meminfo_kib('MemTotal') / 2**20:.0f} GiB",
        "kernel": platform.release().partition("-")[0],
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "commit": commit.strip(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _meminfo_kib(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
