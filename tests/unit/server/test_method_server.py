"""One method, served without a broker: the test is the broker, and sees what is sent to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs

from leveret import Adaptive, CallEnd, CurrentCall, Service, method
from leveret.contract import spec_of
from leveret.errors import CallError
from leveret.once import MemoryOnce
from leveret.server.calls.endings import Endings
from leveret.server.calls.kept_replies import KeptReplies
from leveret.server.calls.life import (
    TRANSITIONS,
    Holding,
    Life,
    ServerCall,
    Source,
    State,
    Stop,
)
from leveret.server.calls.next_requests import Fate
from leveret.server.calls.once_calls import OnceCalls
from leveret.server.calls.table import CallTable, EarlyCancels
from leveret.server.handlers.execution import Executor
from leveret.server.method.shared import Shared
from leveret.server.method_server import MethodServer
from leveret.server.outbox import Unsent
from leveret.server.streams.registry import Streams
from leveret.wire.message import Incoming, Next, Stage
from leveret.wire.native.reply import ReplyPacker
from tests.behaviour.patience import until
from tests.unit.server.calls.making import NOBODY, Answers, key, name, request


class Desk(Service):
    """Works until it is let go."""

    def __init__(self) -> None:
        self.began = 0
        self.cancelled = 0
        self.go = asyncio.Event()

    async def _work(self) -> int:
        self.began += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.began

    @method(concurrency=2)
    async def work(self) -> int:
        return await self._work()

    @method(concurrency=2, idempotent=True)
    async def again(self) -> int:
        return await self._work()

    @method(concurrency=Adaptive(start=1))
    async def adapt(self) -> int:
        return await self._work()


class Announcer:
    watching = False

    def watch(self) -> None:
        self.watching = True


async def _at_once() -> None:
    """Nothing is to be waited for."""


class Scene:
    """The server of one method."""

    def __init__(self, its_method: str = "work", *, told: bool = False) -> None:
        self.ends: list[tuple[CurrentCall, CallEnd]] = []
        self.desk = Desk()
        self.spec = spec_of(self.desk).methods[its_method]
        self.table = CallTable()
        self.life = Life(time.monotonic)
        self.steps: list[tuple[State, State]] = []
        self.life.on_transition = lambda _call, before, _event, after, _now: self.steps.append(
            (before, after)
        )
        self.elsewhere: list[bytes] = []
        self.notices: list[tuple[bytes, str, Callable[[bool], None]]] = []
        self.failed: list[tuple[ServerCall, CallError, str]] = []
        self.kept = KeptReplies(time.monotonic)
        self.early = EarlyCancels(time.monotonic)
        self.server = MethodServer(
            self.spec,
            Executor(self.desk, self.spec, self.spec.concurrency),
            Shared(
                life=self.life,
                table=self.table,
                kept=self.kept,
                streams=Streams(asyncio.get_running_loop(), lambda _call: None, time.monotonic),
                early_cancels=self.early,
                announcer=Announcer(),
                once=MemoryOnce(),
                instance="b47af560",
                user_of=lambda request, _own_user: request.user,
                reply_elsewhere=self.elsewhere.append,
                publish_next=NOBODY.publish,
                publish_confirmed=lambda *notice: self.notices.append(notice),
                keep_failed=lambda _spec, call, error, key: self.failed.append((call, error, key)),
                failed_kept=_at_once,
                max_message_size=1000,
                send_tracebacks=False,
                endings=Endings([self._ended], time.monotonic) if told else None,
            ),
            adaptive=True,
            guard=None,
            loop=asyncio.get_running_loop(),
        )
        self.answers = Answers(ReplyPacker(1, 0, self.spec))
        self.source = Source(queue=self.spec.queue_name, answers=self.answers)
        self.server.attached(self.source)

    def _ended(self, call: CurrentCall, end: CallEnd) -> None:
        self.ends.append((call, end))

    def told(self) -> list[tuple[str, str, str]]:
        """How calls ended, each by its id, its outcome and the code of its error."""
        return [
            (call.id, end.outcome, "" if end.error is None else end.error.code)
            for call, end in self.ends
        ]

    def take(
        self, call_id: str = "1", *, old: bool = False, **properties: Any
    ) -> ServerCall | None:
        """A request comes; the call that was made of it, if one was."""
        self.server.take(self.request(call_id, **properties), self.source, old=old)
        return next(iter(self.table.find(key(call_id))), None)

    def request(self, call_id: str = "1", *, seconds: float = 30, **properties: Any) -> Incoming:
        now = time.time()
        given = {"expiration": "30000", **properties}
        headers = {**(given.pop("headers", None) or {}), "deadline": int((now + seconds) * 1000)}
        return request(call_id, headers=headers, now=now, **given)

    def sent(self, kind: str) -> list[Any]:
        return [what for name, what in self.answers.sent if name == kind]

    def lose_the_channel(self, *unsent: Unsent) -> None:
        self.answers.is_open = False
        self.server.channel_lost(self.source, list(unsent))

    def attach_again(self) -> None:
        self.answers = self.source.answers = Answers(ReplyPacker(2, 0, self.spec), number=2)
        self.server.attached(self.source)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await over(made)


async def over(scene: Scene) -> None:
    scene.desk.go.set()
    await scene.server.finish()
    scene.server.close()


async def test_a_request_is_run_and_answered(scene: Scene) -> None:
    scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    scene.desk.go.set()
    await until(lambda: not scene.server.calls, "it ends")
    (reply,) = scene.sent("finish")
    assert b"result" in reply
    assert scene.source.finished == 1
    assert scene.kept.find(name("1")) == (scene.spec.queue_name, reply)
    assert scene.steps == [
        (State.ARRIVED, State.STARTED),
        (State.STARTED, State.RUNNING),
        (State.RUNNING, State.ENDED),
    ]


async def test_what_is_written_out_is_what_the_table_says(scene: Scene) -> None:
    """The steps that every call takes do not go through the table."""
    scene.take()
    scene.desk.go.set()
    await until(lambda: not scene.server.calls, "it ends")
    rows = {(before, after) for (before, _), (after, _) in TRANSITIONS.items()}
    assert set(scene.steps) <= rows


async def test_what_finds_no_place_waits_and_is_begun_in_order(scene: Scene) -> None:
    for n in range(4):
        scene.take(str(n))
    await until(lambda: scene.desk.began == 2, "two run")
    assert [call.id for call in scene.server.waiting] == ["2", "3"]
    scene.desk.go.set()
    await until(lambda: not scene.server.calls, "all end")
    assert scene.desk.began == 4
    assert scene.server.slots.taken == 0


async def test_a_place_is_free_once_the_reply_has_left(scene: Scene) -> None:
    scene.answers.full = True
    scene.desk.go.set()
    calls = [scene.take(str(n)) for n in range(3)]
    await until(lambda: len(scene.sent("finish")) == 2, "two have ended, and wait for the socket")
    assert scene.desk.began == 2
    assert scene.server.slots.taken == 2
    assert calls[0] is not None
    scene.answers.full = False
    scene.server.sent(calls[0])
    await until(lambda: scene.desk.began == 3, "the third has a place")
    assert calls[1] is not None
    scene.server.sent(calls[1])


async def test_a_request_that_is_refused_has_no_place(scene: Scene) -> None:
    scene.answers.full = True
    scene.take(seconds=-1)
    assert b"DEADLINE_EXCEEDED" in scene.sent("finish")[0]
    assert scene.server.slots.taken == 0
    assert scene.steps == [(State.ARRIVED, State.ENDED)]


async def test_who_does_not_want_to_wait_is_told_at_once(scene: Scene) -> None:
    for n in range(2):
        scene.take(str(n))
    scene.take("busy", expiration="0")
    assert b"RESOURCE_EXHAUSTED" in scene.sent("finish")[0]


async def test_who_does_not_want_to_wait_is_told_before_its_handler_begins(scene: Scene) -> None:
    scene.take("patient")
    await until(lambda: scene.desk.began == 1, "the first one runs")
    scene.take("hurried", expiration="0")
    ((notice, named, told),) = scene.notices
    assert b"hurried" in notice
    assert named == "hurried"
    assert (scene.desk.began, scene.server.slots.taken) == (1, 1)
    told(True)
    await until(lambda: scene.desk.began == 2, "it runs, too")
    assert not scene.sent("notice")


async def test_who_cannot_be_told_that_its_call_is_here_is_told_that_it_did_not_run(
    scene: Scene,
) -> None:
    scene.take("hurried", expiration="0")
    ((_, _, told),) = scene.notices
    told(False)
    (refused,) = scene.sent("finish")
    assert b"RESOURCE_EXHAUSTED" in refused
    assert b'"executed":"no"' in refused
    assert (scene.desk.began, scene.server.slots.taken) == (0, 0)
    assert not scene.server.calls


@pytest.mark.parametrize("taken", [True, False])
async def test_what_must_not_wait_is_forgotten_if_its_channel_ends_before_its_caller_is_told(
    scene: Scene, taken: bool
) -> None:
    scene.take("hurried", expiration="0")
    ((_, _, told),) = scene.notices
    scene.lose_the_channel()
    told(taken)
    assert not scene.server.calls
    assert not scene.sent("finish")
    assert scene.desk.began == 0


async def test_a_deadline_passes_before_the_broker_has_the_notice(scene: Scene) -> None:
    scene.take("hurried", expiration="0", seconds=0.05)
    ((_, _, told),) = scene.notices
    await until(lambda: not scene.server.calls, "it ends")
    (refused,) = scene.sent("finish")
    assert b"DEADLINE_EXCEEDED" in refused
    told(True)
    assert scene.desk.began == 0


async def test_a_cancel_that_came_first_keeps_its_request_from_running(scene: Scene) -> None:
    scene.early.add(key("1"), 5)
    assert scene.take() is None
    assert b"CANCELLED" in scene.sent("finish")[0]


# -- the caller is asked ---------------------------------------------------------------------------


async def test_an_old_request_is_run_once_its_caller_says_that_it_waits(scene: Scene) -> None:
    call = scene.take(old=True)
    assert call is not None
    assert call.state is State.ASKED
    assert b"claim" in scene.sent("reply")[0]
    scene.server.confirmed(call)
    scene.server.confirmed(call)
    await until(lambda: scene.desk.began == 1, "it runs")


async def test_a_caller_that_left_before_its_old_request_was_run_is_believed(scene: Scene) -> None:
    call = scene.take(old=True)
    assert call is not None
    scene.server.stop(call, Stop.CALLER)
    assert b"nobody waited" in scene.sent("finish")[0]
    assert not scene.server.calls


async def test_an_old_request_that_is_the_brokers_is_left_to_who_gets_it_next(
    scene: Scene,
) -> None:
    scene.take(old=True, seconds=0.5)
    scene.lose_the_channel()
    await until(lambda: not scene.server.calls, "nobody has answered")
    assert scene.elsewhere == []
    assert not scene.sent("finish")


async def test_a_drain_hands_back_what_was_not_begun(scene: Scene) -> None:
    asked = scene.take("asked", old=True)
    for n in range(3):
        scene.take(str(n))
    assert asked is not None
    await scene.server.hand_back_waiting()
    assert len(scene.sent("hand back")) == 1
    scene.server.stop(asked, Stop.DRAIN)
    assert len(scene.sent("hand back")) == 2
    assert len(scene.server.calls) == 2


# -- the channel ends ------------------------------------------------------------------------------


async def test_a_request_that_comes_again_meets_its_call(scene: Scene) -> None:
    call = scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    scene.lose_the_channel()
    assert call is not None
    assert call.holding is Holding.DETACHED
    scene.attach_again()
    scene.take(redelivered=True, tag=9)
    assert (call.holding, call.tag) == (Holding.HELD, 9)
    scene.desk.go.set()
    await until(lambda: not scene.server.calls, "it ends")
    assert scene.desk.began == 1
    assert len(scene.sent("finish")) == 1


async def test_a_reply_that_has_no_channel_is_kept_and_repeated(scene: Scene) -> None:
    scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    scene.lose_the_channel()
    scene.desk.go.set()
    await until(lambda: not scene.server.calls, "it ends")
    assert len(scene.elsewhere) == 1
    scene.attach_again()
    assert scene.sent("repeat") == scene.elsewhere
    scene.take(redelivered=True, tag=9)
    assert scene.sent("repeat") == 2 * scene.elsewhere
    assert scene.sent("ack") == [9]
    assert scene.desk.began == 1


async def test_what_still_waited_for_the_socket_is_kept_and_its_place_is_free(
    scene: Scene,
) -> None:
    scene.answers.full = True
    scene.desk.go.set()
    call = scene.take()
    await until(lambda: len(scene.sent("finish")) == 1, "it waits for the socket")
    scene.lose_the_channel(Unsent(frames=scene.sent("finish")[0], call=call))
    assert scene.server.slots.taken == 0
    assert len(scene.kept.unacked(scene.spec.queue_name)) == 1


async def test_what_waits_for_a_place_leaves_the_line_with_its_channel_and_joins_it_again(
    scene: Scene,
) -> None:
    for n in range(3):
        scene.take(str(n))
    await until(lambda: scene.desk.began == 2, "two run")
    scene.lose_the_channel()
    assert not scene.server.waiting
    scene.attach_again()
    scene.take("2", redelivered=True)
    assert [call.id for call in scene.server.waiting] == ["2"]


async def test_a_caller_that_leaves_while_its_waiting_request_is_the_brokers_is_remembered(
    scene: Scene,
) -> None:
    for n in range(3):
        scene.take(str(n))
    waits = next(iter(scene.table.find(key("2"))), None)
    assert waits is not None
    scene.lose_the_channel()
    scene.server.stop(waits, Stop.CALLER)
    assert scene.early.take(key("2"))
    assert not scene.table.find(key("2"))


async def test_a_drain_without_a_channel_answers_nobody(scene: Scene) -> None:
    scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    scene.server.draining = True
    scene.lose_the_channel()
    await until(lambda: not scene.server.calls, "it is cancelled")
    assert scene.desk.cancelled == 1
    assert scene.elsewhere == []


# -- a request may have been run -------------------------------------------------------------------


async def test_a_redelivered_request_that_nobody_knows_is_not_run(scene: Scene) -> None:
    scene.take(redelivered=True)
    assert b"ABORTED" in scene.sent("finish")[0]
    assert scene.desk.began == 0


async def test_one_of_an_idempotent_method_is_counted_up_and_then_given_up() -> None:
    scene = Scene("again")
    scene.take(redelivered=True)
    scene.take(redelivered=True, headers={"attempt": 4})
    assert scene.sent("hand back") == [1, 5]
    scene.take(redelivered=True, headers={"attempt": 5})
    assert b"ABORTED" in scene.sent("reject")[0]
    await over(scene)


# -- stops -----------------------------------------------------------------------------------------


async def test_a_caller_is_answered_at_its_deadline_and_its_handler_cancelled(scene: Scene) -> None:
    call = scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    assert call is not None
    scene.server.stop(call, Stop.DEADLINE)
    assert b"DEADLINE_EXCEEDED" in scene.sent("reply")[0]
    await until(lambda: not scene.server.calls, "it is cancelled")
    assert scene.desk.cancelled == 1
    assert scene.sent("finish") == [b""], "nobody is answered twice"


@pytest.mark.parametrize(("name", "answered"), [("work", 1), ("again", 0)])
async def test_a_handler_that_refuses_to_end_is_given_up(name: str, answered: int) -> None:
    scene = Scene(name)
    call = scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    assert call is not None
    scene.server.abandon(call)
    assert len(scene.sent("finish")) == answered
    assert not scene.server.calls
    task = call.task
    assert task is not None
    scene.desk.go.set()
    await task
    assert len(scene.sent("finish")) == answered
    scene.server.close()


async def test_a_stage_that_cannot_be_passed_on_is_given_up_and_not_tried_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = asyncio.Event()

    async def publish(_notice: bytes, _request: Next) -> Fate:
        tried.set()
        await asyncio.Event().wait()
        return Fate.UNKNOWN

    monkeypatch.setattr(NOBODY, "publish", publish)
    scene = Scene()
    stamp = Stage(method="ink.stamp", argument="n", content_type="application/json")
    scene.server.take(
        structs.replace(scene.request(), stage=1, then=(stamp,)), scene.source, old=False
    )
    scene.desk.go.set()
    await tried.wait()
    (call,) = scene.server.calls
    scene.server.abandon(call)
    assert not scene.server.calls
    assert call.task is not None
    await asyncio.wait({call.task})
    assert call.task.cancelled()
    scene.server.close()


# -- what callers are told -------------------------------------------------------------------------


async def test_callers_are_told_once_and_not_while_the_socket_is_full(scene: Scene) -> None:
    call = scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    assert call is not None
    scene.answers.full = True
    scene.server.announce(time.monotonic())
    assert call.told is None
    scene.answers.full = False
    for _ in range(2):
        scene.server.announce(time.monotonic())
    assert len(scene.sent("notice")) == 2
    scene.server.tell(call)  # it asked
    assert len(scene.sent("notice")) == 3


async def test_the_prefetch_follows_a_limit_that_adapts() -> None:
    class Queue:
        changing = False
        is_open = True

        def __init__(self) -> None:
            self.prefetches: list[int] = []

        async def change_prefetch(self, prefetch: int) -> None:
            self.prefetches.append(prefetch)

    scene = Scene("adapt")
    queue = Queue()
    scene.server.serve_queue(queue)
    assert scene.server.prefetch() == 2
    scene.server.slots.resize(10)
    for n in range(11):
        scene.take(str(n))
    await until(lambda: queue.prefetches == [12], "another prefetch is asked for")
    await over(scene)


# -- who wants to know how calls end is told -------------------------------------------------------


async def test_the_end_of_a_call_that_never_gets_to_its_handler_is_told_as_well() -> None:
    scene = Scene(told=True)
    for n in range(3):
        scene.take(str(n))
    await until(lambda: scene.desk.began == 2, "two run")
    scene.take("busy", expiration="0")
    scene.take("late", seconds=-1)
    scene.take("unreadable", content_type="text/html")
    scene.early.add(key("left"), 5)
    scene.take("left")
    assert scene.told() == [
        ("busy", "failed", "RESOURCE_EXHAUSTED"),
        ("late", "failed", "DEADLINE_EXCEEDED"),
        ("unreadable", "failed", "INVALID_ARGUMENT"),
        ("left", "failed", "CANCELLED"),
    ]
    assert {(end.executed, end.ran) for _, end in scene.ends} == {("no", 0.0)}
    scene.ends.clear()
    await scene.server.hand_back_waiting()
    scene.server.draining = True
    scene.take("next")
    assert scene.told() == [("2", "handed back", ""), ("next", "handed back", "")]
    scene.ends.clear()
    await over(scene)
    assert sorted(scene.told()) == [("0", "done", ""), ("1", "done", "")]
    (_, end), _ = scene.ends
    assert (end.executed, end.request_size, end.reply_size) == ("yes", 2, 1)


async def test_the_end_of_a_call_is_told_once_also_if_it_was_answered_before() -> None:
    scene = Scene(told=True)
    call = scene.take()
    await until(lambda: scene.desk.began == 1, "it runs")
    assert call is not None
    scene.server.stop(call, Stop.DEADLINE)
    assert scene.told() == []
    await over(scene)
    assert scene.told() == [("1", "failed", "DEADLINE_EXCEEDED")]
    ((_, end),) = scene.ends
    assert end.executed == "yes"
    assert end.reply_size > 50
    assert call.failure is None


async def test_the_end_of_a_call_whose_channel_was_lost_is_told() -> None:
    scene = Scene(told=True)
    for n in range(3):
        scene.take(str(n))
    waits = next(iter(scene.table.find(key("2"))), None)
    await until(lambda: scene.desk.began == 2, "two run")
    scene.lose_the_channel()
    assert waits is not None
    scene.server.stop(waits, Stop.CALLER)
    scene.server.draining = True
    for call in list(scene.server.calls):
        scene.server.stop(call, Stop.DRAIN)
    await over(scene)
    assert sorted(scene.told()) == [(str(n), "handed back", "") for n in range(3)]
    executed = {call.id: end.executed for call, end in scene.ends}
    assert executed == {"0": "yes", "1": "yes", "2": "no"}


async def test_the_end_of_a_request_that_killed_its_servers_is_told() -> None:
    scene = Scene("again", told=True)
    scene.take(redelivered=True)
    scene.take("2", redelivered=True, headers={"attempt": 5})
    assert scene.told() == [("1", "handed back", ""), ("2", "failed", "ABORTED")]
    await over(scene)


async def test_a_one_way_request_that_fails_is_kept_where_its_queue_keeps_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.take("1", body=b"[]", reply_to=None)
    assert scene.failed == []
    assert scene.answers.sent[-1] == ("finish", b"")
    scene.source.keeps_failed = True
    scene.take("2", body=b"[]", reply_to=None)
    [(call, error, key)] = scene.failed
    assert (call.id, error.code, error.executed, key) == ("2", "INVALID_ARGUMENT", "no", "")
    assert len(scene.answers.sent) == 1
    scene.take("3", body=b"[]")  # somebody waits for this one
    assert len(scene.failed) == 1
    assert scene.source.failed == 2
    assert caplog.text.count("a one-way request failed") == 2


async def test_a_one_way_request_that_may_have_run_is_kept_and_one_that_expired_is_not() -> None:
    scene = Scene()
    scene.source.keeps_failed = True
    scene.take("1", redelivered=True, reply_to=None, expiration=None)
    assert [(call.id, error.code) for call, error, _ in scene.failed] == [("1", "ABORTED")]
    scene.take("2", seconds=-1, reply_to=None)
    assert len(scene.failed) == 1
    assert scene.answers.sent == [("finish", b"")]


async def test_a_one_way_call_that_waits_is_forgotten_if_its_channel_ends() -> None:
    """Another server gets it. Here it would be known until it expires, perhaps for ever."""
    scene = Scene()
    scene.server.slots.resize(1)
    scene.take("1")
    waits = request("2", headers={}, now=time.time(), reply_to=None, expiration=None)
    scene.server.take(waits, scene.source, old=False)
    assert len(scene.server.calls) == 2
    scene.lose_the_channel()
    assert [call.id for call in scene.server.calls] == ["1"]
    await over(scene)


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("again", [False, True])
async def test_a_start_that_is_refused_settles_no_delivery_of_another_channel(
    monkeypatch: pytest.MonkeyPatch, noted: bool, again: bool
) -> None:
    may_note = asyncio.Event()

    async def refuse(*_: object) -> bool:
        await may_note.wait()
        return noted

    monkeypatch.setattr(OnceCalls, "lasts", True)
    monkeypatch.setattr(OnceCalls, "refuse", refuse)
    scene = Scene()
    started = structs.replace(scene.request(body=b"[]"), started=60.0, idempotency_key="k")
    scene.server.take(started, scene.source, old=False)
    (refusing,) = scene.server._ends.refusals
    scene.lose_the_channel()
    if again:
        scene.attach_again()  # on which the same tag is another request's
    may_note.set()
    await asyncio.wait({refusing})
    assert scene.answers.sent == []
    assert not scene.server.calls
    await over(scene)


@pytest.mark.parametrize("ends", [False, True])
async def test_a_start_that_is_left_to_others_settles_no_delivery_of_another_channel(
    monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr("leveret.server.method.unawaited._LEFT_AFTER", 0.0)
    scene = Scene()  # its store does not outlive it
    started = structs.replace(scene.request(), started=60.0, idempotency_key="k")
    scene.server.take(started, scene.source, old=False)
    if ends:
        scene.lose_the_channel()
        scene.attach_again()
    await until(lambda: scene.source.counters.handed_back == 1, "it is left to them")
    assert scene.sent("hand back") == ([] if ends else [None])
    await over(scene)


async def test_the_time_of_a_one_way_call_begins_with_its_handler() -> None:
    scene = Scene()
    scene.server.slots.resize(1)
    first = scene.take("1")
    assert first is not None
    now = time.time()
    waits = request("2", headers={}, now=now, reply_to=None, expiration=None)
    scene.server.take(waits, scene.source, old=False)
    [call] = scene.server.waiting
    before = call.ends
    scene.server._expired(call)
    assert scene.server.waiting == (call,)
    assert call.ends > before
    call.incoming = msgspec.structs.replace(call.incoming, expires=time.time() - 1)
    scene.server._expired(call)
    assert call.state is State.ENDED
