"""A started pipe, by what servers say of its stages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret import CallStatus, DeadlineExceeded, InvalidArgument, RemoteError
from leveret.client.verbs.handle import CallHandle
from leveret.client.verbs.pipe_handle import PipeHandle, StageOfHandle
from leveret.wire.started import Standing, StartedQuestion, StateOfStarted


class Servers:
    """In place of `StartedServers`: how each stage stands, and what was asked."""

    def __init__(self, *states: StateOfStarted) -> None:
        self.states = list(states)
        self.kinds = ["result"] * len(states)
        self.asked: list[tuple[str, str]] = []
        self.waits: list[float] = []

    async def ask(self, question: StartedQuestion, timeout: float) -> Standing:
        self.asked.append((question.ask, question.key))
        self.waits.append(question.wait)
        await asyncio.sleep(0.001)
        number = int(question.key[-1]) - 1
        kind = self.kinds[number] if self.states[number] == "done" else ""
        return Standing(instance="i", state=self.states[number], kind=kind, runs_at="i")


def read(standing: Standing) -> str:
    if standing.kind == "error":
        raise RemoteError("broken", executed="no")
    return "the result"


def handle(servers: Any) -> PipeHandle[str]:
    stages = [
        StageOfHandle(handle=CallHandle(f"a.{n}", f"k/{n}", "id", servers, read), read=read)
        for n in (1, 2, 3)
    ]
    return PipeHandle("a.1|a.2|a.3", "k", "id", servers, stages)


async def test_a_pipe_is_at_its_first_stage_that_is_not_done() -> None:
    servers = Servers("done", "running", "waiting")
    pipe = handle(servers)
    assert await pipe.peek() == CallStatus(state="running", server="i")
    servers.states = ["done", "done", "done"]
    assert await pipe == "the result"
    assert [key for _, key in servers.asked] == ["k/1", "k/2", "k/2", "k/2", "k/3"]
    assert repr(pipe) == "<started pipe 'k' of a.1|a.2|a.3>"


async def test_all_stages_together_are_waited_for_as_long_as_the_caller_says() -> None:
    servers = Servers("done", "done", "running")
    with pytest.raises(DeadlineExceeded, match="has not ended in 0.01 s; it goes on"):
        await handle(servers).result(timeout=0.01)
    assert servers.waits[0] > servers.waits[1] > servers.waits[2]
    assert servers.waits[-1] < 0.01


async def test_an_error_ends_a_pipe_at_its_stage() -> None:
    servers = Servers("done", "done", "waiting")
    servers.kinds[1] = "error"
    with pytest.raises(RemoteError) as caught:
        await handle(servers)
    assert (caught.value.stage, caught.value.executed) == (2, "maybe")


async def test_a_result_that_is_on_its_way_is_waited_for() -> None:
    assert (await handle(Servers("done", "unknown", "unknown")).peek()).state == "waiting"


async def test_a_pipe_of_which_nothing_is_known_is_not_found_unless_its_end_is_kept() -> None:
    with pytest.raises(InvalidArgument, match="no call was started with the key 'k'"):
        await handle(Servers("unknown", "unknown", "unknown"))
    assert await handle(Servers("unknown", "unknown", "done")) == "the result"


async def test_a_cancel_goes_to_each_stage_in_their_order() -> None:
    servers = Servers("done", "waiting", "waiting")
    await handle(servers).cancel()
    assert servers.asked == [("cancel", "k/1"), ("cancel", "k/2"), ("cancel", "k/3")]
