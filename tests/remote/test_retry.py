"""Whether and when a request is sent again: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.remote.retry import (
    GRAIN_S,
    LONGEST_STATED_S,
    Failure,
    GiveUp,
    RetryOptions,
    Wait,
    decide,
    stated_wait_s,
)

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def asked(attempt: int = 1, failure: Failure = Failure.SERVER, **facts: object) -> Wait | GiveUp:
    known: dict[str, object] = {
        "idempotent": True,
        "stated_wait_s": None,
        "left_s": 15.0,
        "jitter": 1.0,
    } | facts
    return decide(RetryOptions(), attempt=attempt, failure=failure, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", list(Failure))
def test_only_idempotent_requests_are_sent_again(failure: Failure) -> None:
    assert isinstance(asked(failure=failure), Wait)
    assert asked(failure=failure, idempotent=False) == GiveUp()


def test_three_tries_and_then_no_more() -> None:
    assert [type(asked(attempt)) for attempt in (1, 2, 3)] == [Wait, Wait, GiveUp]


def test_waits_double_and_jitter_takes_up_to_half_away() -> None:
    assert [asked(1), asked(2)] == [Wait(0.5), Wait(1.0)]
    assert asked(1, jitter=0.0) == Wait(0.25)


def test_a_stated_wait_is_kept_exactly() -> None:
    assert asked(stated_wait_s=7.0, jitter=0.3) == Wait(7.0)


def test_a_wait_beyond_the_deadline_fails_at_once_and_says_how_long_it_was() -> None:
    assert asked(stated_wait_s=16.0) == GiveUp(16.0)


@given(
    st.integers(1, 10**6),
    st.sampled_from(Failure),
    st.none() | st.floats(-1e9, 1e9),
    st.floats(0, 1e6),
    st.floats(0, 1),
)
def test_no_wait_is_negative_or_beyond_the_deadline(
    attempt: int, failure: Failure, stated: float | None, left_s: float, jitter: float
) -> None:
    match asked(attempt, failure, stated_wait_s=stated, left_s=left_s, jitter=jitter):
        case Wait(seconds):
            assert 0 <= seconds < left_s


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30 + GRAIN_S),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-5"}, GRAIN_S),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60 + GRAIN_S),
        ({"retry-after": "2023-11-14T22:14:20Z"}, 60 + GRAIN_S),
        ({"retry-after": "2023-11-14T23:14:20+01:00"}, 60 + GRAIN_S),
        ({"retry-after": "2023-11-14T22:14:20Z", "date": "Tue, 14 Nov 2023 22:14:00 GMT"}, 20 + GRAIN_S),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Foo"}, None),
        ({"x-ratelimit-reset": "42"}, 42 + GRAIN_S),
        ({"x-ratelimit-reset": "1700000042"}, 42 + GRAIN_S),
        ({"x-ratelimit-reset": "1600000000"}, GRAIN_S),
        ({"x-ratelimit-reset": "999999"}, LONGEST_STATED_S),
        ({"retry-after": "3", "x-ratelimit-reset": "42"}, 42 + GRAIN_S),
        ({"retry-after": "9" * 15}, LONGEST_STATED_S),
        ({"x-ratelimit-reset": "9" * 400}, None),
    ],
)
def test_every_form_of_a_stated_wait_is_understood(headers: dict[str, str], wait_s: float | None) -> None:
    assert stated_wait_s(headers, NOW) == wait_s


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_breaks_the_reading_of_waits(after: str, reset: str) -> None:
    wait = stated_wait_s({"retry-after": after, "x-ratelimit-reset": reset, "date": after}, NOW)
    assert wait is None or 0 <= wait <= LONGEST_STATED_S


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="try"):
        RetryOptions(tries=0)
    with pytest.raises(ValueError, match="waits"):
        RetryOptions(first_wait_s=9, longest_wait_s=1)
