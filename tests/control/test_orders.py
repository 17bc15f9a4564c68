"""Every order is taken once, in whatever order they come, and none of another time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emu.control.messages import UNADMITTED
from emu.control.orders import REMEMBERED, Orders
from emu.control.terms import first_epoch


def _taken(orders: Orders, epoch: int, numbers: list[int]) -> list[int]:
    taken = []
    for number in numbers:
        if orders.are_new(epoch, number):
            taken.append(number)
            orders.count(number)
    return taken


@given(numbers=st.lists(st.integers(1, 40)))
def test_each_is_taken_once_however_late(numbers: list[int]) -> None:
    orders = Orders(0)
    assert _taken(orders, 0, numbers) == list(dict.fromkeys(numbers))
    assert orders.counted == max(numbers, default=0)


@given(numbers=st.lists(st.integers(1, 40)), told=st.integers(0, 60))
def test_what_the_router_says_it_sent_may_still_come(numbers: list[int], told: int) -> None:
    orders = Orders(0)
    taken = _taken(orders, 0, numbers)
    orders.told_of(told)
    assert orders.counted == max([*numbers, told], default=0)
    late = [number for number in range(1, 61) if orders.are_new(0, number)]
    assert late == [number for number in range(1, 61) if number not in taken]


@given(numbers=st.lists(st.integers(1, 40)), term=st.integers(1, 3), more=st.integers(1, 40))
def test_of_another_epoch_nothing_is_taken(numbers: list[int], term: int, more: int) -> None:
    orders = Orders(0)
    _taken(orders, 0, numbers)
    orders.obey(term)
    assert (orders.term, orders.counted) == (term, 0)
    assert not any(orders.are_new(0, number) for number in range(1, 41))
    assert orders.are_new(first_epoch(term), more)


def test_who_is_not_admitted_takes_nothing_until_it_is() -> None:
    orders = Orders(UNADMITTED)
    assert (orders.admitted, orders.are_new(0, 1)) == (False, False)
    orders.begin(3, 7)
    assert (orders.admitted, orders.are_new(3, 7)) == (True, False)
    assert orders.are_new(3, 8)


def test_what_is_passed_over_is_given_up_behind_a_bound() -> None:
    orders = Orders(0)
    orders.count(REMEMBERED + 10)
    assert not orders.are_new(0, 9)
    assert orders.are_new(0, 10)
