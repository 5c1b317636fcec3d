"""The client's calls put together, on a real connection; the servers are bare peers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import msgspec
import pytest

from leveret.amqp.events import Delivery
from leveret.broker import EmbeddedBroker
from leveret.client.calls.client import Client
from leveret.client.calls.life import Event, State
from leveret.client.calls.request import Request
from leveret.client.calls.route import QueueState
from leveret.errors import Busy, ConnectionLost, InvalidArgument, Unimplemented
from leveret.transport.channel import Channel
from leveret.transport.link import Link
from leveret.wire.message import Reply
from leveret.wire.native.dialect import NativeClient
from tests.behaviour.patience import PATIENCE, until
from tests.behaviour.raw import RawPeer

DIALECT = NativeClient()
QUEUE = "leveret.gate.once"


class Scene:
    """A client, and a server of "gate.once" with a control queue."""

    def __init__(self, link: Link, raw: RawPeer) -> None:
        self.raw = raw
        self.steps: list[tuple[State, Event, State]] = []
        self.client = Client(
            link,
            name="shelf 3",
            max_in_flight=3,
            max_message_size=1000,
            on_transition=lambda _call, before, event, after, _now: self.steps.append(
                (before, event, after)
            ),
        )
        self.requests: asyncio.Queue[Delivery] = asyncio.Queue()
        self.heard: asyncio.Queue[Delivery] = asyncio.Queue()

    async def serve(self) -> None:
        """Take requests and control messages."""
        await self.raw.declare(QUEUE)
        await self.raw.channel.bind_queue(QUEUE, "leveret", "gate.once")
        self.requests = await self.raw.take(QUEUE)
        await self.raw.declare("control")
        await self.raw.channel.bind_queue("control", "leveret.control", "gate")
        self.heard = await self.raw.take("control")

    def request(self, **options: Any) -> Request:
        route = self.client.route("gate.once", DIALECT)
        return Request(
            self.client.channel,
            DIALECT,
            route,
            key="gate.once",
            content_type="application/json",
            **options,
        )

    def send(self, body: bytes = b"{}", **options: Any) -> asyncio.Future[Reply]:
        sink: asyncio.Future[Reply] = self.client.loop.create_future()
        self.client.send(self.request(**options), body, 30.0, sink)
        return sink

    async def next(self, queue: asyncio.Queue[Delivery]) -> Delivery:
        async with asyncio.timeout(PATIENCE):
            return await queue.get()


@pytest.fixture
async def scene(link: Link, raw: RawPeer) -> AsyncIterator[Scene]:
    made = Scene(link, raw)
    await made.client.start()
    await made.serve()
    yield made
    await made.client.close()


async def test_a_call_is_sent_and_answered(scene: Scene) -> None:
    client = scene.client
    assert not client.held
    sink = scene.send()
    assert (client.sent, client.in_flight, client.unconfirmed) == (1, 1, 1)
    request = await scene.next(scene.requests)
    assert request.properties.app_id == "shelf 3"
    assert request.properties.reply_to == client.reply_queue.name
    scene.raw.answer(request, b"", type="accepted")
    await until(lambda: client.at_servers == 1, "the notice is read")
    scene.raw.answer(request, b"7")
    assert (await sink).body == b"7"
    scene.raw.answer(request, b"8")  # too late
    await until(lambda: client.late == 1, "it is dropped")
    assert (client.in_flight, client.unconfirmed, client.at_servers) == (0, 0, 0)
    assert [event for _, event, _ in scene.steps] == [Event.SEND, Event.RUNS, Event.REPLY]
    assert str(client) == f"the reply queue {client.reply_queue.name}"


async def test_what_cannot_be_sent_is_refused_and_leaves_nothing(scene: Scene) -> None:
    client = scene.client
    sink: asyncio.Future[Reply] = client.loop.create_future()
    with pytest.raises(Busy, match="1001 bytes"):
        client.send(scene.request(), b"x" * 1001, 30.0, sink)
    with pytest.raises(InvalidArgument, match="metadata"):
        client.send(scene.request(), b"{}", 30.0, sink, b"x" * 200_000)
    for _ in range(3):
        scene.send()
    with pytest.raises(Busy, match="3 calls are in flight"):
        scene.send()
    assert client.in_flight == 3


async def test_the_first_request_has_a_probe_in_the_same_write(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker answers it before a server that takes the request can have died of it."""
    writer = scene.client.connection.writer
    asked_in: list[int] = []
    ask = Channel.ask_for_queue

    def ask_and_note(channel: Channel, name: str) -> Any:
        asked_in.append(writer.writes)
        return ask(channel, name)

    monkeypatch.setattr(Channel, "ask_for_queue", ask_and_note)
    before = writer.writes
    sinks = [scene.send(), scene.send()]
    assert writer.writes == before  # they wait for the end of this pass
    await scene.next(scene.requests)
    scene.raw.crash()
    route = scene.client.route("gate.once", DIALECT)
    await until(lambda: route.finding.state is QueueState.THERE, "the probe is answered")
    assert asked_in[0] == before
    assert route.server_seen_at > -inf
    assert not any(sink.done() and not sink.exception() for sink in sinks)


async def test_what_is_known_of_a_queue_is_known_once(scene: Scene) -> None:
    route = scene.client.route("gate.once", DIALECT)
    assert scene.client.route("gate.once", DIALECT) is route
    assert (route.key, route.queue, route.control_key) == ("gate.once", QUEUE, "gate")
    assert scene.client.route("gate.once", DIALECT, "queue x").key == "queue x"


async def test_a_server_is_told_that_nobody_waits(scene: Scene) -> None:
    sink: asyncio.Future[Reply] = scene.client.loop.create_future()
    call = scene.client.send(scene.request(), b"{}", 30.0, sink)
    scene.client.abandon(call)
    cancel = await scene.next(scene.heard)
    assert (cancel.properties.type, cancel.properties.correlation_id) == ("cancel", call.id)
    assert scene.client.in_flight == 0


async def test_a_server_that_asks_is_told_who_waits(scene: Scene) -> None:
    scene.send()
    request = await scene.next(scene.requests)
    scene.raw.answer(request, b"", type="claim", reply_to="gate")
    word = await scene.next(scene.heard)
    assert word.properties.type == "go"
    scene.raw.answer(request, b"", type="claim", reply_to="gate", correlation_id="unknown")
    word = await scene.next(scene.heard)
    assert (word.properties.type, word.properties.correlation_id) == ("cancel", "unknown")


async def test_without_a_queue_there_is_no_such_method(scene: Scene) -> None:
    await scene.raw.delete(QUEUE)
    sink = scene.send()
    with pytest.raises(Unimplemented):
        await sink


async def test_a_confirmed_call_outlives_its_connection(scene: Scene) -> None:
    client = scene.client
    sink = scene.send(idempotent=True)
    request = await scene.next(scene.requests)
    await until(lambda: client.unconfirmed == 0, "it is confirmed")
    client.connection.abort("the test cuts it")
    assert client.held
    assert not client.is_attached
    with pytest.raises(ConnectionLost) as refused:
        scene.send()
    assert refused.value.executed == "no"
    query = await scene.next(scene.heard)  # once it is back
    assert query.properties.type == "ask"
    assert msgspec.json.decode(query.body or b"") == [request.properties.correlation_id]
    scene.raw.answer(request, b"7")
    assert (await sink).body == b"7"


async def test_what_was_not_confirmed_is_sent_again_or_ends(scene: Scene) -> None:
    client = scene.client
    repeatable, other = scene.send(idempotent=True), scene.send()
    client.connection.abort("the test cuts it")  # before anything is written
    with pytest.raises(ConnectionLost) as lost:
        await other
    assert lost.value.executed == "maybe"
    assert client.count(State.UNSENT) == client.unconfirmed == 1
    request = await scene.next(scene.requests)
    scene.raw.answer(request, b"7")
    assert (await repeatable).body == b"7"


async def test_callers_wait_until_requests_may_go(scene: Scene) -> None:
    client = scene.client
    client.connection.pause_writing()  # as asyncio does
    assert client.held
    waiting = asyncio.create_task(client.ready(scene.request(), 30.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    client.connection.resume_writing()
    assert 0 < await waiting <= 30
    assert not client.held


async def test_a_reply_queue_that_is_deleted_is_made_anew(scene: Scene) -> None:
    client = scene.client
    name = client.reply_queue.name
    connection, before = client.connection, client.channel
    await scene.raw.delete(name)
    await until(lambda: client.channel is not before, "it is attached again")
    assert (client.reply_queue.name, client.connection) == (name, connection)
    sink = scene.send()
    scene.raw.answer(await scene.next(scene.requests), b"7")
    assert (await sink).body == b"7"


async def test_close_ends_all_calls_and_deletes_the_reply_queue(
    scene: Scene, embedded: EmbeddedBroker
) -> None:
    sink = scene.send()
    await scene.client.close()
    with pytest.raises(ConnectionLost, match="the client was closed"):
        await sink
    assert scene.client.reply_queue.name not in embedded.node.vhosts["/"].queues
    with pytest.raises(ConnectionLost, match="the client was closed"):
        scene.send()


async def test_a_link_that_never_comes_back_ends_all_calls(scene: Scene) -> None:
    sink = scene.send()
    await scene.client.link.close()
    with pytest.raises(ConnectionLost):
        await sink
    assert scene.client.failure is not None
    assert scene.client.in_flight == 0
