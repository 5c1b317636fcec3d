"""`@method(retry=..., hedge=...)`: what a contract may say of further attempts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from leveret.contract import Hedge, Retry, Service, method, spec_of
from leveret.errors import ContractError, InvalidArgument


class Shop(Service):
    @method
    async def bare(self) -> int:
        return 1

    @method(idempotent=True, retry=Retry(attempts=5), hedge=0.25)
    async def count(self) -> int:
        return 1

    @method(retry=False, hedge=False)
    async def pay(self) -> int:
        return 1


class Branch(Shop):
    async def count(self) -> int:
        return 2

    @method(retry=Retry())
    async def pay(self) -> int:
        return 2


def test_a_method_keeps_its_policies() -> None:
    methods = spec_of(Shop).methods
    assert (methods["bare"].retry, methods["bare"].hedge) == (None, None)
    assert methods["count"].retry == Retry(attempts=5)
    assert methods["count"].hedge == Hedge(after=0.25)
    assert (methods["pay"].retry, methods["pay"].hedge) == (False, False)


def test_an_override_has_the_policies_of_what_it_overrides_save_its_own() -> None:
    methods = spec_of(Branch).methods
    assert methods["count"].retry == Retry(attempts=5)
    assert methods["count"].hedge == Hedge(after=0.25)
    assert (methods["pay"].retry, methods["pay"].hedge) == (Retry(), False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": 3}, r"Broken\.run: retry must be a leveret\.Retry\(\.\.\.\), .* got 3"),
        ({"retry": True}, r"Broken\.run: retry must be .* got True"),
        ({"hedge": "p95", "idempotent": True}, r"Broken\.run: hedge must be .* got 'p95'"),
        ({"hedge": True, "idempotent": True}, r"Broken\.run: hedge must be .* got True"),
        ({"hedge": -1, "idempotent": True}, r"Broken\.run: Hedge: after is -1"),
        ({"hedge": 0.1}, r"Broken\.run: hedge sends a second request.* idempotent=True"),
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):

        class Broken(Service):
            @method(**options)
            async def run(self) -> int:
                return 1


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, 10**400, True, "1", None])
@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (Retry, "backoff"),
        (Retry, "most"),
        (Retry, "budget"),
        (Hedge, "at_least"),
        (Hedge, "budget"),
    ],
)
def test_an_amount_that_makes_no_sense_is_refused(
    policy: type[Retry | Hedge], name: str, wrong: Any
) -> None:
    with pytest.raises(InvalidArgument, match=rf"{policy.__name__}: {name} is .*; it is a number"):
        policy(**{name: wrong})
