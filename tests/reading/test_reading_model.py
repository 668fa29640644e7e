"""Reading against plain slicing: whatever readers and service do, no read returns a wrong byte."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import trio
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mediafs.errors import MediafsError, Unavailable
from mediafs.model import Version
from mediafs.reading import ReadingOptions, Store, reading
from mediafs.reading.disk.cache import DiskCache
from mediafs.reading.reader import Reader
from mediafs.reading.service import Reading

from .scripted import (
    FakeDisk,
    FakeKernel,
    Fault,
    MemoryStore,
    ScriptedSource,
    a_media,
    some_bytes,
    version_of,
)


@dataclass(frozen=True)
class Read:
    offset: int
    length: int
    patience_s: float
    """Cancelled after so long."""
    pause_s: float
    """Before the next step of this reader; the read goes on beside it."""


@dataclass(frozen=True)
class Forward:
    """Reads of so many bytes from where the last one ended, one after the other."""

    length: int
    times: int


@dataclass(frozen=True)
class Reopen:
    pass


Step = Read | Forward | Reopen
sizes = st.integers(0, 3000)
ROOMY = 100_000
"""Memory in which every body has room."""
steps = st.lists(
    st.one_of(
        st.builds(
            Read,
            offset=st.integers(0, 3100),
            length=st.integers(0, 700),
            patience_s=st.sampled_from([math.inf, math.inf, 0.5, 3.0, 20.0]),
            pause_s=st.sampled_from([0.0, 0.0, 0.1, 5.0]),
        ),
        st.builds(
            Read,
            offset=st.just(-1),  # where the last one ended
            length=st.integers(1, 300),
            patience_s=st.just(math.inf),
            pause_s=st.sampled_from([0.0, 1.0, 100.0]),
        ),
        st.builds(Forward, length=st.integers(10, 300), times=st.integers(2, 40)),
        st.just(Reopen()),
    ),
    max_size=12,
)
faults = st.lists(
    st.one_of(
        st.none(),
        st.builds(Fault, cut_after=st.integers(0, 2000)),
        st.builds(Fault, stall_after=st.integers(0, 2000)),
        st.builds(Fault, short_by=st.integers(1, 50)),
        st.builds(Fault, extra=st.binary(min_size=1, max_size=300)),
        st.builds(Fault, shift=st.integers(-300, 300)),
        st.builds(Fault, total=st.integers(0, 3000)),
        st.just(Fault(ignore_range=True)),
        st.just(Fault(content_type="text/html")),
        st.just(Fault(hang=True)),
        st.just(Fault(refuse=Unavailable("down"))),
    ),
    max_size=10,
)
options = st.builds(
    ReadingOptions,
    memory=st.sampled_from([0, 50, 500, 2000, ROOMY]),
    whole_below=st.sampled_from([0, 500, 10_000]),
    window=st.integers(1, 800),
    gap=st.integers(0, 400),
    block=st.integers(1, 200),
    put_after=st.sampled_from([0, 100]),
    piece=st.sampled_from([50, 200, 400]),
    hole=st.sampled_from([0, 30]),
    put_ahead=st.sampled_from([0, 200]),
    streams=st.integers(1, 2),
)


putting = st.builds(
    ReadingOptions,
    memory=st.sampled_from([2000, ROOMY]),
    whole_below=st.just(0),
    window=st.integers(300, 1600),
    gap=st.integers(0, 400),
    block=st.sampled_from([20, 50]),
    put_after=st.sampled_from([0, 100]),
    piece=st.sampled_from([100, 200]),
    hole=st.sampled_from([0, 30]),
    put_ahead=st.sampled_from([0, 200]),
)
forward = st.one_of(
    st.builds(Forward, length=st.integers(10, 100), times=st.integers(5, 60)),
    st.builds(
        Read,
        offset=st.integers(0, 5000),
        length=st.integers(0, 300),
        patience_s=st.sampled_from([math.inf, 0.5]),
        pause_s=st.sampled_from([0.0, 0.1]),
    ),
    st.just(Reopen()),
)


async def memory_store(version: Version, size: int | None) -> Store:
    return MemoryStore()


class Model:
    """Readers at work on one media whose content changes at `change_at_s`."""

    def __init__(
        self, source: ScriptedSource, before: bytes, *, errors_expected: bool, through_kernel: bool
    ) -> None:
        self.source = source
        self.before = before
        self.after = bytes(byte ^ 0xFF for byte in before)
        self.errors_expected = errors_expected
        self.through_kernel = through_kernel
        self.kernels: dict[object, FakeKernel] = {}
        """By content. None where nothing lies between the readers and the program."""
        self.seen: dict[Reader, set[int]] = {}
        """Which of the two contents each reader has shown."""

    async def change(self, at_s: float) -> None:
        await trio.sleep(at_s)
        self.source.content = self.after
        self.source.etag, self.source.last_modified = self._changed(self.source.etag), "later"

    @staticmethod
    def _changed(etag: str | None) -> str | None:
        return None if etag is None else etag.replace("one", "two")

    def opened(self, service: Reading) -> Reader:
        media = a_media(len(self.before))
        reader = service.open(media, version_of(media))
        if self.through_kernel:
            kernel = self.kernels.setdefault(reader.content, FakeKernel(reader))
            reader.put_into(kernel)
        return reader

    async def run_reader(self, service: Reading, script: list[Step], memory: int) -> None:
        reader = self.opened(service)
        position = 0
        for step in script:
            if isinstance(step, Reopen):
                await reader.close()
                reader = self.opened(service)
                continue
            if isinstance(step, Forward):
                for _ in range(step.times):
                    await self.read(reader, position, Read(position, step.length, math.inf, 0))
                    position += step.length
                continue
            offset = position if step.offset < 0 else step.offset
            position = offset + step.length
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.read, reader, offset, step)
                nursery.start_soon(self.read, reader, offset + step.length, step)
                await trio.sleep(step.pause_s)
            assert service.statistics().memory <= memory
        await reader.close()

    async def read(self, reader: Reader, offset: int, step: Read) -> None:
        began = trio.current_time()
        try:
            with trio.move_on_after(step.patience_s):
                kernel = self.kernels.get(reader.content)
                if kernel is None:
                    got = bytes(await reader.read(offset, step.length))
                else:
                    got = await kernel.read(reader, offset, step.length)
                wanted = [content[offset : offset + step.length] for content in (self.before, self.after)]
                assert got in wanted, "bytes of neither content"
                if got:
                    self.seen.setdefault(reader, set()).add(wanted.index(got))
                    assert len(self.seen[reader]) == 1, "one reader has shown two contents"
        except MediafsError as error:
            if not self.errors_expected:
                raise
            event(type(error).__name__)
        assert trio.current_time() - began <= ReadingOptions().total_s + 0.001  # the clock's rounding


@dataclass(frozen=True, kw_only=True)
class Case:
    size: int
    scripts: list[list[Step]]
    """One a reader."""
    trouble: list[Fault | None]
    options: ReadingOptions
    ranges: bool
    etag: str | None
    chunk: int
    pace_s: float
    change_at_s: float
    straight: bool
    through_kernel: bool
    disk: list[bool] | None
    """What the disk cache does; None: there is none."""


common = partial(
    st.builds,
    Case,
    trouble=faults,
    ranges=st.booleans(),
    etag=st.sampled_from(['"one"', 'W/"one"', None]),
    chunk=st.integers(1, 500),
    pace_s=st.sampled_from([0.0, 0.01, 0.2]),
    change_at_s=st.sampled_from([math.inf, math.inf, 0.0, 0.3, 2.0, 20.0]),
    straight=st.booleans(),
    disk=st.one_of(st.none(), st.lists(st.booleans(), max_size=20)),
)
readers_anyhow = st.lists(steps, min_size=1, max_size=3)
readers_forward = st.lists(st.lists(forward, min_size=1, max_size=6), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(common(size=sizes, scripts=readers_anyhow, options=options, through_kernel=st.booleans()))
def test_no_read_returns_a_wrong_byte(case: Case) -> None:
    check(case)


@settings(max_examples=300, deadline=None)
@given(
    common(
        size=st.integers(800, 6000), scripts=readers_forward, options=putting, through_kernel=st.just(True)
    )
)
def test_no_page_that_is_put_ahead_is_a_wrong_one(case: Case) -> None:
    check(case)


def use_disk(service: Reading, disk: FakeDisk) -> None:
    service.cache = cast(DiskCache, disk)
    service.stores._cache = cast(DiskCache, disk)


def check(case: Case) -> None:
    content = some_bytes(case.size)
    source = ScriptedSource(
        content,
        case.trouble,
        ranges=case.ranges,
        etag=case.etag,
        last_modified="earlier",
        chunk=case.chunk,
        pace_s=case.pace_s,
        straight=case.straight,
    )
    quiet = not case.trouble and case.change_at_s == math.inf and case.pace_s * case.size / case.chunk < 5
    model = Model(source, content, errors_expected=not quiet, through_kernel=case.through_kernel)

    # Where all of it has room in memory, it goes there: no thread either.
    make_store = None if case.options.memory >= ROOMY else memory_store

    async def main() -> None:
        async with reading(source, case.options, make_store=make_store) as service:
            disk = FakeDisk(case.disk) if case.disk is not None else None
            if disk is not None:
                use_disk(service, disk)
            async with trio.open_nursery() as changing:
                changing.start_soon(model.change, case.change_at_s)
                async with trio.open_nursery() as nursery:
                    for script in case.scripts:
                        nursery.start_soon(model.run_reader, service, script, case.options.memory)
                changing.cancel_scope.cancel()
            statistics = service.statistics()
            assert (statistics.readers, statistics.streams, statistics.spools) == (0, 0, 0)
            assert source.open_bodies == 0
            event(f"of the disk: {disk is not None and disk.given > 0}")
            event(f"put ahead: {sum(kernel.stored for kernel in model.kernels.values()) > 0}")
            assert statistics.gets == len(source.asked)
            # Bytes that arrive in the moment of a cancellation count as sent only.
            assert statistics.fetched <= source.sent

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
