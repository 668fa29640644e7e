"""Which files are said to be opened next."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafs.model import Inode
from mediafs.tree.order import DIRECTORIES, GAP, INODES, Order

DIRECTORY = Inode(1 << 40)

Files = list[tuple[Inode, str]]


def files(count: int, first: int = 100, *, seed: int = 7) -> Files:
    """Of which no two orders are alike."""
    dice = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    inodes = dice.sample(range(first, first + 2 * count), count)
    return [(Inode(inode), f"media-{''.join(dice.choices(letters, k=12))}.png") for inode in inodes]


def show(order: Order, some: Files, directory: Inode = DIRECTORY) -> None:
    order.shown(directory, [inode for inode, _ in some], [name for _, name in some])


def listing(some: Files) -> list[Inode]:
    return [inode for inode, _ in some]


def by_inode(some: Files) -> list[Inode]:
    return sorted(inode for inode, _ in some)


def by_name(some: Files) -> list[Inode]:
    return [inode for inode, _ in sorted(some, key=lambda file: file[1].encode())]


def as_people_sort(some: Files) -> list[Inode]:
    return [inode for inode, _ in sorted(some, key=lambda file: file[1].casefold())]


ORDERS = (listing, by_inode, by_name, as_people_sort)


def opened(order: Order, inodes: Sequence[Inode]) -> list[list[Inode]]:
    return [list(order.opened(inode)) for inode in inodes]


@pytest.mark.parametrize("sort", ORDERS)
def test_of_a_walk_in_any_order_more_and_more_of_what_follows_is_told(
    sort: Callable[[Files], list[Inode]],
) -> None:
    some, order = files(60), Order()
    show(order, some)
    walk = sort(some)
    told = opened(order, walk)
    assert [len(each) for each in told[:6]] == [0, 4, 8, 16, 16, 16]
    # Two orders may look alike at first.
    assert all(each == walk[at + 1 : at + 1 + len(each)] for at, each in enumerate(told) if at > 8)
    assert [len(each) for each in told[-3:]] == [2, 1, 0]


@given(st.integers(2, 40), st.data())
def test_what_is_told_follows_what_was_opened_in_some_order_whatever_is_opened(
    count: int, data: st.DataObject
) -> None:
    some, order, again = files(count), Order(), Order()
    show(order, some)
    show(again, some)
    walks = [sort(some) for sort in ORDERS]
    before: list[Inode] = []
    for inode in data.draw(st.lists(st.sampled_from([*listing(some), Inode(99)]), max_size=60)):
        before.append(inode)
        told = list(order.opened(inode))
        assert told == list(again.opened(inode))
        assert len(told) <= 16
        # What follows the furthest of the walk, which is the one that was opened or one of the last few.
        ends = [
            walk[at]
            for walk in walks
            for at in range(len(walk))
            if told and walk[at + 1 : at + 1 + len(told)] == told
        ]
        assert not told or any(end in before and inode in before for end in ends)


@given(st.permutations(range(30)))
def test_no_neighbour_no_walk(turns: list[int]) -> None:
    """Files far from each other in every order, in any sequence."""
    some = [(Inode(100 + n), f"{n:04}") for n in range(30 * (GAP + 1))]
    order = Order()
    show(order, some)
    assert not any(opened(order, [some[turn * (GAP + 1)][0] for turn in turns]))


@pytest.mark.parametrize("step", [-1, 2, 3, -3])
def test_backwards_or_with_steps_is_no_walk(step: int) -> None:
    some = [(Inode(100 + n), f"{n:04}") for n in range(100)]
    order = Order()
    show(order, some)
    assert not any(opened(order, listing(some)[::step]))


def test_one_file_again_and_again_is_no_walk() -> None:
    some, order = files(20), Order()
    show(order, some)
    assert not any(opened(order, [some[3][0]] * 10))


def test_random_opens_of_a_large_directory_are_hardly_ever_taken_for_a_walk() -> None:
    some, order = files(500), Order()
    show(order, some)
    told = opened(order, random.Random(5).choices(listing(some), k=1000))
    assert sum(map(len, told)) <= 50


def test_a_walk_goes_on_over_files_that_are_passed_over() -> None:
    some = [(Inode(100 + n), f"{n:04}") for n in range(100)]
    order = Order()
    show(order, some)
    walk = listing(some)
    opened(order, walk[:6])
    assert opened(order, [walk[8]]) == [walk[9:25]]
    assert opened(order, [walk[8 + GAP + 1]]) == [[]]


def test_a_walk_goes_on_where_several_processes_share_it() -> None:
    some = [(Inode(100 + n), f"{n:04}") for n in range(100)]
    order = Order()
    show(order, some)
    walk = listing(some)
    opened(order, walk[:6])
    told = opened(order, [walk[at] for at in (7, 6, 8, 9, 11, 10, 12)])
    assert all(len(each) == 16 for each in told)


def test_two_walks_through_one_directory_are_told_apart() -> None:
    some, order = files(100), Order()
    show(order, some)
    one, other = listing(some), by_name(some)
    right = 0
    for at in range(40):
        told = opened(order, [one[at], other[at]])
        right += told == [one[at + 1 : at + 17], other[at + 1 : at + 17]]
    assert right > 30  # not where they cross


def test_walks_through_two_directories_are_told_apart() -> None:
    first, second, order = files(50), files(50, first=1000), Order()
    show(order, first)
    show(order, second, Inode(DIRECTORY + 1))
    one, other = by_name(first), by_inode(second)
    for at in range(20):
        told = opened(order, [one[at], other[at]])
        if at >= 3:
            assert told == [one[at + 1 : at + 17], other[at + 1 : at + 17]]


def test_a_media_in_two_directories_is_followed_where_the_walk_is() -> None:
    day, order = files(40), Order()
    user = random.Random(1).sample(day, 40)
    for directories in ((day, user), (user, day)):
        for number, some in enumerate(directories):
            show(order, some, Inode(DIRECTORY + number))
        told = opened(order, listing(day))
        assert [len(each) for each in told[:4]] == [0, 4, 8, 16]


def test_the_next_directory_is_walked_as_the_last_one_was() -> None:
    """Days hold a few media each: a walk would else begin anew all the time."""
    order = Order()
    days = [files(5, first=100 * day, seed=day) for day in range(1, 6)]
    for number, day in enumerate(days):
        show(order, day, Inode(DIRECTORY + number))
    told = [opened(order, by_name(day)) for day in days]
    assert [len(each) for each in told[0]] == [0, 3, 2, 1, 0]
    assert all(len(each[0]) == 4 for each in told[1:])


def test_a_directory_that_is_listed_again_is_walked_on() -> None:
    some, order = files(50), Order()
    show(order, some)
    walk = listing(some)
    opened(order, walk[:10])
    show(order, some)
    assert opened(order, walk[10:11]) == [walk[11:27]]
    new = [*files(3, first=1000), *some]
    show(order, new)
    assert opened(order, walk[11:12]) == [walk[12:28]]
    show(order, some[20:])
    assert opened(order, walk[20:21]) == [[]]


def test_what_was_not_listed_is_not_followed() -> None:
    order = Order()
    assert opened(order, [Inode(5), Inode(6), Inode(7)]) == [[], [], []]
    for nothing in ([], files(1)):
        show(order, nothing)
        assert opened(order, [Inode(100), Inode(101)]) == [[], []]


def test_only_so_many_directories_are_remembered_and_what_is_read_longest() -> None:
    order = Order()
    read, idle = files(10, first=10), files(10, first=50)
    show(order, idle, Inode(DIRECTORY - 2))
    show(order, read, Inode(DIRECTORY - 1))
    opened(order, listing(read)[:3])
    for number in range(DIRECTORIES - 1):
        show(order, files(10, first=100 * (number + 1)), Inode(DIRECTORY + number))
    assert opened(order, listing(read)[3:4]) == [listing(read)[4:]]
    assert not any(opened(order, listing(idle)))


def test_only_so_many_files_are_remembered() -> None:
    order = Order()
    large = [(Inode(n), f"{n}") for n in range(10, 10 + INODES // 2)]
    show(order, large)
    opened(order, listing(large)[:3])
    for number in range(1, 3):
        show(order, [(Inode(n + number * INODES), name) for n, name in large], Inode(DIRECTORY + number))
    assert len(opened(order, listing(large)[3:4])[0]) == 16
    show(order, [(Inode(n), f"{n}") for n in range(10, 11 + INODES)])
    assert opened(order, listing(large)[4:5]) == [[]]
