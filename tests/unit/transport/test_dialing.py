"""Names with several addresses, of which some are of no use."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from leveret.errors import ConnectionLost, Unauthenticated
from leveret.testing.rabbitmq.ports import free_ports
from leveret.transport.connection import Connection
from leveret.transport.dialing import Endpoint, NoneOpened, Target, race, resolve
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from tests.addresses import resolve_to, swallows_syns
from tests.unit.transport.scripted_peer import PeerServer, until


def endpoint(number: int) -> Endpoint:
    return Endpoint(family=socket.AF_INET, protocol=0, address=(f"10.0.0.{number}", 5672))


ONE, TWO, THREE = endpoint(1), endpoint(2), endpoint(3)


class Opened:
    """What an attempt opens."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.aborted = False

    def abort(self, reason: str) -> None:
        self.aborted = True


class Attempts:
    """Attempts that go as the test says; those of which it says nothing hang."""

    def __init__(self) -> None:
        self.begun: list[Target] = []
        self.cancelled: list[Target] = []
        self.taken: dict[Target, Callable[[], None]] = {}
        self.ends: dict[Target, asyncio.Future[Opened]] = {}

    async def __call__(self, target: Target, taken: Callable[[], None]) -> Opened:
        self.begun.append(target)
        self.taken[target] = taken
        self.ends[target] = asyncio.get_running_loop().create_future()
        try:
            return await self.ends[target]
        except asyncio.CancelledError:
            self.cancelled.append(target)
            raise

    async def begins(self, target: Target) -> None:
        await until(lambda: target in self.begun, f"{target} is tried")


async def test_a_target_that_fails_gives_the_next_its_turn_at_once() -> None:
    attempts = Attempts()
    racing = asyncio.create_task(race([ONE, TWO, THREE], attempts, seconds=1e6))
    await attempts.begins(ONE)
    attempts.ends[ONE].set_exception(OSError("refused"))
    await attempts.begins(TWO)
    attempts.ends[TWO].set_result(opened := Opened(TWO))
    assert await racing is opened
    assert not opened.aborted
    assert attempts.begun == [ONE, TWO]


async def test_a_silent_target_is_tried_on_beside_the_next_and_may_still_be_first() -> None:
    attempts = Attempts()
    racing = asyncio.create_task(race([ONE, TWO], attempts, seconds=1e6))
    await attempts.begins(TWO)
    attempts.taken[TWO]()
    attempts.ends[ONE].set_result(opened := Opened(ONE))
    assert await racing is opened
    assert attempts.cancelled == [TWO]


async def test_of_two_that_open_in_one_moment_the_second_is_closed() -> None:
    attempts = Attempts()
    racing = asyncio.create_task(race([ONE, TWO], attempts, seconds=1e6))
    await attempts.begins(TWO)
    both = Opened(ONE), Opened(TWO)
    for opened in both:
        attempts.ends[opened.target].set_result(opened)
    winner = await racing
    assert [opened.aborted for opened in both] == [opened is not winner for opened in both]


async def test_where_all_fail_or_are_silent_each_is_told() -> None:
    attempts = Attempts()
    racing = asyncio.create_task(race([ONE, TWO, THREE], attempts, seconds=0.3))
    await attempts.begins(ONE)
    attempts.ends[ONE].set_exception(refused := OSError("refused"))
    with pytest.raises(NoneOpened) as raised:
        await racing
    failures = dict(raised.value.failures)
    assert failures[ONE] is refused
    assert isinstance(failures[TWO], TimeoutError)
    assert isinstance(failures[THREE], TimeoutError)


async def test_an_error_that_no_other_target_cures_ends_the_race() -> None:
    attempts = Attempts()
    racing = asyncio.create_task(race([ONE, TWO, THREE], attempts, seconds=1e6))
    await attempts.begins(TWO)
    attempts.ends[TWO].set_exception(Unauthenticated("who are you?"))
    with pytest.raises(Unauthenticated):
        await racing
    assert attempts.begun == [ONE, TWO]
    assert attempts.cancelled == [ONE]


async def test_a_race_that_is_cancelled_leaves_no_attempt() -> None:
    attempts = Attempts()
    racing = asyncio.create_task(race([ONE, TWO], attempts, seconds=1e6))
    await attempts.begins(TWO)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert attempts.cancelled == [ONE, TWO]


@pytest.mark.parametrize("cancels", [1, 2])
@pytest.mark.parametrize("passes", range(5))
async def test_a_race_that_is_cancelled_as_it_is_won_leaves_no_connection(
    passes: int, cancels: int
) -> None:
    attempts = Attempts()
    racing = asyncio.create_task(race([ONE, TWO], attempts, seconds=1e6))
    await attempts.begins(TWO)  # which goes on meanwhile
    attempts.ends[ONE].set_result(opened := Opened(ONE))
    for _ in range(passes):
        await asyncio.sleep(0)
    for _ in range(cancels):
        racing.cancel()
        await asyncio.sleep(0)
    await asyncio.wait((racing,))
    await until(lambda: attempts.cancelled == [TWO], "the other attempt ends")
    assert opened.aborted == racing.cancelled()


async def test_the_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, "::1"), (six, "::2"), (six, "::1"), (four, "10.0.0.1"), (four, "10.0.0.2")]

    async def getaddrinfo(host: str, port: int, **_: int) -> object:
        return [(family, 1, 6, "", (address, port)) for family, address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert [str(one) for one in await resolve("a.name", 5672)] == [
        "::1",
        "10.0.0.1",
        "::2",
        "10.0.0.2",
    ]
    assert [str(one) for one in await resolve("127.0.0.9", 5672)] == ["127.0.0.9"]


# -- with sockets ----------------------------------------------------------------------------------


async def opened(
    server: PeerServer, options: str = "", avoid: Endpoint | None = None
) -> Connection:
    connection = await open_connection(
        parse_url(f"amqp://broker/?heartbeat=0&{options}"),
        name="a test",
        max_message_size=1024,
        avoid=avoid,
    )
    server.connections.append(connection)
    return connection


async def test_an_address_that_swallows_packets_is_passed_over(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with swallows_syns() as dead:
        resolve_to(monkeypatch, broker=[dead, ("127.0.0.1", server.port)])
        opening = asyncio.create_task(opened(server))
        await (await server.accept()).handshake()
        connection = await opening
    assert (str(connection), str(connection.endpoint)) == ("broker:5672", "127.0.0.1")


async def test_an_address_that_is_slow_to_answer_is_not_given_up_for_one_that_never_does(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leveret.transport.dialing.HANDSHAKE", 0.01)
    async with PeerServer() as silent:
        live = ("127.0.0.1", server.port)
        resolve_to(monkeypatch, broker=[live, ("127.0.0.1", silent.port)])
        opening = asyncio.create_task(opened(server))
        slow = await server.accept()
        other = await silent.accept()
        await slow.handshake()
        connection = await opening
        assert connection.endpoint is not None
        assert connection.endpoint.address == live
        await other.ended()


async def test_the_address_that_failed_last_is_tried_last(
    server: PeerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PeerServer() as other:
        places = [("127.0.0.1", server.port), ("127.0.0.1", other.port)]
        resolve_to(monkeypatch, broker=places)
        (first, _) = await resolve("broker", 5672)
        opening = asyncio.create_task(opened(server, avoid=first))
        await (await other.accept()).handshake()
        assert (await opening).endpoint != first
        assert server.accepted == 0


async def test_where_no_address_answers_each_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, server: PeerServer
) -> None:
    with swallows_syns() as dead:
        resolve_to(monkeypatch, broker=[dead, ("127.0.0.1", free_ports(1)[0])])
        with pytest.raises(ConnectionLost) as raised:
            await opened(server, "connection_timeout=1000")
    assert "broker:5672 (127.0.0.2): no answer in 1 s" in str(raised.value)
    assert "broker:5672 (127.0.0.1): [Errno" in str(raised.value)
    assert raised.value.executed == "no"


async def test_a_name_server_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, server: PeerServer
) -> None:
    async def getaddrinfo(*_: object, **__: object) -> object:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectionLost, match=r"broker:5672: not looked up in 0\.1 s"):
        await opened(server, "connection_timeout=100")
