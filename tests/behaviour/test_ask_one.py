"""`rabbit.ask_one`: one server, named by its instance, runs a call, or the caller hears why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import leveret
from leveret import (
    Cancelled,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    MaybeExecuted,
    NoServer,
    Progress,
    Rabbit,
    Server,
    Service,
    Unimplemented,
    current_call,
    method,
)
from leveret.amqp.properties import Properties
from leveret.testing import FaultProxy
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, at_once, until
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

    @method(raises=[Frozen], timeout=30)
    async def add(self, key: str) -> int:
        self.calls += 1
        if key != "k":
            current_call().reply_metadata["shard"] = "eu"
        if key == "frozen":
            raise Frozen(until=7)
        return self.entries

    @method(timeout=30)
    async def wait(self) -> int:
        self.waiting += 1
        current_call().progress(0.5, "waiting")
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.entries

    @method
    async def watch(self) -> AsyncIterator[int]:
        yield self.entries

    @method(once=True)
    async def count(self) -> int:
        self.calls += 1
        return self.calls

    @method
    async def metadata(self) -> dict[str, str]:
        return dict(current_call().metadata)


class Shop(Service):
    """Another service."""

    @method
    async def buy(self) -> int:
        return 1


@pytest.fixture
def caches() -> tuple[Cache, Cache]:
    return Cache(1), Cache(2)


@pytest.fixture
async def one(host: Rabbit, caches: tuple[Cache, Cache]) -> AsyncIterator[Server]:
    async with host.serving(caches[0]) as server:
        yield server
        caches[0].opened.set()  # so that no drain waits


@pytest.fixture
async def two(other_host: Rabbit, caches: tuple[Cache, Cache]) -> AsyncIterator[Server]:
    async with other_host.serving(caches[1]) as server:
        yield server
        caches[1].opened.set()


async def test_the_server_that_is_named_runs_it_and_no_other(
    client: Rabbit, caches: tuple[Cache, Cache], one: Server, two: Server
) -> None:
    remote = client.remote(Cache)
    async with at_once():
        assert [await client.ask_one(remote.add, two.instance)("k") for _ in range(5)] == [2] * 5
        assert await client.ask_one(remote.add, one.instance)(key="k") == 1
    assert (caches[0].calls, caches[1].calls) == (1, 5)
    with pytest.raises(Frozen) as failed:
        await client.ask_one(remote.add, two.instance)("frozen")
    assert (failed.value.until, failed.value.executed) == (7, "yes")
    # All count, at the client and at the server, and as calls of their method.
    own = client.counters["cache.add"]
    assert (own.started, own.succeeded, own.handled) == (7, 6, {("FROZEN", "yes"): 1})
    seen = (await client.stats(Cache)).methods()["cache.add"]
    assert (seen.ended, seen.handled, seen.handler.count) == (7, {"OK": 6, "FROZEN": 1}, 7)
    # No key is claimed: it runs as often as it is asked.
    counted = client.ask_one(remote.count, one.instance)
    assert [await counted(), await counted()] == [2, 3]
    given = remote.with_options(metadata={"a": "b"})
    assert (await client.ask_one(given.metadata, one.instance, timeout=20)())["a"] == "b"


async def test_where_no_server_has_that_name_nothing_runs(
    client: Rabbit, host: Rabbit, one: Server
) -> None:
    remote = client.remote(Cache)
    async with at_once():
        with pytest.raises(NoServer, match="no server of cache is named 01234567") as gone:
            await client.ask_one(remote.add, "01234567")("k")
        assert gone.value.executed == "no"
        # Another service's server is none of this one.
        async with host.serving(Shop()) as shop:
            with pytest.raises(NoServer):
                await client.ask_one(remote.add, shop.instance)("k")
        await one.close()
        with pytest.raises(NoServer):
            await client.ask_one(remote.add, one.instance)("k")


async def test_the_handler_sends_metadata_back_with_its_result_and_its_error(
    client: Rabbit, one: Server
) -> None:
    for key in ("good", "frozen"):
        came: dict[str, str] = {}
        caller = client.with_options(reply_metadata=came)
        try:
            await caller.ask_one(client.remote(Cache).add, one.instance)(key)
        except Frozen:
            assert key == "frozen"
        assert came == {"shard": "eu"}


async def test_what_cannot_be_asked_of_one_server_is_refused_before_anything_is_sent(
    client: Rabbit, one: Server
) -> None:
    remote = client.remote(Cache)
    for no_instance in ("", "cache", "cache." + one.instance, "*", one.instance + "0", 7):
        with pytest.raises(InvalidArgument, match="eight hexadecimal digits"):
            client.ask_one(remote.add, no_instance)  # type: ignore[arg-type]
    for options in ({"idempotency_key": "k"}, {"if_busy": "fail"}, {"wait_for_server": True}):
        changed = remote.with_options(**options)
        with pytest.raises(InvalidArgument, match=f"ask_one does not take {min(options)}"):
            client.ask_one(changed.add, one.instance)
    with pytest.raises(InvalidArgument, match="do not stream"):
        client.ask_one(remote.watch, one.instance)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"rabbit\.ask_one\(rabbit\.remote"):
        client.ask_one(Cache().add, one.instance)
    with pytest.raises(InvalidArgument):
        await client.ask_one(remote.add, one.instance)(7)  # type: ignore[arg-type]


async def test_a_server_that_is_killed_meanwhile_may_have_run_it(
    client: Rabbit, caches: tuple[Cache, Cache], rabbitmq_url: str
) -> None:
    async with (
        leveret.connect(rabbitmq_url, reconnect=False) as mortal,
        mortal.serving(caches[0]) as server,
    ):
        heard: list[Progress] = []
        remote = client.remote(Cache).with_options(on_progress=heard.append)
        call = asyncio.create_task(client.ask_one(remote.wait, server.instance)())
        await until(lambda: bool(heard), "it runs, and has told how far it is")
        crash(mortal)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(MaybeExecuted, match=f"from the server {server.instance}") as failed:
                await call
        assert failed.value.executed == "maybe"


async def test_the_deadline_ends_it_where_the_server_says_nothing(
    client: Rabbit, caches: tuple[Cache, Cache], rabbitmq_url: str
) -> None:
    async with (
        FaultProxy(rabbitmq_url) as proxy,
        leveret.connect(proxy.url) as far,
        far.serving(caches[0]) as server,
    ):
        proxy.stall()
        asking = client.ask_one(client.remote(Cache).wait, server.instance, timeout=0.3)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(DeadlineExceeded) as late:
                await asking()
        assert (late.value.where, late.value.executed) == ("unknown", "maybe")
        proxy.heal()


async def test_a_caller_that_goes_away_cancels_it(
    client: Rabbit, caches: tuple[Cache, Cache], one: Server
) -> None:
    call = asyncio.create_task(client.ask_one(client.remote(Cache).wait, one.instance)())
    await until(lambda: caches[0].waiting == 1, "it runs")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: caches[0].cancelled == 1, "it is cancelled")


async def test_a_server_that_stops_says_so(
    client: Rabbit, host: Rabbit, caches: tuple[Cache, Cache]
) -> None:
    remote = client.remote(Cache)
    async with host.serving(caches[0], grace=0.5) as server:
        runs = asyncio.create_task(client.ask_one(remote.wait, server.instance)())
        await until(lambda: caches[0].waiting == 1, "it runs")
        closing = asyncio.create_task(server.close())
        await until(lambda: server.methods["cache.add"].draining, "it drains")
        with pytest.raises(NoServer) as refused:
            await client.ask_one(remote.add, server.instance)("k")
        assert refused.value.executed == "no"
        with pytest.raises(Cancelled):
            await runs
        await closing


async def test_what_travels_is_a_call_for_all_servers_under_the_key_of_one(
    raw: RawPeer, caches: tuple[Cache, Cache], one: Server, two: Server
) -> None:
    await raw.listen()

    def ask(key: str, call_id: str, method_name: str) -> None:
        properties = Properties(
            type="call",
            correlation_id=call_id,
            reply_to=raw.reply_queue,
            content_type="application/json",
            expiration="20000",
            headers={"method": method_name},
        )
        raw.channel.publish("leveret.control", key, properties, b'{"key":"k"}')

    ask(f"cache.{two.instance}", "1", "add")
    reply = await raw.reply()
    assert (reply.properties.type, reply.properties.correlation_id) == ("result", "1")
    assert (reply.body, reply.properties.headers) == (b"2", {"instance": two.instance})
    ask(f"cache.{one.instance}", "2", "fly")
    failure = await raw.failure()
    assert failure["code"] == Unimplemented.code
    assert "cache.fly" in failure["message"]
    assert (caches[0].calls, caches[1].calls) == (0, 1)
    assert raw.nothing_came()
