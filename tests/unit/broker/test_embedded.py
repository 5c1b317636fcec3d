from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Any

import pytest

import leveret
from leveret import Service, method
from leveret.amqp.codes import PROTOCOL_HEADER
from leveret.amqp.properties import Properties
from leveret.broker import EmbeddedBroker, Limits, Permissions, User
from leveret.errors import ChannelClosed, ConnectionClosed, PermissionDenied, Unauthenticated
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url


class Doubling(Service):
    @method(timeout=10)
    async def double(self, n: int) -> int:
        return 2 * n


async def connected(url: str) -> Connection:
    return await open_connection(parse_url(url), name="test", max_message_size=2**20)


async def hung_up(reader: asyncio.StreamReader) -> bytes:
    """All that the broker says until it hangs up."""
    said = b""
    try:
        async with asyncio.timeout(10):
            while more := await reader.read(65_536):
                said += more
    except ConnectionError:
        pass
    return said


async def test_leveret_calls_through_it() -> None:
    async with (
        EmbeddedBroker() as broker,
        leveret.connect(broker.url) as host,
        leveret.connect(broker.url) as client,
        host.serving(Doubling()),
    ):
        calls = [client.remote(Doubling).double(n) for n in range(200)]
        assert await asyncio.gather(*calls) == [2 * n for n in range(200)]


async def test_it_says_what_it_is_for_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "leveret.broker"):
        async with EmbeddedBroker():
            pass
    (line,) = [record.message for record in caplog.records if "embedded" in record.message]
    assert "in memory, for development and tests; production is RabbitMQ" in line


async def test_two_brokers_know_nothing_of_each_other() -> None:
    async with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.port != other.port
        connection = await connected(one.url)
        await (await connection.open_channel()).declare_queue("q")
        assert "q" not in other.node.vhosts["/"].queues
        await connection.close()


async def test_a_url_names_user_and_vhost_whatever_their_letters() -> None:
    users = {"bob@home": User(password="p/w")}
    async with EmbeddedBroker(users=users, vhosts=("a/b",)) as broker:
        connection = await connected(broker.url)
        await connection.close()
        connection = await connected(broker.add_vhost("späť"))
        await connection.close()


async def test_a_user_that_is_added_has_its_rights_and_no_others() -> None:
    async with EmbeddedBroker() as broker:
        broker.add_vhost("own")
        rights = {"own": Permissions(configure="^mine-", write="^$", read="^$")}
        url = broker.add_user("bob", "p/w", rights)
        assert url == f"amqp://bob:p%2Fw@127.0.0.1:{broker.port}/own"
        connection = await connected(url)
        channel = await connection.open_channel()
        await channel.declare_queue("mine-q")
        with pytest.raises(ChannelClosed, match="access to queue 'other'"):
            await channel.declare_queue("other")
        await connection.close()
        with pytest.raises(PermissionDenied, match="access to vhost '/' refused for user 'bob'"):
            await connected(url.removesuffix("own"))


async def test_a_user_may_be_added_before_the_start_and_changed_after_it() -> None:
    broker = EmbeddedBroker()
    broker.add_user("bob", "old")
    async with broker:
        await (await connected(broker.add_user("bob", "new"))).close()
        with pytest.raises(Unauthenticated, match="ACCESS_REFUSED"):
            await connected(broker.url.replace("guest:guest", "bob:old"))


def listening_on(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex((address, port)) == 0


@pytest.fixture
def ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")


async def test_localhost_is_one_port_of_both_families(ipv6: None) -> None:
    async with EmbeddedBroker("localhost") as broker:
        assert broker.url == f"amqp://guest:guest@localhost:{broker.port}/"
        for host in ("localhost", "127.0.0.1", "[::1]"):
            await (await connected(f"amqp://{host}:{broker.port}/")).close()
    assert not listening_on("127.0.0.1", broker.port)
    assert not listening_on("::1", broker.port)


async def test_localhost_takes_no_port_that_another_has_in_one_family(ipv6: None) -> None:
    """Clients that try the other family first would find that other."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use") as refused:
            await EmbeddedBroker("localhost", port).start()
        assert refused.value.errno == errno.EADDRINUSE
        assert not listening_on("127.0.0.1", port)


@pytest.mark.parametrize("taken", [1, 100])
async def test_localhost_tries_another_free_port_for_both_families(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    loop = asyncio.get_running_loop()
    listen = loop.create_server
    tried: list[int] = []

    async def create_server(accept: Any, host: str, port: int, **options: Any) -> Any:
        if host == "::1" and len(tried) < taken:
            tried.append(port)
            raise OSError(errno.EADDRINUSE, "address in use")
        if host == "::1":  # as if
            host, port = "127.0.0.1", 0
        return await listen(accept, host, port, **options)

    monkeypatch.setattr(loop, "create_server", create_server)
    if taken > 1:
        with pytest.raises(OSError, match="in use"):
            await EmbeddedBroker("localhost").start()
        return
    async with EmbeddedBroker("localhost") as broker:
        await (await connected(broker.url)).close()
    assert len(tried) == taken


async def test_a_start_that_is_cancelled_gives_the_port_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    listen = loop.create_server
    held: asyncio.Future[int] = loop.create_future()

    async def create_server(accept: Any, host: str, port: int, **options: Any) -> Any:
        if host == "::1":
            held.set_result(port)
            await asyncio.Event().wait()
        return await listen(accept, host, port, **options)

    monkeypatch.setattr(loop, "create_server", create_server)
    start = asyncio.create_task(EmbeddedBroker("localhost").start())
    port = await held
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not listening_on("127.0.0.1", port)


async def test_localhost_is_one_family_where_there_is_no_ipv6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    listen = loop.create_server

    async def create_server(accept: Any, host: str, port: int, **options: Any) -> Any:
        if host == "::1":
            raise OSError(errno.EADDRNOTAVAIL, "cannot assign requested address")
        return await listen(accept, host, port, **options)

    monkeypatch.setattr(loop, "create_server", create_server)
    async with EmbeddedBroker("localhost") as broker:
        await (await connected(broker.url)).close()


async def test_clients_are_told_when_it_closes() -> None:
    broker = await EmbeddedBroker().start()
    connection = await connected(broker.url)
    told = asyncio.get_running_loop().create_future()
    connection.on_close.append(told.set_result)
    await broker.close()
    error = await told
    assert isinstance(error, ConnectionClosed)
    assert error.reply_code == 320
    await connection.close()


async def test_only_the_connections_of_one_vhost_are_closed() -> None:
    async with EmbeddedBroker() as broker:
        stays = await connected(broker.url)
        goes = await connected(broker.add_vhost("other"))
        told = asyncio.get_running_loop().create_future()
        goes.on_close.append(told.set_result)
        assert broker.close_connections("for a test", vhost="other") == 1
        assert "CONNECTION_FORCED - for a test" in str(await told)
        await stays.open_channel()
        await stays.close()
        await goes.close()


async def test_publishers_are_blocked_and_released() -> None:
    async with EmbeddedBroker() as broker:
        connection = await connected(broker.url)
        news: asyncio.Queue[str] = asyncio.Queue()
        connection.on_blocked.append(news.put_nowait)
        channel = await connection.open_channel()
        broker.block_publishers()
        channel.publish("", "nowhere", Properties(), b"")
        assert await news.get() == "low on memory"
        broker.unblock_publishers()
        assert await news.get() == ""
        await connection.close()


async def test_a_handshake_that_takes_too_long_is_ended() -> None:
    async with EmbeddedBroker(limits=Limits(handshake_timeout=0.05)) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(PROTOCOL_HEADER)
        assert b"PLAIN" in await hung_up(reader)
        writer.close()


async def test_a_client_too_many_is_turned_away() -> None:
    async with EmbeddedBroker(limits=Limits(connections=1)) as broker:
        first = await connected(broker.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        assert await hung_up(reader) == b""
        await first.open_channel()
        writer.close()
        await first.close()


async def test_messages_expire_by_the_clock_of_the_loop() -> None:
    async with EmbeddedBroker() as broker:
        connection = await connected(broker.url)
        channel = await connection.open_channel()
        arguments = {"x-message-ttl": 20, "x-dead-letter-exchange": "amq.fanout"}
        await channel.declare_queue("q", arguments=arguments)
        await channel.declare_queue("dead")
        await channel.bind_queue("dead", "amq.fanout", "")
        letters: asyncio.Queue[object] = asyncio.Queue()
        await channel.consume("dead", letters.put_nowait, no_ack=True)
        channel.publish("", "q", Properties(), b"x")
        async with asyncio.timeout(10):
            await letters.get()
        await connection.close()


async def test_a_broker_without_users_has_a_url_once_one_is_added() -> None:
    async with EmbeddedBroker(users={}) as broker:
        with pytest.raises(RuntimeError, match="this broker has no users: call add_user"):
            _ = broker.url
        with pytest.raises(RuntimeError, match="this broker has no users: call add_user"):
            broker.add_vhost("own")
        assert "own" not in broker.node.vhosts
        broker.add_user("bob", "p")
        await (await connected(broker.url)).close()
        await (await connected(broker.add_vhost("own"))).close()


async def test_a_broker_without_vhosts_has_a_url_once_one_is_added() -> None:
    async with EmbeddedBroker(vhosts=()) as broker:
        with pytest.raises(RuntimeError, match="this broker has no vhosts: call add_vhost"):
            _ = broker.url
        with pytest.raises(RuntimeError, match="this broker has no vhosts: call add_vhost"):
            broker.add_user("bob", "p")
        assert "bob" not in broker.node.users
        assert broker.add_vhost("own") == broker.url
        await (await connected(broker.url)).close()
        await (await connected(broker.add_user("bob", "p"))).close()
