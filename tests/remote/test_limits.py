"""The queue before the service's rate limit, under a clock of the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from mediafs.errors import Late
from mediafs.model import Urgency
from mediafs.remote.limits import Limiter
from mediafs.remote.pace import Pacer
from mediafs.remote.window import Window
from mediafs.vendors.protocol import Pace

EPOCH = 1_700_000_000.0


def limiter(requests_per_minute: int = 0, documented: int | None = 10) -> Limiter:
    return Limiter(
        requests_per_minute=requests_per_minute,
        documented=documented,
        wall=lambda: EPOCH + trio.current_time(),
    )


async def spend(
    limits: Limiter,
    headers: Mapping[str, str] | None = None,
    status: int = 200,
    urgency: Urgency = Urgency.PERSON,
    operation: str = "list",
) -> float:
    """One request that is answered at once; when it went out."""
    turn = await limits.turn(urgency, operation)
    sent = trio.current_time()
    turn.answered(status, headers or {})
    return sent


class Service:
    """A reference rate limit: rolling or fixed windows of a minute, answering as services do."""

    def __init__(self, limit: int, mode: Literal["rolling", "fixed"], said: frozenset[str]) -> None:
        self.limit, self.mode, self.said = limit, mode, said
        self.times: list[float] = []
        self.refused = 0

    def answer(self) -> tuple[int, dict[str, str]]:
        now = trio.current_time()
        if self.mode == "rolling":
            inside = [t for t in self.times if t > now - 60]
            reset = (inside[0] + 60 - now) if inside else 60.0
        else:
            inside = [t for t in self.times if t // 60 == now // 60]
            reset = 60 - now % 60
        allowed = len(inside) < self.limit
        if allowed:
            self.times.append(now)
        else:
            self.refused += 1
        headers = {}
        if "remaining" in self.said:
            headers["x-ratelimit-remaining"] = str(max(0, self.limit - len(inside) - 1))
        if "reset" in self.said or not allowed:
            headers["x-ratelimit-reset"] = str(int(reset))  # rounded down, as services do
        return (200 if allowed else 429), headers


async def test_a_service_that_shows_no_limit_is_not_paced(autojump_clock: MockClock) -> None:
    limits = limiter()
    for _ in range(50):
        assert await spend(limits) == trio.current_time()
    assert trio.current_time() == 0
    assert limits.statistics().left is None


async def test_the_operators_number_is_kept_as_a_rolling_minute(autojump_clock: MockClock) -> None:
    limits = limiter(requests_per_minute=3)
    sent = []
    for _ in range(9):
        sent.append(await spend(limits))
        await trio.sleep(5)
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[3:], strict=False))
    assert sent[3] == 60


async def test_a_429_stops_everyone_until_its_reset(autojump_clock: MockClock) -> None:
    limits = limiter(documented=None)
    await spend(limits, {"x-ratelimit-reset": "30"}, status=429)
    assert limits.statistics().left == 0
    assert limits.statistics().throttled_until == EPOCH + 31
    for urgency in Urgency:
        assert limits.wait_s(urgency) == 31
    assert await spend(limits) == 31


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "30"},
        {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"},
        {"retry-after": "2023-11-14T22:13:50Z"},
        {"x-ratelimit-reset": "30"},
        {"x-ratelimit-reset": "1700000030"},
    ],
)
async def test_every_form_of_a_429_is_waited_for(headers: dict[str, str], autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, headers, status=429)
    assert await spend(limits) == 31


async def test_a_429_that_states_nothing_is_waited_for_a_minute(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, status=429)
    assert await spend(limits) == 60


@pytest.mark.parametrize("kind", ["QPS", "Daily-limit"])
async def test_a_count_of_a_second_or_a_day_is_not_taken_for_a_minutes(
    kind: str, autojump_clock: MockClock
) -> None:
    """Zoom's headers: 20 a second would be kept as 20 a minute."""
    limits = limiter(documented=None)
    headers = {"x-ratelimit-type": kind, "x-ratelimit-limit": "20", "x-ratelimit-remaining": "0"}
    assert [await spend(limits, headers, urgency=Urgency.BACKGROUND) for _ in range(50)] == [0.0] * 50


async def test_a_429_by_the_second_that_states_nothing_is_waited_for_a_second(
    autojump_clock: MockClock,
) -> None:
    limits = limiter(documented=None)
    await spend(limits, {"x-ratelimit-type": "QPS", "x-ratelimit-limit": "20"}, status=429)
    assert await spend(limits) == pytest.approx(1.0)
    assert await spend(limits) == pytest.approx(1.0)


async def test_a_wait_beyond_the_deadline_is_told_at_once(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, {"x-ratelimit-reset": "30"}, status=429)
    with trio.fail_after(15), pytest.raises(Late) as caught:
        await limits.turn(Urgency.PERSON, "get")
    assert trio.current_time() == 0
    assert caught.value.wait_s == 31
    assert limits.statistics().waiting == 0


async def test_a_turn_in_a_cancelled_scope_is_a_cancellation_and_not_late(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, {"x-ratelimit-reset": "30"}, status=429)
    with trio.CancelScope() as scope:
        scope.cancel()
        await limits.turn(Urgency.PERSON, "get")
    assert scope.cancelled_caught


async def test_nothing_left_waits_for_the_stated_reset(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"})
    assert (limits.statistics().left, limits.statistics().reset_in_s) == (0, 21)
    assert await spend(limits) == 21


async def test_requests_on_their_way_count_against_what_is_left(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, {"x-ratelimit-remaining": "2", "x-ratelimit-reset": "40"})
    await limits.turn(Urgency.PERSON, "get")
    await limits.turn(Urgency.PERSON, "get")
    with trio.move_on_after(30), pytest.raises(trio.Cancelled):
        await limits.turn(Urgency.PERSON, "get")


async def test_answers_out_of_order_neither_raise_nor_lower_what_is_left(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "40"})
    turns = [await limits.turn(Urgency.PERSON, "get") for _ in range(3)]
    for turn, remaining in zip(turns, ("6", "8", "7"), strict=True):
        turn.answered(200, {"x-ratelimit-remaining": remaining, "x-ratelimit-reset": "40"})
    assert limits.statistics().left == 6


async def test_a_request_without_an_answer_counts_too(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, {"x-ratelimit-remaining": "5", "x-ratelimit-reset": "40"})
    turn = await limits.turn(Urgency.PERSON, "get")
    turn.lost()
    turn.lost()
    turn.answered(200, {"x-ratelimit-remaining": "50"})
    assert limits.statistics().left == 4


async def test_the_last_three_requests_of_a_window_are_a_persons(autojump_clock: MockClock) -> None:
    limits = limiter()
    for remaining in range(9, 2, -1):
        headers = {"x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": "40"}
        assert await spend(limits, headers, urgency=Urgency.BACKGROUND) == 0
    with trio.fail_after(30):
        for urgency in (Urgency.BACKGROUND, Urgency.PREFETCH):
            with pytest.raises(Late):
                await limits.turn(urgency, "list")
        for remaining in (2, 1, 0):
            await spend(limits, {"x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": "40"})
        with pytest.raises(Late):
            await limits.turn(Urgency.PERSON, "list")


async def test_the_last_three_are_a_persons_in_the_operators_window_too(autojump_clock: MockClock) -> None:
    limits = limiter(requests_per_minute=10)
    assert [await spend(limits, urgency=Urgency.BACKGROUND) for _ in range(8)] == [0] * 7 + [60]


async def test_even_one_request_a_minute_leaves_the_background_something(autojump_clock: MockClock) -> None:
    limits = limiter(requests_per_minute=1)
    assert [await spend(limits, urgency=Urgency.BACKGROUND) for _ in range(2)] == [0, 60]


async def test_a_person_goes_before_who_waited_longer(autojump_clock: MockClock) -> None:
    limits = limiter(requests_per_minute=1)
    await spend(limits)
    order: list[Urgency] = []

    async def one(urgency: Urgency) -> None:
        await spend(limits, urgency=urgency)
        order.append(urgency)

    async with trio.open_nursery() as nursery:
        for urgency in (Urgency.BACKGROUND, Urgency.PERSON):
            nursery.start_soon(one, urgency)
    assert order == [Urgency.PERSON, Urgency.BACKGROUND]


async def test_what_is_fetched_ahead_never_waits(autojump_clock: MockClock) -> None:
    limits = limiter(requests_per_minute=10)
    for _ in range(7):
        assert await spend(limits, urgency=Urgency.PREFETCH) == 0
    with pytest.raises(Late):
        await limits.turn(Urgency.PREFETCH, "get")
    assert limits.statistics().waiting == 0
    assert await spend(limits) == 0


async def test_who_stops_waiting_makes_room(autojump_clock: MockClock) -> None:
    limits = limiter(requests_per_minute=1)
    await spend(limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.turn, Urgency.PERSON, "get")
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert limits.statistics().waiting == 0
    assert await spend(limits) == 60


async def test_statistics_tell_who_spent_what(autojump_clock: MockClock) -> None:
    limits = limiter(requests_per_minute=10)
    await spend(limits)
    await spend(limits, urgency=Urgency.BACKGROUND, operation="download")
    told = limits.statistics()
    assert dict(told.spent) == {Urgency.PERSON: 1, Urgency.BACKGROUND: 1}
    assert dict(told.spent_by_operation) == {"list": 1, "download": 1}
    assert told.left == 8


async def test_what_was_spent_today_is_counted_over_restarts_until_midnight(
    autojump_clock: MockClock,
) -> None:
    before = limiter()
    await spend(before)
    await spend(before, urgency=Urgency.BACKGROUND, operation="download")
    after = limiter()
    await spend(after)  # before it has heard of the other
    after.restore(json.loads(json.dumps(before.export())))
    told = after.statistics()
    assert dict(told.spent) == {Urgency.PERSON: 1}
    assert dict(told.today) == {Urgency.PERSON: 2, Urgency.BACKGROUND: 1}
    assert dict(told.today_by_operation) == {"list": 2, "download": 1}
    await trio.sleep(86400)
    assert (dict(after.statistics().today), dict(after.statistics().spent)) == ({}, {Urgency.PERSON: 1})
    tomorrow = limiter()
    tomorrow.restore(json.loads(json.dumps(before.export())) | {"today": before._today.export()})
    assert dict(tomorrow.statistics().today) == {}


@pytest.mark.parametrize("mode", ["rolling", "fixed"])
@pytest.mark.parametrize("said", [set(), {"remaining"}, {"remaining", "reset"}])
async def test_once_the_limit_is_known_no_second_429_comes(
    mode: Literal["rolling", "fixed"], said: set[str], autojump_clock: MockClock
) -> None:
    service, limits = Service(10, mode, frozenset(said)), limiter()

    async def worker(urgency: Urgency) -> None:
        for _ in range(12):
            turn = await limits.turn(urgency, "list")
            await trio.sleep(0.1)
            status, headers = service.answer()
            await trio.sleep(0.2)
            turn.answered(status, headers)

    await trio.sleep(33)
    for _ in range(12 if not said else 1):  # let it show itself
        status, headers = service.answer()
        turn = await limits.turn(Urgency.PERSON, "list")
        turn.answered(status, headers)
        if status == 429:
            break
    service.refused = 0
    async with trio.open_nursery() as nursery:
        for urgency in (Urgency.PERSON, Urgency.PERSON, Urgency.BACKGROUND, Urgency.BACKGROUND):
            nursery.start_soon(worker, urgency)
    assert service.refused == 0
    assert trio.current_time() < 60 * 16  # 48 requests at 10 a minute, with room for a person


# --- a limit that shows once ---------------------------------------------------------------------------

MINUTES = 60.0
DAY_S = 86_400.0


async def pace(limits: Limiter, requests: int = 11) -> float:
    """How long so many requests of a person take that are answered at once, with no numbers."""
    began = trio.current_time()
    for _ in range(requests):
        await spend(limits)
    return trio.current_time() - began


async def stray(limits: Limiter) -> None:
    """A 429 that states nothing, and the wait after it."""
    await spend(limits, status=429)
    assert await pace(limits, 1) == 60


async def test_a_stray_429_does_not_pace_the_account_for_ever(autojump_clock: MockClock) -> None:
    limits = limiter()
    await stray(limits)
    await trio.sleep(9 * MINUTES)
    assert await pace(limits) == 60, "nine minutes after the wait"
    await pace(limits, 1)
    assert await pace(limits, 50) == 0
    assert limits.statistics().left is None


async def test_only_an_answer_without_numbers_ends_the_pacing(autojump_clock: MockClock) -> None:
    limits = limiter()
    await stray(limits)
    await trio.sleep(30 * MINUTES)
    # Nothing was asked meanwhile, so nothing was learnt: ten may go out, and no more.
    turns = [await limits.turn(Urgency.PERSON, "get") for _ in range(10)]
    with trio.fail_after(30), pytest.raises(Late):
        await limits.turn(Urgency.PERSON, "get")
    turns[0].answered(503, {})
    turns[1].lost()
    assert limits.statistics().left == 0
    turns[2].answered(200, {})
    assert limits.statistics().left is None
    await limits.turn(Urgency.PERSON, "get")


async def test_a_remaining_without_a_reset_is_a_sign_of_the_limit(autojump_clock: MockClock) -> None:
    limits = limiter()
    for left in (9, 8, 7):
        await spend(limits, {"x-ratelimit-remaining": str(left)})
        await trio.sleep(9 * MINUTES)
    assert await pace(limits) == 60
    await trio.sleep(10 * MINUTES)
    await pace(limits, 1)
    assert await pace(limits, 50) == 0


async def test_the_wait_of_a_429_is_not_counted(autojump_clock: MockClock) -> None:
    limits = limiter()
    await spend(limits, {"retry-after": "3600"}, status=429)
    assert await pace(limits, 1) == 3601
    assert await pace(limits) == 60


async def test_a_limit_that_is_on_is_met_ever_more_seldom(autojump_clock: MockClock) -> None:
    service, limits = Service(10, "rolling", frozenset()), limiter()
    refused_at: list[float] = []
    answered = 0
    while trio.current_time() < 5 * DAY_S:
        turn = await limits.turn(Urgency.PERSON, "list")
        status, _ = service.answer()
        turn.answered(status, {})
        if status == 429:
            refused_at.append(trio.current_time())
        answered += status == 200
        del service.times[:-20]
        await trio.sleep(0.5)
    apart = [(later - earlier) / 60 for earlier, later in pairwise(refused_at)]
    for found, lapse in zip(apart, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440], strict=True):
        assert lapse <= found <= lapse + 4
    assert answered > 0.99 * 10 * 5 * 1440, "and next to nothing is lost by it"


async def test_after_a_day_without_one_a_429_is_a_stray_one_again(autojump_clock: MockClock) -> None:
    limits = limiter()
    for pause_min in (10, 20, 10):  # the third comes after a day, and counts for the least again
        await stray(limits)
        await trio.sleep((pause_min - 1) * MINUTES)
        assert await pace(limits) == 60
        await trio.sleep(1 * MINUTES)
        await pace(limits, 1)
        assert await pace(limits, 50) == 0
        if pause_min == 20:
            await trio.sleep(DAY_S)


async def test_how_long_the_pacing_lasts_survives_a_restart(autojump_clock: MockClock) -> None:
    def restarted(before: Limiter) -> Limiter:
        after = limiter()
        after.restore(json.loads(json.dumps(before.export())))
        return after

    limits = limiter()
    await stray(limits)
    await trio.sleep(9 * MINUTES)
    limits = restarted(limits)
    assert await pace(limits) == 60
    limits = restarted(limits)
    await pace(limits, 1)
    assert await pace(limits, 50) == 0
    limits = restarted(limits)
    assert await pace(limits, 50) == 0
    await stray(limits)
    await trio.sleep(1 * MINUTES)
    limits = restarted(limits)
    await trio.sleep(17 * MINUTES)
    assert await pace(limits) == 60, "twice as long"
    await trio.sleep(2 * MINUTES)
    await pace(limits, 1)
    assert await pace(limits, 50) == 0


async def test_what_has_not_changed_is_exported_alike(autojump_clock: MockClock) -> None:
    """Two clocks are never read at quite the same moment."""
    late_s = 0.0
    limits = Limiter(documented=10, wall=lambda: EPOCH + trio.current_time() + late_s)
    await trio.sleep(0.4)
    await stray(limits)
    await trio.sleep(2 * MINUTES)
    first = limits.export()
    late_s = 0.001
    assert limits.export() == first


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 12),
    st.sampled_from(["rolling", "fixed"]),
    st.lists(st.tuples(st.floats(0, 30), st.sampled_from(Urgency), st.floats(0, 3)), min_size=5, max_size=25),
)
def test_a_service_that_counts_aloud_never_has_to_refuse(
    limit: int, mode: Literal["rolling", "fixed"], requests: list[tuple[float, Urgency, float]]
) -> None:
    async def run() -> int:
        service, limits = Service(limit, mode, frozenset({"remaining", "reset"})), limiter()
        turn = await limits.turn(Urgency.PERSON, "list")
        turn.answered(*service.answer())

        async def one(urgency: Urgency, latency_s: float) -> None:
            try:
                turn = await limits.turn(urgency, "list")
            except Late:
                assert urgency is Urgency.PREFETCH
                return
            await trio.sleep(latency_s / 2)
            answer = service.answer()
            await trio.sleep(latency_s / 2)
            turn.answered(*answer)

        async with trio.open_nursery() as nursery:
            for pause_s, urgency, latency_s in requests:
                await trio.sleep(pause_s)
                nursery.start_soon(one, urgency, latency_s)
        return service.refused

    assert trio.run(run, clock=MockClock(autojump_threshold=0)) == 0


HEADS = st.sampled_from(
    [
        (200, {}),
        (500, {}),
        (429, {}),
        (429, {"retry-after": "20"}),
        *((200, {"x-ratelimit-remaining": str(left)}) for left in (0, 1, 5, 40)),
        *((200, {"x-ratelimit-remaining": str(n), "x-ratelimit-reset": "30"}) for n in (0, 1, 4, 9)),
    ]
)


@given(
    st.sampled_from([0, 1, 4, 12]),
    st.sampled_from([None, 1, 10]),
    st.sampled_from([None, Pace(per_second=5, parallel=4), Pace(per_second=2, parallel=8)]),
    st.lists(st.tuples(st.sampled_from([0.0, 0.4, 15.0, 61.0, 700.0]), st.none() | HEADS), max_size=30),
)
def test_what_is_to_spare_is_what_may_go_now(
    explicit: int,
    documented: int | None,
    pace: Pace | None,
    events: list[tuple[float, tuple[int, dict[str, str]] | None]],
) -> None:
    """`None` of an event sends a request; a head answers one that is under way."""
    window, pacer, now = Window(explicit=explicit, documented=documented), Pacer(pace), 0.0
    for pause_s, head in events:
        now += pause_s
        if head is None:
            window.sent()
            pacer.sent(now)
        elif window.in_flight:
            window.answered(now, EPOCH + now, now - 0.1, *head)
        for urgency in Urgency:
            for ahead in (0, 2):
                spare = window.spare(urgency, ahead, now)
                for more in range(20):
                    goes = window.verdict(urgency, ahead + more, now).ready
                    assert goes == (spare is None or more < spare), (urgency, ahead, more, spare)
        paced = pacer.spare(window.in_flight, 0, now)
        assert (paced is None) == (pace is None)
        assert pacer.verdict(window.in_flight, 0, now).ready == (paced is None or paced > 0)


async def test_what_is_to_spare_leaves_a_person_the_last_three_and_heeds_the_pace(
    autojump_clock: MockClock,
) -> None:
    limits = limiter()
    assert limits.spare(Urgency.PREFETCH) is None
    await spend(limits, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "40"})
    assert (limits.spare(Urgency.PERSON), limits.spare(Urgency.PREFETCH)) == (9, 6)
    await limits.turn(Urgency.PREFETCH, "get")
    assert limits.spare(Urgency.PREFETCH) == 5
    limits = Limiter(pace=Pace(per_second=5, parallel=4))
    assert (limits.spare(Urgency.PERSON), limits.spare(Urgency.PREFETCH)) == (4, 3)
    for left in (4, 3, 2, 1, 0):
        await spend(limits)
        assert (limits.spare(Urgency.PERSON), limits.spare(Urgency.PREFETCH)) == (left, max(left - 1, 0))
    await trio.sleep(1)
    assert limits.spare(Urgency.PREFETCH) == 3


async def test_what_is_known_survives_a_restart(autojump_clock: MockClock) -> None:
    before = limiter()
    await spend(before, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"})
    await trio.sleep(5)
    after = limiter()
    after.restore(json.loads(json.dumps(before.export())))
    assert await spend(after) == 21


async def test_a_429_survives_a_restart(autojump_clock: MockClock) -> None:
    before = limiter()
    await spend(before, {"retry-after": "50"}, status=429)
    after = limiter()
    after.restore(json.loads(json.dumps(before.export())))
    assert await spend(after) == 51


async def test_the_operators_minute_survives_a_restart(autojump_clock: MockClock) -> None:
    before = limiter(requests_per_minute=2)
    await spend(before)
    await before.turn(Urgency.PERSON, "list")  # still on its way when the process ended
    after = limiter(requests_per_minute=2)
    after.restore(json.loads(json.dumps(before.export())))
    assert await spend(after) == 60


nonsense = st.none() | st.dictionaries(
    st.sampled_from(["PERSON", "list"]), st.integers() | st.floats() | st.none() | st.booleans()
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("format", "throttled_until", "feeling", "paced", "shown", "lapse_s", "lapsed"),
                *("remaining", "ends", "most", "done", "today"),
            ]
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.floats() | st.none() | st.integers())
        | st.fixed_dictionaries(
            {"day": st.just("2023-11-14"), "by_urgency": nonsense, "by_operation": nonsense}
        ),
    ).map(lambda state: state | {"format": 1})
)
@settings(deadline=None)
def test_nonsense_in_a_snapshot_does_not_stop_the_account(state: dict[str, object]) -> None:
    async def run() -> None:
        limits = limiter(requests_per_minute=1)
        limits.restore(state)
        with trio.fail_after(2 * 86400 + 200):
            await spend(limits)
            await spend(limits)
        json.dumps(limits.export())

    trio.run(run, clock=MockClock(autojump_threshold=0))
