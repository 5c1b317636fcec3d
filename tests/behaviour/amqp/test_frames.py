"""Frames: what is none, what is too large, heartbeats, and bodies in many parts."""

from __future__ import annotations

import asyncio
import struct

import pytest
from pamqp.commands import Basic, Connection, Queue

from tests.behaviour.amqp.script import Client, Connect, Lane, Refusal, parsed


def frame(kind: int, channel: int, payload: bytes = b"", end: bytes = b"\xce") -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (
            frame(2, 0, bytes(14)),
            (505, f"UNEXPECTED_FRAME - type 2, all octets = <<{'0,' * 13}0>>"),
        ),
        (frame(3, 0, b"a"), (505, 'UNEXPECTED_FRAME - type 3, all octets = <<"a">>')),
        (frame(8, 1), (505, "UNEXPECTED_FRAME - type 8, all octets = <<>>")),
        (frame(5, 0), (501, "FRAME_ERROR - type 5, all octets = <<>>: unknown_frame")),
        (frame(8, 0, b"\0"), (501, "FRAME_ERROR - type 8, all octets = <<0>>: unknown_frame")),
        (
            frame(1, 0x22, b"b") + frame(8, 0),
            (501, 'FRAME_ERROR - type 1, all octets = <<"b">>: unknown_frame'),
        ),
        (frame(1, 0), (501, "FRAME_ERROR - type 1, all octets = <<>>: unknown_frame")),
        (frame(2, 0), (501, "FRAME_ERROR - type 2, all octets = <<>>: unknown_frame")),
        (
            frame(2, 1, b"\0\x3c\0\0"),
            (501, "FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame"),
        ),
        (
            frame(1, 0, b"\0\x0a\0\x0b", b"\xcd"),
            (
                501,
                "FRAME_ERROR - type 1, all octets = <<0,10,0,11>>: {invalid_frame_end_marker,205}",
            ),
        ),
        (
            b"GET / HTTP/1.1\r\n\r\n",
            (501, "FRAME_ERROR - type 71, all octets = <<>>: {frame_too_large,539959368,131064}"),
        ),
    ],
    ids=[
        "header",
        "body",
        "heartbeat",
        "unknown",
        "full heartbeat",
        "short method",
        "empty method",
        "empty header",
        "short header",
        "no end",
        "http",
    ],
)
async def test_what_is_no_frame_that_is_due_costs_the_connection(
    amqp: Client, data: bytes, refusal: tuple[int, str]
) -> None:
    amqp.write(data)
    assert await amqp.refusal() == (*refusal, "")


async def test_a_header_without_a_method_costs_the_connection(ch: Lane) -> None:
    ch.client.write(frame(2, 1, struct.pack(">HHQH", 60, 0, 0, 0)))
    assert await ch.client.refusal() == Refusal(
        505,
        "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
        "",
    )


async def test_a_body_where_a_header_is_due_costs_the_connection(ch: Lane) -> None:
    ch.send(Basic.Publish(routing_key="q"))
    ch.client.write(frame(3, 1, b"body"))
    assert await ch.client.refusal() == Refusal(
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame "
        "instead",
        "Basic.Publish",
    )


async def test_a_method_where_a_header_is_due_costs_the_connection(ch: Lane) -> None:
    ch.send(Basic.Publish(routing_key="q"), Basic.Qos())
    assert await ch.client.refusal() == Refusal(
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame "
        "instead",
        "Basic.Publish",
    )


async def test_a_method_where_a_body_is_due_costs_the_connection(ch: Lane) -> None:
    ch.send(Basic.Publish(routing_key="q"))
    ch.client.write(frame(2, 1, struct.pack(">HHQH", 60, 0, 10, 0)))
    ch.send(Basic.Qos())
    assert await ch.client.refusal() == Refusal(
        505,
        "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
        "Basic.Publish",
    )


async def test_a_header_of_another_class_costs_the_connection(ch: Lane) -> None:
    ch.send(Basic.Publish(routing_key="q"))
    ch.client.write(frame(2, 1, struct.pack(">HHQH", 50, 0, 0, 0)))
    assert await ch.client.refusal() == Refusal(
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
        "Basic.Publish",
    )


async def test_method_fields_that_end_early_cost_the_connection(ch: Lane) -> None:
    ch.client.write(frame(1, 1, b"\0\x3c\0\x0a"))
    assert await ch.client.refusal() == Refusal(
        501, "FRAME_ERROR - cannot decode <<>>", "Basic.Qos"
    )


async def test_a_publish_whose_fields_do_not_end_with_it_costs_the_connection(ch: Lane) -> None:
    ch.client.write(frame(1, 1, b"\0\x3c\0\x28\0\0\1x\0\0\1"))
    assert await ch.client.refusal() == Refusal(
        501, "FRAME_ERROR - cannot decode <<0,0,1,120,0,0,1>>", "Basic.Publish"
    )


async def test_frames_of_two_channels_may_alternate(ch: Lane, ch2: Lane) -> None:
    await ch.declare("q", exclusive=True)
    both = (ch, ch2)
    for lane in both:
        lane.send(Basic.Publish(routing_key="q"))
    for lane in both:
        lane.client.write(frame(2, lane.number, struct.pack(">HHQH", 60, 0, 2, 0)))
    for part in (b"a", b"b"):
        for lane in both:
            lane.client.write(frame(3, lane.number, part))
    await ch.until_ready("q", 2)
    assert await ch.bodies("q") == [b"ab", b"ab"]


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 8176, 8177, 300_000])
async def test_a_body_comes_in_frames_that_the_client_can_take(connect: Connect, size: int) -> None:
    sender, taker = await connect(), await connect(frame_max=4096)
    far, near = await sender.channel(), await taker.channel()
    await near.declare("q")
    await far.confirms()
    content = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    far.publish("", "q", content)
    await far.next()
    message = await near.get("q")
    assert message is not None
    assert message.body == content


async def test_a_body_of_megabytes_arrives_as_it_was_sent(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    content = bytes(range(256)) * 40_000
    ch.publish("", "q", content)
    await ch.client.drain()
    message = await ch.get("q")
    assert message is not None
    assert message.body == content


async def test_the_parts_of_a_body_may_be_of_any_size(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    ch.send(Basic.Publish(routing_key="q"))
    ch.client.write(frame(2, 1, struct.pack(">HHQH", 60, 0, 6, 0)))
    for part in (b"a", b"bcd", b"", b"ef"):
        ch.client.write(frame(3, 1, part))
    assert await ch.bodies("q") == [b"abcdef"]


async def test_a_message_that_is_too_large_is_refused(ch: Lane, since_4: bool) -> None:
    ch.send(Basic.Publish(routing_key="q"))
    largest = (16 if since_4 else 128) * 1024 * 1024
    size = largest + 1
    ch.client.write(frame(2, 1, struct.pack(">HHQH", 60, 0, size, 0)))
    room = b"x" * 131064
    for _ in range(size // len(room)):
        ch.client.write(frame(3, 1, room))
        await ch.client.drain()
    ch.client.write(frame(3, 1, room[: size % len(room)]))
    assert await ch.refusal() == Refusal(
        406,
        f"PRECONDITION_FAILED - message size {size} is larger than configured max size {largest}",
        "Basic.Publish",
    )


async def test_a_frame_of_the_largest_size_is_taken(connect: Connect) -> None:
    """And one whose payload alone has that size, which is 8 bytes too many."""
    client = await connect(frame_max=4096)
    lane = await client.channel()
    await lane.declare("q", exclusive=True)
    for size in (4088, 4089, 4096):
        lane.send(Basic.Publish(routing_key="q"))
        client.write(frame(2, 1, struct.pack(">HHQH", 60, 0, size, 0)))
        client.write(frame(3, 1, b"x" * size))
    await lane.until_ready("q", 3)
    assert [len(body) for body in await lane.bodies("q")] == [4088, 4089, 4096]


async def test_a_frame_beyond_what_was_agreed_costs_the_connection(connect: Connect) -> None:
    client = await connect(frame_max=4096)
    await client.channel()
    client.write(frame(3, 1, b"x" * 4097))
    assert await client.refusal() == Refusal(
        501,
        "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}",
        "",
    )


async def test_the_broker_sends_heartbeats(connect: Connect) -> None:
    client = await connect(heartbeat=1)
    beat = await client.frame()
    assert (beat.kind, beat.channel, beat.payload) == (8, 0, b"")


async def test_a_client_that_is_silent_for_two_heartbeats_is_left(connect: Connect) -> None:
    client = await connect(heartbeat=1)
    while True:
        try:
            beat = await client.frame()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            break
        assert beat.kind == 8
    await client.hang_up()


async def test_a_client_that_sends_heartbeats_stays(connect: Connect) -> None:
    client = await connect(heartbeat=1)
    for _ in range(4):
        assert (await client.frame()).kind == 8
        client.write(frame(8, 0))
    assert await client.alive()


async def test_without_heartbeats_the_broker_sends_none(ch: Lane, other: Client) -> None:
    beating = await Client.connect(f"amqp://guest:guest@{_at(other)}/{other.vhost}", heartbeat=1)
    for _ in range(3):
        assert (await beating.frame()).kind == 8
        beating.write(frame(8, 0))
    assert ch.client.heard_nothing()
    await beating.close()


def _at(client: Client) -> str:
    host, port = client.writer.get_extra_info("peername")[:2]
    return f"{host}:{port}"


async def test_a_close_of_the_clients_comes_after_all_that_was_sent_before(
    amqp: Client, far: Lane
) -> None:
    lane = await amqp.channel()
    await far.declare("q")
    for number in range(100):
        lane.publish("", "q", bytes([number]))
    amqp.send(Connection.Close(200, "bye", 0, 0))
    assert isinstance(await amqp.method(), Connection.CloseOk)
    await amqp.hang_up()
    await far.until_ready("q", 100)
    assert b"".join(await far.bodies("q")) == bytes(range(100))


HEADERS = [
    b"\x01bb\xff",
    b"\x01BB\xff",
    b"\x01ss\xff\xfe",
    b"\x01uu\xff\xfe",
    b"\x01II\xff\xff\xff\xfe",
    b"\x01ii\xff\xff\xff\xfe",
    b"\x01ll\xff\xff\xff\xff\xff\xff\xff\xfe",
    b"\x01ff?\x80\0\0",
    b"\x01dd?\xf0\0\0\0\0\0\0",
    b"\x01tt\x01",
    b"\x01vV",
    b"\x01xx\0\0\0\x02\xff\0",
    b"\x01SS\0\0\0\x02\xff\xfe",
    b"\x01TT\0\0\0\0\0\0\0\x01",
    b"\x01DD\x02\0\0\0\x05",
    b"\x01AA\0\0\0\x02t\0",
    b"\x01FF\0\0\0\x04\x01at\x01",
]
"""One of each type."""


async def test_properties_are_passed_on_bit_by_bit(ch: Lane, since_4: bool) -> None:
    def packed(headers: list[bytes]) -> bytes:
        table = b"".join(headers)
        return struct.pack(">HI", 0x2000, len(table)) + table

    await ch.declare("q", exclusive=True)
    ch.send(Basic.Publish(routing_key="q"))
    ch.client.write(frame(2, 1, struct.pack(">HHQ", 60, 0, 0) + packed(HEADERS)))
    ch.send(Basic.Get(queue="q", no_ack=True))
    assert isinstance(parsed(await ch.client.frame()), Basic.GetOk)
    expected = sorted(HEADERS) if since_4 else HEADERS  # RabbitMQ 4 sorts headers by name
    assert (await ch.client.frame()).payload[12:] == packed(expected)


async def test_all_fourteen_properties_arrive(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    properties = (
        b"\xff\xfc\x01a\x01b\0\0\0\0\x02\x03\x01c\x01d\x0560000\x01e\0\0\0\0\0\0\0\x09\x01f"
        b"\x05guest\x01g\x01h"
    )
    ch.send(Basic.Publish(routing_key="q"))
    ch.client.write(frame(2, 1, struct.pack(">HHQ", 60, 0, 0) + properties))
    ch.send(Basic.Get(queue="q", no_ack=True))
    assert isinstance(parsed(await ch.client.frame()), Basic.GetOk)
    assert (await ch.client.frame()).payload[12:] == properties


async def test_the_longest_names_fit(ch: Lane) -> None:
    name = "q" * 255
    assert await ch.declare(name, exclusive=True) == name
    await ch.consume(name, "t" * 255)
    ch.publish("", name, b"x", correlation_id="c" * 255)
    message = await ch.delivery()
    assert message.method.consumer_tag == "t" * 255
    assert message.properties.correlation_id == "c" * 255


async def test_many_commands_in_one_write_are_answered_in_order(ch: Lane) -> None:
    for number in range(50):
        ch.send(Queue.Declare(queue=f"q{number}", exclusive=True))
    names = [(await ch.next()).queue for _ in range(50)]
    assert names == [f"q{number}" for number in range(50)]
