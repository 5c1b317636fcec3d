"""What a call is told that failed, and whether its handler can have been executed."""

from __future__ import annotations

import pytest

from leveret.client.calls.life import Act, Event, Pending, remember
from leveret.client.calls.route import QueueState
from leveret.client.calls.verdicts import (
    BACK_AT_ONCE,
    FAILURES,
    SEEN_SHORTLY,
    hangs_on_the_servers,
    verdict,
)
from leveret.errors import (
    Busy,
    CallError,
    ChannelClosed,
    ConnectionLost,
    DeadlineExceeded,
    Executed,
    InvalidArgument,
    LeveretError,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    Unimplemented,
    Where,
)
from tests.unit.client.calls.making import a_call, a_pipe, found

BROKEN = ConnectionLost("the socket broke")


def told(act: Act, call: Pending, cause: LeveretError | None = None) -> CallError:
    return verdict(act, call, cause)


def deadline(act: Act, call: Pending) -> tuple[Where, Executed, str]:
    error = verdict(act, call)
    assert isinstance(error, DeadlineExceeded)
    return error.where, error.executed, error.message


def noted(call: Pending, event: Event, *, at: float) -> Pending:
    remember(call, event, Act.NOTHING, at)
    return call


def came_back(call: Pending, after: float = 10.0) -> Pending:
    return noted(call, Event.EXPIRY, at=call.started + after)


@pytest.mark.parametrize(
    ("act", "kind", "executed"),
    [
        (Act.FAIL_SILENCE, DeadlineExceeded, "maybe"),
        (Act.FAIL_SILENCE_UNCONFIRMED, DeadlineExceeded, "maybe"),
        (Act.FAIL_EXPIRED, DeadlineExceeded, "no"),
        (Act.FAIL_FULL, Busy, "no"),
        (Act.FAIL_REJECTED, MaybeExecuted, "maybe"),
        (Act.FAIL_REFUSED, Busy, "no"),
        (Act.FAIL_NOT_TAKEN, ConnectionLost, "maybe"),
        (Act.FAIL_UNROUTED, Unimplemented, "no"),
        (Act.FAIL_NO_SERVER, NoServer, "no"),
        (Act.FAIL_QUEUE_DELETED, Unimplemented, "maybe"),
        (Act.FAIL_BACKLOG, Busy, "maybe"),
        (Act.FAIL_LOST, MaybeExecuted, "maybe"),
        (Act.FAIL_LOST_UNCONFIRMED, ConnectionLost, "maybe"),
        (Act.FAIL_DROPPED, ConnectionLost, "no"),
        (Act.FAIL_FORBIDDEN, PermissionDenied, "no"),
        (Act.FAIL_KEY, MaybeExecuted, "maybe"),
    ],
)
def test_the_error_of_each_act(act: Act, kind: type[CallError], executed: Executed) -> None:
    call = a_call()
    error = told(act, call, BROKEN)
    assert type(error) is kind
    assert (error.executed, error.method, error.call_id) == (executed, "gate.once", call.id)


def test_each_act_that_fails_a_call_has_an_error() -> None:
    assert {act for act in Act if act.name.startswith("FAIL")} == FAILURES


@pytest.mark.parametrize(
    "act", [act for act in Act if act in FAILURES and act is not Act.FAIL_UNPACKABLE]
)
def test_a_call_in_doubt_is_never_told_that_it_was_not_executed(act: Act) -> None:
    call = a_call(idempotent=True)
    call.doubt()
    assert told(act, call, BROKEN).executed != "no"


def test_a_request_that_cannot_be_packed_says_why() -> None:
    why = InvalidArgument("it does not fit")
    assert told(Act.FAIL_UNPACKABLE, a_call(), why) is why


def test_a_lost_connection_is_the_cause_of_the_error() -> None:
    for act, repeatable in (
        (Act.FAIL_LOST, False),
        (Act.FAIL_LOST, True),
        (Act.FAIL_LOST_UNCONFIRMED, False),
    ):
        assert told(act, a_call(idempotent=repeatable), BROKEN).__cause__ is BROKEN
    assert type(told(Act.FAIL_LOST, a_call(idempotent=True), BROKEN)) is ConnectionLost


def test_it_is_told_whether_the_connection_or_only_the_channel_ended() -> None:
    unconfirmed = Act.FAIL_LOST_UNCONFIRMED
    assert "the connection broke before" in str(told(unconfirmed, a_call(), BROKEN))
    closed = ChannelClosed(404, "NOT_FOUND - no exchange 'leveret' in vhost '/'")
    assert "the channel ended before" in str(told(unconfirmed, a_call(), closed))


def test_a_rejected_request_says_what_the_broker_said() -> None:
    error = told(Act.FAIL_REJECTED, a_call(), LeveretError("dead-lettered: delivery_limit"))
    assert "(dead-lettered: delivery_limit)" in str(error)


# -- nobody answered ---------------------------------------------------------------------------


def test_silence_after_the_handler_began_is_the_handlers() -> None:
    call = noted(a_call(), Event.RUNS, at=101.0)
    where, executed, message = deadline(Act.FAIL_SILENCE, call)
    assert (where, executed) == ("handler", "yes")
    assert "its server hangs, or has died" in message


def test_silence_after_a_server_had_it_may_have_been_executed() -> None:
    call = noted(a_call(), Event.WAITS, at=101.0)
    where, executed, message = deadline(Act.FAIL_SILENCE, call)
    assert (where, executed) == ("unknown", "maybe")
    assert "though a server had it" in message


def test_silence_while_the_request_is_with_the_client_is_the_clients() -> None:
    call = noted(a_call(), Event.NO_ROUTE, at=101.0)
    call.route.probed(found(state=QueueState.DOWN))
    where, executed, message = deadline(Act.FAIL_SILENCE, call)
    assert (where, executed) == ("client", "no")
    assert "its queue is on a node of the broker that is down" in message
    call.doubt()
    assert deadline(Act.FAIL_SILENCE, call)[:2] == ("unknown", "maybe")


def test_silence_says_what_the_last_probe_found_and_what_is_not_confirmed() -> None:
    call = a_call()
    assert deadline(Act.FAIL_SILENCE, call)[2].endswith("no answer in 10 s")
    call.route.probed(found(1, 3))
    assert "1 server listens, 3 requests waiting" in deadline(Act.FAIL_SILENCE, call)[2]
    message = deadline(Act.FAIL_SILENCE_UNCONFIRMED, call)[2]
    assert "not even confirmed the request; 1 server listens" in message


# -- no server took it in time -----------------------------------------------------------------


def test_a_request_that_expired_long_before_its_deadline_names_the_time_that_passed() -> None:
    where, executed, message = deadline(Act.FAIL_EXPIRED, came_back(a_call(), after=2.0))
    assert (where, executed) == ("queue", "no")
    assert "after 2 s, before its 10 s were over, as a policy (message-ttl)" in message


def test_a_request_that_a_full_queue_dropped_may_have_been_at_a_server_before() -> None:
    assert told(Act.FAIL_FULL, noted(a_call(), Event.WAITS, at=101.0)).executed == "maybe"


@pytest.mark.parametrize(
    ("limited", "after", "executed"),
    [
        (True, 0.1, "no"),  # it refuses what is new
        (False, 0.01, "maybe"),  # a policy may have it drop what is oldest
        (None, 0.01, "no"),
        (None, 0.1, "maybe"),
    ],
)
def test_a_full_queue_may_drop_what_a_server_had_unless_its_contract_bounds_it(
    limited: bool | None, after: float, executed: Executed
) -> None:
    call = a_call()
    call.route.limited = limited
    assert told(Act.FAIL_FULL, call).executed == "no"  # there never was a server
    call.route.heard(call.started - 5)
    noted(call, Event.FULL, at=call.started + after)
    assert told(Act.FAIL_FULL, call).executed == executed


def test_a_request_that_expired_while_no_server_was_there_was_not_executed() -> None:
    call = came_back(a_call())
    assert deadline(Act.FAIL_EXPIRED, call)[:2] == ("queue", "no")


@pytest.mark.parametrize(
    ("seen_before", "executed"), [(SEEN_SHORTLY + 0.1, "no"), (SEEN_SHORTLY - 0.1, "maybe")]
)
def test_a_server_that_was_seen_shortly_before_may_have_taken_it(
    seen_before: float, executed: Executed
) -> None:
    call = came_back(a_call())
    call.route.heard(call.started - seen_before)
    assert deadline(Act.FAIL_EXPIRED, call)[1] == executed
    assert told(Act.FAIL_NO_SERVER, call).executed == executed


def test_a_server_that_came_and_went_between_two_probes_may_have_taken_it() -> None:
    call = came_back(a_call())
    call.route.not_answered(call.started)  # what was sent before
    assert told(Act.FAIL_NO_SERVER, call).executed == "no"
    call.route.not_answered(call.started + 0.1)
    assert told(Act.FAIL_NO_SERVER, call).executed == "maybe"
    assert deadline(Act.FAIL_EXPIRED, call)[1] == "maybe"


def test_a_backlog_before_and_as_many_servers_after_tell_that_it_was_not_executed() -> None:
    call = came_back(a_call())
    call.route.probed(found(1, at=call.started - 0.5))
    call.route.probed(found(1, 5, at=call.started + 1))
    assert deadline(Act.FAIL_EXPIRED, call)[1] == "maybe"
    call.route.probed(found(1, 4, at=call.started + 2))
    call.route.found_same(call.started - 1, call.started + 10, 1)
    assert deadline(Act.FAIL_EXPIRED, call)[1] == "no"
    call.route.probed(found(2, 4, at=call.started + 3))  # one may have died, two come
    _, executed, message = deadline(Act.FAIL_EXPIRED, call)
    assert executed == "maybe"
    assert message.endswith("; a server may have taken it and died")


@pytest.mark.parametrize(
    ("since", "as_of", "servers", "executed"),
    [
        (-0.5, 10.0, 1, "no"),
        (-0.4, 10.0, 1, "maybe"),  # it came after they were counted, and another may have gone
        (-1.0, 9.9, 1, "maybe"),
        (-1.0, 10.0, 2, "maybe"),
    ],
)
def test_as_many_servers_as_before_are_the_same_if_they_have_been_there_since_they_were_counted(
    since: float, as_of: float, servers: int, executed: Executed
) -> None:
    call = came_back(a_call(), 10.0)
    call.route.probed(found(1, at=call.started - 0.5))
    call.route.probed(found(1, 5, at=call.started + 1))
    call.route.probed(found(1, 4, at=call.started + 2))
    assert hangs_on_the_servers(call)
    call.route.found_same(call.started + since, call.started + as_of, servers)
    assert deadline(Act.FAIL_EXPIRED, call)[1] == executed


def test_servers_need_not_be_asked_where_it_is_known_that_one_had_the_request() -> None:
    call = came_back(noted(a_call(), Event.WAITS, at=101.0))
    call.route.probed(found(1, 5, at=call.started + 1))
    call.route.probed(found(1, 4, at=call.started + 2))
    assert not hangs_on_the_servers(call)


def test_as_many_servers_as_before_tell_nothing_where_the_client_was_cut_off() -> None:
    call = noted(a_call(idempotent=True), Event.CONNECTED_AGAIN, at=102.0)
    call.route.probed(found(1, at=call.started))
    call.route.probed(found(1, 5, at=call.started + 2.5))
    call.route.probed(found(1, 4, at=call.started + 3))
    assert deadline(Act.FAIL_EXPIRED, came_back(call))[1] == "maybe"
    remember(call, Event.NO_ROUTE, Act.PUBLISH, 103.0)  # a new request, on this connection
    call.route.found_same(call.started, call.started + 10, 1)
    assert deadline(Act.FAIL_EXPIRED, came_back(call))[1] == "no"


def test_a_backlog_that_was_seen_before_the_request_was_sent_tells_nothing() -> None:
    call = came_back(a_call())
    call.route.probed(found(1, 5, at=call.started - 1))
    call.route.probed(found(1, 5, at=call.started - 0.5))
    assert deadline(Act.FAIL_EXPIRED, call)[1] == "maybe"


@pytest.mark.parametrize("event", [Event.WAITS, Event.RUNS, Event.CONFIRM])
def test_a_call_that_a_server_once_had_may_have_been_executed_whatever_came_after(
    event: Event,
) -> None:
    call = noted(a_call(idempotent=True), event, at=101.0)
    noted(call, Event.CONNECTED_AGAIN, at=102.0)
    assert call.noticed_at == 0
    assert deadline(Act.FAIL_EXPIRED, came_back(call))[1] == "maybe"
    assert told(Act.FAIL_NO_SERVER, call).executed == "maybe"


def test_a_call_that_does_not_wait_is_told_who_was_busy_or_that_nobody_listens() -> None:
    call = came_back(a_call(if_busy_fail=True), after=0.01)
    error = told(Act.FAIL_EXPIRED, call)
    assert (type(error), error.executed) == (NoServer, "no")
    assert "no server listens" in str(error)
    call.route.probed(found(2, at=call.started - 5))
    busy = told(Act.FAIL_EXPIRED, call)
    assert (type(busy), busy.executed) == (Busy, "no")
    assert "2 servers listen" in str(busy)


def test_a_request_that_comes_back_at_once_was_not_taken_and_a_later_one_may_have_been() -> None:
    for after, executed in ((BACK_AT_ONCE / 2, "no"), (BACK_AT_ONCE * 2, "maybe")):
        call = came_back(a_call(if_busy_fail=True), after=after)
        call.route.probed(found(1, at=call.started - 5))
        assert told(Act.FAIL_EXPIRED, call).executed == executed


def test_no_server_says_how_to_wait_for_one_where_that_is_possible() -> None:
    call = a_call()
    assert "wait_for_server=True" in str(told(Act.FAIL_NO_SERVER, call))


def test_a_request_that_stays_for_servers_that_do_not_ask_may_yet_be_executed() -> None:
    call = a_call(timeout=7)
    call.route.control_key = ""
    error = told(Act.FAIL_NO_SERVER, call)
    assert error.executed == "maybe"
    assert "stays there until its timeout ends, and a server that starts meanwhile runs it" in str(
        error
    )


def test_an_error_of_a_later_stage_says_which_and_that_the_pipe_began() -> None:
    call = a_pipe()
    first = told(Act.FAIL_FULL, call)
    assert (first.stage, first.method, first.executed) == (1, "gate.once", "no")
    call.request = call.request.stages[1]
    second = told(Act.FAIL_FULL, call)
    assert (second.stage, second.method, second.executed) == (2, "ink.do", "maybe")
    assert str(second).startswith("ink.do (stage 2): the request queue is full")
    assert told(Act.FAIL_FULL, a_call()).stage == 0
