"""What systemd hears from the daemon, and the unit that starts it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from mediafs.notify import notify_systemd, watchdog_period_s

UNIT = Path(__file__).parents[2] / "systemd" / "mediafs@.service"


@pytest.mark.parametrize("abstract", [False, True])
def test_a_state_reaches_the_socket_of_systemd(tmp_path: Path, abstract: bool) -> None:
    name = f"\0mediafs-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        systemd.settimeout(5)

        assert notify_systemd("READY=1\nSTATUS=serving ä", {"NOTIFY_SOCKET": name.replace("\0", "@")})

        assert systemd.recv(1024) == "READY=1\nSTATUS=serving ä".encode()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "@",
        "relative",
        "vsock:2:1",
        "/nonexistent/socket",
        "@mediafs-no-one",
        "/" + "x" * 200,
        "/a\0b",
    ],
)
def test_without_systemd_nothing_happens(address: str) -> None:
    assert notify_systemd("READY=1", {"NOTIFY_SOCKET": address}) is False
    assert notify_systemd("READY=1", {}) is False


def test_a_systemd_that_does_not_listen_holds_up_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        sent = 0
        while notify_systemd("WATCHDOG=1", env):
            sent += 1
            assert sent < 100_000

    assert sent > 0


def test_the_watchdog_is_fed_twice_in_its_period() -> None:
    mine = str(os.getpid())

    assert watchdog_period_s({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": mine}) == 30
    assert watchdog_period_s({"WATCHDOG_USEC": "60000000"}) == 30
    assert watchdog_period_s({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}) is None
    for wrong in ("", "0", "x", "-1", "²"):
        assert watchdog_period_s({"WATCHDOG_USEC": wrong}) is None


def verified(unit: str, folder: Path) -> str:
    """What systemd has to say against a unit, as the instance `clinic` of a user."""
    path = folder / "mediafs@clinic.service"
    path.write_text(unit)
    run = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", path],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)},
        timeout=60,
    )
    return run.stderr + (f"status {run.returncode}" if run.returncode else "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    unit = UNIT.read_text().replace("%h/.local/bin/mediafs", "/bin/true")

    assert verified(unit, tmp_path) == ""
    assert "Unknown key" in verified(unit.replace("KillMode=", "KilMode="), tmp_path)
    assert "not executable" in verified(UNIT.read_text(), tmp_path)


def test_the_unit_sets_nothing_that_would_stop_fusermount_or_hide_the_mount() -> None:
    keys = {line.split("=")[0] for line in UNIT.read_text().splitlines() if line[:1].isalpha()}

    assert {"Type", "NotifyAccess", "Restart", "UMask"} <= keys
    assert not {
        key
        for key in keys
        if key.startswith(("Protect", "Private", "Restrict", "SystemCall", "ReadWrite", "Inaccessible"))
        or key in {"NoNewPrivileges", "LockPersonality", "MemoryDenyWriteExecute", "TemporaryFileSystem"}
    }
