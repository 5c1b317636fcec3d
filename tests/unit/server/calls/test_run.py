"""One call from its place to its end, with handlers and stores that the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from msgspec import Struct, structs

from leveret.contract import MethodSpec, Progress
from leveret.once import MemoryOnce
from leveret.server.calls.life import Event, Life, ServerCall, State, Stop
from leveret.server.calls.once_calls import OnceCalls
from leveret.server.calls.replies import Replies
from leveret.server.calls.run import Ended, Invoked, Runner
from leveret.wire.context import CurrentCall, current_call
from leveret.wire.message import Stage
from tests.unit.server.calls.making import SPECS, call

Handle = Callable[[], Awaitable[Any]]


class Handler:
    """A handler, which begins at once or by itself."""

    def __init__(self, handle: Handle, *, enters_at_once: bool = True) -> None:
        self.enters_at_once = enters_at_once
        self.in_thread = False
        self._handle = handle

    async def invoke(self, _arguments: Struct, _context: CurrentCall, invoked: Invoked) -> Any:
        if not self.enters_at_once:
            invoked.enter()
        return await self._handle()


class Measures:
    def __init__(self) -> None:
        self.lengths: list[float] = []

    def record(self, seconds: float) -> None:
        self.lengths.append(seconds)


class Scene:
    """A runner, what it did, and a clock."""

    def __init__(self, handle: Handle, spec: MethodSpec, *, enters_at_once: bool = True) -> None:
        self.now = 10.0
        self.ended: list[Ended] = []
        self.passed: list[tuple[bytes, bool]] = []
        self.begun: list[ServerCall] = []
        self.states: list[State] = []
        self.measures = Measures()
        self.reports: list[Progress] = []
        self.bounded: list[ServerCall] = []
        self.store = MemoryOnce()
        life = Life(lambda: self.now)
        life.on_transition = lambda _call, _before, _event, after, _now: self.states.append(after)
        self._spec = spec
        self._runner = Runner(
            spec,
            life,
            Handler(handle, enters_at_once=enters_at_once),
            Replies(spec, 1000),
            OnceCalls(self.store, spec, "server", lambda: self.now),
            self.measures,
            self._end,
            lambda _call: self.reports.append,
            self,
            self.bounded.append,
            lambda call, _context: self.begun.append(call),
            send_tracebacks=False,
        )
        self._life = life

    async def pass_on(self, call: ServerCall, reply: bytes, *, again: bool) -> bytes:
        self.passed.append((reply, again))
        return b"passed"

    def fitting(self, call: ServerCall, reply: bytes) -> bytes:
        return reply

    async def pass_on_started(self, call: ServerCall, reply: bytes, *, again: bool) -> bool:
        self.passed.append((reply, again))
        return True

    def _end(self, call: ServerCall, ended: Ended) -> None:
        self._life.fire(call, Event.END)
        self.ended.append(ended)

    def started(self, **properties: Any) -> ServerCall:
        made = call(**properties)
        made.state, made.started, made.ends = State.STARTED, self.now, self.now + 5
        made.arguments = self._spec.parameters()
        return made

    async def run(self, call: ServerCall) -> Ended:
        async with self.store:
            await self._runner.run(call)
        return self.ended[-1]


async def nothing() -> None:
    pass


async def test_a_call_runs_and_ends_with_its_reply() -> None:
    seen: list[str] = []

    async def handle() -> None:
        seen.append(current_call().id)
        scene.now += 2

    scene = Scene(handle, SPECS["work"])
    ended = await scene.run(scene.started(call_id="x"))
    assert seen == ["x"]
    assert b"result" in ended.reply
    assert not ended.back
    assert scene.states == [State.RUNNING, State.ENDED]
    assert scene.measures.lengths == [2.0]


async def test_a_handler_behind_something_begins_in_its_time() -> None:
    scene = Scene(nothing, SPECS["work"], enters_at_once=False)
    await scene.run(scene.started())
    assert scene.states == [State.BEGUN, State.RUNNING, State.ENDED]


@pytest.mark.parametrize("why", [Stop.DEADLINE, Stop.CALLER, Stop.DRAIN])
async def test_a_call_that_was_stopped_before_its_first_line_does_not_begin(why: Stop) -> None:
    scene = Scene(nothing, SPECS["work"])
    stopped = scene.started()
    stopped.stop = why
    ended = await scene.run(stopped)
    assert not stopped.entered
    assert b"error" in ended.reply
    assert ended.back is (why is Stop.DRAIN)


async def test_a_call_whose_deadline_passed_while_others_held_the_loop_does_not_begin() -> None:
    scene = Scene(nothing, SPECS["work"])
    late = scene.started()
    late.ends = scene.now
    await scene.run(late)
    assert (late.entered, late.stop) == (False, Stop.DEADLINE)


@pytest.mark.parametrize(("name", "back"), [("work", False), ("again", True)])
async def test_a_drain_leaves_what_it_cut_off_to_another_server_where_that_does_no_harm(
    name: str, back: bool
) -> None:
    async def handle() -> None:
        running.stop = Stop.DRAIN
        raise asyncio.CancelledError

    scene = Scene(handle, SPECS[name])
    running = scene.started()
    assert (await scene.run(running)).back is back


async def test_what_a_handler_raises_is_counted_unless_the_contract_foresees_it() -> None:
    async def handle() -> None:
        raise ValueError("burnt")

    scene = Scene(handle, SPECS["work"])
    failing = scene.started()
    assert b"burnt" in (await scene.run(failing)).reply
    assert failing.source.failed == 1
    assert scene.measures.lengths == []


async def test_an_interrupt_ends_the_call_and_goes_on() -> None:
    async def handle() -> None:
        raise KeyboardInterrupt

    scene = Scene(handle, SPECS["work"])
    interrupted = scene.started()
    with pytest.raises(KeyboardInterrupt):
        await scene.run(interrupted)
    assert len(scene.ended) == 1


async def test_a_handler_that_raises_generator_exit_is_answered() -> None:
    async def handle() -> None:
        raise GeneratorExit

    scene = Scene(handle, SPECS["work"])
    leaving = scene.started()
    leaving.task = asyncio.current_task()
    assert b"GeneratorExit" in (await scene.run(leaving)).reply


def test_a_call_that_is_thrown_away_with_its_loop_answers_nobody() -> None:
    async def begin() -> None:
        async def handle() -> None:
            await asyncio.Event().wait()

        scene = Scene(handle, SPECS["work"])
        scenes.append(scene)
        hanging = scene._runner.run(scene.started())
        thrown_away.append(hanging)
        hanging.send(None)

    scenes: list[Scene] = []
    thrown_away: list[Coroutine[Any, Any, None]] = []
    asyncio.run(begin())
    thrown_away.pop().close()
    assert scenes[0].ended[0].reply == b""


# -- keys ------------------------------------------------------------------------------------------


async def test_a_key_is_claimed_before_its_handler_begins_and_recorded_after_it() -> None:
    scene = Scene(nothing, SPECS["pay"])
    await scene.run(scene.started())
    assert scene.states == [
        State.CLAIMING,
        State.STARTED,
        State.RUNNING,
        State.RECORDING,
        State.ENDED,
    ]


async def test_a_key_that_is_known_is_answered_from_its_record() -> None:
    ran: list[int] = []

    async def handle() -> None:
        ran.append(1)

    scene = Scene(handle, SPECS["pay"])
    async with scene.store:
        for _ in range(2):
            await scene._runner.run(scene.started(call_id="x"))
    assert ran == [1]
    assert scene.ended[0].reply == scene.ended[1].reply
    assert scene.states[-2:] == [State.CLAIMING, State.ENDED]


async def test_a_call_that_is_stopped_while_its_key_is_claimed_leaves_no_claim() -> None:
    scene = Scene(nothing, SPECS["pay"])
    stopped = scene.started()
    stopped.stop = Stop.CALLER
    async with scene.store:
        await scene._runner.run(stopped)
        await scene._runner.run(scene.started())
    assert b"error" in scene.ended[0].reply
    assert b"result" in scene.ended[1].reply


async def test_a_store_that_fails_keeps_the_handler_from_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_args: object, **_options: object) -> None:
        raise OSError("the disk is full")

    scene = Scene(nothing, SPECS["pay"])
    monkeypatch.setattr(scene.store, "begin", fail)
    failing = scene.started()
    ended = await scene.run(failing)
    assert not failing.entered
    assert b"RESOURCE_EXHAUSTED" in ended.reply


async def test_a_call_that_a_drain_gave_up_records_what_it_did_and_moves_no_more() -> None:
    async def handle() -> None:
        given_up.state = State.ENDED

    scene = Scene(handle, SPECS["pay"])
    given_up = scene.started()
    scene._end = lambda call, ended: scene.ended.append(ended)  # type: ignore[method-assign]
    scene._runner._on_end = scene._end
    await scene.run(given_up)
    assert State.RECORDING not in scene.states


async def test_a_caller_that_wants_to_know_is_told_what_its_handler_reports() -> None:
    async def handle() -> None:
        current_call().progress(0.5, "half")

    scene = Scene(handle, SPECS["work"])
    told = scene.started(headers={"progress": True})
    await scene.run(told)
    assert scene.reports == [Progress(fraction=0.5, text="half")]
    untold = scene.started()
    await scene.run(untold)
    assert len(scene.reports) == 1
    assert untold.context is not None
    assert untold.context.last_progress == Progress(fraction=0.5, text="half")


def in_a_pipe(call: ServerCall) -> ServerCall:
    then = Stage(method="ink.stamp", argument="pic", content_type="application/json")
    call.incoming = structs.replace(call.incoming, stage=1, then=(then,))
    return call


async def test_the_result_of_a_stage_is_passed_on_after_it_was_recorded() -> None:
    scene = Scene(nothing, SPECS["work"])
    plain = in_a_pipe(scene.started())
    assert (await scene.run(plain)).reply == b"passed"
    ((reply, again),) = scene.passed
    assert b"result" in reply
    assert not again

    scene = Scene(nothing, SPECS["pay"])
    async with scene.store:
        for _ in range(2):
            await scene._runner.run(in_a_pipe(scene.started()))
    assert [again for _, again in scene.passed] == [False, True]
    assert State.RECORDING in scene.states


async def test_what_was_cut_off_is_not_passed_on() -> None:
    async def handle() -> None:
        running.stop = Stop.CALLER
        raise asyncio.CancelledError

    scene = Scene(handle, SPECS["work"])
    running = in_a_pipe(scene.started())
    assert b"error" in (await scene.run(running)).reply
    assert not scene.passed
