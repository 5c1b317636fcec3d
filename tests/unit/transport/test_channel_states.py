"""A channel on a port of the test's own: who is told what, and when its number is free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.events import Method
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.properties import Properties
from leveret.errors import ChannelClosed, ConnectionLost, LeveretError, ProtocolError
from leveret.transport.channel import Channel, FramePort
from leveret.transport.states import ChannelState
from leveret.transport.writer import Writer

LOST = ConnectionLost("the connection ended")


class Port:
    """Stands where the connection is, and notes what the channel does to it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.frame_max = 4096
        self.user = "guest"
        self.server_properties: dict[str, Any] = {}
        self.blocked = ""
        self.reads = 0
        self.writer = Writer(self.loop, lambda _: None)
        self.sent: list[bytes] = []
        self.deferred: list[Callable[[], None]] = []
        self.released: list[Channel] = []
        self.refused: list[ProtocolError] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def defer(self, callback: Callable[[], None]) -> None:
        self.deferred.append(callback)

    def collect(self) -> None:
        while self.deferred:
            self.deferred.pop(0)()

    async def writable(self) -> None:
        await self.writer.wait_until_writable()

    async def open_channel(self) -> Channel:
        raise NotImplementedError

    def release(self, channel: Channel) -> None:
        self.released.append(channel)

    def refuse(self, error: ProtocolError) -> None:
        self.refused.append(error)

    def tell(self, callback: Callable[[LeveretError], None], news: LeveretError) -> None:
        callback(news)


@pytest.fixture
async def port() -> Port:
    return Port()


@pytest.fixture
async def channel(port: Port) -> Channel:
    needed: FramePort = port
    return Channel(needed, 7)


def receive(channel: Channel, method: AMQPMethod) -> None:
    channel.handle(Method(channel.number, method))


CLOSE = methods.Channel.Close(reply_code=404, reply_text="NOT_FOUND - no queue")
CLOSE_FRAME = frames.method_frame(7, methods.Channel.Close(reply_code=200, reply_text="bye"))
CLOSE_OK_FRAME = frames.method_frame(7, methods.Channel.CloseOk())


async def test_a_call_gets_its_answer(port: Port, channel: Channel) -> None:
    calling = asyncio.create_task(channel.call(methods.Confirm.Select()))
    await asyncio.sleep(0)
    receive(channel, methods.Confirm.SelectOk())
    assert await calling == methods.Confirm.SelectOk()
    assert port.sent == [frames.method_frame(7, methods.Confirm.Select())]


async def test_what_was_deferred_leaves_before_a_method(port: Port, channel: Channel) -> None:
    port.defer(lambda: channel.ack(3))
    calling = asyncio.create_task(channel.call(methods.Confirm.Select()))
    await asyncio.sleep(0)
    assert port.sent[0] == frames.ack(7, 3)
    calling.cancel()


async def test_a_channel_that_the_broker_closes_frees_its_number_at_once(
    port: Port, channel: Channel
) -> None:
    told: list[LeveretError] = []
    channel.on_close = told.append
    calling = asyncio.create_task(channel.call(methods.Confirm.Select()))
    await asyncio.sleep(0)
    receive(channel, CLOSE)
    with pytest.raises(ChannelClosed, match="NOT_FOUND"):
        await calling
    assert port.sent[-1] == CLOSE_OK_FRAME
    assert (port.released, channel.state) == ([channel], ChannelState.CLOSED)
    assert told == [channel.closed]
    channel.ack(1)
    assert port.sent[-1] == CLOSE_OK_FRAME  # nothing leaves on a closed channel


async def test_a_channel_that_this_side_closes_frees_its_number_with_close_ok(
    port: Port, channel: Channel
) -> None:
    told: list[LeveretError] = []
    channel.on_close = told.append
    closing = asyncio.create_task(channel.close())
    await asyncio.sleep(0)
    assert (port.sent, port.released, channel.state) == ([CLOSE_FRAME], [], ChannelState.CLOSING)
    with pytest.raises(ChannelClosed, match="closed by this side"):
        channel.check_open()
    receive(channel, methods.Channel.CloseOk())
    await closing
    assert (port.released, channel.state, told) == ([channel], ChannelState.CLOSED, [])


async def test_a_number_is_not_free_while_close_ok_is_due(port: Port, channel: Channel) -> None:
    channel.abandon()
    receive(channel, CLOSE)  # both sides at once
    assert (port.released, channel.state) == ([], ChannelState.DETACHED)
    assert isinstance(channel.closed, ChannelClosed)
    receive(channel, methods.Channel.CloseOk())
    assert (port.released, channel.state) == ([channel], ChannelState.CLOSED)


async def test_on_a_blocked_connection_close_waits_for_nothing(
    port: Port, channel: Channel
) -> None:
    port.blocked = "low on memory"
    await asyncio.wait_for(channel.close(), 10)
    assert (port.released, channel.state) == ([], ChannelState.DETACHED)


async def test_the_end_of_the_connection_is_told_once(port: Port, channel: Channel) -> None:
    told: list[LeveretError] = []
    channel.on_close = told.append
    channel.end(LOST)
    channel.end(ConnectionLost("again"))
    assert (told, channel.closed, port.released) == ([LOST], LOST, [channel])
    with pytest.raises(ConnectionLost, match="the connection ended"):
        channel.publish("", "q", Properties(), b"")


async def test_an_answer_to_nothing_is_no_error_but_a_wrong_one_is(
    port: Port, channel: Channel
) -> None:
    receive(channel, methods.Confirm.SelectOk())
    assert port.refused == []
    calling = asyncio.create_task(channel.call(methods.Confirm.Select()))
    await asyncio.sleep(0)
    receive(channel, methods.Basic.QosOk())
    (error,) = port.refused
    assert "basic.qos-ok on channel 7 where confirm.select-ok was due" in str(error)
    calling.cancel()
