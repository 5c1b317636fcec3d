"""The control queue: what is heard there, what is answered, and how it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from leveret.amqp import methods
from leveret.amqp.properties import Properties
from leveret.broker import EmbeddedBroker
from leveret.server.control import Control, ControlHandlers
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.link import Link
from leveret.wire.message import ReplyAddress
from leveret.wire.native.reply import pack_reply
from leveret.wire.server_answers import (
    Calls,
    Consumes,
    Contracts,
    Draining,
    Info,
    Ping,
    Stats,
    Stopped,
    read_consumes,
)
from tests.behaviour.patience import PATIENCE, until
from tests.behaviour.raw import RawPeer
from tests.unit.server.calls.making import request

PING = Ping(instance="b47af560", name="shelf 3", services=["desk"])
INFO = Info(instance="b47af560", name="shelf 3", services=["desk"], schemas={"desk": {}})
CONTRACTS = Contracts(
    instance="b47af560", name="shelf 3", services=["desk"], contracts={"desk.work": "1f"}
)
CALLS = Calls(instance="b47af560", name="shelf 3", services=["desk"], calls=[], total=0)
STATS = Stats(
    instance="b47af560", name="shelf 3", services=["desk"], uptime=1.0, bounds=[], methods={}
)


class Scene:
    """A control queue under the key "desk", and what it heard."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.heard: list[object] = []
        self.restored = 0
        self.channels: list[tuple[Channel, Connection]] = []
        self.control = Control(
            ControlHandlers(
                cancel=lambda key, seconds: self.heard.append(("cancel", key, seconds)),
                confirmed=lambda key: self.heard.append(("confirmed", key)),
                credited=lambda key, credit: self.heard.append(("credited", key, credit)),
                query=lambda reply_to, ids: self.heard.append(("query", reply_to, ids)),
                call_for_all=lambda call: self.heard.append(("call", call.service, call.method)),
                rebind=lambda: self.heard.append("rebind"),
                ping=lambda: PING,
                info=lambda: INFO,
                stats=lambda: STATS,
                contracts=lambda: CONTRACTS,
                calls=self._calls,
                stop=self._stopped,
                drain=self._drained,
                started=self.heard.append,
                consumes=self._consumes,
                begins=lambda service, server: self.heard.append(("begin", service, server)),
                answered=lambda body: self.heard.append(("answered", body)),
            ),
            ("all", "desk"),
            self._restore,
            lambda channel, connection: self.channels.append((channel, connection)),
        )

    def _calls(self, user: str) -> Calls:
        self.heard.append(("calls", user))
        return CALLS

    def _stopped(self, call_ids: set[str], user: str) -> Stopped:
        self.heard.append(("stop", call_ids, user))
        here = sorted(call_ids & {"c-1"})
        return Stopped(instance="b47af560", name="shelf 3", services=["desk"], stopped=here)

    def _drained(self, instances: set[str], user: str) -> Draining | None:
        self.heard.append(("drain", instances, user))
        if "b47af560" not in instances:
            return None
        return Draining(instance="b47af560", name="shelf 3", services=["desk"], draining=True)

    def _consumes(self, queue: str) -> Consumes | None:
        self.heard.append(("since", queue))
        return Consumes(instance="b47af560", seconds=3.5) if queue == "leveret.desk.w" else None

    def _restore(self, control: Control) -> None:
        self.restored += 1
        self.link.restore(control)


@pytest.fixture
async def scene(link: Link) -> AsyncIterator[Scene]:
    made = Scene(link)
    await made.control.attach(link.connection)
    made.control.answer_questions()
    yield made
    await link.release(made.control)
    await made.control.close()


def a_reply(call_id: str, raw: RawPeer) -> bytes:
    """A reply to a raw peer, packed for some channel."""
    call = request(call_id, reply_to=raw.reply_queue)
    return pack_reply(9, 131072, call, b"1", "text/plain", "result")


async def test_a_client_whose_requests_reach_no_queue_has_them_bound(
    scene: Scene, raw: RawPeer
) -> None:
    raw.control("desk", "bind")
    await until(lambda: scene.heard == ["rebind"], "it is heard")


async def test_a_server_says_that_it_begins(scene: Scene) -> None:
    await scene.control.say_begin(["desk", "all"], "0a1b2c3d")
    await until(lambda: len(scene.heard) == 2, "it is heard")
    assert scene.heard == [("begin", "desk", "0a1b2c3d"), ("begin", "all", "0a1b2c3d")]


async def test_a_server_asks_others_and_hears_their_answers(scene: Scene) -> None:
    """Here it is under the key that it asks for itself."""
    await scene.control.ask("contracts", "desk")
    await until(lambda: bool(scene.heard), "it is answered")
    assert scene.heard == [("answered", msgspec.json.encode(CONTRACTS))]


async def test_a_server_that_does_not_listen_asks_nothing(scene: Scene) -> None:
    await scene.control.close()
    await scene.control.ask("contracts", "desk")
    assert scene.heard == []


async def test_a_server_that_has_stopped_listening_answers_nothing(
    scene: Scene, raw: RawPeer
) -> None:
    """What was looked up may be there only now; who asked for it asks another one."""
    caller = ReplyAddress(exchange="", key=raw.reply_queue)
    channel = scene.control._channel
    assert channel is not None
    channel.abandon()  # as `close` does; the broker has not answered yet
    scene.control.tell(caller, "question 1", b"")
    scene.control.unknown_stream((caller, "call 1"))
    scene.control.reply(a_reply("call 2", raw))
    await scene.link.connection.open_channel()  # the connection goes on


async def test_what_callers_say_reaches_its_handler(scene: Scene, raw: RawPeer) -> None:
    raw.control("desk", "cancel", correlation_id="call 1", expiration="2500")
    raw.control("all", "go", correlation_id="call 2")
    raw.control("other", "go", correlation_id="call 3")  # not for this server
    raw.control("desk", "go", correlation_id="call 4")
    await until(lambda: len(scene.heard) == 3, "all is heard")
    caller = ReplyAddress(exchange="", key=raw.reply_queue)
    assert scene.heard == [
        ("cancel", (caller, "call 1"), 2.5),
        ("confirmed", (caller, "call 2")),
        ("confirmed", (caller, "call 4")),
    ]
    assert str(scene.control) == "the control queue"


async def test_a_query_names_its_calls(scene: Scene, raw: RawPeer) -> None:
    raw.channel.publish(
        "leveret.control", "desk", Properties(type="ask", reply_to=raw.reply_queue), b'["1","2"]'
    )
    await until(lambda: bool(scene.heard), "it is heard")
    caller = ReplyAddress(exchange="", key=raw.reply_queue)
    assert scene.heard == [("query", caller, {"1", "2"})]


async def test_what_cannot_be_read_is_logged_and_costs_nothing_else(
    scene: Scene, raw: RawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    raw.control("desk", "dance")
    raw.control("desk", "ask")  # without ids
    raw.control("desk", "go", correlation_id="call 1")
    await until(lambda: bool(scene.heard), "the message behind them is heard")
    complaints = [r.getMessage() for r in caplog.records if r.name == "leveret.server"]
    assert len(complaints) == 2
    assert "dance" in complaints[0]


async def test_an_inquiry_is_answered_to_whoever_asks(scene: Scene, raw: RawPeer) -> None:
    raw.control("desk", "ping", reply_to=None)  # nobody waits for an answer
    for about, answer in (
        ("ping", PING),
        ("info", INFO),
        ("stats", STATS),
        ("contracts", CONTRACTS),
    ):
        raw.control("desk", about, correlation_id=f"about {about}")
        reply = await raw.reply()
        assert reply.properties.correlation_id == f"about {about}"
        assert reply.properties.type == "result"
        assert msgspec.json.decode(reply.body or b"", type=type(answer)) == answer


async def test_who_asks_is_told_for_how_long_a_queue_is_consumed_if_it_is_the_servers(
    scene: Scene, raw: RawPeer
) -> None:
    await raw.listen()
    for queue in (b"leveret.other.w", b"leveret.desk.w", b"\xff"):
        raw.control("desk", "since", queue, correlation_id="7")
    reply = await raw.reply()
    assert (reply.properties.type, reply.properties.correlation_id) == ("result", "7")
    assert read_consumes(reply.body or b"") == Consumes(instance="b47af560", seconds=3.5)
    await until(lambda: len(scene.heard) == 3, "all are heard")
    assert raw.nothing_came()


async def test_inquiries_wait_while_the_socket_is_full(scene: Scene, raw: RawPeer) -> None:
    connection = scene.link.connection
    connection.pause_writing()  # as asyncio does
    for n in range(1_002):
        raw.control("desk", "ping", correlation_id=str(n))
    raw.control("desk", "go", correlation_id="the last")
    await until(lambda: bool(scene.heard), "all is heard")
    scene.control.reply(a_reply("not sent", raw))
    connection.resume_writing()
    answered = [(await raw.reply()).properties.correlation_id for _ in range(1_000)]
    assert answered == [str(n) for n in range(1_000)]
    raw.control("desk", "ping", correlation_id="again")
    assert (await raw.reply()).properties.correlation_id == "again"


async def test_close_forgets_the_inquiries_that_wait(scene: Scene, raw: RawPeer) -> None:
    scene.link.connection.pause_writing()
    raw.control("desk", "ping")
    raw.control("desk", "go", correlation_id="call 1")
    await until(lambda: bool(scene.heard), "both are heard")
    closing = asyncio.create_task(scene.control.close())
    await asyncio.sleep(0)
    scene.link.connection.resume_writing()
    await closing
    await raw.flushed()
    assert raw.nothing_came()
    assert scene.restored == 0


async def test_a_reply_of_another_queue_can_be_sent_here(scene: Scene, raw: RawPeer) -> None:
    scene.control.reply(a_reply("1", raw))
    assert (await raw.reply()).properties.correlation_id == "1"


async def test_it_comes_back_when_its_queue_is_deleted(
    scene: Scene, raw: RawPeer, embedded: EmbeddedBroker
) -> None:
    (queue,) = set(embedded.node.vhosts["/"].queues) - {raw.reply_queue}
    channel = await scene.link.connection.open_channel()  # it is exclusive to the connection
    await channel.call(methods.Queue.Delete(queue=queue))
    await until(lambda: scene.restored == 1, "it asks to be attached again")
    await scene.control.listening.wait()
    raw.control("desk", "ping")
    await raw.reply()


async def test_it_comes_back_with_the_connection(scene: Scene, raw: RawPeer) -> None:
    scene.link.abort("the test cuts it")
    assert not scene.control.listening.is_set()
    scene.control.reply(a_reply("1", raw))  # no channel: it is kept elsewhere
    await scene.control.listening.wait()
    raw.control("desk", "ping")
    assert (await raw.reply()).properties.correlation_id == "ping"
    assert scene.restored == 1


async def test_a_failed_attempt_leaves_no_channel(link: Link) -> None:
    channel = await link.connection.open_channel()
    before = channel.number
    await channel.close()
    control = Scene(link).control
    attaching = asyncio.create_task(control.attach(link.connection))
    await asyncio.sleep(0)
    attaching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attaching
    assert not control.listening.is_set()
    async with asyncio.timeout(PATIENCE):
        while (channel := await link.connection.open_channel()).number != before:
            await channel.close()


async def test_a_call_for_all_servers_is_handed_on(scene: Scene, raw: RawPeer) -> None:
    await raw.listen()
    raw.control("desk", "call", headers={"method": "work"})
    await until(lambda: scene.heard == [("call", "desk", "work")], "the call comes")
    assert [connection for _, connection in scene.channels] == [scene.link.connection]
