"""What a `FaultProxy` does at once, to peers that are no AMQP clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from leveret.errors import InvalidURL
from leveret.testing import Corrupt, FaultProxy, HalfOpen
from leveret.transport.url import parse_url
from tests.unit.testing.fault_peers import End, Ends

LARGE = bytes(range(256)) * 40_000
"""About 10 MB: more than all buffers on its way hold."""


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    async with Ends() as ends:
        yield ends


async def answer_arrives(client: End, broker: End) -> None:
    """A word from the broker to the client: what would have passed before it has passed."""
    await broker.send(b"!")
    assert await client.receive(1) == b"!"


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("amqp://localhost", "amqp://127.0.0.1:{}"),
        (
            "amqp://me:p%40ss@one:1,two:2/a%2Fb?heartbeat=5",
            "amqp://me:p%40ss@127.0.0.1:{}/a%2Fb?heartbeat=5",
        ),
        ("amqp://[::1]:5673/", "amqp://127.0.0.1:{}/"),
        (
            "amqps://rabbit.example/v",
            "amqps://127.0.0.1:{}/v?server_name_indication=rabbit.example",
        ),
        ("amqps://h/?server_name=x", "amqps://127.0.0.1:{}/?server_name=x"),
    ],
)
async def test_its_url_differs_from_the_brokers_by_host_and_port(url: str, through: str) -> None:
    async with FaultProxy(url) as proxy:
        assert proxy.url == through.format(proxy.port)


async def test_a_certificate_is_checked_for_the_brokers_name_and_not_the_proxys() -> None:
    async with FaultProxy("amqps://rabbit.example") as proxy:
        tls = parse_url(proxy.url).tls
        assert tls is not None
        assert tls.server_name == "rabbit.example"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("amqp://one,two:2", ("one", 5672)),
        ("amqps://u:p@one", ("one", 5671)),
        ("amqp://[::1]:77/v", ("::1", 77)),
    ],
)
def test_it_goes_to_the_first_host_of_the_url(url: str, target: tuple[str, int]) -> None:
    assert FaultProxy(url).target == target


@pytest.mark.parametrize("url", ["embedded://", "localhost:5672", "amqp://u:secret@a@b/"])
def test_what_is_no_url_of_a_broker_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidURL, match="amqp://user:password@host") as raised:
        FaultProxy(url)
    assert "secret" not in str(raised.value)


def test_a_proxy_that_is_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="enter it, or await start"):
        _ = FaultProxy("amqp://localhost").url


async def test_bytes_pass_both_ways_and_are_counted(ends: Ends) -> None:
    client, broker = await ends.connect()
    sending = asyncio.gather(client.send(LARGE), broker.send(LARGE[:-1]))
    assert await broker.receive(len(LARGE)) == LARGE
    assert await client.receive(len(LARGE) - 1) == LARGE[:-1]
    await sending
    (connection,) = ends.proxy.connections
    assert connection.to_broker.bytes == ends.proxy.to_broker.bytes == len(LARGE)
    assert connection.to_client.bytes == ends.proxy.to_client.bytes == len(LARGE) - 1
    assert ends.proxy.to_broker.frames == 0
    assert ends.proxy.accepted == 1


async def test_an_end_of_stream_passes_alone(ends: Ends) -> None:
    client, broker = await ends.connect()
    (connection,) = ends.proxy.connections
    await client.send(b"question")
    client.writer.write_eof()
    assert await broker.until_end() == (b"question", "finish")
    await broker.send(b"answer")
    broker.writer.close()
    assert await client.until_end() == (b"answer", "finish")
    await connection.wait_closed()
    assert not connection.is_open


async def test_a_reset_passes_after_what_came_before_it(ends: Ends) -> None:
    client, broker = await ends.connect()
    await broker.send(b"last")
    assert await client.receive(4) == b"last"
    broker.reset()
    assert await client.until_end() == (b"", "reset")


async def test_a_receiver_that_takes_nothing_stops_the_sender(ends: Ends) -> None:
    client, broker = await ends.connect()
    ends.proxy.stall("to_broker")
    client.writer.transport.set_write_buffer_limits(high=0)
    sending = asyncio.create_task(client.send(LARGE * 2))
    await answer_arrives(client, broker)
    assert not sending.done()
    ends.proxy.resume()
    assert await broker.receive(2 * len(LARGE)) == LARGE * 2
    await sending


@pytest.mark.parametrize(("clean", "end"), [(False, "reset"), (True, "finish")])
async def test_a_cut_is_a_reset_or_an_end_for_both_sides(ends: Ends, clean: bool, end: str) -> None:
    client, broker = await ends.connect()
    await ends.proxy.wait_for_connections(1)
    ends.proxy.cut(clean=clean)
    assert await client.until_end() == (b"", end)
    assert await broker.until_end() == (b"", end)


async def test_a_cut_of_one_connection_leaves_the_others(ends: Ends) -> None:
    client, broker = await ends.connect()
    other_client, other_broker = await ends.connect()
    first, _ = ends.proxy.connections
    first.cut()
    assert await client.until_end() == (b"", "reset")
    assert await broker.until_end() == (b"", "reset")
    await answer_arrives(other_client, other_broker)
    await first.wait_closed()
    assert [connection.number for connection in ends.proxy.connections] == [2]


async def test_what_is_stalled_waits_until_it_is_resumed(ends: Ends) -> None:
    client, broker = await ends.connect()
    ends.proxy.stall("to_broker")
    await client.send(b"held")
    client.writer.write_eof()
    await answer_arrives(client, broker)
    assert ends.proxy.to_broker.bytes == 0
    ends.proxy.resume()
    assert await broker.until_end() == (b"held", "finish")


async def test_connections_to_come_are_stalled_too_until_it_heals(ends: Ends) -> None:
    ends.proxy.stall("to_broker")
    client, broker = await ends.connect()
    await client.send(b"held")
    await answer_arrives(client, broker)
    assert ends.proxy.to_broker.bytes == 0
    ends.proxy.heal()
    assert await broker.receive(4) == b"held"


@pytest.mark.parametrize("gone", ["broker", "client"])
async def test_a_half_open_connection_swallows_all_and_tells_one_side_nothing(
    ends: Ends, gone: str
) -> None:
    client, broker = await ends.connect()
    lost, left = (broker, client) if gone == "broker" else (client, broker)
    (connection,) = ends.proxy.connections
    ends.proxy.apply(HalfOpen("broker" if gone == "broker" else "client"))
    assert await lost.until_end() == (b"", "reset")
    await left.send(LARGE)
    assert not left.reader.at_eof()
    assert connection.is_open
    left.writer.close()
    await connection.wait_closed()


async def test_where_the_network_is_gone_neither_side_is_told(ends: Ends) -> None:
    client, broker = await ends.connect()
    (connection,) = ends.proxy.connections
    connection.half_open("network")
    await asyncio.gather(client.send(LARGE), broker.send(LARGE))
    assert connection.to_broker.bytes == connection.to_client.bytes == 0
    connection.cut()  # a router says at last that there is no way
    assert await client.until_end() == (b"", "reset")
    assert await broker.until_end() == (b"", "reset")


async def test_what_is_delayed_comes_in_its_order(ends: Ends) -> None:
    client, broker = await ends.connect()
    ends.proxy.delay(3600, jitter=3600, direction="to_broker")
    for word in (b"one ", b"two ", b"three"):
        await client.send(word)
        await answer_arrives(client, broker)
    client.writer.write_eof()
    assert ends.proxy.to_broker.bytes == 0
    ends.proxy.delay(0.01, jitter=0.01)
    assert await broker.until_end() == (b"one two three", "finish")


async def test_a_throttled_line_passes_little_by_little(ends: Ends) -> None:
    client, broker = await ends.connect()
    ends.proxy.throttle(0.001, direction="to_broker")
    await client.send(b"slow")
    assert await broker.receive(1) == b"s"
    await answer_arrives(client, broker)
    assert ends.proxy.to_broker.bytes == 1
    ends.proxy.throttle(1_000)
    assert await broker.receive(3) == b"low"


async def test_a_byte_is_falsified_one_way(ends: Ends) -> None:
    client, broker = await ends.connect()
    await client.send(b"right ")
    assert await broker.receive(6) == b"right "
    ends.proxy.corrupt("to_broker", offset=1, replace=ord("O"))
    ends.proxy.corrupt("to_broker", offset=3)
    await client.send(b"wrong")
    assert await broker.receive(5) == b"wOo" + bytes([ord("n") ^ 0xFF]) + b"g"
    await answer_arrives(client, broker)


async def test_a_refusing_proxy_has_nobody_listening_until_it_accepts_again(ends: Ends) -> None:
    client, broker = await ends.connect()
    port = ends.proxy.port
    ends.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await ends.dial()
    await answer_arrives(client, broker)
    ends.proxy.accept()
    assert ends.proxy.port == port
    await ends.connect()
    assert ends.proxy.accepted == 2


async def test_new_connections_are_hung_up_on(ends: Ends) -> None:
    ends.proxy.refuse("hang_up")
    client = await ends.dial()
    assert await client.until_end() == (b"", "finish")
    await ends.proxy.wait_for_connections(1)
    assert not ends.proxy.connections


async def test_new_connections_meet_silence(ends: Ends) -> None:
    ends.proxy.refuse("silence")
    client = await ends.dial()
    await client.send(LARGE)
    assert not client.reader.at_eof()
    ends.proxy.accept()
    await ends.connect()


async def test_without_a_broker_clients_are_reset(ends: Ends) -> None:
    async with FaultProxy(ends.address) as closed:
        nowhere = closed.port
    ends.proxy.target = ("127.0.0.1", nowhere)
    client = await ends.dial()
    assert await client.until_end() == (b"", "reset")


async def test_a_stalled_connection_can_be_cut(ends: Ends) -> None:
    client, broker = await ends.connect()
    ends.proxy.stall()
    await client.send(b"lost")
    ends.proxy.cut()
    assert await client.until_end() == (b"", "reset")
    assert await broker.until_end() == (b"", "reset")


async def test_closing_resets_what_is_open_and_twice_is_fine(ends: Ends) -> None:
    client, broker = await ends.connect()
    stranger = await ends.dial()
    await ends.proxy.close()
    await ends.proxy.close()
    for end in (client, broker, stranger):
        assert (await end.until_end())[1] == "reset"
    with pytest.raises(RuntimeError, match="not started"):
        await ends.proxy.wait_for_connections(3)


def test_faults_that_make_no_sense_are_refused() -> None:
    proxy = FaultProxy("amqp://localhost")
    with pytest.raises(ValueError, match="0 seconds or more"):
        proxy.delay(-1)
    with pytest.raises(ValueError, match="more than 0 bytes per second"):
        proxy.throttle(0)
    with pytest.raises(ValueError, match="0 bytes or more, not -1"):
        proxy.corrupt("to_broker", offset=-1)
    with pytest.raises(ValueError, match="a byte, 0 to 255, not 256"):
        proxy.corrupt("to_broker", replace=256)
    with pytest.raises(ValueError, match="Corrupt needs direction"):
        proxy.apply(Corrupt())


@pytest.mark.parametrize(
    "misspelt",
    [
        lambda proxy: proxy.refuse("hangup"),
        lambda proxy: proxy.half_open("server"),
        lambda proxy: proxy.stall("to_server"),
        lambda proxy: proxy.resume("to_server"),
        lambda proxy: proxy.delay(1, direction="to_server"),
        lambda proxy: proxy.throttle(1, direction="to_server"),
        lambda proxy: proxy.corrupt("both"),
    ],
)
async def test_a_misspelt_fault_is_refused_at_once(
    misspelt: Callable[[FaultProxy], None], ends: Ends
) -> None:
    with pytest.raises(ValueError, match=r"is one of '.*, not '"):
        misspelt(ends.proxy)
