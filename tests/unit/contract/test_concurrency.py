"""How many calls a method runs at a time: a number, or a policy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from leveret import Adaptive, ContractError, Service, method


class Pool(Service):
    @method(concurrency=Adaptive(least=2, most=50))
    async def swim(self) -> None: ...

    @method(concurrency=7)
    async def dive(self) -> None: ...


def test_a_policy_is_kept_beside_the_most_calls_it_allows() -> None:
    swim = Pool.__leveret__.methods["swim"]
    assert (swim.concurrency, swim.adaptive) == (50, Adaptive(least=2, most=50))


def test_a_number_is_no_policy() -> None:
    dive = Pool.__leveret__.methods["dive"]
    assert (dive.concurrency, dive.adaptive) == (7, None)


def test_an_override_may_have_another_policy() -> None:
    class Lake(Pool):
        @method(concurrency=3)
        async def swim(self) -> None: ...

    swim = Lake.__leveret__.methods["swim"]
    assert (swim.concurrency, swim.adaptive) == (3, None)


def test_what_is_neither_is_refused_with_what_to_write() -> None:
    with pytest.raises(ContractError, match=r"Odd\.odd: concurrency is 'many'; .*Adaptive"):

        class Odd(Service):
            @method(concurrency="many")  # type: ignore[call-overload, untyped-decorator]
            async def odd(self) -> None: ...


@pytest.mark.parametrize("wrong", [1, -1, math.nan, math.inf, 10**400, True, "2"])
def test_a_tolerance_that_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(ContractError, match="Adaptive: tolerance is .*; it is a number above 1"):
        Adaptive(tolerance=wrong)
