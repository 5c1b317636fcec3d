"""Rules of a `FaultProxy`: faults at a frame, inside one, or at a byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from leveret.testing import (
    Corrupt,
    Cut,
    FaultConnection,
    FaultProxy,
    Frame,
    HalfOpen,
    Moment,
    Refuse,
    Resume,
    Stall,
    after_bytes,
    after_frame,
    before_frame,
    inside_frame,
)
from tests.unit.testing.fault_peers import (
    ACK,
    BODY,
    CONTENT,
    HEADER,
    HEARTBEAT,
    MESSAGE,
    PUBLISH,
    Ends,
    method,
)

STREAM = HEADER + ACK + HEARTBEAT + MESSAGE + MESSAGE + ACK


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    async with Ends() as ends:
        yield ends


MOMENTS = [
    (before_frame(1, "to_broker"), HEADER),
    (after_frame(1, "to_broker"), HEADER + ACK),
    (before_frame(2, "to_broker"), HEADER + ACK + HEARTBEAT),
    (after_frame(2, "to_broker"), HEADER + ACK + HEARTBEAT + PUBLISH),
    (inside_frame(2, 9, "to_broker"), HEADER + ACK + HEARTBEAT + PUBLISH[:9]),
    (inside_frame(1, 10_000, "to_broker"), HEADER + ACK),
    (after_frame(1, "to_broker", kind="heartbeat"), HEADER + ACK + HEARTBEAT),
    (before_frame(1, "to_broker", kind="basic.publish"), HEADER + ACK + HEARTBEAT),
    (after_frame(2, "to_broker", kind=(60, 80)), STREAM),
    (after_frame(1, "to_broker", kind=2), HEADER + ACK + HEARTBEAT + PUBLISH + CONTENT),
    (
        before_frame(2, "to_broker", kind="body"),
        HEADER + ACK + HEARTBEAT + MESSAGE + PUBLISH + CONTENT,
    ),
    (
        after_frame(3, "to_broker", kind="method"),
        HEADER + ACK + HEARTBEAT + MESSAGE + PUBLISH,
    ),
    (
        inside_frame(1, 1, "to_broker", kind=lambda frame: frame.size == 40),
        HEADER + ACK + HEARTBEAT + PUBLISH + CONTENT + BODY[:1],
    ),
    (after_bytes(0, "to_broker"), b""),
    (after_bytes(30, "to_broker"), STREAM[:30]),
    (after_bytes(len(STREAM), "to_broker"), STREAM),
]


@pytest.mark.parametrize("step", [1, 5, 1_000_000])
@pytest.mark.parametrize(("moment", "passed"), MOMENTS, ids=[str(at) for at, _ in MOMENTS])
async def test_a_cut_comes_exactly_at_its_moment_however_the_bytes_come(
    ends: Ends, moment: Moment, passed: bytes, step: int
) -> None:
    rule = ends.proxy.when(moment, Cut())
    client, broker = await ends.connect()
    received = asyncio.create_task(broker.until_end())  # a reader forgets what it held at a reset
    for at in range(0, len(STREAM), step):
        if not client.writer.is_closing():
            client.writer.write(STREAM[at : at + step])
            await asyncio.sleep(0)  # so that it is a packet of its own
    assert await received == (passed, "reset")
    assert rule.fired.is_set()
    assert ends.proxy.to_broker.bytes == len(passed)


async def test_frames_are_counted_one_way_and_heartbeats_are_not(ends: Ends) -> None:
    client, broker = await ends.connect()
    await client.send(STREAM)
    assert await broker.receive(len(STREAM)) == STREAM
    await broker.send(method(10, 10, channel=0) + HEARTBEAT)
    await client.receive(12 + 8)
    assert ends.proxy.to_broker.frames == 8
    assert ends.proxy.to_client.frames == 1


async def test_a_rule_counts_from_when_it_was_made(ends: Ends) -> None:
    client, broker = await ends.connect()
    await client.send(STREAM)
    await broker.receive(len(STREAM))
    ends.proxy.stall("to_broker")
    await client.send(MESSAGE + MESSAGE)
    rule = ends.proxy.when(before_frame(2, "to_broker", kind="basic.publish"), Cut(clean=True))
    ends.proxy.resume()
    assert await broker.until_end() == (MESSAGE, "finish")
    assert rule.times == 1


async def test_a_stall_at_a_frame_holds_the_next_one_back(ends: Ends) -> None:
    client, broker = await ends.connect()
    rule = ends.proxy.when(after_frame(1, "to_broker"), Stall("to_broker"))
    await client.send(HEADER + ACK + PUBLISH)
    assert await broker.receive(len(HEADER + ACK)) == HEADER + ACK
    await rule.fired.wait()
    await broker.send(b"other way")
    assert await client.receive(9) == b"other way"
    assert ends.proxy.to_broker.bytes == len(HEADER + ACK)
    (connection,) = ends.proxy.connections
    assert rule.connection is connection
    connection.resume()
    assert await broker.receive(len(PUBLISH)) == PUBLISH


async def test_a_rule_strikes_once_or_once_on_each_connection(ends: Ends) -> None:
    once = ends.proxy.when(after_frame(2, "to_broker"), Stall("to_client"), Resume())
    each = ends.proxy.when(after_frame(3, "to_broker"), Cut(), each_connection=True)
    for _ in range(3):
        client, broker = await ends.connect()
        await client.send(STREAM)
        assert (await broker.until_end())[1] == "reset"
    assert once.times == 1
    assert each.times == 3
    assert each.connection is not None
    assert each.connection.number == 3


async def test_a_rule_of_one_connection_is_not_the_others_business(ends: Ends) -> None:
    first, first_broker = await ends.connect()
    second, second_broker = await ends.connect()
    rule = ends.proxy.connections[1].when(after_frame(1, "to_broker"), HalfOpen("client"))
    for client in (first, second):
        await client.send(HEADER + ACK)
    assert await second.until_end() == (b"", "reset")
    assert await first_broker.receive(len(HEADER + ACK)) == HEADER + ACK
    assert await second_broker.receive(len(HEADER + ACK)) == HEADER + ACK
    assert rule.times == 1


async def test_a_rule_that_is_removed_never_strikes(ends: Ends) -> None:
    client, broker = await ends.connect()
    rules = [
        ends.proxy.when(after_frame(1, "to_broker"), Cut()),
        ends.proxy.when(after_bytes(10, "to_broker"), Cut()),
        ends.proxy.connections[0].when(after_frame(1, "to_broker"), Cut()),
    ]
    for rule in rules:
        rule.remove()
    await client.send(STREAM)
    assert await broker.receive(len(STREAM)) == STREAM
    assert not any(rule.fired.is_set() for rule in rules)


async def test_a_byte_of_a_frame_is_falsified(ends: Ends) -> None:
    client, broker = await ends.connect()
    ends.proxy.when(before_frame(1, "to_broker", kind="body"), Corrupt(offset=8, replace=0))
    ends.proxy.when(inside_frame(1, 7, "to_broker"), Corrupt())
    await client.send(HEADER + ACK + MESSAGE)
    falsified = bytearray(HEADER + ACK + MESSAGE)
    falsified[len(HEADER) + 7] ^= 0xFF
    falsified[-len(BODY) + 8] = 0
    assert await broker.receive(len(falsified)) == falsified
    assert ends.proxy.to_broker.frames == 4


async def test_faults_of_one_rule_come_in_their_order(ends: Ends) -> None:
    client, _ = await ends.connect()
    ends.proxy.when(after_bytes(1, "to_broker"), Refuse(), Cut())
    await client.send(b"a")
    assert await client.until_end() == (b"", "reset")
    with pytest.raises(ConnectionRefusedError):
        await ends.dial()


async def test_a_function_gets_the_connection_at_the_moment(ends: Ends) -> None:
    struck: list[tuple[FaultConnection, int]] = []
    client, broker = await ends.connect()
    ends.proxy.when(after_frame(1, "to_broker"), lambda it: struck.append((it, it.to_broker.bytes)))
    await client.send(STREAM)
    assert await broker.receive(len(STREAM)) == STREAM
    assert struck == [(ends.proxy.connections[0], len(HEADER + ACK))]


async def test_what_a_function_raises_cuts_and_is_raised_at_the_close(ends: Ends) -> None:
    def fail(_: FaultConnection) -> None:
        raise OSError("the test's own mistake")

    client, broker = await ends.connect()
    rule = ends.proxy.when(after_frame(1, "to_broker"), fail)
    received = asyncio.create_task(broker.until_end())
    await client.send(STREAM)
    assert await received == (HEADER + ACK, "reset")
    assert rule.fired.is_set()
    with pytest.raises(OSError, match="own mistake"):
        await ends.proxy.close()


async def test_what_a_predicate_raises_is_raised_at_the_close(ends: Ends) -> None:
    def choose(_: Frame) -> bool:
        raise LookupError("the test's own mistake")

    client, broker = await ends.connect()
    ends.proxy.when(after_frame(1, "to_broker", kind=choose), Cut())
    await client.send(STREAM)
    assert (await broker.until_end())[1] == "reset"
    with pytest.raises(LookupError, match="own mistake"):
        await ends.proxy.close()


async def test_a_coroutine_function_is_refused_at_the_moment(ends: Ends) -> None:
    async def wrong(_: FaultConnection) -> None: ...

    client, broker = await ends.connect()
    ends.proxy.when(after_bytes(1, "to_broker"), wrong)
    await client.send(b"a")
    assert (await broker.until_end())[1] == "reset"
    with pytest.raises(TypeError, match="coroutine function"):
        await ends.proxy.close()


@pytest.mark.parametrize(
    "stream",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(600),  # TLS: a client hello
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x02\x03" + bytes(100),
        HEADER + b"\x09" + bytes(100),
        HEADER + b"\x03\x00\x01\xff\xff\xff\xff" + bytes(300_000),
        HEADER + b"\x01\x00",
        b"AM",
    ],
)
async def test_what_is_no_amqp_passes_and_rules_of_frames_do_not_apply(
    ends: Ends, stream: bytes
) -> None:
    ends.proxy.when(after_frame(1, "to_broker"), Cut())
    ends.proxy.when(before_frame(2, "to_broker"), Cut())
    client, broker = await ends.connect()
    await client.send(stream)
    client.writer.write_eof()
    assert await broker.until_end() == (stream, "finish")


async def test_bytes_after_a_broken_frame_pass_uncounted(ends: Ends) -> None:
    client, broker = await ends.connect()
    await client.send(HEADER + ACK + ACK[:-1] + b"?" + MESSAGE)
    await broker.receive(len(HEADER + ACK + ACK + MESSAGE))
    assert ends.proxy.to_broker.frames == 1


def test_moments_that_make_no_sense_are_refused() -> None:
    proxy = FaultProxy("amqp://localhost")
    with pytest.raises(ValueError, match="counted from 1"):
        after_frame(0, "to_broker")
    with pytest.raises(ValueError, match=r"did you mean basic\.publish"):
        after_frame(1, "to_broker", kind="basic.pubish")
    with pytest.raises(ValueError, match="no frames of type 7"):
        after_frame(1, "to_broker", kind=7)
    with pytest.raises(ValueError, match="must be 0 bytes or more"):
        inside_frame(1, -1, "to_broker")
    with pytest.raises(ValueError, match="0 or more"):
        after_bytes(-1, "to_client")
    with pytest.raises(ValueError, match='"to_broker" or "to_client"'):
        after_bytes(1, "both")  # type: ignore[arg-type]
    rule = proxy.when(after_frame(2, "to_client", kind="basic.deliver"), Cut())
    assert "after frame 2 (basic.deliver) to client: Cut(clean=False)" in repr(rule)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (Frame(1, 1, 9, (60, 40)), "basic.publish"),
        (Frame(1, 1, 9, (50, 11)), "queue.declare-ok"),
        (Frame(1, 1, 9, (40, 51)), "exchange.unbind-ok"),
        (Frame(1, 1, 9, (99, 1)), "method 99.1"),
        (Frame(3, 1, 9), "body"),
    ],
)
def test_frames_are_called_as_amqp_calls_them(head: Frame, kind: str) -> None:
    assert head.kind == kind
