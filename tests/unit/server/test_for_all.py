"""Calls for all servers: given to their methods, refused, and answered with the server's name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.contract import MethodSpec
from leveret.errors import Busy, CallError, ConnectionLost
from leveret.observe import ServerCounters
from leveret.server import for_all
from leveret.server.calls.life import ServerCall, Source
from leveret.server.calls.way_back import Settle
from leveret.server.for_all import CallsForAll
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.control import CallForAll
from leveret.wire.message import Incoming, Notice, NoticeKind
from leveret.wire.native.dialect import NativeClient
from leveret.wire.native.headers import instance_of
from tests.unit.server.calls.making import SPEC
from tests.unit.wire.messages import delivered


class Method:
    """Takes what it is given."""

    def __init__(self, spec: MethodSpec) -> None:
        self.spec = spec
        self.draining = False
        self.waiting: Sequence[ServerCall] = ()
        self.taken: list[Incoming] = []
        self.sources: list[Source] = []

    def take(self, request: Incoming, source: Source, *, old: bool) -> None:
        assert not old
        self.taken.append(request)

    def attached(self, source: Source) -> None:
        self.sources.append(source)


class Line:
    """A connection, and a channel of it."""

    def __init__(self, number: int = 7) -> None:
        self.sent: list[bytes] = []
        self.writer = SimpleNamespace(paused=False)
        self.loop = asyncio.get_running_loop()
        self.user = "server"
        self.frame_max = 131_072
        self.closed: BaseException | None = None
        self.number = number
        self.goes_on = asyncio.Event()
        self.breaks = False

    @property
    def connection(self) -> Line:
        return self

    def send(self, frames: bytes) -> None:
        self.sent.append(frames)

    async def writable(self) -> None:
        await self.goes_on.wait()
        if self.breaks:
            raise ConnectionLost("gone")


class Scene:
    """The calls of one server that serves `desk.work`."""

    def __init__(self, *, attached: bool = True) -> None:
        self.here: set[str] = set()
        self.method = Method(SPEC)
        self.counters = ServerCounters()
        self.calls = CallsForAll(
            "0a1b2c3d", is_here=lambda key: key[1] in self.here, clock=time.monotonic
        )
        self.calls.add(self.method, self.counters)
        self.line = Line()
        if attached:
            self.attach(self.line)

    def attach(self, line: Line) -> None:
        self.calls.attached(cast("Channel", line), cast("Connection", line))

    @property
    def answers(self) -> Any:
        return self.method.sources[0].answers

    def ask(self, call_id: str = "1", method: str = "work") -> None:
        properties = Properties(correlation_id=call_id, reply_to="mine", expiration="5000")
        message = Delivery(7, "", 1, True, "leveret.control", "desk", properties, b"{}", 2)
        self.calls.take(CallForAll(service="desk", method=method, delivery=message))

    def error(self) -> CallError:
        """The one reply that was sent."""
        (frames,) = self.line.sent
        reply = delivered(frames)
        assert reply.routing_key == "mine"
        assert instance_of(reply.properties.headers) == "0a1b2c3d"
        read = NativeClient().read(reply)
        return NativeClient().error(cast("Any", read), {}, "desk.work")


async def test_a_call_is_given_to_its_method() -> None:
    scene = Scene()
    scene.ask()
    (request,) = scene.method.taken
    assert (request.call_id, request.for_all, request.redelivered) == ("1", True, False)
    scene.here.add("2")
    scene.ask("2")  # it came twice
    assert len(scene.method.taken) == 1
    assert scene.line.sent == []


async def test_what_cannot_be_run_is_refused() -> None:
    unknown = Scene()
    unknown.ask(method="fly")
    assert (unknown.error().code, unknown.error().executed) == ("UNIMPLEMENTED", "no")
    streams = Scene()
    streams.method.spec = replace(SPEC, streams=True)
    streams.ask()
    assert (streams.error().code, streams.error().executed) == ("UNIMPLEMENTED", "no")
    drains = Scene()
    drains.method.draining = True
    drains.ask()
    assert (drains.error().code, drains.error().executed) == ("UNAVAILABLE", "no")
    full = Scene()
    full.method.waiting = range(1000)  # type: ignore[assignment]
    full.ask()
    assert isinstance(full.error(), Busy)
    assert [*drains.method.taken, *full.method.taken] == []
    each = [scene.counters for scene in (streams, drains, full)]
    assert [(counters.started, counters.handled) for counters in each] == [
        (1, {"UNIMPLEMENTED": 1}),
        (1, {"UNAVAILABLE": 1}),
        (1, {"RESOURCE_EXHAUSTED": 1}),
    ]
    cut_off = Scene(attached=False)
    cut_off.ask(method="fly")  # nobody can be told


async def test_replies_have_the_name_of_the_server_and_the_channel_of_now() -> None:
    scene = Scene()
    scene.ask()
    (request,) = scene.method.taken
    answers = scene.answers
    assert (answers.own_user, answers.is_open, answers.remembers) == ("server", True, True)
    frames = answers.packer.result(request, b"1", SPEC.content_type)
    call = ServerCall(method=SPEC.key, incoming=request, source=scene.method.sources[0])
    assert answers.finish(call, frames)
    answers.reject(call, frames)
    answers.repeat("name", frames)
    assert answers.notice(answers.packer.notice(request, Notice(kind=NoticeKind.RUNS)))
    assert [delivered(sent).channel for sent in scene.line.sent] == [7] * 4
    answers.settle(1, Settle.REQUEUE)
    assert answers.hand_back(request, 1.0, "", None)
    assert len(scene.line.sent) == 4
    other = Line(number=9)
    scene.attach(other)
    answers.reply(frames)
    assert delivered(other.sent[0]).channel == 9
    assert instance_of(delivered(other.sent[0]).properties.headers) == "0a1b2c3d"
    other.closed = ConnectionLost("gone")
    answers.reply(frames)
    assert not answers.is_open
    assert len(other.sent) == 1
    await scene.calls.close()


async def test_what_the_socket_does_not_take_waits_in_order() -> None:
    scene = Scene()
    scene.line.writer.paused = True
    for letter in (b"\1" * 20, b"\2" * 20):
        scene.answers.reply(letter)
    assert not scene.answers.notice(b"\3" * 20)  # a notice does not wait
    assert scene.line.sent == []
    scene.line.goes_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(scene.line.sent) == 2
    await scene.calls.close()


@pytest.mark.parametrize("breaks", [True, False])
async def test_what_waits_is_dropped_at_the_end(
    monkeypatch: pytest.MonkeyPatch, breaks: bool
) -> None:
    monkeypatch.setattr(for_all, "_WAITING", 2)
    scene = Scene()
    scene.line.writer.paused = True
    for letter in (b"\1" * 20, b"\2" * 20, b"\3" * 20):
        scene.answers.reply(letter)
    await asyncio.sleep(0)
    scene.line.breaks = breaks
    if breaks:
        scene.line.goes_on.set()
        await asyncio.sleep(0)
    await scene.calls.close()
    assert scene.line.sent == []
