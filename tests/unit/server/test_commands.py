"""What callers and operators tell a server of its calls, and what becomes of it."""

from __future__ import annotations

import asyncio

import pytest

from leveret.server.calls.kept_replies import KeptReplies
from leveret.server.calls.life import ServerCall, Stop
from leveret.server.calls.table import CallTable, EarlyCancels
from leveret.server.commands import Commands
from leveret.server.status import Status
from leveret.server.streams.registry import Streams
from leveret.streaming import Credit
from leveret.wire.message import CallKey, ReplyAddress
from tests.unit.server.calls.making import METHOD, call, key, name

INSTANCE = "0a1b2c3d"


class Method:
    """In place of a `MethodServer`: what it is told is written down."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def stop(self, call: ServerCall, why: Stop) -> None:
        self.told.append(("stop", (call.id, why)))

    def confirmed(self, call: ServerCall) -> None:
        self.told.append(("confirmed", call.id))

    def tell(self, call: ServerCall) -> None:
        self.told.append(("tell", call.id))

    def repeat(self, queue: str, name: str, frames: bytes, /) -> bool:
        self.told.append(("repeat", (queue, name, frames)))
        return True


class Scene:
    """The commands of a server with one call, "1"; "boss" is its operator."""

    def __init__(self) -> None:
        self.method = Method()
        self.table = CallTable()
        self.early = EarlyCancels(self._clock)
        self.kept = KeptReplies(self._clock)
        self.unknown: list[CallKey] = []
        self.drains: list[str] = []
        self.table.of(METHOD)
        self.table.add(call("1"))
        loop = asyncio.get_running_loop()
        self.commands = Commands(
            INSTANCE,
            {METHOD: self.method},
            self.table,
            Streams(loop, lambda _: None, self._clock),
            self.kept,
            self.early,
            Status(INSTANCE, "", (), lambda: (), self.table.all, self._clock, starts=lambda: False),
            operates=lambda user: user == "boss",
            unknown_stream=self.unknown.append,
            drain=self.drains.append,
        )

    @staticmethod
    def _clock() -> float:
        return 0.0


async def test_a_cancel_stops_the_call_that_is_here_and_waits_for_one_that_is_not() -> None:
    scene = Scene()
    scene.commands.cancel(key("1"), 5.0)
    scene.commands.cancel(key("2"), 5.0)
    assert scene.method.told == [("stop", ("1", Stop.CALLER))]
    assert not scene.early.take(key("1"))
    assert scene.early.take(key("2"))


async def test_who_still_waits_is_told_to_the_method() -> None:
    scene = Scene()
    scene.commands.confirmed(key("1"))
    scene.commands.confirmed(key("2"))
    assert scene.method.told == [("confirmed", "1")]


async def test_what_a_caller_says_holds_for_each_request_of_its_call() -> None:
    scene = Scene()
    scene.table.add(call("1"))
    scene.commands.confirmed(key("1"))
    scene.commands.cancel(key("1"), 5.0)
    stop = ("stop", ("1", Stop.CALLER))
    assert scene.method.told == [("confirmed", "1"), ("confirmed", "1"), stop, stop]


async def test_credit_for_a_stream_that_is_not_here_is_answered_so() -> None:
    scene = Scene()
    credit = Credit(got=0, upto=1, size=1)
    scene.commands.credited(key("1"), credit)  # it is here, and does not stream yet
    scene.commands.credited(key("2"), credit)
    assert scene.unknown == [key("2")]


async def test_a_query_tells_of_calls_that_are_here_and_repeats_replies() -> None:
    scene = Scene()
    scene.kept.add_sent("leveret.desk.work", name("2"), b"reply")
    scene.commands.query(ReplyAddress(exchange="", key="replies"), {"1", "2", "3"})
    assert sorted(scene.method.told) == [
        ("repeat", ("leveret.desk.work", name("2"), b"reply")),
        ("tell", "1"),
    ]


async def test_an_operator_sees_and_stops_calls() -> None:
    scene = Scene()
    calls = scene.commands.calls("boss")
    assert ([it.id for it in calls.calls], calls.refused) == (["1"], False)
    stopped = scene.commands.stop({"1", "2"}, "boss")
    assert (stopped.stopped, stopped.refused) == (["1"], False)
    assert scene.method.told == [("stop", ("1", Stop.CALLER))]


async def test_an_operator_has_the_server_drain_that_is_named() -> None:
    scene = Scene()
    assert scene.commands.drain({"ffffffff"}, "boss") is None
    assert scene.drains == []
    answer = scene.commands.drain({INSTANCE, "ffffffff"}, "boss")
    assert answer is not None
    assert (answer.draining, answer.refused) == (True, False)
    assert scene.drains == ["boss"]


@pytest.mark.parametrize("user", ["", "guest"])
async def test_nobody_else_sees_stops_or_drains_anything(user: str) -> None:
    scene = Scene()
    calls = scene.commands.calls(user)
    assert (calls.calls, calls.total, calls.refused) == ([], 0, True)
    stopped = scene.commands.stop({"1"}, user)
    assert (stopped.stopped, stopped.refused) == ([], True)
    answer = scene.commands.drain({INSTANCE}, user)
    assert answer is not None
    assert (answer.draining, answer.refused) == (False, True)
    assert (scene.method.told, scene.drains) == ([], [])
