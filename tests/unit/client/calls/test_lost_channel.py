"""What is known of the requests on a channel that the broker closed for one of them."""

from __future__ import annotations

import msgspec

from leveret.client.calls.life import MOST_RESENDS, Event, Pending, State
from leveret.client.calls.lost_channel import Fate, events, fates, fates_by_size
from leveret.errors import ChannelClosed, ConnectionLost, LeveretError
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


NO_EXCHANGE = ChannelClosed(404, "NOT_FOUND - no exchange 'leveret' in vhost '/'")
NO_RIGHT = ChannelClosed(
    403, "ACCESS_REFUSED - write access to exchange 'leveret' in vhost '/' refused for user 'poor'"
)
NO_SIZE = ChannelClosed(
    406, "PRECONDITION_FAILED - message size 20 is larger than configured max size 10"
)
BROKE = ConnectionLost("it broke")


def happens(error: LeveretError, *calls: Pending, reconnects: bool = True) -> list[Event | None]:
    found = {id(call): event for call, event in events(calls, error, reconnects=reconnects)}
    return [found.get(id(call)) for call in calls]


def test_with_the_connection_only_what_may_be_repeated_goes_out_again() -> None:
    again, once = a_call(idempotent=True), typed()
    assert happens(BROKE, again, once) == [Event.CHANNEL_GONE, Event.CHANNEL_LOST]
    assert happens(BROKE, again, once, reconnects=False) == [Event.CHANNEL_LOST] * 2
    again.ensure_trouble().resends = MOST_RESENDS
    assert happens(BROKE, again) == [Event.CHANNEL_LOST]


def test_what_a_missing_exchange_did_not_let_through_goes_out_again_whatever_it_is() -> None:
    kept, not_kept = typed(), typed()
    kept.body, not_kept.body = b"1", None
    before, unknown = plain(), typed()
    assert happens(NO_EXCHANGE, before, unknown, kept, not_kept, plain()) == [
        None,
        Event.CHANNEL_LOST,
        Event.CHANNEL_LOST,
        Event.DROPPED_LOST,
        Event.DROPPED,
    ]
    assert happens(NO_EXCHANGE, kept) == [Event.DROPPED]
    assert happens(NO_EXCHANGE, kept, reconnects=False) == [Event.CHANNEL_LOST]


def test_what_the_user_may_not_send_ends_and_what_came_after_it_goes_out_again() -> None:
    before, first, last, after = plain(), typed(), typed(), plain()
    assert happens(NO_RIGHT, before, first, last, after) == [
        None,
        Event.FORBIDDEN,
        Event.FORBIDDEN,
        Event.DROPPED,
    ]
    assert [call.doubtful for call in (first, last)] == [True, False]


def test_what_is_too_large_ends_and_the_rest_goes_on() -> None:
    assert happens(NO_SIZE, *sized(5, 20, 5)) == [None, Event.TOO_LARGE, Event.DROPPED]


def test_a_one_way_call_is_promised_the_confirm_and_not_that_its_request_was_handled() -> None:
    gone = ChannelClosed(404, "NOT_FOUND - no exchange 'leveret' in vhost '/'")
    call, other = a_call(one_way=True), a_call()
    for each in (call, other):
        each.state = State.RUNNING  # so that the typed request after them is the culprit
    found = dict(events([call, other, typed()], gone, reconnects=True))
    assert other not in found
    assert found[call] is Event.CHANNEL_LOST
