"""Which middleware is told how calls end."""

from __future__ import annotations

from typing import Any

import pytest

from leveret import CallEnd, ContractError, CurrentCall
from leveret.server.call_end import call_ended_of


class Counts:
    def __init__(self) -> None:
        self.ends: list[str] = []

    def call_ended(self, call: CurrentCall, end: CallEnd) -> None:
        self.ends.append(end.outcome)


class Waits:
    async def call_ended(self, call: CurrentCall, end: CallEnd) -> None: ...


class Plain:
    call_ended = 7


async def function(call: Any, call_next: Any) -> Any: ...


def test_only_those_that_have_the_method_are_told() -> None:
    counts = Counts()
    assert call_ended_of([function, counts]) == (counts.call_ended,)
    assert call_ended_of([]) == ()


@pytest.mark.parametrize("bad", [Waits(), Plain()])
def test_what_nobody_could_await_or_call_is_refused(bad: object) -> None:
    with pytest.raises(ContractError, match="call_ended of a middleware must be a plain method"):
        call_ended_of([bad])
