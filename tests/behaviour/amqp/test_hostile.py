"""Hostile input costs whoever sends it his connection; the others on the broker notice nothing."""

from __future__ import annotations

import asyncio
import random
import struct

import pytest
from pamqp import commands
from pamqp.commands import Basic, Channel, Connection

from tests.behaviour.amqp.script import (
    AMQP_1_HEADER,
    PROTOCOL_HEADER,
    Client,
    Connect,
    Lane,
    Wire,
)

LAST = Connection.TuneOk(0, 0, 0)
"""What ends a connection for sure, if nothing before did."""


async def well(ch: Lane) -> bool:
    """Whether a message still goes through the broker and back."""
    await ch.declare("well", exclusive=True)
    ch.publish("", "well", b"well")
    return await ch.bodies("well") == [b"well"]


async def read_to_the_end(wire: Wire) -> None:
    """Read whatever the broker says, until it closes the connection or the socket."""
    try:
        while (await wire.frame())[:2] != (1, 0):
            pass
        wire.send(Connection.CloseOk())
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    await wire.hang_up()


async def all_of(wire: Wire) -> bytes:
    """All that the broker says before it closes the socket."""
    said = b""
    try:
        while True:
            said += await wire.read(1)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return said


@pytest.mark.parametrize("seed", range(5))
async def test_random_bytes_before_the_handshake_harm_nobody(
    ch: Lane, broker_url: str, since_4: bool, seed: int
) -> None:
    noise = random.Random(seed)
    spoken = AMQP_1_HEADER if since_4 else PROTOCOL_HEADER
    wires = [await Wire.dial(broker_url) for _ in range(10)]
    for wire in wires:
        wire.write(noise.randbytes(noise.randrange(8, 2000)))
    for wire in wires:
        assert await all_of(wire) in (spoken, b"")  # a reset loses what was sent before it
        await wire.hang_up()
    assert await well(ch)


@pytest.mark.parametrize("seed", range(5))
async def test_random_frames_harm_nobody(ch: Lane, broker_url: str, seed: int) -> None:
    noise = random.Random(seed)
    for _ in range(10):
        client = await Client.connect(broker_url)
        await client.channel()
        for _ in range(20):
            payload = noise.randbytes(noise.randrange(100))
            kind = noise.choice([1, 1, 1, 2, 3, 8, noise.randrange(256)])
            channel = noise.choice([0, 1, noise.randrange(65536)])
            client.write(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")
        client.send(LAST)
        await read_to_the_end(client)
    assert await well(ch)


@pytest.mark.parametrize("seed", range(5))
async def test_methods_with_random_fields_harm_nobody(ch: Lane, broker_url: str, seed: int) -> None:
    noise = random.Random(seed)
    known = sorted(commands.INDEX_MAPPING)
    for _ in range(10):
        client = await Client.connect(broker_url)
        await client.channel()
        for _ in range(30):
            payload = struct.pack(">I", noise.choice(known)) + noise.randbytes(noise.randrange(60))
            client.write(struct.pack(">BHI", 1, 1, len(payload)) + payload + b"\xce")
        client.send(LAST)
        await read_to_the_end(client)
    assert await well(ch)


async def test_half_a_frame_holds_up_nobody(ch: Lane, amqp: Client, connect: Connect) -> None:
    halves = [await connect() for _ in range(5)]
    for client in halves:
        client.write(b"\x01\x00\x01\x00\x00\x10\x00half")
    assert await well(ch)
    for client in halves:
        await client.hang_up()
    assert await amqp.alive()


async def test_a_slow_handshake_holds_up_nobody(ch: Lane, broker_url: str) -> None:
    wires = [await Wire.dial(broker_url) for _ in range(10)]
    for wire, half in zip(wires, range(10), strict=True):
        wire.write(PROTOCOL_HEADER[: min(half, 7)])
    assert await well(ch)
    for wire in wires:
        await wire.hang_up()


async def test_a_handshake_may_come_byte_by_byte(broker_url: str) -> None:
    wire = await Wire.dial(broker_url)
    for byte in PROTOCOL_HEADER:
        wire.write(bytes([byte]))
        await wire.drain()
    assert isinstance(await wire.method(), Connection.Start)
    await wire.hang_up()


async def test_a_client_that_never_reads_holds_up_nobody(
    ch: Lane, far: Lane, connect: Connect
) -> None:
    await ch.declare("flood")
    deaf = await connect()
    lane = await deaf.channel()
    await lane.consume("flood", no_ack=True)
    await far.confirms()
    for _ in range(300):
        far.publish("", "flood", b"x" * 100_000)
        await far.client.drain()
    confirmed = 0
    while confirmed < 300:
        confirmed = (await far.next()).delivery_tag
    assert await well(ch)
    await deaf.hang_up()
    await ch.until_consumers("flood", 0)


async def test_a_client_that_never_acknowledges_gets_its_prefetch_only(ch: Lane, far: Lane) -> None:
    await ch.declare("q")
    await far.call(Basic.Qos(prefetch_count=10))
    await far.consume("q")
    for _ in range(500):
        ch.publish("", "q", b"x")
    await ch.until_ready("q", 490)
    for _ in range(10):
        await far.delivery()
    assert await far.nothing_came()
    assert await well(ch)


async def test_a_client_may_open_all_its_channels(ch: Lane, connect: Connect) -> None:
    greedy = await connect()
    for number in range(1, greedy.tune.channel_max + 1):
        greedy.send(Channel.Open(), number)
    for number in range(1, greedy.tune.channel_max + 1):
        assert isinstance(await greedy.next(number), Channel.OpenOk)
    greedy.send(Channel.Open(), greedy.tune.channel_max + 1)
    assert (await greedy.refusal()).code == 530
    assert await well(ch)


async def test_a_table_in_a_table_in_a_table_harms_nobody(ch: Lane, connect: Connect) -> None:
    deep = b""
    for _ in range(200):
        deep = b"\x01aF" + struct.pack(">I", len(deep)) + deep
    table = struct.pack(">I", len(deep)) + deep
    client = await connect()
    await client.channel()
    payload = b"\0\x32\0\x0a\0\0\x04deep\x08" + table
    client.write(struct.pack(">BHI", 1, 1, len(payload)) + payload + b"\xce")
    client.send(LAST)
    await read_to_the_end(client)
    assert await well(ch)


async def test_a_header_that_promises_too_much_holds_up_nobody(ch: Lane, connect: Connect) -> None:
    client = await connect()
    lane = await client.channel()
    lane.send(Basic.Publish(routing_key="q"))
    payload = struct.pack(">HHQH", 60, 0, 2**63, 0)
    client.write(struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce")
    await client.drain()
    assert await well(ch)
    await client.hang_up()


async def test_a_connection_that_breaks_in_the_middle_of_a_message_publishes_nothing(
    ch: Lane, connect: Connect
) -> None:
    await ch.declare("q")
    client = await connect()
    lane = await client.channel()
    await lane.consume("q", "watched")
    lane.send(Basic.Publish(routing_key="q"))
    payload = struct.pack(">HHQH", 60, 0, 100, 0)
    client.write(struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce")
    client.write(struct.pack(">BHI", 3, 1, 50) + b"x" * 50 + b"\xce")
    await client.hang_up()
    await ch.until_consumers("q", 0)
    assert await ch.bodies("q") == []


async def test_many_connections_come_and_go(ch: Lane, connect: Connect) -> None:
    for _ in range(3):
        clients = await asyncio.gather(*(connect() for _ in range(20)))
        await asyncio.gather(*(client.close() for client in clients))
    assert await well(ch)
