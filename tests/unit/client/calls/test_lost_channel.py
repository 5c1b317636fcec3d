"""What is known of the requests on a channel that the broker closed for one of them."""

from __future__ import annotations

import msgspec

from leveret.client.calls.life import Pending, State
from leveret.client.calls.lost_channel import Fate, fates, fates_by_size
from leveret.wire.tutorial import TutorialClient
from tests.unit.client.calls.making import a_call

HANDLED, DROPPED, UNKNOWN = Fate.HANDLED, Fate.DROPPED, Fate.UNKNOWN
TOO_LARGE = Fate.TOO_LARGE


def typed(state: State = State.QUIET) -> Pending:
    call = a_call()
    call.state = state
    return call


def plain() -> Pending:
    call = msgspec.structs.replace(a_call())
    call.request.dialect = TutorialClient()
    return call


def known(exchange: str | None, *calls: Pending) -> list[Fate]:
    return [fate for _, fate in fates(calls, exchange)]


def test_if_one_request_only_can_have_cost_the_channel_all_is_known_of_all_others() -> None:
    assert known("", typed(), plain(), typed()) == [HANDLED, DROPPED, DROPPED]
    assert known("leveret", plain(), typed()) == [HANDLED, DROPPED]


def test_of_several_that_it_may_have_been_the_last_one_was_not_taken_for_sure() -> None:
    assert known("leveret", plain(), typed(), plain(), typed(), plain()) == [
        HANDLED,
        UNKNOWN,
        UNKNOWN,
        DROPPED,
        DROPPED,
    ]


def test_a_request_that_a_server_has_or_that_came_back_was_not_the_one() -> None:
    assert known("leveret", typed(State.RUNNING), typed(State.UNROUTED), typed()) == [
        HANDLED,
        HANDLED,
        DROPPED,
    ]


def test_nothing_is_known_where_the_broker_names_no_exchange_or_one_of_nobody() -> None:
    assert known(None, typed(), plain()) == [UNKNOWN, UNKNOWN]
    assert known("other", typed(), plain()) == [UNKNOWN, UNKNOWN]
    assert known("leveret") == []


def sized(*sizes: int) -> list[Pending]:
    calls = []
    for size in sizes:
        calls.append(a_call())
        calls[-1].size = size
    return calls


def test_of_a_request_that_was_too_large_the_broker_names_the_size() -> None:
    found = [fate for _, fate in fates_by_size(sized(5, 1, 20, 9, 20, 30, 5), 20, 10)]
    assert found == [HANDLED, HANDLED, TOO_LARGE, DROPPED, TOO_LARGE, TOO_LARGE, DROPPED]
    assert [fate for _, fate in fates_by_size(sized(5, 1), 20, 10)] == [UNKNOWN, UNKNOWN]
