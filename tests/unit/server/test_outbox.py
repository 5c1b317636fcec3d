"""What a server sends on one channel: in which order, what it acknowledges, what waits."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec import structs

from leveret.amqp import frames, methods
from leveret.amqp.events import Content
from leveret.amqp.frames import FrameParts
from leveret.errors import ConnectionLost
from leveret.server import outbox
from leveret.server.calls.life import ServerCall, Source
from leveret.server.calls.way_back import Settle
from leveret.server.outbox import Outbox
from leveret.wire.message import CallKey, ReplyAddress
from leveret.wire.native.reply import ReplyPacker
from tests.behaviour.patience import until
from tests.unit.server.calls.making import SPEC, call, name, request


class Writer:
    def __init__(self) -> None:
        self.paused = False


class Port:
    """A connection whose socket is full or not, as the test says. All that is sent is kept."""

    def __init__(self) -> None:
        self.writer = Writer()
        self.sent: list[bytes] = []
        self.lost = False
        self._deferred: list[Callable[[], None]] = []
        self._changed = asyncio.Event()

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def send_parts(self, frames: FrameParts) -> None:
        self.sent.append(bytes(frames))

    def defer(self, callback: Callable[[], None]) -> None:
        self._deferred.append(callback)

    def collect(self) -> None:
        deferred, self._deferred = self._deferred, []
        for callback in deferred:
            callback()

    async def writable(self) -> None:
        while self.writer.paused and not self.lost:
            self._changed.clear()
            await self._changed.wait()
        if self.lost:
            raise ConnectionLost("the test ends it")

    def fill(self) -> None:
        self.writer.paused = True

    def drain(self) -> None:
        self.writer.paused = False
        self._changed.set()

    def lose(self) -> None:
        self.lost = True
        self._changed.set()


class Scene:
    """An outbox on channel 7, and what left for the broker."""

    def __init__(self) -> None:
        self.port = Port()
        self.left: list[ServerCall] = []
        self.gone: list[CallKey] = []
        self.put_back: list[tuple[bytes, str, Callable[[bool], None]]] = []
        packer = ReplyPacker(7, 0, SPEC)
        self.outbox = Outbox(
            7,
            self.port,
            packer,
            method="desk.work",
            own_user="server",
            remembers=True,
            on_sent=self.left.append,
            on_gone=self.gone.append,
            publish_confirmed=lambda *copy: self.put_back.append(copy),
        )
        self.source = Source(queue="leveret.desk.work", answers=self.outbox)

    def call(self, tag: int) -> ServerCall:
        """A call whose request was delivered under this tag."""
        self.outbox.unsettled[tag] = None
        made = call(str(tag), tag=tag)
        made.source = self.source
        return made

    def acks(self) -> list[tuple[int, bool]]:
        """The delivery tags that were acknowledged, and whether all before them were as well."""
        self.port.collect()
        found = []
        for frame in self.port.sent:
            if frame[7:11] == struct.pack(">HH", 60, 80):
                tag, multiple = struct.unpack(">QB", frame[11:20])
                found.append((tag, bool(multiple)))
        return found

    def published(self) -> list[bytes]:
        return [it for it in self.port.sent if it[7:11] not in {b"\0\x3c\0\x50", b"\0\x3c\0\x78"}]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    made.outbox.close(open_channel=False)
    await made.outbox.wait_closed()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_reply_leaves_before_the_acknowledgement_of_its_request(scene: Scene) -> None:
    assert scene.outbox.finish(scene.call(1), b"reply")
    assert scene.port.sent == [b"reply"]
    assert scene.acks() == [(1, False)]
    assert scene.outbox.unsettled == {}


async def test_all_requests_before_the_oldest_unsettled_one_are_acknowledged_at_once(
    scene: Scene,
) -> None:
    calls = {tag: scene.call(tag) for tag in range(1, 7)}
    for tag in (1, 2, 3, 5, 6):
        scene.outbox.finish(calls[tag], b"")
    assert scene.acks() == [(5, False), (6, False), (3, True)]


async def test_a_handed_back_request_is_not_acknowledged_by_those_after_it(scene: Scene) -> None:
    """Not before the broker has its copy."""

    async def select() -> None:
        pass

    await scene.outbox.select_confirms(select)
    calls = {tag: scene.call(tag) for tag in (1, 2, 3)}
    assert scene.outbox.hand_back(calls[1].incoming, 3.0, "", None)
    scene.outbox.finish(calls[2], b"r")
    scene.outbox.finish(calls[3], b"r")
    assert scene.acks() == [(2, False), (3, False)]
    scene.outbox.on_confirm(1, False, True)
    assert scene.acks()[-1] == (1, False)


async def test_a_copy_that_the_broker_refuses_has_its_original_requeued(scene: Scene) -> None:
    async def select() -> None:
        pass

    await scene.outbox.select_confirms(select)
    scene.outbox.hand_back(scene.call(1).incoming, 3.0, "", None)
    scene.outbox.on_confirm(1, False, False)
    assert scene.port.sent[-1] == frames.nack(7, 1)


async def test_a_copy_that_finds_no_queue_has_its_original_requeued(scene: Scene) -> None:
    async def select() -> None:
        pass

    await scene.outbox.select_confirms(select)
    calls = [scene.call(tag) for tag in (1, 2)]
    for it in calls:
        scene.outbox.hand_back(it.incoming, 3.0, "", None)
    properties = calls[0].incoming.delivery.properties
    method = methods.Basic.Return(
        reply_code=312, reply_text="NO_ROUTE", exchange="leveret", routing_key="desk.work"
    )
    for returned in (properties, structs.replace(properties, correlation_id="of nobody")):
        scene.outbox.on_return(
            Content(channel=7, method=method, properties=returned, body=b"", body_size=0)
        )
    assert scene.gone == [(ReplyAddress(exchange="leveret", key="desk.work"), "of nobody")]
    scene.outbox.on_confirm(2, True, True)  # what was returned is confirmed as well
    assert scene.port.sent[-1] == frames.nack(7, 1)
    assert scene.acks() == [(2, False)]


async def test_while_a_server_does_not_drain_a_copy_is_acknowledged_with_it(scene: Scene) -> None:
    assert scene.outbox.hand_back(scene.call(1).incoming, 3.0, "", 2)
    assert scene.acks() == [(1, False)]


async def test_a_request_that_nobody_waits_for_is_kept_until_the_broker_has_its_copy(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_NO_PLACE", 0.0)
    told: list[tuple[int, bool]] = []
    for tag in (1, 2, 3, 4):
        one_way = structs.replace(scene.call(tag).incoming, reply_to=None)
        placed = None if tag == 2 else lambda has_place, tag=tag: told.append((tag, has_place))
        assert scene.outbox.hand_back(one_way, 3.0, "", 1, placed)
    assert scene.acks() == []
    assert [named for _, named, _ in scene.put_back] == ["1", "2", "3", "4"]
    (_, _, first), (_, _, second), (_, _, third), (_, _, last) = scene.put_back
    first(True)
    assert scene.acks() == [(1, False)]
    third(False)
    assert told == [(1, True), (3, False)]
    second(False)
    await until(lambda: scene.port.sent[-1] == frames.nack(7, 2), "it goes back in a moment")
    sent = list(scene.port.sent)
    scene.outbox.close(open_channel=True)
    last(False)  # its request is the broker's again
    assert told[-1] == (4, True)
    assert scene.port.sent == sent


async def test_a_request_that_cannot_be_packed_is_not_handed_back_and_named_in_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    strange = request("a1", tag=1, headers={"x": object()})
    assert not scene.outbox.hand_back(strange, 3.0, "", None)
    assert scene.port.sent == []
    (record,) = caplog.records
    assert record.getMessage().startswith("desk.work (call a1): its request cannot be published")
    fields = {"call_id": "a1", "method": "desk.work", "service": "desk"}
    assert fields.items() <= vars(record).items()


async def test_a_delivery_can_be_requeued_or_rejected(scene: Scene) -> None:
    scene.call(1)
    scene.outbox.settle(1, Settle.REQUEUE)
    scene.outbox.reject(scene.call(2), b"gave up")
    assert scene.port.sent == [
        frames.nack(7, 1),
        b"gave up",
        frames.nack(7, 2, requeue=False),
    ]
    assert scene.outbox.unsettled == {}


async def test_a_repeated_reply_is_moved_to_this_channel(scene: Scene) -> None:
    of_another = frames.ack(3, 1)
    scene.outbox.repeat(name("1"), of_another)
    assert scene.port.sent == [frames.ack(7, 1)]
    scene.outbox.repeat(name("2"), b"")  # nobody waited for it
    assert scene.port.sent == [frames.ack(7, 1)]


async def test_a_request_that_comes_again_is_acknowledged_behind_its_repeated_reply(
    scene: Scene,
) -> None:
    scene.outbox.repeat_for(4, frames.ack(3, 1))
    scene.outbox.repeat_for(5, b"")  # nobody waited for it
    scene.port.fill()
    scene.outbox.repeat_for(6, frames.ack(3, 1))
    await settled()
    assert scene.port.sent[0] == frames.ack(7, 1)
    assert scene.acks() == [(1, False), (5, True)]
    scene.port.drain()
    await settled()
    assert scene.acks() == [(1, False), (5, True), (1, False), (6, False)]


async def test_a_repeated_reply_that_a_drain_must_know_of_is_acknowledged_for_once_confirmed(
    scene: Scene,
) -> None:
    await scene.outbox.select_confirms(settled)
    scene.outbox.repeat_for(4, frames.ack(3, 9))
    assert (4, False) not in scene.acks()
    scene.outbox.on_confirm(1, multiple=False, ok=True)
    assert (4, False) in scene.acks()


# -- a socket that takes nothing -------------------------------------------------------------------


async def test_nothing_is_sent_to_a_socket_that_takes_nothing(scene: Scene) -> None:
    scene.port.fill()
    calls = [scene.call(tag) for tag in (1, 2, 3)]
    assert not scene.outbox.finish(calls[0], b"one")
    scene.outbox.reply(b"a question")
    scene.outbox.repeat(name("x"), frames.ack(3, 1))
    scene.outbox.repeat(name("x"), frames.ack(3, 1))
    scene.outbox.reject(calls[1], b"gave up")
    assert scene.outbox.hand_back(calls[2].incoming, 3.0, "", None)
    assert not scene.outbox.notice(b"a notice")
    await settled()
    assert scene.port.sent == []
    assert scene.acks() == []
    assert scene.left == []


async def test_what_waits_leaves_in_order_and_each_call_is_told_of(scene: Scene) -> None:
    scene.port.fill()
    calls = [scene.call(tag) for tag in (1, 2)]
    scene.outbox.finish(calls[0], b"one")
    scene.outbox.reply(b"a question")
    scene.outbox.finish(calls[1], b"")
    scene.outbox.repeat(name("x"), frames.ack(3, 1))
    scene.port.drain()
    assert not scene.outbox.finish(scene.call(3), b"three"), "those that wait come first"
    await settled()
    assert scene.published() == [b"one", b"a question", b"three"]
    assert scene.port.sent[3] == frames.ack(7, 1), "the repeated one, last"
    assert [it.tag for it in scene.left] == [1, 2, 3]
    assert (3, True) in scene.acks()
    assert scene.outbox.finish(scene.call(4), b"four")


async def test_items_in_parts_wait_for_the_socket_as_others_do(scene: Scene) -> None:
    assert scene.outbox.send_item(FrameParts([b"first ", memoryview(b"items")]))
    scene.port.fill()
    assert not scene.outbox.send_item(FrameParts([b"second ", memoryview(b"items")]))
    assert scene.port.sent == [b"first items"]
    scene.port.drain()
    await until(lambda: len(scene.port.sent) == 2, "the socket takes the rest")
    assert scene.port.sent == [b"first items", b"second items"]


async def test_a_socket_that_fills_again_holds_the_rest(scene: Scene) -> None:
    scene.port.fill()
    for tag in (1, 2, 3):
        scene.outbox.finish(scene.call(tag), str(tag).encode())
    send = scene.port.send

    def send_and_fill(data: bytes) -> None:
        send(data)
        scene.port.fill()

    scene.outbox._send = send_and_fill
    scene.port.drain()
    await settled()
    assert scene.published() == [b"1"]
    scene.port.drain()
    await settled()
    assert scene.published() == [b"1", b"2"]


async def test_a_lost_connection_gives_back_what_was_not_sent(scene: Scene) -> None:
    scene.port.fill()
    one = scene.call(1)
    scene.outbox.finish(one, b"one")
    await settled()
    scene.port.lose()
    await settled()
    unsent = scene.outbox.close(open_channel=False)
    assert [(it.call, it.frames) for it in unsent] == [(one, b"one")]
    assert not scene.outbox.is_open
    scene.outbox.reply(b"late")
    scene.outbox.repeat(name("x"), b"late")
    assert scene.port.sent == []


async def test_a_drain_waits_until_all_was_sent_and_confirmed(scene: Scene) -> None:
    async def select() -> None:
        pass

    await scene.outbox.select_confirms(select)
    scene.port.fill()
    scene.outbox.finish(scene.call(1), b"one")
    waiting = asyncio.create_task(scene.outbox.confirmed())
    await settled()
    assert not waiting.done()
    scene.port.drain()
    await settled()
    assert not waiting.done()
    scene.outbox.on_confirm(1, False, True)
    await waiting


async def test_what_a_broker_did_not_confirm_is_said_with_its_method(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def select() -> None:
        pass

    monkeypatch.setattr(outbox, "_CONFIRM_TIMEOUT", 0.0)
    await scene.outbox.select_confirms(select)
    scene.outbox.finish(scene.call(1), b"one")
    await scene.outbox.confirmed()
    assert caplog.messages == ["desk.work: the broker did not confirm 1 last messages"]
    assert (vars(caplog.records[0])["method"], vars(caplog.records[0])["service"]) == (
        "desk.work",
        "desk",
    )


async def test_what_is_due_is_sent_before_the_end(scene: Scene) -> None:
    scene.outbox.finish(scene.call(1), b"one")
    scene.outbox.close(open_channel=True)
    assert scene.acks() == [(1, False)]
    assert not scene.outbox.notice(b"late")
    scene.outbox.finish(scene.call(2), b"late")
    assert b"late" not in scene.port.sent
