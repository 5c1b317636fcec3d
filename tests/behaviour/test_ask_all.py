"""`rabbit.ask_all`: every server of a service runs a call, and the caller sees who is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

import leveret
from leveret import (
    Answers,
    Cancelled,
    DeclaredError,
    InvalidArgument,
    NoServer,
    PermissionDenied,
    Progress,
    Rabbit,
    Server,
    Service,
    Unimplemented,
    current_call,
    method,
)
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.testing import FaultProxy
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, at_once, until, until_found
from tests.behaviour.raw import RawPeer


class Frozen(DeclaredError):
    """The cache takes no changes."""

    until: int


class Cache(Service):
    """One of these is in each server."""

    def __init__(self, entries: int = 0) -> None:
        self.entries = entries
        self.calls = 0
        self.waiting = 0
        self.cancelled = 0
        self.opened = asyncio.Event()

    @method(idempotent=True, raises=[Frozen], timeout=30)
    async def invalidate(self, key: str) -> int:
        self.calls += 1
        if self.entries < 0:
            raise Frozen(until=7)
        return self.entries

    @method(idempotent=True, timeout=30, concurrency=1)
    async def wait(self) -> int:
        self.waiting += 1
        current_call().progress(0.5, "waiting")
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.entries

    @method(idempotent=True)
    async def watch(self) -> AsyncIterator[int]:
        yield self.entries

    @method(idempotent=True)
    async def fill(self, entries: AsyncIterator[int]) -> int:
        return sum([entry async for entry in entries])

    @method(once=True)
    async def count(self) -> int:
        self.calls += 1
        return self.calls

    @method(idempotent=True)
    async def who(self) -> dict[str, str]:
        call = current_call()
        return {"user": call.user, **call.metadata}


class Farm:
    """Servers of the cache, each on a connection of its own."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self.rabbits: dict[str, Rabbit] = {}
        self.caches: dict[str, Cache] = {}
        self.servers: dict[str, Server] = {}

    async def add(
        self, entries: int = 0, *, url: str = "", reconnect: bool = True, grace: float = 30
    ) -> str:
        connecting = leveret.connect(url or self._url, reconnect=reconnect)
        rabbit = await self._stack.enter_async_context(connecting)
        cache = Cache(entries)
        server = await self._stack.enter_async_context(rabbit.serving(cache, grace=grace))
        name = server.instance
        self.rabbits[name], self.caches[name], self.servers[name] = rabbit, cache, server
        return name

    def open(self) -> None:
        for cache in self.caches.values():
            cache.opened.set()

    def running(self) -> int:
        return sum(cache.waiting for cache in self.caches.values())


@pytest.fixture
async def farm(rabbitmq_url: str) -> AsyncIterator[Farm]:
    async with AsyncExitStack() as stack:
        farm = Farm(rabbitmq_url, stack)
        yield farm
        farm.open()  # so that no drain waits


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(rabbitmq_url) as proxy:
        yield proxy


def has_answered(client: Rabbit, instance: str) -> bool:
    """Whether the client has the answer of a server to a call that goes on."""
    asking = client.calls._asking
    return any(instance in asked.gathering.replies for asked in asking.open.values())


def looking(client: Rabbit) -> Callable[[], Awaitable[object]]:
    """What asks all servers with little patience; on a busy machine it may be too little."""
    asking = client.ask_all(client.remote(Cache).invalidate, stall=0.3)

    async def look() -> object:
        answers = await asking("k")
        return answers.results, answers.errors, answers.missing, answers.missing_instances

    return look


async def test_every_server_answers_by_its_name(client: Rabbit, farm: Farm) -> None:
    one, two, frozen = await farm.add(1), await farm.add(2), await farm.add(-1)
    remote = client.remote(Cache)
    async with at_once():
        answers = await client.ask_all(remote.invalidate)("k")
    assert isinstance(answers, Answers)
    assert answers.results == {one: 1, two: 2}
    assert list(answers.errors) == [frozen]
    failed = answers.errors[frozen]
    assert isinstance(failed, Frozen)
    assert (failed.until, failed.executed) == (7, "yes")
    assert (answers.missing, answers.missing_instances) == (0, ())
    # Arguments by name, metadata of the remote, and who asks.
    with_metadata = remote.with_options(metadata={"a": "b"})
    seen = (await client.with_options(timeout=20).ask_all(with_metadata.who)()).results
    assert seen[one]["a"] == "b"
    with_metadata = remote.with_options(metadata={"a": "c"})
    seen = (await client.with_options(metadata={"a": "b"}).ask_all(with_metadata.who)()).results
    assert seen[one]["a"] == "b"
    again = await client.ask_all(remote.invalidate, timeout=20)(key="k")
    assert (again.results, again.missing) == (answers.results, 0)
    # An ordinary call is one server's.
    assert {cache.calls for cache in farm.caches.values()} == {2}


async def test_a_server_that_says_nothing_is_missing(
    client: Rabbit, farm: Farm, raw: RawPeer
) -> None:
    one = await farm.add(1)
    # The broker counts this one as a server, which listens to no control message.
    await raw.take("leveret.cache.invalidate")
    look = looking(client)
    await until_found(look, ({one: 1}, {}, 1, ()), "one answers, and one does not")


async def test_an_older_server_is_told_from_a_silent_one(
    client: Rabbit, farm: Farm, raw: RawPeer
) -> None:
    one = await farm.add(1)
    await raw.take("leveret.cache.invalidate")
    declared = await raw.channel.declare_queue("", exclusive=True)
    controls: asyncio.Queue[Delivery] = asyncio.Queue()
    await raw.channel.bind_queue(declared.queue or "", "leveret.control", "cache")
    await raw.channel.consume(declared.queue or "", controls.put_nowait, no_ack=True)
    call = asyncio.create_task(client.ask_all(client.remote(Cache).invalidate)("k"))
    while (message := await controls.get()).properties.type != "ping":
        pass
    raw.answer(message, b'{"instance":"01d0001d","name":"old","services":["cache"]}')
    async with at_once():
        answers = await call
    assert (answers.results, answers.missing) == ({one: 1}, 0)
    assert isinstance(answers.errors["01d0001d"], Unimplemented)
    assert answers.errors["01d0001d"].executed == "no"


async def test_who_cannot_be_asked_is_an_error_before_anything_is_sent(
    client: Rabbit, farm: Farm
) -> None:
    remote = client.remote(Cache)
    with pytest.raises(Unimplemented):
        await client.ask_all(remote.invalidate)("k")
    name = await farm.add(1)
    with pytest.raises(InvalidArgument, match="allow_effects"):
        client.ask_all(remote.count)
    with pytest.raises(InvalidArgument, match="idempotency_key"):
        client.ask_all(remote.with_options(idempotency_key="k").invalidate)
    for no_method in (Cache().invalidate, remote.watch, remote.fill):
        with pytest.raises(InvalidArgument, match="takes a method of a remote|do not stream"):
            client.ask_all(no_method)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        await client.ask_all(remote.invalidate)(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="stall"):
        client.ask_all(remote.invalidate, stall=0)
    # Each server has an effect, whatever its store of keys knows.
    other = await farm.add(2)
    counted = await client.ask_all(remote.count, allow_effects=True)()
    assert counted.results == {name: 1, other: 1}
    for server in farm.servers.values():
        await server.close()
    with pytest.raises(NoServer, match="no server listens"):
        await client.ask_all(remote.invalidate)("k")


async def test_a_server_that_is_killed_meanwhile_is_missing(client: Rabbit, farm: Farm) -> None:
    one, two = await farm.add(1), await farm.add(2, reconnect=False)
    heard: list[Progress] = []
    remote = client.remote(Cache).with_options(on_progress=heard.append)
    call = asyncio.create_task(client.ask_all(remote.wait)())
    await until(lambda: len(heard) == 2, "both run, and have told how far they are")
    farm.caches[one].opened.set()
    await until(lambda: has_answered(client, one), "one has answered")
    crash(farm.rabbits[two])
    async with asyncio.timeout(PATIENCE):
        answers = await call
    assert (answers.results, answers.errors) == ({one: 1}, {})
    assert (answers.missing, answers.missing_instances) == (1, (two,))


async def test_a_server_that_is_paused_is_missing(
    client: Rabbit, farm: Farm, proxy: FaultProxy
) -> None:
    one, _ = await farm.add(1), await farm.add(2, url=proxy.url)
    proxy.stall()
    look = looking(client)
    await until_found(look, ({one: 1}, {}, 1, ()), "one answers, and one does not")
    proxy.heal()


async def test_the_deadline_ends_it(client: Rabbit, farm: Farm) -> None:
    one, two = await farm.add(1), await farm.add(2)
    async with asyncio.timeout(PATIENCE):
        answers = await client.ask_all(client.remote(Cache).wait, timeout=0.2)()
    assert not answers.results
    assert answers.missing + len(answers.errors) == 2
    assert {type(error).__name__ for error in answers.errors.values()} <= {"DeadlineExceeded"}
    assert answers.errors.keys() <= {one, two}


async def test_a_caller_that_goes_away_cancels_it_everywhere(client: Rabbit, farm: Farm) -> None:
    one, two = await farm.add(1), await farm.add(2)
    call = asyncio.create_task(client.ask_all(client.remote(Cache).wait)())
    await until(lambda: farm.running() == 2, "both run")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for name in (one, two):
        await until(lambda n=name: farm.caches[n].cancelled == 1, "it is cancelled")  # type: ignore[misc]


async def test_a_server_that_stops_answers_what_it_does_not_finish(
    client: Rabbit, farm: Farm
) -> None:
    name = await farm.add(1, grace=0)
    remote = client.remote(Cache)
    runs = asyncio.create_task(client.ask_all(remote.wait)())
    await until(lambda: farm.running() == 1, "one runs")
    waits = asyncio.create_task(client.ask_all(remote.wait)())
    method_server = farm.servers[name].methods["cache.wait"]
    await until(lambda: len(method_server.waiting) == 1, "one waits for a place")
    await farm.servers[name].close()
    ran, waited = await runs, await waits
    assert isinstance(ran.errors[name], Cancelled)
    assert ran.errors[name].executed == "maybe"
    assert isinstance(waited.errors[name], Cancelled)
    assert waited.errors[name].executed == "no"


async def test_a_server_that_drains_refuses(client: Rabbit, farm: Farm) -> None:
    one, drains = await farm.add(1), await farm.add(2)
    remote = client.remote(Cache)
    runs = asyncio.create_task(client.ask_all(remote.wait)())
    await until(lambda: farm.running() == 2, "both run")
    closing = asyncio.create_task(farm.servers[drains].close())
    await until(lambda: farm.servers[drains].methods["cache.invalidate"].draining, "it drains")
    answers = await client.ask_all(remote.invalidate)("k")
    assert answers.results == {one: 1}
    assert isinstance(answers.errors[drains], NoServer)
    assert answers.errors[drains].executed == "no"
    farm.open()
    assert (await runs).results == {one: 1, drains: 2}
    await closing


async def test_each_server_judges_who_may_ask(client: Rabbit, host: Rabbit, farm: Farm) -> None:
    one = await farm.add(1)
    async with host.serving(Cache(2), allow={"cache": ["somebody else"]}) as strict:
        answers = await client.ask_all(client.remote(Cache).invalidate)("k")
    assert answers.results == {one: 1}
    assert isinstance(answers.errors[strict.instance], PermissionDenied)


async def test_answers_come_after_the_clients_connection_broke(
    proxy: FaultProxy, farm: Farm
) -> None:
    one, two = await farm.add(1), await farm.add(2)
    async with leveret.connect(proxy.url) as far:
        call = asyncio.create_task(far.ask_all(far.remote(Cache).wait)())
        await until(lambda: farm.running() == 2, "both run")
        proxy.refuse()
        proxy.cut()
        await until(lambda: far.state == "reconnecting", "the connection is lost")
        farm.open()
        await until(lambda: not any(s.calls() for s in farm.servers.values()), "both have answered")
        proxy.accept()
        async with asyncio.timeout(PATIENCE):
            answers = await call
    assert (answers.results, answers.missing) == ({one: 1, two: 2}, 0)


async def test_a_client_that_stays_cut_off_tells_what_it_received(
    mortal_client: Rabbit, farm: Farm
) -> None:
    one, two = await farm.add(1), await farm.add(2)
    heard: list[Progress] = []
    remote = mortal_client.remote(Cache).with_options(on_progress=heard.append)
    call = asyncio.create_task(mortal_client.ask_all(remote.wait)())
    await until(lambda: len(heard) == 2, "both run, and have told how far they are")
    farm.caches[one].opened.set()
    await until(lambda: has_answered(mortal_client, one), "one has answered")
    crash(mortal_client)
    async with at_once():
        answers = await call
    assert (answers.results, answers.missing_instances) == ({one: 1}, (two,))


def ask(raw: RawPeer, call_id: str, body: bytes = b"{}", **headers: str) -> None:
    """Send a call to all servers of the cache, by hand."""
    properties = Properties(
        type="call",
        correlation_id=call_id,
        reply_to=raw.reply_queue,
        content_type="application/json",
        expiration="20000",
        headers=headers,
    )
    raw.channel.publish("leveret.control", "cache", properties, body)


def query(raw: RawPeer, call_id: str) -> None:
    """Ask what became of a call."""
    properties = Properties(type="ask", reply_to=raw.reply_queue)
    raw.channel.publish("leveret.control", "cache", properties, b'["%b"]' % call_id.encode())


async def test_what_travels_is_a_request_and_the_servers_name(raw: RawPeer, farm: Farm) -> None:
    name = await farm.add(5)
    await raw.listen()
    ask(raw, "1", b'{"key":"k"}', method="invalidate")
    reply = await raw.reply()
    assert (reply.properties.type, reply.properties.correlation_id) == ("result", "1")
    assert (reply.body, reply.properties.headers) == (b"5", {"instance": name})
    for call_id, method_name in (("2", "fly"), ("3", "")):
        ask(raw, call_id, method=method_name)
        assert (await raw.failure())["code"] == "UNIMPLEMENTED"
    assert raw.nothing_came()


async def test_who_runs_it_says_so_when_asked_and_who_has_replied_replies_again(
    raw: RawPeer, farm: Farm
) -> None:
    name = await farm.add(5)
    await raw.listen()
    ask(raw, "1", method="wait")
    ask(raw, "1", method="wait")  # the same call: it is here already
    await until(lambda: farm.running() == 1, "it runs")
    for _ in range(2):
        query(raw, "1")
        told = await raw.reply()
        assert (told.properties.type, told.properties.headers) == ("accepted", {"instance": name})
    farm.open()
    while (told := await raw.reply()).properties.type == "accepted":
        pass  # its server says so by itself as well, once
    assert (told.body, told.properties.headers) == (b"5", {"instance": name})
    query(raw, "1")
    again = await raw.reply()
    assert (again.body, again.properties.headers) == (b"5", {"instance": name})
