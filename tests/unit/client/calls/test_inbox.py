from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Content, Delivery
from leveret.amqp.properties import Properties
from leveret.client.calls.inbox import Inbox
from leveret.client.calls.life import MOST_RESENDS, Act, Event, Pending
from leveret.client.calls.listener import Listener
from leveret.client.calls.route import HEARD_EVERY
from leveret.contract import Progress
from leveret.errors import Cancelled, LeveretError
from leveret.wire.failures import Unconfirmed, encode_failure
from leveret.wire.message import Reply, StageReply
from leveret.wire.native.dialect import NativeClient
from leveret.wire.stream_messages import Closing, StreamMessage
from tests.unit.client.calls.making import a_call, a_pipe

RETURNED = methods.Basic.Return(
    reply_code=312, reply_text="NO_ROUTE", exchange="leveret", routing_key="gate.once"
)


class There:
    """An inbox, and what it did with what came in."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.replies: list[tuple[Pending, Reply]] = []
        self.streamed: list[StreamMessage] = []
        self.events: list[Event] = []
        self.causes: list[LeveretError | None] = []
        self.confirmed: list[tuple[str, str, bool]] = []
        self.answers: list[bytes] = []
        self.calls: dict[str, Pending] = {}
        self.passed: list[int] = []
        self.acknowledged: list[tuple[str, str, int]] = []
        self.inbox = Inbox(
            get=self.calls.get,
            replied=lambda call, reply: self.replies.append((call, reply)),
            streamed=lambda _call, message: self.streamed.append(message),
            fire=self._fire,
            time=lambda: self.now,
            gathered=self._gathered,
            answered=self._answered,
            confirm=lambda key, call_id, waits: self.confirmed.append((key, call_id, waits)),
            passed=self._passed,
            acknowledge=lambda *end: self.acknowledged.append(end),
            default_dialect=NativeClient(),
        )

    def _passed(self, call: Pending, stage: int) -> None:
        call.request = call.request.stages[stage - 1]
        self.passed.append(stage)

    def _gathered(self, name: str, _delivery: Delivery) -> bool:
        return name == "asked of all"

    def _answered(self, name: str, body: bytes) -> bool:
        if name == "question":
            self.answers.append(body)
        return name == "question"

    def _fire(self, _call: Pending, event: Event, cause: LeveretError | None = None, /) -> Act:
        self.events.append(event)
        self.causes.append(cause)
        return Act.SAY_WAITS if event is Event.CONFIRM else Act.NOTHING

    def call(self, **options: Any) -> Pending:
        call = a_call(**options)
        self.calls[call.id] = call
        return call


def message(call_id: str, kind: str, body: bytes = b"", **more: Any) -> Delivery:
    properties = Properties(correlation_id=call_id, type=kind, **more)
    return Delivery(
        channel=1,
        consumer_tag="",
        delivery_tag=1,
        redelivered=False,
        exchange="",
        routing_key="",
        properties=properties,
        body=body,
        body_size=len(body),
    )


def bounced(call: Pending, reason: str, **headers: Any) -> Delivery:
    return message(call.id, "call", headers={"x-death": [{"reason": reason}], **headers})


async def test_a_reply_is_given_to_the_call_of_its_id_and_tells_of_a_live_server() -> None:
    there = There()
    call = there.call()
    there.inbox.on_delivery(message(call.id, "result", b"1"))
    assert [(c, reply.body) for c, reply in there.replies] == [(call, b"1")]
    assert call.route.server_seen_at == 1000.0
    there.now += HEARD_EVERY / 2
    there.inbox.on_delivery(message(call.id, "result", b"1"))
    assert call.route.server_seen_at == 1000.0  # known well enough


@pytest.mark.parametrize("call_id", ["nobody's", ""])
async def test_a_message_for_no_call_is_counted(call_id: str) -> None:
    there = There()
    there.inbox.on_delivery(message(call_id, "result", b"1"))
    there.inbox.on_delivery(message(call_id, "call"))
    there.inbox.on_delivery(message(call_id, "accepted"))  # of a call that just ended: no news
    assert (there.inbox.late, there.events, there.replies) == (2, [], [])


async def test_notices_are_events() -> None:
    there = There()
    call = there.call()
    there.inbox.on_delivery(message(call.id, "accepted"))
    there.inbox.on_delivery(message(call.id, "accepted", b'{"begun":false}'))
    assert there.events == [Event.RUNS, Event.WAITS]


async def test_progress_is_a_sign_of_life_and_told_to_who_listens() -> None:
    there = There()
    heard: list[Progress] = []
    call = there.call()
    there.inbox.on_delivery(message(call.id, "progress", b'{"fraction":0.1}'))  # nobody listens
    loop = asyncio.get_running_loop()
    call.listener = Listener(heard.append, loop, "gate.once")
    there.inbox.on_delivery(message(call.id, "progress", b'{"fraction":0.2}'))
    there.inbox.on_delivery(message(call.id, "progress"))
    await asyncio.sleep(0)
    assert there.events == [Event.RUNS] * 3
    assert heard == [Progress(fraction=0.2)]


async def test_a_server_that_asks_is_told_whether_the_caller_waits() -> None:
    there = There()
    call = there.call()
    there.inbox.on_delivery(message(call.id, "claim", reply_to="gate.1"))
    there.inbox.on_delivery(message("gone", "claim", reply_to="gate.1"))
    assert there.events == [Event.CONFIRM]
    assert there.confirmed == [("gate.1", call.id, True), ("gate.1", "gone", False)]


UNCONFIRMED = encode_failure(Unconfirmed("its caller says nothing"))
NOT_RUN = encode_failure(Unconfirmed("its caller says nothing", executed="no"))
CANCELLED = encode_failure(Cancelled("the server stopped while the handler ran"))


@pytest.mark.parametrize("options", [{"idempotent": True}, {"keyed": True}])
async def test_a_call_that_no_server_runs_as_its_client_was_not_heard_has_not_ended(
    options: dict[str, bool],
) -> None:
    there = There()
    call = there.call(**options)
    there.inbox.on_delivery(message(call.id, "error", UNCONFIRMED))
    assert (there.events, there.replies) == ([Event.UNHEARD], [])
    there.inbox.on_delivery(message(call.id, "error", CANCELLED))
    assert there.events == [Event.UNHEARD]
    assert [reply.body for _, reply in there.replies] == [CANCELLED]


async def test_a_call_that_nobody_ran_goes_out_again_unless_only_its_key_allows_that() -> None:
    there = There()
    there.inbox.on_delivery(message(there.call(idempotent=True).id, "error", NOT_RUN))
    assert (there.events, there.replies) == ([Event.UNHEARD], [])
    keyed = there.call(keyed=True)
    there.inbox.on_delivery(message(keyed.id, "error", NOT_RUN))
    assert [(call, reply.body) for call, reply in there.replies] == [(keyed, NOT_RUN)]


async def test_a_call_is_not_sent_again_for_ever_if_its_client_is_never_heard() -> None:
    there = There()
    call = there.call(idempotent=True)
    call.ensure_trouble().resends = MOST_RESENDS
    there.inbox.on_delivery(message(call.id, "error", UNCONFIRMED))
    assert not there.events
    assert [reply.body for _, reply in there.replies] == [UNCONFIRMED]


async def test_a_stream_that_no_server_runs_as_its_client_was_not_heard_has_not_ended() -> None:
    there = There()
    call = there.call(idempotent=True, streams=True)
    there.inbox.on_delivery(message(call.id, "error", UNCONFIRMED))
    assert (there.events, there.streamed) == ([Event.UNHEARD], [])
    there.inbox.on_delivery(message(call.id, "error", CANCELLED))
    (closing,) = there.streamed
    assert isinstance(closing, Closing)
    assert closing.reply.body == CANCELLED


async def test_another_call_ends_if_its_client_was_not_heard() -> None:
    there = There()
    call = there.call()
    there.inbox.on_delivery(message(call.id, "error", UNCONFIRMED))
    assert not there.events
    assert [reply.body for _, reply in there.replies] == [UNCONFIRMED]


async def test_a_pipe_begins_again_if_its_client_was_not_heard_at_the_first_stage() -> None:
    there = There()
    call = a_pipe(idempotent=True)
    there.calls[call.id] = call
    there.inbox.on_delivery(message(call.id, "error", UNCONFIRMED, headers={"stage": 1}))
    assert (there.events, there.replies) == ([Event.UNHEARD], [])
    there.inbox.on_delivery(message(call.id, "error", UNCONFIRMED, headers={"stage": 2}))
    assert there.events == [Event.UNHEARD]
    assert [reply.body for _, reply in there.replies] == [UNCONFIRMED]


@pytest.mark.parametrize(
    ("reason", "headers", "repeatable", "event", "doubtful"),
    [
        ("expired", {}, False, Event.EXPIRY, False),
        ("expired", {"attempt": 1}, False, Event.EXPIRY, True),
        ("expired", {"handed-back": True}, False, Event.EXPIRY, True),
        ("maxlen", {"handed-back": False}, True, Event.FULL, True),
        ("maxlen", {}, True, Event.FULL, False),
        ("maxlen", {"attempt": 2}, False, Event.FULL, True),
        ("maxlen", {"attempt": 2}, True, Event.FULL_AGAIN, True),
        ("delivery_limit", {}, True, Event.REJECTED, False),
        ("", {}, True, Event.REJECTED, False),
    ],
)
async def test_a_bounce_is_an_event_and_one_of_a_request_that_a_server_had_is_doubt(
    reason: str, headers: dict[str, Any], repeatable: bool, event: Event, doubtful: bool
) -> None:
    there = There()
    call = there.call(idempotent=repeatable)
    there.inbox.on_delivery(bounced(call, reason, **headers))
    assert (there.events, call.doubtful) == ([event], doubtful)
    if event is Event.REJECTED:
        assert str(there.causes[0]) == f"dead-lettered: {reason or 'no reason given'}"


async def test_a_copy_that_found_no_place_is_no_news() -> None:
    there = There()
    call = there.call()
    there.inbox.on_delivery(bounced(call, "maxlen", **{"handed-back": True}))
    assert there.events == []


async def test_a_returned_request_gives_back_its_body() -> None:
    there = There()
    call = there.call()
    back = RETURNED
    there.inbox.on_return(Content(1, back, Properties(correlation_id=call.id), b"[7]", 3))
    assert (there.events, call.body) == ([Event.NO_ROUTE], b"[7]")
    there.inbox.on_return(Content(1, back, Properties(), b"{}", 2))
    assert there.events == [Event.NO_ROUTE]


@pytest.mark.parametrize("kind", ["end", "error", "result"])
def test_the_end_of_a_stream_whose_call_has_ended_is_acknowledged(kind: str) -> None:
    there = There()
    there.inbox.on_delivery(message("c1", kind, b"{}", reply_to="feed.a1", headers={"n": 4}))
    assert (there.acknowledged, there.inbox.late) == ([("feed.a1", "c1", 5)], 1)
    there.inbox.on_delivery(message("c1", kind, b"{}"))
    for other in ("item", "progress", "credit"):
        there.inbox.on_delivery(message("c1", other, b"1", reply_to="feed.a1", headers={"n": 4}))
    assert (len(there.acknowledged), there.inbox.late) == (1, 3)


def test_an_answer_to_a_question_is_late_for_no_call() -> None:
    there = There()
    there.inbox.on_delivery(message("question", "result", b"{}"))
    assert (there.answers, there.inbox.late) == ([b"{}"], 0)
    there.inbox.on_delivery(message("closed", "result", b"{}"))
    assert (there.answers, there.inbox.late) == ([b"{}"], 1)


def of_a_stage(call: Pending, stage: int, kind: str = "result") -> Delivery:
    return message(call.id, kind, b"{}", headers={"stage": stage})


def piped(there: There) -> Pending:
    call = a_pipe()
    there.calls[call.id] = call
    return call


async def test_a_pipe_is_where_the_latest_message_of_its_servers_says() -> None:
    there = There()
    call = piped(there)
    there.inbox.on_delivery(of_a_stage(call, 2, "passed"))
    assert (there.passed, there.events) == ([2], [])
    there.inbox.on_delivery(of_a_stage(call, 2, "accepted"))
    assert there.events == [Event.WAITS]
    for kind in ("accepted", "error", "call"):  # of another copy of its request
        there.inbox.on_delivery(of_a_stage(call, 1, kind))
    assert (there.passed, there.events, there.replies) == ([2], [Event.WAITS], [])
    there.inbox.on_delivery(of_a_stage(call, 3))
    assert there.passed == [2, 3]
    ((_, reply),) = there.replies
    assert isinstance(reply, StageReply)
    assert not reply.problem
    assert call.route.server_seen_at == 1000.0


async def test_a_stage_that_no_pipe_has_moves_none() -> None:
    there = There()
    call = piped(there)
    there.inbox.on_delivery(of_a_stage(call, 9, "passed"))
    plain = there.call()
    there.inbox.on_delivery(of_a_stage(plain, 2))
    assert [(of, reply.problem) for of, reply in there.replies] == [(plain, "")]
    assert not there.passed


async def test_a_request_of_a_pipe_that_has_no_queue_is_that_of_the_first_stage() -> None:
    there = There()
    call = piped(there)
    call.request = call.request.stages[1]
    returned = message(call.id, "call", b"{}")
    there.inbox.on_return(Content(1, RETURNED, returned.properties, b"{}", 2))
    assert (call.request.stage, there.events) == (1, [Event.NO_ROUTE])
