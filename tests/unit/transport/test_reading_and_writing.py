"""What is written and read, and when: batches, back-pressure, large bodies, blocked connections."""

from __future__ import annotations

import asyncio

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.events import Delivery, Publish
from leveret.amqp.properties import Properties
from leveret.errors import ConnectionLost
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.writer import BATCH_BYTES, WRITE_BUFFER
from tests.unit.transport.scripted_peer import (
    MAX_MESSAGE_SIZE,
    PATIENCE,
    Peer,
    PeerServer,
    caught_up,
    delivery,
    open_channel,
    until,
)

BODY = bytes(range(256)) * 40
BATCH = BATCH_BYTES + len(BODY) + 100
"""Bytes that may be added before they are written."""


def buffered(connection: Connection) -> int:
    """Bytes that wait on this side."""
    assert connection._transport is not None
    return connection._transport.get_write_buffer_size() + sum(map(len, connection.writer._out))


async def publish_when_writable(
    connection: Connection, channel: Channel, body: bytes = BODY
) -> None:
    await connection.writable()
    channel.publish("", "q", Properties(), body)


async def publish_until_paused(connection: Connection, channel: Channel) -> int:
    """As a well-behaved publisher does; returns how many messages that took."""
    count = 0
    while not connection.paused:
        channel.publish("", "q", Properties(), BODY)
        count += 1
        if count % 100 == 0:
            await asyncio.sleep(0)
        assert count < 20_000, "the connection took 200 MB that nobody reads"
    return count


async def take(peer: Peer, count: int, body: bytes = BODY) -> None:
    for _ in range(count):
        assert (await peer.get(Publish)).body == body


# -- back-pressure ---------------------------------------------------------------------------------


async def test_a_peer_that_stops_reading_holds_publishers_back(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    sent = await publish_until_paused(connection, channel)
    assert WRITE_BUFFER < buffered(connection) < WRITE_BUFFER + BATCH
    waiting = asyncio.create_task(connection.writable())
    await caught_up(connection, peer)
    assert not waiting.done()

    await take(peer, sent)
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert not connection.paused


async def test_many_publishers_together_buffer_no_more_than_one(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    most = 0

    async def publisher() -> None:
        nonlocal most
        for _ in range(20):
            await publish_when_writable(connection, channel)
            most = max(most, buffered(connection))

    publishers = [asyncio.create_task(publisher()) for _ in range(100)]
    await until(lambda: connection.paused, "the peer takes no more")
    await take(peer, 2000)
    await asyncio.gather(*publishers)
    assert most < WRITE_BUFFER + BATCH


async def test_large_messages_of_many_senders_buffer_two_mebibytes_and_one_message_at_most(
    server: PeerServer,
) -> None:
    connection, channel, peer = await server.channel()
    body = bytes(MAX_MESSAGE_SIZE)
    most = 0

    async def sender() -> None:
        nonlocal most
        await publish_when_writable(connection, channel, body)
        most = max(most, buffered(connection))

    senders = [asyncio.create_task(sender()) for _ in range(150)]
    await until(lambda: connection.paused, "the peer takes no more")
    await caught_up(connection, peer)
    assert not all(task.done() for task in senders)
    await take(peer, 150, body)
    await asyncio.gather(*senders)
    assert most < 2 * 1024 * 1024 + MAX_MESSAGE_SIZE


async def test_senders_go_on_in_the_order_in_which_they_came(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    sent = await publish_until_paused(connection, channel)
    bodies = [str(number).encode() + bytes(100_000) for number in range(50)]
    senders = [
        asyncio.create_task(publish_when_writable(connection, channel, body)) for body in bodies
    ]
    await take(peer, sent)
    assert [(await peer.get(Publish)).body for _ in bodies] == bodies
    await asyncio.gather(*senders)


async def test_a_sender_that_gives_up_holds_no_other(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    sent = await publish_until_paused(connection, channel)
    one, two = (asyncio.create_task(connection.writable()) for _ in range(2))
    await caught_up(connection, peer)
    one.cancel()
    await take(peer, sent)
    async with asyncio.timeout(PATIENCE):
        await two
    assert one.cancelled()


@pytest.mark.parametrize("end", ["lost", "aborted"])
async def test_the_end_of_the_connection_tells_who_waits(server: PeerServer, end: str) -> None:
    connection, channel, peer = await server.channel()
    await publish_until_paused(connection, channel)
    senders = [asyncio.create_task(connection.writable()) for _ in range(100)]
    await caught_up(connection, peer)
    if end == "lost":
        peer.reset()
    else:
        connection.abort("the test ends it")
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*senders, return_exceptions=True)
    assert {type(result) for result in results} == {ConnectionLost}
    with pytest.raises(ConnectionLost):
        await connection.writable()
    connection.send(bytes(3 * WRITE_BUFFER))
    assert not connection.paused


# -- writing ---------------------------------------------------------------------------------------


async def test_frames_large_and_small_leave_in_the_order_in_which_they_were_sent(
    server: PeerServer,
) -> None:
    _, channel, peer = await server.channel()
    sizes = [1, 100_000, 1, 1, 70_000, *range(600), 300_000, 1]
    for size in sizes:
        channel.publish("", "q", Properties(), bytes(size))
    assert [(await peer.get(Publish)).body_size for _ in sizes] == sizes


@pytest.mark.parametrize("size", [4087, 4088, 4089, 8176, 8177, MAX_MESSAGE_SIZE])
async def test_a_body_is_cut_into_frames_of_the_agreed_size(server: PeerServer, size: int) -> None:
    _, channel, peer = await server.channel(frame_max=4096)
    peer._parser.frame_max = 4096  # a larger frame is an error now
    body = (BODY * 200)[:size]
    channel.publish("", "q", Properties(content_type="text/plain"), body)
    assert (await peer.get(Publish)).body == body


async def test_properties_that_fit_no_frame_are_refused_before_anything_is_sent(
    server: PeerServer,
) -> None:
    _, channel, peer = await server.channel(frame_max=4096)
    with pytest.raises(ValueError, match="put less into its headers"):
        channel.publish("", "q", Properties(headers={"x": "y" * 4096}), b"")
    channel.publish("", "q", Properties(), b"next")
    assert (await peer.get(Publish)).body == b"next"


# -- reading ---------------------------------------------------------------------------------------


async def seen_by(channel: Channel, count: int, peer: Peer, data: bytes) -> list[Delivery]:
    seen: list[Delivery] = []
    channel.consumers["1.1"] = seen.append
    peer.send_bytes(data)
    await until(lambda: len(seen) == count, f"{count} messages come")
    return seen


async def test_a_body_in_many_frames_comes_as_one(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    body = (BODY * 200)[:MAX_MESSAGE_SIZE]
    (message,) = await seen_by(channel, 1, peer, delivery(body, frame_max=4096))
    assert message.body == body


async def test_bodies_on_two_channels_may_alternate(server: PeerServer) -> None:
    connection, one, peer = await server.channel()
    two = await open_channel(connection, peer)
    seen: list[bytes | None] = []
    one.consumers["c"] = two.consumers["c"] = lambda message: seen.append(message.body)
    halves = []
    for channel in (1, 2):
        data = delivery(bytes([channel]) * 8000, channel=channel, consumer="c", frame_max=4096)
        halves.append((data[:-3920], data[-3920:]))  # its last frame
    for index in (0, 1):
        for half in halves:
            peer.send_bytes(half[index])
    await until(lambda: len(seen) == 2, "both bodies come")
    assert seen == [bytes([channel]) * 8000 for channel in (1, 2)]


async def test_a_body_above_the_limit_comes_without_its_bytes(server: PeerServer) -> None:
    _, channel, peer = await server.channel()
    data = delivery(bytes(MAX_MESSAGE_SIZE + 1)) + delivery(b"next")
    large, small = await seen_by(channel, 2, peer, data)
    assert (large.body, large.body_size) == (None, MAX_MESSAGE_SIZE + 1)
    assert small.body == b"next"


async def test_a_frame_larger_than_agreed_ends_the_connection(server: PeerServer) -> None:
    _, _, peer = await server.channel(frame_max=4096)
    peer.send_bytes(delivery(bytes(5000)))
    close = await peer.get(methods.Connection.Close)
    assert (close.reply_code, "more than 4096" in close.reply_text) == (501, True)


# -- blocked ---------------------------------------------------------------------------------------


async def test_blocked_and_unblocked_are_told_and_remembered(server: PeerServer) -> None:
    connection, peer = await server.connect()
    told: list[str] = []
    connection.on_blocked += [told.append, told.append]
    peer.send(methods.Connection.Blocked(reason="low on memory"))
    await until(lambda: connection.blocked == "low on memory", "it is blocked")
    peer.send(methods.Connection.Blocked(reason=""))
    await until(lambda: connection.blocked == "no reason given", "it still is")
    peer.send(methods.Connection.Unblocked())
    await until(lambda: not connection.blocked, "it is not any more")
    assert told == ["low on memory"] * 2 + ["no reason given"] * 2 + [""] * 2


async def test_a_connection_may_be_blocked_in_one_read_with_open_ok(server: PeerServer) -> None:
    opening = server.opening()
    peer = await server.accept()
    await peer.tune()
    await peer.get(methods.Connection.Open)
    blocked = methods.Connection.Blocked(reason="low on disk")
    peer.send(methods.Connection.OpenOk(), blocked)
    assert (await opening).blocked == "low on disk"


async def test_heartbeats_of_the_peer_need_no_answer(server: PeerServer) -> None:
    connection, peer = await server.connect()
    peer.send_bytes(frames.HEARTBEAT * 3)
    await caught_up(connection, peer)
    await open_channel(connection, peer)  # which is the next that the peer sees
