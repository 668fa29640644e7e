"""`mediafs sync` without a mount: what it does and says, how it ends, and that it goes on."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mediafs import instance
from mediafs.cli.progress import Meter
from mediafs.cli.syncing import Listed
from mediafs.model import AccountName
from mediafs.sandbox.testing import Box, sandbox_process

from .conftest import Type, Write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def large() -> Iterator[Box]:
    with sandbox_process(media=1500) as running:
        yield running


@pytest.fixture
def service(large: Box) -> Iterator[Box]:
    """A service with 1500 media, of which some are not complete."""
    large.reset()
    yield large
    large.clear_faults()


def pages(box: Box) -> int:
    return sum(1 for request in box.requests() if request["path"].endswith("/medias"))


def shown(box: Box) -> int:
    return sum(1 for media in box.world() if media["completed"])


@contextmanager
def begun(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mediafs", "sync", "clinic", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_lists_everything_and_then_there_is_nothing_to_ask(
    typed: Type, write: Write, service: Box
) -> None:
    write(service.url, 'fresh_for = "1h"')
    said = typed("sync", "clinic")
    assert said.code == 0
    assert said.out == f"clinic: {shown(service)} media on {pages(service)} pages; every day is listed\n"
    assert pages(service) <= 2 + shown(service) // 100
    assert len(service.requests()) <= pages(service) + 1
    service.reset()
    again = typed("sync", "clinic")
    assert again.out == "clinic: nothing to ask for; every day is listed\n"
    assert service.requests() == []


def test_since_leaves_out_the_days_before(typed: Type, write: Write, service: Box) -> None:
    write(service.url)
    said = typed("sync", "clinic", "--since", "2025-09-01")
    assert said.code == 0
    assert said.out.endswith("every day from 2025-09-01 on is listed\n")
    late = sum(m["completed"] and str(m["created"]) >= "2025-09-01" for m in service.world())
    assert said.out.startswith(f"clinic: {late} media on ")


@pytest.mark.parametrize("date", ["", "yesterday", "2025-13-01", "17"])
def test_a_date_that_is_none_is_usage(typed: Type, date: str) -> None:
    said = typed("sync", "clinic", "--since", date)
    assert said.code == 2
    assert "usage: mediafs sync" in said.err


def test_how_it_fails_is_told_by_its_status(typed: Type, write: Write, service: Box, home: Path) -> None:
    write(service.url)
    assert typed("sync", "nobody").code == 3
    service.fault("status", path="/api/v3/medias", status=403, times=None)
    assert typed("sync", "clinic").code == 1
    service.clear_faults()
    write(service.url, token='"wrong"')
    assert typed("sync", "clinic").code == 4
    write()
    assert typed("sync", "clinic").code == 6


def test_an_account_that_another_process_works_on_is_left_alone(
    typed: Type, write: Write, service: Box, home: Path
) -> None:
    write(service.url)
    cache = home / "cache/mediafs"
    cache.mkdir(mode=0o700, parents=True)
    with instance.lock(AccountName("clinic"), cache, None):
        said = typed("sync", "clinic")
    assert said.code == 1
    assert f"already in use by process {os.getpid()}" in said.err
    assert service.requests() == []


def wait_for_page(box: Box, count: int) -> None:
    end = time.monotonic() + 30
    while pages(box) < count:
        assert time.monotonic() < end, "it did not come to that page"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("page", [1, 7])
def test_interrupted_at_any_page_it_goes_on_from_there(
    typed: Type, write: Write, service: Box, number: signal.Signals, page: int
) -> None:
    write(service.url)
    service.fault("late", path="/api/v3/medias", skip=page - 1, seconds=120)
    with begun() as process:
        wait_for_page(service, page)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert ("a second run goes on" in out) == (page > 1)
    said = typed("sync", "clinic")
    assert said.code == 0, said.err
    assert said.out.startswith(f"clinic: {shown(service)} media on ")
    assert pages(service) <= 2 + shown(service) // 100 + 1
    asked = [request["query"] for request in service.requests() if request["path"].endswith("/medias")]
    assert len(asked) - len(set(asked)) <= 1


def test_a_closed_standard_output_changes_nothing(write: Write, service: Box) -> None:
    write(service.url)
    line = f'"{sys.executable}" -m mediafs sync clinic >&-'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", line], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- what is said meanwhile ------------------------------------------------------------------------------

NEWS: Mapping[str, Any] = {
    "items": 1200,
    "pages": 12,
    "total": 4800,
    "share": 0.25,
    "day": "2024-05-17",
    "days": True,
    "left": 4,
    "reset_in_s": 31.6,
    "waits": False,
    "troubled": None,
}


def words(speed: float = 0.2, *, bar: bool = False, **changed: object) -> str:
    return Listed.of({**NEWS, **changed, "requests": 13}).words(speed, bar=bar)


def test_items_pages_rate_time_left_and_budget_are_told() -> None:
    assert words() == (
        "1200 of 4800 media, 25 %, 12 pages, 12.0 a minute, 3 min left, budget 4 requests, more in 32 s"
    )
    assert words(bar=True).startswith("1200 of 4800 media, [#####...............] 25 %, 12 pages")


def test_what_is_not_known_is_not_told() -> None:
    assert words(0.0, total=None, share=None, left=None, reset_in_s=None) == "1200 media, 12 pages"
    assert words(left=0, reset_in_s=None, waits=True).endswith("budget 0 requests, waits for it")
    assert words(days=False) == "1200 of 4800 media, the days are listed, now the rest"
    assert words(troubled="the service is away").endswith("12 pages, tries again soon: the service is away")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_written_over_and_elsewhere_they_are_few() -> None:
    now = [0.0]
    for out in (Terminal(), io.StringIO()):
        meter = Meter(out, lambda: now[0], columns=50)
        for _ in range(60):
            now[0] += 0.5
            meter.show(Listed.of(NEWS))
        meter.clear()
        written = out.getvalue()
        if out.isatty():
            assert "\n" not in written
            assert all(len(line) < 50 + 3 for line in written.split("\r\x1b[K"))
        else:
            assert len(written.splitlines()) == 3
