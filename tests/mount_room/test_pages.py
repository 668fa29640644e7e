"""Who may put pages into the kernel, and when no more."""

from __future__ import annotations

import threading

import pytest
import trio

from mediafs.model import Data, Inode
from mediafs.mount.pages import Holder, KernelPages

ONE = Inode(1)


class Kernel:
    """Notes what is put; a call can be held, as one is that waits for the lock of a page."""

    def __init__(self) -> None:
        self.put: list[tuple[int, int, bytes]] = []
        self.held = threading.Event()
        self.held.set()
        self.entered = threading.Event()
        self.fails: OSError | None = None

    def __call__(self, inode: int, offset: int, data: Data) -> None:
        self.entered.set()
        assert self.held.wait(10)
        if self.fails is not None:
            raise self.fails
        self.put.append((inode, offset, bytes(data)))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
async def pages(kernel: Kernel) -> KernelPages:
    return KernelPages(kernel)


async def put(holder: Holder, *offsets: int, from_: int = 0) -> bool:
    return await holder.store([(offset, b"x") for offset in offsets], lambda: from_)


async def wait_entered(kernel: Kernel) -> None:
    await trio.to_thread.run_sync(kernel.entered.wait, 10)


async def test_what_was_asked_for_meanwhile_is_not_put(kernel: Kernel, pages: KernelPages) -> None:
    assert await put(await pages.of(ONE, "a"), 0, 4096, 8192, from_=4096)
    assert [offset for _, offset, _ in kernel.put] == [4096, 8192]


async def test_one_content_at_a_time(kernel: Kernel, pages: KernelPages) -> None:
    first = await pages.of(ONE, "a")
    assert await pages.of(ONE, "a") is first
    second = await pages.of(ONE, "b")
    assert not await put(first, 0)
    assert await put(second, 0)
    assert len(kernel.put) == 1


async def test_a_content_waits_for_the_call_of_the_one_before(kernel: Kernel, pages: KernelPages) -> None:
    first = await pages.of(ONE, "a")
    kernel.held.clear()
    order: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, first, 0, 4096)
        await wait_entered(kernel)

        async def second() -> None:
            await pages.of(ONE, "b")
            order.append("b may put")

        async def third() -> None:
            await pages.of(ONE, "b")
            order.append("b may put")

        nursery.start_soon(second)
        nursery.start_soon(third)
        await trio.sleep(0.1)
        assert order == []
        kernel.held.set()
    assert order == ["b may put"] * 2
    assert [offset for _, offset, _ in kernel.put] == [0], "the rest of a is not put any more"


async def test_pages_are_dropped_between_two_calls(kernel: Kernel, pages: KernelPages) -> None:
    holder = await pages.of(ONE, "a")
    kernel.held.clear()
    dropped: list[int] = []

    def drop() -> None:
        with pages.quiet(ONE):
            dropped.append(len(kernel.put))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, holder, 0, 4096, 8192)
        await wait_entered(kernel)
        pages.revoke(ONE)
        nursery.start_soon(trio.to_thread.run_sync, drop)
        await trio.sleep(0.1)
        assert dropped == []
        kernel.held.set()
    assert dropped == [1], "after the call under way, and no page follows"
    assert len(kernel.put) == 1


async def test_closed_while_a_call_is_under_way(kernel: Kernel, pages: KernelPages) -> None:
    first = await pages.of(ONE, "a")
    kernel.held.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, first, 0)
        await wait_entered(kernel)
        pages.closed(ONE)
        with trio.move_on_after(0.1) as scope:
            await pages.of(ONE, "b")
        assert scope.cancelled_caught, "the next content has to wait for it all the same"
        kernel.held.set()
    assert await put(await pages.of(ONE, "b"), 0)


async def test_a_cancelled_stream_does_not_wait_for_its_call(kernel: Kernel, pages: KernelPages) -> None:
    holder = await pages.of(ONE, "a")
    kernel.held.clear()
    with trio.move_on_after(0.1) as scope:
        await put(holder, 0)
    assert scope.cancelled_caught
    ended = False
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            nonlocal ended
            await pages.end()
            ended = True

        nursery.start_soon(end)
        await trio.sleep(0.1)
        assert not ended, "the end waits until no thread is in the kernel"
        kernel.held.set()
    assert ended


async def test_an_inode_that_the_kernel_has_forgotten(kernel: Kernel, pages: KernelPages) -> None:
    holder = await pages.of(ONE, "a")
    kernel.fails = FileNotFoundError()
    assert not await put(holder, 0)
    kernel.fails = None
    again = await pages.of(ONE, "a")
    assert again is not holder
    assert await put(again, 0)
