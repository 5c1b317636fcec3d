"""What is written and read, and when: batches, back-pressure, large bodies, blocked connections."""

from __future__ import annotations

import asyncio

import pytest
from pamqp import commands

from leveret.amqp import frames
from leveret.amqp.events import Delivery, Publish
from leveret.amqp.properties import Properties
from leveret.transport.channel import Channel
from leveret.transport.connection import WRITE_BUFFER, Connection
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
BATCH = 256 * (len(BODY) + 100)
"""What one pass of the loop may add before it is written."""


def buffered(connection: Connection) -> int:
    """Bytes that wait on this side."""
    assert connection._transport is not None
    return connection._transport.get_write_buffer_size() + sum(map(len, connection._out))


async def publish_until_paused(connection: Connection, channel: Channel) -> int:
    """As a well-behaved publisher does; returns how many messages that took."""
    count = 0
    while connection.paused is None:
        channel.publish("", "q", Properties(), BODY)
        count += 1
        if count % 100 == 0:
            await asyncio.sleep(0)
        assert count < 20_000, "the connection took 200 MB that nobody reads"
    return count


async def take(peer: Peer, count: int) -> None:
    for _ in range(count):
        assert (await peer.get(Publish)).body == BODY


# -- back-pressure ---------------------------------------------------------------------------------


async def test_a_peer_that_stops_reading_holds_publishers_back(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    sent = await publish_until_paused(connection, channel)
    assert WRITE_BUFFER < buffered(connection) < WRITE_BUFFER + BATCH
    paused = connection.paused
    assert paused is not None

    await take(peer, sent)
    async with asyncio.timeout(PATIENCE):
        await asyncio.shield(paused)
    assert connection.paused is None


async def test_many_publishers_together_buffer_no_more_than_one(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    most = 0

    async def publisher() -> None:
        nonlocal most
        for _ in range(20):
            while connection.paused is not None:
                await asyncio.shield(connection.paused)
            channel.publish("", "q", Properties(), BODY)
            most = max(most, buffered(connection))

    publishers = [asyncio.create_task(publisher()) for _ in range(100)]
    await until(lambda: connection.paused is not None, "the peer takes no more")
    await take(peer, 2000)
    await asyncio.gather(*publishers)
    assert most < WRITE_BUFFER + BATCH


async def test_a_publisher_that_gives_up_holds_no_other(server: PeerServer) -> None:
    connection, channel, peer = await server.channel()
    sent = await publish_until_paused(connection, channel)
    paused = connection.paused
    assert paused is not None
    paused.cancel()  # as a waiter does that is cancelled and did not shield it
    await take(peer, sent)
    await until(lambda: connection.paused is None, "the connection takes more")


@pytest.mark.parametrize("end", ["lost", "aborted"])
async def test_the_end_of_the_connection_frees_who_waits(server: PeerServer, end: str) -> None:
    connection, channel, peer = await server.channel()
    await publish_until_paused(connection, channel)
    paused = connection.paused
    assert paused is not None
    if end == "lost":
        peer.reset()
    else:
        connection.abort("the test ends it")
    async with asyncio.timeout(PATIENCE):
        await paused
    connection.send(bytes(3 * WRITE_BUFFER))
    assert connection.paused is None


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
    close = await peer.get(commands.Connection.Close)
    assert (close.reply_code, "more than 4096" in close.reply_text) == (501, True)


# -- blocked ---------------------------------------------------------------------------------------


async def test_blocked_and_unblocked_are_told_and_remembered(server: PeerServer) -> None:
    connection, peer = await server.connect()
    told: list[str] = []
    connection.on_blocked += [told.append, told.append]
    peer.send(commands.Connection.Blocked(reason="low on memory"))
    await until(lambda: connection.blocked == "low on memory", "it is blocked")
    peer.send(commands.Connection.Blocked(reason=""))
    await until(lambda: connection.blocked == "no reason given", "it still is")
    peer.send(commands.Connection.Unblocked())
    await until(lambda: not connection.blocked, "it is not any more")
    assert told == ["low on memory"] * 2 + ["no reason given"] * 2 + [""] * 2


async def test_a_connection_may_be_blocked_in_one_read_with_open_ok(server: PeerServer) -> None:
    opening = server.opening()
    peer = await server.accept()
    await peer.tune()
    await peer.get(commands.Connection.Open)
    blocked = commands.Connection.Blocked(reason="low on disk")
    peer.send(commands.Connection.OpenOk(), blocked)
    assert (await opening).blocked == "low on disk"


async def test_heartbeats_of_the_peer_need_no_answer(server: PeerServer) -> None:
    connection, peer = await server.connect()
    peer.send_bytes(frames.HEARTBEAT * 3)
    await caught_up(connection, peer)
    await open_channel(connection, peer)  # which is the next that the peer sees
