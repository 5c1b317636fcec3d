"""The numbers of the tutorial's service."""

from __future__ import annotations

import pytest

from leveret.demo.fibonacci import Fibonacci, recursive_fib

NUMBERS = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55]


@pytest.mark.parametrize("n", range(len(NUMBERS)))
async def test_both_ways_give_the_same_number(n: int) -> None:
    assert await Fibonacci().fib(n) == NUMBERS[n] == recursive_fib(n)
