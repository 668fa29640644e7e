"""The one table, the guard around every handler, and what is logged."""

from __future__ import annotations

import errno
import inspect
import logging
from collections.abc import Iterator

import pyfuse3
import pytest
import trio

from mediafs import errors
from mediafs.mount.errnos import ERRNO, FailureLog, explained_errno
from mediafs.mount.guard import Deadlines, Running, Wait, guarded
from mediafs.mount.operations import MountedTree


def _leaves(kind: type[errors.MediafsError]) -> Iterator[type[errors.MediafsError]]:
    for sub in kind.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield sub
            yield from _leaves(sub)


def test_every_error_of_the_domain_is_in_the_table() -> None:
    assert set(_leaves(errors.MediafsError)) | {trio.TooSlowError} == set(ERRNO)


def test_a_new_kind_has_the_errno_of_its_nearest_ancestor() -> None:
    class MoreThanDenied(errors.CredentialsRefused):
        pass

    assert explained_errno(MoreThanDenied("x")) == errno.EACCES


def test_no_answer_tells_the_kernel_never_to_ask_again() -> None:
    assert errno.ENOSYS not in ERRNO.values()


def test_every_handler_of_pyfuse3_is_ours_and_guarded() -> None:
    by_itself = {"init", "forget", "stacktrace"}
    handlers = {
        name
        for name, member in vars(pyfuse3.Operations).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }

    unguarded = {name for name in handlers if not hasattr(vars(MountedTree).get(name), "__wrapped__")}
    assert unguarded == by_itself


class Handlers:
    """Stands in for the operations: one handler that does what the test says."""

    def __init__(self) -> None:
        self.deadlines = Deadlines(quick_s=5, list_s=7, read_s=9)
        self.failures = FailureLog(trio.current_time)
        self.running = Running()

    @guarded(Wait.QUICK)
    async def fail(self, error: BaseException) -> None:
        raise error

    @guarded(Wait.READ)
    async def wait(self) -> None:
        await trio.sleep_forever()

    @guarded(Wait.QUICK)
    async def fail_inside(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise errors.NotFound("x")


async def _errno(error: BaseException) -> int:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await Handlers().fail(error)
    return caught.value.errno


async def test_an_error_in_groups_is_itself() -> None:
    grouped = ExceptionGroup("", [ExceptionGroup("", [errors.Changed("x")])])

    assert await _errno(grouped) == errno.ESTALE


async def test_a_bug_beside_an_explained_error_is_what_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert await _errno(ExceptionGroup("", [errors.NotFound("x"), KeyError("y")])) == errno.EIO
    assert "KeyError" in caplog.text


async def test_the_error_of_an_inner_nursery_is_itself() -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await Handlers().fail_inside()
    assert caught.value.errno == errno.ENOENT


async def test_what_does_not_end_is_timed_out_at_the_deadline_of_its_kind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.current_time()
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await Handlers().wait()

    assert caught.value.errno == errno.ETIMEDOUT
    assert trio.current_time() - began == 9


async def test_cancellation_from_outside_passes(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(1) as scope:
        await Handlers().wait()
    assert scope.cancelled_caught


async def test_once_refused_all_that_waits_and_comes_is_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    handlers, codes = Handlers(), list[int]()

    async def ask() -> None:
        with pytest.raises(pyfuse3.FUSEError) as caught:
            await handlers.wait()
        codes.append(caught.value.errno)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        handlers.running.refuse()
        await handlers.running.wait_none()
        nursery.start_soon(ask)
    assert codes == [errno.ENOTCONN, errno.ENOTCONN]


def test_a_dead_network_is_one_line_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    failures = FailureLog(lambda: now)
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            failures.errno_of("read", errors.Unavailable("no route to the service"))
        now = 31.0
        failures.errno_of("read", errors.Unavailable("no route to the service"))

    assert caplog.messages == [
        "read: no route to the service",
        "read: no route to the service (and 999 more like it before)",
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_ordinary_answers_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(lambda: 0.0)
    with caplog.at_level(logging.INFO):
        for error in (errors.NotFound("x"), errors.NoAttribute("x"), errors.ReadOnly("x")):
            failures.errno_of("lookup", error)
    assert caplog.messages == []
