"""What becomes of the result of a stage: the next request, or the error of either stage."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec import structs

from leveret import Service, method
from leveret.amqp.frames import published
from leveret.backoff import Backoff
from leveret.contract import spec_of
from leveret.errors import CallError, InvalidArgument
from leveret.server.calls.life import Answer, Event, Life, ServerCall, Source, State, Stop
from leveret.server.calls.next_requests import Fate
from leveret.server.calls.passing import Passing
from leveret.server.calls.replies import Replies
from leveret.wire.failures import decode_failure
from leveret.wire.message import Next, Stage
from leveret.wire.native.reply import ReplyPacker
from leveret.wire.timing import DECLARED_AGAIN_WITHIN
from tests.unit.server.calls.making import Answers, NextStage, request

STAMP = Stage(method="ink.stamp", argument="pic", content_type="application/msgpack")


class Desk(Service):
    @method
    async def draw(self) -> str:
        return "a cat"


SPEC = spec_of(Desk).methods["draw"]


class Scene:
    """A call that has its result, and what passes that on."""

    def __init__(self, *fates: Fate, then: Stage = STAMP, waits: bool = False) -> None:
        self.now = 10.0
        self.passed: list[bytes] = []
        self.next = NextStage(*fates)
        self.replies = Replies(SPEC, 1000, notes_errors=True)
        self.life = Life(lambda: self.now)
        self.call = ServerCall(
            method=SPEC.key,
            incoming=structs.replace(request(), stage=1, then=(then,), waits=waits),
            source=Source(queue=SPEC.queue_name, answers=Answers(ReplyPacker(1, 0, SPEC))),
            user="ann",
            ends=15.0,
            state=State.RUNNING,
        )
        self.draining = False
        self.passing = Passing(
            SPEC, self.life, self.replies, self._publish, self._passed, lambda: self.draining
        )

    async def _publish(self, notice: bytes, request: Next) -> Fate:
        self.now += 0.5
        return await self.next.publish(notice, request)

    def _passed(self, call: ServerCall, notice: bytes) -> None:
        call.answer = Answer.GIVEN
        self.passed.append(notice)

    def result(self, body: bytes = b'"a cat"') -> bytes:
        return self.call.source.answers.packer.result(self.call.incoming, body, "application/json")

    async def end(self, reply: bytes | None = None, *, again: bool = False) -> bytes:
        return await self.passing.pass_on(
            self.call, self.result() if reply is None else reply, again=again
        )

    async def failure(self) -> tuple[CallError, int]:
        """The error that it ends with, and the stage that is said to have failed."""
        properties, body = published(await self.end())
        assert properties.type == "error"
        return decode_failure(body, {}, ""), (properties.headers or {})["stage"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leveret.server.calls.passing._PAUSES", Backoff(first=0, most=0))


async def test_a_result_becomes_the_argument_of_the_next_stage() -> None:
    scene = Scene()
    notice = await scene.end()
    (sent,) = scene.next.published
    assert sent.body == b"\x81\xa3pic\xa5a cat"
    assert (sent.user, sent.own_user, sent.seconds, sent.resent) == ("ann", "server", 5.0, False)
    assert scene.passed == [notice]
    assert published(notice)[0].type == "passed"
    assert scene.call.state is State.PASSING


async def test_an_error_is_the_end_of_the_pipe() -> None:
    scene = Scene()
    error = scene.replies.error(scene.call, InvalidArgument("no"))
    assert await scene.end(error) == error
    assert not scene.next.published


@pytest.mark.parametrize("why", [Stop.DEADLINE, Stop.CALLER])
async def test_what_nobody_waits_for_is_not_passed_on(why: Stop) -> None:
    scene = Scene()
    scene.call.stop = why
    await scene.end()
    assert not scene.next.published


async def test_a_result_that_the_next_stage_cannot_take_is_this_stages_error() -> None:
    scene = Scene(then=structs.replace(STAMP, content_type="application/octet-stream"))
    error, stage = await scene.failure()
    assert (stage, error.executed) == (1, "yes")
    assert "cannot be passed on to ink.stamp" in error.message


async def test_a_full_queue_is_an_error_of_the_next_stage() -> None:
    scene = Scene(Fate.REFUSED)
    error, stage = await scene.failure()
    assert (stage, error.code, error.executed) == (2, "RESOURCE_EXHAUSTED", "no")
    assert scene.call.failure is not None


async def test_a_queue_that_is_declared_anew_gets_the_request() -> None:
    scene = Scene(Fate.UNROUTED, Fate.UNROUTED)
    await scene.end()
    assert len(scene.next.published) == 3
    assert not any(sent.resent for sent in scene.next.published)
    assert scene.passed


async def test_a_queue_that_is_not_there_is_waited_for_for_a_moment_only() -> None:
    scene = Scene(*[Fate.UNROUTED] * 20)
    error, stage = await scene.failure()
    assert (stage, error.code, error.executed) == (2, "UNIMPLEMENTED", "no")
    assert len(scene.next.published) == DECLARED_AGAIN_WITHIN / 0.5 + 1


async def test_a_caller_that_waits_for_servers_waits_for_the_queue_until_its_deadline() -> None:
    error, stage = await Scene(*[Fate.UNROUTED] * 20, waits=True).failure()
    assert (stage, error.code, error.executed) == (2, "DEADLINE_EXCEEDED", "maybe")


async def test_a_request_that_may_be_lost_goes_again_where_that_does_no_harm() -> None:
    scene = Scene(Fate.UNKNOWN, then=structs.replace(STAMP, repeatable=True))
    await scene.end()
    assert [sent.resent for sent in scene.next.published] == [False, True]
    assert scene.passed


async def test_a_request_that_may_be_lost_and_must_not_run_twice_is_given_up() -> None:
    error, stage = await Scene(Fate.UNKNOWN).failure()
    assert (stage, error.code, error.executed) == (2, "ABORTED", "maybe")


async def test_a_channel_that_ends_each_time_is_given_up() -> None:
    scene = Scene(*[Fate.UNKNOWN] * 9, then=structs.replace(STAMP, repeatable=True))
    error, _ = await scene.failure()
    assert error.code == "ABORTED"
    assert len(scene.next.published) == 8


async def test_a_request_that_was_not_sent_goes_as_soon_as_there_is_a_channel() -> None:
    scene = Scene(Fate.UNSENT, Fate.UNSENT)
    await scene.end()
    assert [sent.resent for sent in scene.next.published] == [False] * 3
    assert scene.passed
    error, _ = await Scene(*[Fate.UNSENT] * 9).failure()
    assert error.code == "ABORTED"


async def test_a_broker_that_confirms_nothing_is_waited_for_until_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()

    async def late(_notice: bytes, request: Next) -> Fate:
        scene.now = 15.0
        raise TimeoutError

    monkeypatch.setattr(scene.passing, "_publish", late)
    error, _ = await scene.failure()
    assert (error.code, error.executed) == ("ABORTED", "maybe")


async def test_a_pipe_without_time_is_not_passed_on() -> None:
    scene = Scene()
    scene.now = 15.0
    error, stage = await scene.failure()
    assert (stage, error.code, error.executed) == (2, "DEADLINE_EXCEEDED", "no")
    assert not scene.next.published


@pytest.mark.parametrize("why", ["again", "redelivered", "resent", "attempts"])
async def test_what_may_have_been_passed_on_before_says_so(why: str) -> None:
    scene = Scene()
    changed = {why: 1 if why == "attempts" else True} if why != "again" else {}
    scene.call.incoming = structs.replace(scene.call.incoming, **changed)
    await scene.end(again=why == "again")
    assert scene.next.published[0].resent


async def test_headers_that_cannot_be_packed_are_this_stages_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()

    async def fail(_notice: bytes, _request: Next) -> Fate:
        raise ValueError("too long")

    monkeypatch.setattr(scene.passing, "_publish", fail)
    error, stage = await scene.failure()
    assert (stage, error.message) == (1, "its result cannot be passed on to ink.stamp: too long")


async def test_the_next_stages_of_strangers_take_no_memory_without_end() -> None:
    scene = Scene()
    for number in range(200):
        stage = structs.replace(STAMP, argument=f"pic{number}")
        scene.call.incoming = structs.replace(scene.call.incoming, then=(stage,))
        scene.call.state, scene.call.answer = State.RUNNING, Answer.OWED
        await scene.end()
        await asyncio.sleep(0)
    assert len(scene.passing._codecs) <= 64


async def started(scene: Scene, reply: bytes | None = None) -> bool:
    left = time.time() + 100
    scene.call.incoming = structs.replace(scene.call.incoming, started=100.0, deadline=left)
    return await scene.passing.pass_on_started(
        scene.call, scene.result() if reply is None else reply, again=False
    )


async def test_a_started_call_is_passed_on_however_long_that_takes() -> None:
    scene = Scene(*[Fate.UNROUTED, Fate.REFUSED, Fate.UNKNOWN, Fate.UNSENT] * 5)
    assert await started(scene)
    sent = scene.next.published
    assert len(sent) == 21
    assert [one.resent for one in sent] == [False] + [True] * 20
    assert 90 < sent[0].seconds <= 100
    assert scene.passed == []


async def test_a_started_call_goes_back_where_its_server_stops() -> None:
    scene = Scene(Fate.REFUSED)
    scene.draining = True
    assert not await started(scene)


async def test_a_started_call_without_time_is_forgotten_and_an_error_is_its_end() -> None:
    scene = Scene()
    scene.call.incoming = structs.replace(scene.call.incoming, started=1.0, deadline=0.0)
    assert await scene.passing.pass_on_started(scene.call, scene.result(), again=True)
    assert await started(scene, scene.replies.error(scene.call, InvalidArgument("no")))
    assert not scene.next.published


async def test_what_does_not_fit_the_next_stage_is_recorded_as_an_error() -> None:
    scene = Scene()
    reply = scene.result()
    assert scene.passing.fitting(scene.call, reply) == reply
    error = scene.replies.error(scene.call, InvalidArgument("no"))
    assert scene.passing.fitting(scene.call, error) == error
    scene = Scene(then=structs.replace(STAMP, content_type="application/octet-stream"))
    assert published(scene.passing.fitting(scene.call, reply))[0].type == "error"


def test_a_call_passes_its_result_on_from_wherever_it_has_it() -> None:
    for state in (State.CLAIMING, State.BEGUN, State.RUNNING, State.RECORDING):
        scene = Scene()
        scene.call.state = state
        scene.life.fire(scene.call, Event.FORWARD)
        assert scene.call.state is State.PASSING
