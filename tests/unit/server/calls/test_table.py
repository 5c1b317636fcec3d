"""Finding calls by what their callers call them: in the same time however many there are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from msgspec import structs

from leveret.server.calls.life import Holding, ServerCall
from leveret.server.calls.names import name_of
from leveret.server.calls.table import EARLY_CANCELS, CallTable, EarlyCancels
from leveret.wire.message import MAX_STAGES
from tests.unit.server.calls.making import METHOD, call, key


def table(*calls: ServerCall) -> CallTable:
    made = CallTable()
    made.of(METHOD)
    for one in calls:
        made.add(one)
    return made


def cost(function: Callable[[], object]) -> int:
    """How many Python functions run for it."""
    ran = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal ran
        ran += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return ran


def test_a_call_is_found_by_its_reply_queue_and_its_id() -> None:
    one, two = call("1"), call("2")
    calls = table(one, two)
    assert calls.find(key("1")) == [one]
    assert calls.find(key("2")) == [two]
    assert not calls.find(key("1", "replies of another"))
    assert calls.find_all(key("2")) == [two]
    assert calls.all() == [one, two]
    assert list(calls.of(METHOD)) == [one, two]
    assert len(calls) == 2


def test_a_call_that_has_ended_is_found_no_more() -> None:
    one = call("1")
    calls = table(one)
    calls.remove(one)
    calls.remove(one)
    assert not calls.find(key("1"))
    assert not calls.find_all(key("1"))
    assert not len(calls)


def test_calls_without_a_name_are_here_and_not_to_be_found() -> None:
    nameless = call("")
    unanswered = call("1", reply_to=None)
    calls = table(nameless, unanswered)
    assert nameless.name == unanswered.name == ""
    assert not calls.find(nameless.key)
    assert len(calls) == 2
    calls.remove(nameless)
    calls.remove(unanswered)
    assert not calls.all()


def test_of_calls_with_one_name_the_first_is_found_and_then_the_next() -> None:
    calls = [call("1") for _ in range(4)]
    found = table(*calls)
    assert found.find(key("1")) == [calls[0]]
    assert found.find_all(key("1")) == calls
    found.remove(calls[2])
    found.remove(calls[0])
    assert found.find(key("1")) == [calls[1]]
    assert found.find_all(key("1")) == [calls[1], calls[3]]
    found.remove(calls[1])
    found.remove(calls[3])
    assert not found.find(key("1"))


def test_a_look_up_costs_the_same_among_few_calls_and_among_many() -> None:
    few, many = table(call("1")), table(*(call(str(n)) for n in range(5_000)))
    for wanted in ("1", "of no call"):
        assert cost(lambda: few.find(key(wanted))) == cost(lambda: many.find(key(wanted)))  # noqa: B023


def test_removing_one_of_many_calls_with_one_name_costs_the_same() -> None:
    calls = [call("1") for _ in range(5_000)]
    many = table(*calls)
    costs = {cost(lambda: many.remove(one)) for one in calls}  # noqa: B023
    assert max(costs) <= min(costs) + 2


def test_the_call_of_a_request_that_comes_again_is_found_once() -> None:
    one, two = call("1"), call("1")
    calls = table(one, two)
    assert calls.delivered_again(METHOD, name_of(key("1"))) is None
    for lost in (one, two):
        lost.holding = Holding.DETACHED
        calls.detached(lost)
    assert calls.delivered_again("desk.other", name_of(key("1"))) is None
    assert calls.delivered_again(METHOD, name_of(key("1"))) is one
    assert calls.delivered_again(METHOD, name_of(key("1"))) is two
    assert calls.delivered_again(METHOD, name_of(key("1"))) is None


def test_a_detached_call_that_has_ended_is_not_met_again() -> None:
    one = call("1")
    calls = table(one)
    one.holding = Holding.DETACHED
    calls.detached(one)
    calls.remove(one)
    assert calls.delivered_again(METHOD, name_of(key("1"))) is None


def test_a_call_without_a_name_cannot_be_met_again() -> None:
    nameless = call("")
    calls = table(nameless)
    nameless.holding = Holding.DETACHED
    calls.detached(nameless)
    assert calls.delivered_again(METHOD, name_of(nameless.key)) is None


def test_no_two_calls_have_one_name_unless_both_hold_zeros() -> None:
    plain = name_of(key("1", "replies"))
    assert plain not in {
        name_of(key("1\0", "replies")),
        name_of(key("1\0\0replies", "x")),
        name_of(key("1", "\0replies")),
        name_of(key("", "1\0\0replies")),
    }


# -- cancels that overtook their requests ----------------------------------------------------------


def test_an_early_cancel_counts_once_and_for_its_time() -> None:
    now = 0.0
    cancels = EarlyCancels(lambda: now)
    cancels.add(key("1"), 5.0)
    cancels.add(key("2"), 5.0)
    assert cancels.take(key("1"))
    assert not cancels.take(key("1"))
    now = 5.0
    assert not cancels.take(key("2"))
    assert len(cancels) == 0


def test_the_oldest_early_cancels_go_first() -> None:
    cancels = EarlyCancels(lambda: 0.0)
    for n in range(EARLY_CANCELS + 1):
        cancels.add(key(str(n)), 1.0)
    assert len(cancels) == EARLY_CANCELS
    assert not cancels.take(key("0"))
    assert cancels.take(key("1"))


def test_a_pipe_is_found_at_each_of_its_stages_by_what_its_caller_calls_it() -> None:
    calls = CallTable()
    calls.of(METHOD)
    assert calls.names(key("1")) == [name_of(key("1"))]
    stages: list[ServerCall] = []
    for stage in (2, 1):
        made = call("1")
        made.incoming = structs.replace(made.incoming, stage=stage)
        made.name = name_of(made.key, stage)
        calls.add(made)
        stages.insert(0, made)
    plain = call("1")
    calls.add(plain)
    assert calls.find(key("1")) == calls.find_all(key("1")) == [plain, *stages]
    assert len(calls.names(key("1"))) == 1 + MAX_STAGES
    calls.remove(plain)
    calls.remove(stages[0])
    assert calls.find(key("1")) == [stages[1]]
