"""The brake against a plain model, and rule by rule. Times are made up."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mediafs.writing import Brake
from mediafs.writing.brake import HOUR_S, QUIET_S

NOW = 1_700_000_000.0


def erase(brake: Brake, now: float) -> bool:
    """One deletion that the service carries out at once, if the brake lets it."""
    if not brake.attempt(now):
        return False
    brake.carried_out(now)
    return True


def restarted(brake: Brake, now: float, limit: int | None = None) -> Brake:
    again = Brake(brake.limit if limit is None else limit)
    again.restore(json.loads(json.dumps(brake.export())), now)
    return again


def test_a_hundred_go_and_the_next_does_not() -> None:
    brake = Brake(100)
    assert [erase(brake, NOW + n) for n in range(150)] == [True] * 100 + [False] * 50
    assert brake.latched
    assert brake.left(NOW + 150) == 0


def test_without_a_limit_all_go() -> None:
    brake = Brake(0)
    assert all(erase(brake, NOW) for _ in range(1000))
    assert not brake.latched
    assert brake.done(NOW) == 1000


def test_slow_deletions_never_meet_the_brake() -> None:
    brake = Brake(100)
    assert all(erase(brake, NOW + n * 36.0) for n in range(1000))


def test_what_is_under_way_counts_until_it_came_to_nothing() -> None:
    brake = Brake(2)
    assert brake.attempt(NOW)
    assert brake.attempt(NOW)
    assert brake.left(NOW) == 0
    brake.came_to_nothing()
    assert brake.left(NOW) == 1
    assert brake.done(NOW) == 0


def test_once_tripped_it_stays_so_although_the_hour_passes() -> None:
    brake = Brake(1)
    erase(brake, NOW)
    for n in range(1, 200):  # somebody tries every minute for more than three hours
        assert not erase(brake, NOW + n * 60)


def test_ten_quiet_minutes_release_it() -> None:
    brake = Brake(1)
    erase(brake, NOW)
    assert not erase(brake, NOW + HOUR_S - 1)
    assert not erase(brake, NOW + HOUR_S - 1 + QUIET_S - 1), "nine minutes are not ten"
    assert erase(brake, NOW + 2 * HOUR_S)


def test_quiet_alone_does_not_make_room_within_the_hour() -> None:
    brake = Brake(1)
    erase(brake, NOW)
    assert not erase(brake, NOW + 1)
    assert not erase(brake, NOW + 1 + QUIET_S)


def test_a_grant_lets_so_many_more_go() -> None:
    brake = Brake(2)
    assert [erase(brake, NOW) for _ in range(3)] == [True, True, False]
    brake.grant(3, NOW)
    assert [erase(brake, NOW) for _ in range(4)] == [True, True, True, False]


def test_a_grant_is_of_no_use_after_an_hour() -> None:
    brake = Brake(1)
    brake.grant(5, NOW)
    later = NOW + HOUR_S
    assert [erase(brake, later) for _ in range(2)] == [True, False]


def test_a_grant_on_top_of_room_adds_to_it() -> None:
    brake = Brake(2)
    brake.grant(1, NOW)
    assert [erase(brake, NOW) for _ in range(4)] == [True, True, True, False]


def test_it_is_kept_over_a_restart() -> None:
    brake = Brake(3)
    assert [erase(brake, NOW) for _ in range(4)] == [True, True, True, False]
    again = restarted(brake, NOW + 60)
    assert again.latched
    assert not erase(again, NOW + 60)
    again.grant(1, NOW + 60)
    third = restarted(again, NOW + 61)
    assert [erase(third, NOW + 61) for _ in range(2)] == [True, False]


def test_a_new_limit_holds_for_what_was_deleted_under_the_old_one() -> None:
    brake = Brake(0)
    for _ in range(50):
        erase(brake, NOW)
    assert not erase(restarted(brake, NOW + 1, limit=50), NOW + 1)


def test_what_an_earlier_process_left_unknown_counts() -> None:
    brake = Brake(1)
    brake.count_unknown(NOW)
    assert not erase(brake, NOW)


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_was_turned_back_neither_frees_nor_holds_for_longer_than_an_hour(restart: bool) -> None:
    brake = Brake(2)
    assert [erase(brake, NOW) for _ in range(3)] == [True, True, False]
    before = NOW - 86_400
    if restart:
        brake = restarted(brake, before)
    assert not erase(brake, before)
    assert not erase(brake, before + QUIET_S - 1)
    assert erase(brake, before + HOUR_S + QUIET_S)


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_was_turned_back_does_not_draw_out_a_grant(restart: bool) -> None:
    brake = Brake(1)
    brake.grant(5, NOW)
    before = NOW - 86_400
    brake = restarted(brake, before) if restart else brake
    assert erase(brake, before)
    later = before + HOUR_S + 1
    assert [erase(brake, later) for _ in range(2)] == [True, False]


def test_stopping_needs_a_word_or_quiet() -> None:
    brake = Brake(5)
    brake.stop(NOW)
    assert not erase(brake, NOW + 1)
    brake.grant(1, NOW + 2)
    assert erase(brake, NOW + 2)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"done": "x", "granted": "many", "granted_until": None, "last_attempt": [], "latched": "yes"},
        {"done": [None, "x", True, float("nan"), {}], "granted": -5, "granted_until": float("inf")},
        {"granted": True, "granted_until": 1e300, "last_attempt": -1e300},
        {"granted": 10**30, "granted_until": NOW + 5},
    ],
)
def test_a_state_that_cannot_be_right_grants_nothing(state: dict[str, object]) -> None:
    brake = Brake(10)
    brake.restore(state, NOW)
    assert brake.left(NOW) <= 10
    broken = state.get("done")
    assert brake.done(NOW) == (len(broken) if isinstance(broken, list) else 0), (
        "what is no time counts as now"
    )


class Model(RuleBasedStateMachine):
    """A second account of the rules, as plain as can be: lists and one number."""

    @initialize(limit=st.integers(1, 4))
    def begin(self, limit: int) -> None:
        self.brake = Brake(limit)
        self.limit = limit
        self.now = NOW
        self.done: list[float] = []
        self.under_way = 0
        self.grants: list[tuple[float, int]] = []
        self.latched = False
        self.attempted = -1e18
        self.credit, self.credit_until = 0, 0.0

    def recent(self) -> int:
        return sum(self.now - each < HOUR_S for each in self.done)

    def room(self) -> int:
        credit = self.credit if self.now < self.credit_until else 0
        return max(0, self.limit - self.recent()) + credit - self.under_way

    @rule(seconds=st.sampled_from([0.0, 1.0, 59.0, QUIET_S - 1, QUIET_S, 1800.0, HOUR_S - 1, HOUR_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def attempt(self) -> None:
        if self.latched and self.now - self.attempted >= QUIET_S:
            self.latched = False
        self.attempted = self.now
        wanted = not self.latched and self.room() > 0
        self.latched = self.latched or not wanted
        assert self.brake.attempt(self.now) is wanted
        self.under_way += wanted

    @rule()
    def the_service_did_it(self) -> None:
        if self.under_way:
            self.brake.carried_out(self.now)
            self.carried_out()
            self.under_way -= 1

    def carried_out(self) -> None:
        self.credit -= bool(self.recent() >= self.limit and self.credit)
        self.done.append(self.now)

    @rule()
    def the_service_did_not(self) -> None:
        if self.under_way:
            self.brake.came_to_nothing()
            self.under_way -= 1

    @rule(count=st.integers(1, 3))
    def grant(self, count: int) -> None:
        self.brake.grant(count, self.now)
        self.latched = False
        self.credit = count + (self.credit if self.now < self.credit_until else 0)
        self.credit_until = self.now + HOUR_S
        self.grants.append((self.now, count))

    @rule()
    def restart(self) -> None:
        """A crash: what was under way ended unseen, and counts."""
        self.brake = restarted(self.brake, self.now)
        for _ in range(self.under_way):
            self.brake.count_unknown(self.now)
            self.carried_out()
        self.under_way = 0

    @invariant()
    def they_agree(self) -> None:
        assert self.brake.latched is self.latched
        assert self.brake.left(self.now) == self.room()
        assert self.brake.done(self.now) == self.recent()

    @invariant()
    def no_hour_has_seen_more_than_the_limit_and_what_was_granted(self) -> None:
        for end in self.done:
            within = sum(end - HOUR_S < each <= end for each in self.done)
            granted = sum(count for at, count in self.grants if at <= end)
            assert within <= self.limit + granted


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBrakeAgainstAModel = Model.TestCase
