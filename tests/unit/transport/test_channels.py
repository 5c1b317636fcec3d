"""Channels: answers find their calls, and one that ends takes nothing else with it."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.events import Ack, Content, Delivery, Publish
from leveret.amqp.properties import Properties
from leveret.errors import Busy, ChannelClosed, ConnectionLost, LeveretError
from leveret.transport import channel as channel_module
from leveret.transport.channel import Channel
from tests.unit.transport.scripted_peer import (
    PATIENCE,
    Peer,
    PeerServer,
    caught_up,
    delivery,
    open_channel,
    returned,
    until,
)

OPEN_OK = methods.Channel.OpenOk()
CLOSE_OK = methods.Channel.CloseOk()
NOT_FOUND = methods.Channel.Close(
    reply_code=404, reply_text="NOT_FOUND - no queue 'q'", class_id=50, method_id=10
)


def declared(queue: str) -> methods.Queue.DeclareOk:
    return methods.Queue.DeclareOk(queue=queue, message_count=0, consumer_count=0)


async def asked(peer: Peer, channel: Channel, queue: str) -> asyncio.Task[object]:
    """A queue.declare that the peer has got and does not answer yet."""
    call = asyncio.create_task(channel.declare_queue(queue))
    assert (await peer.get(methods.Queue.Declare)).queue == queue
    return call


async def answered(peer: Peer, channel: Channel, queue: str = "q") -> None:
    """The channel works: a call on it gets its own answer."""
    call = asyncio.create_task(channel.declare_queue(queue))
    await peer.answer(methods.Queue.Declare, declared(queue))
    assert (await call).queue == queue


# -- answers ---------------------------------------------------------------------------------------


async def test_each_call_gets_its_own_answer(server: PeerServer) -> None:
    connection, one, peer = await server.channel()
    two = await open_channel(connection, peer)
    first, second = await asked(peer, one, "first"), await asked(peer, one, "second")
    other = await asked(peer, two, "other")
    peer.send(declared("other"), channel=2)
    peer.send(declared("first"), declared("second"), channel=1)
    queues = [answer.queue for answer in await asyncio.gather(first, second, other)]  # type: ignore[attr-defined]
    assert queues == ["first", "second", "other"]


async def test_a_cancelled_call_keeps_its_place_in_the_order(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    cancelled = await asked(peer, channel, "cancelled")
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    kept = await asked(peer, channel, "kept")
    peer.send(declared("cancelled"), declared("kept"), channel=1)
    assert (await kept).queue == "kept"  # type: ignore[attr-defined]


async def test_a_call_without_an_answer_fails_and_keeps_its_place(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, channel, peer = await server.channel()
    monkeypatch.setattr(channel_module, "METHOD_TIMEOUT", 0.05)
    late = await asked(peer, channel, "late")
    with pytest.raises(ConnectionLost, match=r"no answer to queue\.declare in 0\.05 s"):
        await late
    monkeypatch.undo()
    kept = await asked(peer, channel, "kept")
    peer.send(declared("late"), declared("kept"), channel=1)
    assert (await kept).queue == "kept"  # type: ignore[attr-defined]


async def test_a_call_that_cannot_be_packed_leaves_no_hole_in_the_order(
    server: PeerServer,
) -> None:
    _, channel, peer = await server.channel()
    with pytest.raises(ValueError, match="at most 255 bytes"):
        await channel.declare_queue("q" * 256)
    with pytest.raises(TypeError, match="cannot hold this|has no type for"):
        await channel.declare_queue("q", arguments={"x-max-length": object()})
    await answered(peer, channel)


async def test_an_answer_to_nothing_is_ignored(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    peer.send(declared("who asked?"), CLOSE_OK, channel=1)
    peer.send(methods.Connection.OpenOk(), methods.Connection.TuneOk())
    await caught_up(connection, peer)
    await answered(peer, channel)
    assert connection.closed is None


async def test_whatever_comes_for_unknown_channels_and_consumers_is_ignored(
    server: PeerServer,
) -> None:
    connection, channel, peer = await server.channel()
    peer.send_bytes(
        delivery(b"no such channel", channel=9)
        + delivery(b"no such consumer", consumer="x")
        + frames.ack(9, 1)
        + frames.nack(9, 1)
        + frames.ack(1, 1)  # nobody listens for confirms
        + returned(b"returned", channel=9)
        + returned(b"returned")
        + frames.ack(0, 1)
        + delivery(b"on the connection's own channel", channel=0)
    )
    peer.send(declared("q"), NOT_FOUND, CLOSE_OK, channel=9)
    peer.send(methods.Basic.Cancel(consumer_tag="x"), channel=1)
    await answered(peer, channel)
    assert connection.closed is None


@pytest.mark.parametrize("queue", ["déjà vu", "<a>!\"$%&'()*", "q" * 255, "兔"])
async def test_a_queue_may_have_any_name_that_amqp_can_carry(
    server: PeerServer, queue: str
) -> None:
    _, channel, peer = await server.channel()
    await answered(peer, channel, queue)
    looking = asyncio.create_task(channel.look_at_queue(queue))
    looked = await peer.answer(methods.Queue.Declare, declared(queue))
    assert (looked.queue, looked.passive) == (queue, True)
    await looking
    binding = asyncio.create_task(channel.bind_queue(queue, "leveret", "key"))
    assert (await peer.answer(methods.Queue.Bind, methods.Queue.BindOk())).queue == queue
    await binding
    consuming = asyncio.create_task(channel.consume(queue, lambda _: None))
    consume = await peer.answer(methods.Basic.Consume, methods.Basic.ConsumeOk(consumer_tag="1.1"))
    assert consume.queue == queue
    await consuming


# -- the broker closes one channel -----------------------------------------------------------------


async def test_a_channel_that_the_broker_closes_dies_alone(server: PeerServer) -> None:
    connection, one, peer = await server.channel()
    two = await open_channel(connection, peer)
    told: list[LeveretError] = []
    one.on_close = told.append
    waiting = [await asked(peer, one, "q"), await asked(peer, one, "r")]
    unharmed = await asked(peer, two, "unharmed")

    peer.send(NOT_FOUND, channel=1)
    for call in waiting:
        with pytest.raises(ChannelClosed) as raised:
            await call
        assert raised.value.reply_code == 404
        assert str(raised.value) == "NOT_FOUND - no queue 'q' (AMQP 404)"
    await peer.get(methods.Channel.CloseOk, channel=1)

    peer.send(declared("unharmed"), channel=2)
    await unharmed
    assert told == [one.closed]
    assert (two.closed, connection.closed) == (None, None)


async def test_a_closed_channel_tells_every_caller_why(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    peer.send(NOT_FOUND, channel=1)
    await peer.get(methods.Channel.CloseOk)
    depths = set()
    for _ in range(3):
        with pytest.raises(ChannelClosed, match="no queue 'q'") as raised:
            await channel.declare_queue("q")
        with pytest.raises(ChannelClosed, match="no queue 'q'"):
            channel.publish("", "q", Properties(), b"")
        depths.add(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(depths) == 1  # the one error object does not grow by each who meets it
    channel.ack(1)
    await channel.close()


async def test_deferred_acks_leave_before_close_ok(server: PeerServer) -> None:
    # After close-ok a broker takes them for frames on a channel that is not open: error 504.
    connection, channel, peer = await server.channel()
    channel.on_close = lambda _: channel.ack(2)
    channel.consumers["1.1"] = lambda _: connection.defer(lambda: connection.send(frames.ack(1, 1)))
    peer.send_bytes(delivery(b"") + frames.method_frame(1, NOT_FOUND))
    assert isinstance(await peer.event(), Ack)
    await peer.get(methods.Channel.CloseOk)
    await open_channel(connection, peer)


async def test_the_number_of_a_closed_channel_is_used_again(server: PeerServer) -> None:
    connection, one, peer = await server.channel()
    await open_channel(connection, peer)
    peer.send(NOT_FOUND, channel=1)
    await peer.get(methods.Channel.CloseOk)
    again = await open_channel(connection, peer)
    assert again.number == one.number == 1
    one.end(ConnectionLost("an old channel cannot end a new one"))
    await answered(peer, again)


# -- this side closes one --------------------------------------------------------------------------


async def test_close_fails_what_waits_and_frees_the_number(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    told: list[LeveretError] = []
    channel.on_close = told.append
    call = await asked(peer, channel, "q")
    closing = asyncio.create_task(channel.close())
    close = await peer.answer(methods.Channel.Close, CLOSE_OK)
    assert close.reply_code == 200
    await closing
    with pytest.raises(ChannelClosed, match="closed by this side"):
        await call
    assert told == []  # who closes it knows
    assert (await open_channel(connection, peer)).number == 1


async def test_close_leaves_an_earlier_call_its_answer(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    call = await asked(peer, channel, "q")
    closing = asyncio.create_task(channel.close())
    await peer.get(methods.Channel.Close)
    peer.send(declared("q"), CLOSE_OK, channel=1)
    assert (await call).queue == "q"  # type: ignore[attr-defined]
    await closing


async def test_close_can_be_called_again_and_at_the_same_time(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    closing = asyncio.gather(*(channel.close() for _ in range(3)))
    await peer.answer(methods.Channel.Close, CLOSE_OK)
    await closing
    await channel.close()
    await open_channel(connection, peer)  # which is the next that the peer sees


async def test_nothing_is_sent_on_a_channel_that_is_being_closed(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    closing = asyncio.create_task(channel.close())
    await peer.get(methods.Channel.Close)
    with pytest.raises(ChannelClosed, match="closed by this side"):
        await channel.declare_queue("q")
    with pytest.raises(ChannelClosed, match="closed by this side"):
        channel.publish("", "q", Properties(), b"")
    channel.ack(1)
    peer.send(CLOSE_OK, channel=1)
    await closing
    await open_channel(connection, peer)  # which is the next that the peer sees


async def test_what_is_delivered_while_it_closes_is_dropped(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    seen: list[Delivery] = []
    channel.consumers["1.1"] = seen.append
    closing = asyncio.create_task(channel.close())
    await peer.get(methods.Channel.Close)
    peer.send_bytes(delivery(b"the broker will have it back"))
    peer.send(CLOSE_OK, channel=1)
    await closing
    assert seen == []


async def test_the_number_is_taken_until_close_ok(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, channel, peer = await server.channel()
    monkeypatch.setattr(channel_module, "METHOD_TIMEOUT", 0.05)
    await channel.close()  # unanswered; it does not raise
    monkeypatch.undo()
    await peer.get(methods.Channel.Close)
    assert isinstance(channel.closed, ChannelClosed)
    assert (await open_channel(connection, peer)).number == 2
    peer.send(CLOSE_OK, channel=1)  # now it comes: no new channel may take it for its own
    await caught_up(connection, peer)
    third = await open_channel(connection, peer)
    await answered(peer, third)
    assert third.number == 1


async def test_two_closes_that_cross_end_with_both_close_oks(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    closing = asyncio.create_task(channel.close())
    await peer.get(methods.Channel.Close)
    peer.send(NOT_FOUND, channel=1)
    await closing
    await peer.get(methods.Channel.CloseOk)
    assert (await open_channel(connection, peer)).number == 2
    peer.send(CLOSE_OK, channel=1)
    await caught_up(connection, peer)
    assert (await open_channel(connection, peer)).number == 1


async def test_a_cancelled_close_goes_on(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    closing = asyncio.create_task(channel.close())
    await peer.get(methods.Channel.Close)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    peer.send(CLOSE_OK, channel=1)
    await until(lambda: channel.closed is not None, "close-ok ends the channel")
    assert (await open_channel(connection, peer)).number == 1


async def test_a_close_that_waits_ends_with_the_connection(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    closing = asyncio.create_task(channel.close())
    await peer.get(methods.Channel.Close)
    peer.hang_up()
    async with asyncio.timeout(PATIENCE):
        await closing
    assert channel.closed is connection.closed


# -- opening ---------------------------------------------------------------------------------------


async def test_more_channels_than_agreed_are_refused_here(server: PeerServer) -> None:
    connection, peer = await server.connect(channel_max=2)
    one, two = await open_channel(connection, peer), await open_channel(connection, peer)
    with pytest.raises(Busy, match="all 2 channels of the connection are open"):
        await connection.open_channel()
    closing = asyncio.create_task(one.close())
    await peer.answer(methods.Channel.Close, CLOSE_OK)
    await closing
    assert (await open_channel(connection, peer)).number == 1
    assert two.closed is None


async def test_a_channel_that_the_broker_refuses_gives_its_number_back(
    server: PeerServer,
) -> None:
    connection, peer = await server.connect()
    opening = asyncio.create_task(connection.open_channel())
    await peer.answer(methods.Channel.Open, NOT_FOUND)
    with pytest.raises(ChannelClosed):
        await opening
    await peer.get(methods.Channel.CloseOk)
    assert (await open_channel(connection, peer)).number == 1


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_channel_whose_opening_is_given_up_is_closed(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    connection, peer = await server.connect()
    if how == "timed out":
        monkeypatch.setattr(channel_module, "METHOD_TIMEOUT", 0.05)
    opening = asyncio.create_task(connection.open_channel())
    await peer.get(methods.Channel.Open, channel=1)
    if how == "cancelled":
        opening.cancel()
    with pytest.raises((asyncio.CancelledError, ConnectionLost)):
        await opening
    monkeypatch.undo()
    await peer.get(methods.Channel.Close, channel=1)
    assert (await open_channel(connection, peer)).number == 2
    peer.send(OPEN_OK, CLOSE_OK, channel=1)
    await caught_up(connection, peer)
    again = await open_channel(connection, peer)
    assert again.number == 1
    await answered(peer, again)


async def test_channels_open_side_by_side(server: PeerServer) -> None:
    connection, peer = await server.connect()
    opening = asyncio.gather(*(connection.open_channel() for _ in range(20)))
    for number in range(1, 21):
        await peer.get(methods.Channel.Open, channel=number)
    for number in range(20, 0, -1):
        peer.send(OPEN_OK, channel=number)
    assert [channel.number for channel in await opening] == list(range(1, 21))


# -- consumers, confirms, returns ------------------------------------------------------------------


async def test_deliveries_in_one_read_with_consume_ok_arrive(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    seen: list[bytes | None] = []
    consuming = asyncio.create_task(
        channel.consume("q", lambda message: seen.append(message.body), prefetch=5, exclusive=True)
    )
    qos = await peer.answer(methods.Basic.Qos, methods.Basic.QosOk())
    consume = await peer.get(methods.Basic.Consume)
    tag = consume.consumer_tag
    ok = frames.method_frame(1, methods.Basic.ConsumeOk(consumer_tag=tag))
    peer.send_bytes(delivery(b"1", consumer=tag) + ok + delivery(b"2", consumer=tag))
    assert await consuming == tag
    await until(lambda: len(seen) == 2, "both messages come")
    assert (qos.prefetch_count, consume.exclusive, consume.no_ack) == (5, True, False)


async def test_a_consumer_that_is_refused_is_forgotten(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    consuming = asyncio.create_task(channel.consume("q", lambda _: None))
    await peer.answer(methods.Basic.Consume, NOT_FOUND)
    with pytest.raises(ChannelClosed):
        await consuming
    assert channel.consumers == {}


async def test_a_cancelled_consumer_gets_what_was_on_its_way(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    seen: list[bytes | None] = []
    channel.consumers["1.1"] = lambda message: seen.append(message.body)
    cancelling = asyncio.create_task(channel.cancel_consumer("1.1"))
    await peer.get(methods.Basic.Cancel)
    cancelled = frames.method_frame(1, methods.Basic.CancelOk(consumer_tag="1.1"))
    peer.send_bytes(delivery(b"on its way") + cancelled)
    await cancelling
    assert seen == [b"on its way"]
    assert channel.consumers == {}


async def test_a_consumer_that_the_broker_cancels_is_told_and_forgotten(
    server: PeerServer,
) -> None:
    _, channel, peer = await server.channel()
    told: list[str] = []
    channel.on_cancel = told.append
    channel.consumers.update(gone=lambda _: None, stays=lambda _: None)
    peer.send(methods.Basic.Cancel(consumer_tag="gone"), channel=1)
    await answered(peer, channel)
    assert told == ["gone"]
    assert list(channel.consumers) == ["stays"]


async def test_confirms_come_as_they_were_sent(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    selecting = asyncio.create_task(channel.select_confirms())
    await peer.answer(methods.Confirm.Select, methods.Confirm.SelectOk())
    await selecting
    seen: list[tuple[int, bool, bool]] = []
    channel.on_confirm = lambda *confirm: seen.append(confirm)
    peer.send_bytes(frames.ack(1, 1) + frames.ack(1, 5, multiple=True) + frames.nack(1, 6))
    await answered(peer, channel)
    assert seen == [(1, False, True), (5, True, True), (6, False, False)]


async def test_returned_messages_come_with_the_reason(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    seen: list[Content] = []
    channel.on_return = seen.append
    channel.publish("", "nowhere", Properties(), b"body", mandatory=True)
    published = await peer.get(Publish)
    assert (published.routing_key, published.mandatory) == ("nowhere", True)
    peer.send_bytes(returned(b"body"))
    await answered(peer, channel)
    (event,) = seen
    assert isinstance(event.method, methods.Basic.Return)
    assert (event.method.reply_text, event.body) == ("NO_ROUTE", b"body")


@pytest.mark.parametrize("active", [True, False])
async def test_channel_flow_is_answered(server: PeerServer, active: bool) -> None:
    _, _, peer = await server.channel()
    peer.send(methods.Channel.Flow(active=active), channel=1)
    assert (await peer.get(methods.Channel.FlowOk, channel=1)).active is active
