from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from leveret.client.calls.life import TRANSITIONS, Act, Event, Pending, State
from leveret.client.calls.table import KEPT_ANYWAY, CallTable
from leveret.errors import Busy, ConnectionLost, DeadlineExceeded
from tests.behaviour.patience import until
from tests.unit.client.calls.making import REPLY, Heard, a_request


class Table:
    """A table whose acts are noted, and whose calls are confirmed unless they are named."""

    def __init__(self) -> None:
        self.done: list[tuple[Act, str]] = []
        self.unconfirmed: set[str] = set()
        acts = (Act.PROBE, Act.CANCEL, Act.PUBLISH_DOUBTFUL)
        self.table = CallTable(
            asyncio.get_running_loop(),
            ids=(f"call-{number}" for number in count(1)),
            is_unconfirmed=lambda call: call.id in self.unconfirmed,
            acts={act: self._doing(act) for act in acts},
        )

    def _doing(self, act: Act) -> Callable[[Pending], None]:
        return lambda call: self.done.append((act, call.id))

    def call(
        self,
        sink: Heard | None = None,
        *,
        timeout: float = 5.0,
        body: bytes = b"body",
        **options: Any,
    ) -> Pending:
        return self.table.open(a_request(**options), body, timeout, sink or Heard(), b"")


def heard(call: Pending) -> Heard:
    assert isinstance(call.sink, Heard)
    return call.sink


async def test_a_call_is_in_the_table_until_its_reply() -> None:
    there = Table()
    call = there.call()
    assert (call.state, call.id, call.body) == (State.QUIET, "call-1", b"body")
    assert there.table.by_id == {"call-1": call}
    assert (there.table.opened, there.table.deadlines) == (1, 1)
    there.table.replied(call, REPLY)
    assert heard(call).replies == [REPLY]
    assert (call.state, there.table.by_id, there.table.deadlines) == (State.ENDED, {}, 0)


async def test_a_body_is_kept_where_it_may_have_to_be_sent_again() -> None:
    large = b"x" * (KEPT_ANYWAY + 1)
    assert Table().call(body=large, idempotent=True).body == large
    assert Table().call(body=large).body is None


async def test_a_call_ends_when_its_sink_is_done_and_not_with_the_first_reply() -> None:
    there = Table()
    call = there.call(Heard(replies=2))
    there.table.replied(call, REPLY)
    assert (call.state, list(there.table.by_id)) == (State.QUIET, ["call-1"])
    there.table.replied(call, REPLY)
    assert (call.state, there.table.by_id) == (State.ENDED, {})
    assert len(heard(call).replies) == 2


async def test_a_reply_to_a_caller_that_has_just_gone_is_dropped() -> None:
    there = Table()
    call = there.call()
    heard(call).gone = True
    there.table.replied(call, REPLY)
    assert (call.state, heard(call).replies) == (State.ENDED, [])


async def test_an_event_moves_a_call_and_has_its_act_carried_out() -> None:
    there = Table()
    call = there.call()
    assert there.table.fire(call, Event.NO_ROUTE) is Act.PROBE
    assert (call.state, there.done) == (State.UNROUTED, [(Act.PROBE, "call-1")])
    assert there.table.fire(call, Event.QUEUE_RETURNS) is Act.PUBLISH_LATER  # the caller's to do
    assert there.done == [(Act.PROBE, "call-1")]


async def test_a_failure_ends_a_call_with_its_error() -> None:
    there = Table()
    call = there.call()
    there.table.fire(call, Event.FULL)
    assert isinstance(heard(call).error, Busy)
    assert (there.table.by_id, there.table.deadlines) == ({}, 0)


async def test_a_caller_that_is_gone_is_told_nothing_and_its_server_is() -> None:
    there = Table()
    call = there.call()
    heard(call).gone = True
    there.table.fire(call, Event.CALLER_GONE)
    assert (heard(call).error, there.done) == (None, [(Act.CANCEL, "call-1")])
    failed = there.call()
    heard(failed).gone = True
    there.table.fire(failed, Event.FULL)
    assert heard(failed).error is None


async def test_an_ended_call_takes_no_event() -> None:
    there = Table()
    call = there.call()
    there.table.fire(call, Event.FULL)
    for event in Event:
        assert there.table.fire(call, event) is Act.NOTHING
    assert there.done == []


async def test_a_pair_that_is_not_in_the_table_is_logged_with_the_calls_id_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = Table()
    for event in Event:
        if (State.QUIET, event) not in TRANSITIONS:
            call = there.call(timeout=0.01)
            caplog.clear()
            assert there.table.fire(call, event) is Act.NOTHING
            assert call.state is State.QUIET
            (record,) = caplog.records
            assert record.levelno == logging.ERROR
            assert f"{call.method} (call {call.id}) met {event.name} " in record.getMessage()
            assert vars(record)["call_id"] == call.id
    await asyncio.sleep(0.2)
    assert there.table.by_id == {}  # each has met its deadline


async def test_a_call_that_may_not_be_repeated_is_never_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = Table()
    call = there.call()
    assert there.table.fire(call, Event.CHANNEL_GONE) is Act.NOTHING
    assert call.state is State.QUIET
    assert call.id in caplog.text
    again = there.call(idempotent=True)
    there.table.fire(again, Event.CHANNEL_GONE)
    there.table.fire(again, Event.SENDABLE_DOUBTFUL)
    assert there.done == [(Act.PUBLISH_DOUBTFUL, again.id)]


@pytest.mark.parametrize("unconfirmed", [False, True])
async def test_a_deadline_ends_a_call_in_time_and_says_whether_it_was_confirmed(
    unconfirmed: bool,
) -> None:
    there = Table()
    loop = asyncio.get_running_loop()
    call = there.call(timeout=0.05)
    if unconfirmed:
        there.unconfirmed.add(call.id)
    await until(lambda: call.state is State.ENDED, "it ends")
    assert loop.time() - call.started >= 0.05
    error = heard(call).error
    assert isinstance(error, DeadlineExceeded)
    assert ("not even confirmed" in str(error)) is unconfirmed


async def test_a_deadline_can_be_moved() -> None:
    there = Table()
    call = there.call(timeout=60)
    there.table.extend(call, asyncio.get_running_loop().time() + 0.01)
    await until(lambda: call.state is State.ENDED, "it ends long before its own deadline")
    assert there.table.deadlines == 0


async def test_an_ended_call_gets_no_deadline_any_more() -> None:
    there = Table()
    call = there.call()
    there.table.fire(call, Event.CALLER_GONE)
    there.table.extend(call, asyncio.get_running_loop().time() + 60)
    assert there.table.deadlines == 0


async def test_all_calls_end_when_no_reply_will_come_any_more() -> None:
    there = Table()
    confirmed, unconfirmed = there.call(), there.call()
    there.unconfirmed.add(unconfirmed.id)
    there.table.end_all(ConnectionLost("closed"))
    assert type(heard(confirmed).error).__name__ == "MaybeExecuted"
    assert type(heard(unconfirmed).error) is ConnectionLost
    assert there.table.by_id == {}
    there.table.close()


async def test_the_hook_is_told_of_each_transition_the_hot_ones_too() -> None:
    there = Table()
    seen: list[tuple[str, State, Event, State]] = []
    there.table.on_transition = lambda call, before, event, after, _now: seen.append(
        (call.id, before, event, after)
    )
    call = there.call()
    there.table.fire(call, Event.RUNS)
    there.table.replied(call, REPLY)
    there.table.fire(call, Event.DEADLINE)
    assert seen == [
        ("call-1", State.NEW, Event.SEND, State.QUIET),
        ("call-1", State.QUIET, Event.RUNS, State.RUNNING),
        ("call-1", State.RUNNING, Event.REPLY, State.ENDED),
    ]


async def test_the_straight_code_does_what_the_table_says() -> None:
    there = Table()
    call = there.call()
    assert TRANSITIONS[State.NEW, Event.SEND] == (call.state, Act.PUBLISH)
    there.table.replied(call, REPLY)
    assert TRANSITIONS[State.QUIET, Event.REPLY] == (call.state, Act.DELIVER)
