"""Reading against plain slicing: whatever readers and service do, no read returns a wrong byte."""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mediafs.errors import MediafsError, Unavailable
from mediafs.model import Version
from mediafs.reading import ReadingOptions, Store, reading
from mediafs.reading.reader import Reader
from mediafs.reading.service import Reading

from .scripted import Fault, MemoryStore, ScriptedSource, a_media, some_bytes, version_of


@dataclass(frozen=True)
class Read:
    offset: int
    length: int
    patience_s: float
    """Cancelled after so long."""
    pause_s: float
    """Before the next step of this reader; the read goes on beside it."""


@dataclass(frozen=True)
class Reopen:
    pass


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
    streams=st.integers(1, 2),
)


async def memory_store(version: Version, size: int | None) -> Store:
    return MemoryStore()


class Model:
    """Readers at work on one media whose content changes at `change_at_s`."""

    def __init__(self, source: ScriptedSource, before: bytes, *, errors_expected: bool) -> None:
        self.source = source
        self.before = before
        self.after = bytes(byte ^ 0xFF for byte in before)
        self.errors_expected = errors_expected
        self.seen: dict[Reader, set[int]] = {}
        """Which of the two contents each reader has shown."""

    async def change(self, at_s: float) -> None:
        await trio.sleep(at_s)
        self.source.content = self.after
        self.source.etag, self.source.last_modified = self._changed(self.source.etag), "later"

    @staticmethod
    def _changed(etag: str | None) -> str | None:
        return None if etag is None else etag.replace("one", "two")

    async def run_reader(self, service: Reading, script: list[Read | Reopen], memory: int) -> None:
        media = a_media(len(self.before))
        reader = service.open(media, version_of(media))
        position = 0
        for step in script:
            if isinstance(step, Reopen):
                await reader.close()
                reader = service.open(media, version_of(media))
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
                got = bytes(await reader.read(offset, step.length))
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


@settings(max_examples=300, deadline=None)
@given(
    size=sizes,
    scripts=st.lists(steps, min_size=1, max_size=3),
    trouble=faults,
    options=options,
    ranges=st.booleans(),
    etag=st.sampled_from(['"one"', 'W/"one"', None]),
    chunk=st.integers(1, 500),
    pace_s=st.sampled_from([0.0, 0.01, 0.2]),
    change_at_s=st.sampled_from([math.inf, math.inf, 0.0, 0.3, 2.0, 20.0]),
)
def test_no_read_returns_a_wrong_byte(
    size: int,
    scripts: list[list[Read | Reopen]],
    trouble: list[Fault | None],
    options: ReadingOptions,
    ranges: bool,
    etag: str | None,
    chunk: int,
    pace_s: float,
    change_at_s: float,
) -> None:
    content = some_bytes(size)
    source = ScriptedSource(
        content, trouble, ranges=ranges, etag=etag, last_modified="earlier", chunk=chunk, pace_s=pace_s
    )
    quiet = not trouble and change_at_s == math.inf and pace_s * size / chunk < 5
    model = Model(source, content, errors_expected=not quiet)

    # Where all of it has room in memory, it goes there: no thread either.
    make_store = None if options.memory >= ROOMY else memory_store

    async def main() -> None:
        async with reading(source, options, make_store=make_store) as service:
            async with trio.open_nursery() as changing:
                changing.start_soon(model.change, change_at_s)
                async with trio.open_nursery() as nursery:
                    for script in scripts:
                        nursery.start_soon(model.run_reader, service, script, options.memory)
                changing.cancel_scope.cancel()
            statistics = service.statistics()
            assert (statistics.readers, statistics.streams, statistics.spools) == (0, 0, 0)
            assert source.open_bodies == 0
            assert statistics.gets == len(source.asked)
            # Bytes that arrive in the moment of a cancellation count as sent only.
            assert statistics.fetched <= source.sent

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
