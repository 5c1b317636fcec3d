"""What anybody can learn of servers: who they are, how they stand, which calls they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from secrets import token_hex

import pytest

import leveret
from leveret import (
    CallError,
    Cancelled,
    DeclaredError,
    InvalidArgument,
    PermissionDenied,
    Rabbit,
    Service,
    current_call,
    method,
)
from leveret.observe import OK
from tests.behaviour.patience import at_once, until
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate
from tests.behaviour.users import Users
from tests.brokers import Broker


class SoldOut(DeclaredError):
    """There is nothing left."""


class Shop(Service, version="1.4.2", metadata={"team": "stock"}):
    """A shop."""

    @method(raises=[SoldOut])
    async def order(self, what: str) -> str:
        if what == "nothing":
            raise SoldOut
        if what == "trouble":
            raise OSError("the till is broken")
        return what

    @method
    async def close(self) -> None: ...


class OtherShop(Service, name="shop"):
    @method
    async def order(self, what: str, how_many: int = 1) -> str:
        return what * how_many

    @method
    async def close(self) -> None: ...


async def fails(call: object) -> None:
    with pytest.raises(CallError):
        await call  # type: ignore[misc]


async def test_servers_say_who_they_are(client: Rabbit, host: Rabbit, other_host: Rabbit) -> None:
    async with host.serving(Shop(), Echo()) as one, other_host.serving(OtherShop()) as two:
        seen = await client.servers()
        assert seen.is_complete
        by_instance = {server.instance: server for server in seen.servers}
        assert set(by_instance) == {one.instance, two.instance}
        shop = by_instance[one.instance]
        assert shop.services == ["shop", "echo"]
        assert shop.versions == {"shop": "1.4.2"}
        assert shop.metadata == {"shop": {"team": "stock"}}
        assert shop.process.leveret == leveret.__version__
        assert shop.hashes["shop"] != by_instance[two.instance].hashes["shop"]
        assert [server.instance for server in (await client.servers(Echo)).servers] == [
            one.instance
        ]
        alone = await client.ping(f"shop.{two.instance}")
        assert [pong.server.instance for pong in alone.servers] == [two.instance]
        assert alone.servers[0].seconds > 0
    assert (await client.servers("shop")).servers == []


async def test_a_service_is_named_as_it_is_on_the_wire(client: Rabbit) -> None:
    for wrong in ("", "a b", "all", "ä"):
        with pytest.raises(InvalidArgument, match="service"):
            await client.servers(wrong)


async def test_a_server_that_does_not_answer_is_missed(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Shop()):
        # Consumes the queue as a server does, and listens to no questions.
        for queue in ("leveret.shop.order", "leveret.shop.close"):
            await raw.take(queue)
        seen = await client.stats("shop", timeout=0.5)
        async with at_once():
            while not seen.servers:  # the one that does answer may be slow
                seen = await client.stats("shop", timeout=0.5)
        assert len(seen.servers) == 1
        assert seen.missing == {"shop": 1}
        assert not seen.is_complete


async def test_calls_count_as_what_they_are(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Shop(), allow={"shop.close": ["somebody else"]}):
        shop = client.remote(Shop)
        for what in ("cake", "cake", "nothing", "trouble"):
            try:
                await shop.order(what)
            except CallError:
                pass
        last = (await client.stats(Shop)).methods()["shop.order"].last_error
        assert last is not None
        assert last.message == "OSError: the till is broken"
        await fails(client.call("shop.order", wat=3))
        with pytest.raises(PermissionDenied):
            await shop.close()
        seen = await client.stats(Shop)
    methods = seen.methods()
    order, close = methods["shop.order"], methods["shop.close"]
    assert order.handled == {OK: 2, "SOLD_OUT": 1, "INTERNAL": 1, "INVALID_ARGUMENT": 1}
    assert (order.ended, order.failed, order.running, order.servers) == (5, 3, 0, 1)
    assert close.handled == {"PERMISSION_DENIED": 1}
    assert order.handler.count == 4
    assert order.queue.count == 5
    assert order.bytes_in > 0
    assert order.bytes_out > 0
    assert order.last_error is not None
    assert order.last_error.code == "INVALID_ARGUMENT"
    (caller,) = order.callers
    assert (order.callers[caller].handled, order.callers[caller].failed) == (5, 3)
    mine = client.counters["shop.order"]
    assert mine.by_outcome()[OK, "yes"] == 2
    assert mine.by_outcome()["SOLD_OUT", "yes"] == 1
    assert mine.started == 5
    assert mine.in_flight == 0
    assert mine.seconds.count == 5


async def test_time_in_the_queue_is_apart_from_that_of_the_handler(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    time = asyncio.get_running_loop().time
    async with host.serving(gate):
        remote = client.remote(Gate)
        first = asyncio.create_task(remote.one_by_one(1))
        await gate.started.get()
        second = asyncio.create_task(remote.one_by_one(2))
        await until(lambda: client.in_flight == 2, "the second call is sent")
        sent = time()
        assert (await client.stats(Gate)).methods()["gate.one_by_one"].running == 1
        await until(lambda: time() > sent + 0.2, "the second call waits for a while")
        gate.opened.set()
        await asyncio.gather(first, second)
        stats = (await client.stats(Gate)).methods()["gate.one_by_one"]
        assert stats.handled == {OK: 2}
        assert (stats.queue.count, stats.handler.count) == (2, 2)
        assert stats.queue.total > 0.1
        assert stats.handler.total > 0.2


class Long(Service):
    def __init__(self) -> None:
        self.begun = asyncio.Event()

    @method(timeout=60)
    async def run(self) -> None:
        current_call().progress(0.25, "a quarter")
        self.begun.set()
        await asyncio.Event().wait()


async def test_calls_are_seen_while_they_run_and_can_be_stopped(
    client: Rabbit, host: Rabbit
) -> None:
    long = Long()
    async with host.serving(long) as server:
        call = asyncio.create_task(client.remote(Long).run())
        await long.begun.wait()
        seen = await client.running_calls(Long)
        (calls,) = seen.servers
        (running,) = calls.calls
        assert calls.total == 1
        assert calls.instance == server.instance
        assert (running.method, running.state) == ("long.run", "running")
        assert (running.fraction, running.text) == (0.25, "a quarter")
        assert running.left is not None
        assert 0 < running.left <= 60
        assert await client.stop_calls(["no such call"], timeout=0.2) == []
        assert await client.stop_calls([running.id, "no such call"], timeout=0.5) == [running.id]
        with pytest.raises(Cancelled):
            await call
        stats = (await client.stats(Long)).methods()["long.run"]
        assert stats.handled == {"CANCELLED": 1}


async def test_a_cancelled_call_counts_at_both_sides(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate) as server:
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        call.cancel()
        await until(lambda: gate.cancelled == [1], "the handler is cancelled")
        await until(lambda: not server.calls(), "the call is over")
        assert (await client.stats(Gate)).methods()["gate.once"].handled == {"CANCELLED": 1}
    assert client.counters["gate.once"].by_outcome()["CANCELLED", "maybe"] == 1


async def test_requests_that_are_handed_back_are_no_calls_that_ended(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    gate = Gate()
    # With a second queue a server has more requests than it has places.
    server = await host.serving(gate, plain={"gates": "gate.one_by_one"})
    plain, remote = client.plain("gates", result=int), client.remote(Gate)
    calls = [asyncio.create_task(plain.call(1))]
    await gate.started.get()
    calls.append(asyncio.create_task(remote.one_by_one(2)))
    await until(lambda: len(server.calls()) == 2, "the second call waits here")
    async with other_host.serving(gate):
        draining = asyncio.create_task(server.drain())
        await gate.started.get()
        gate.opened.set()
        await asyncio.gather(*calls, draining)
        there = (await client.stats(Gate)).methods()["gate.one_by_one"]
    counted = {queue.queue: queue.counters for queue in server.queues()}
    assert counted["gates"].handled == {OK: 1}
    assert counted["leveret.gate.one_by_one"].handled == {}
    assert counted["leveret.gate.one_by_one"].handed_back == 1
    assert there.handled == {OK: 1}


async def test_only_operators_see_and_stop_the_calls_of_others(
    broker: Broker, host: Rabbit
) -> None:
    users, long = Users(broker), Long()
    other, operator = f"other-{token_hex(4)}", f"ops-{token_hex(4)}"
    async with (
        users.connect(other) as stranger,
        users.connect(operator) as ops,
        host.serving(long, operators=["ops-*"]),
    ):
        call = asyncio.create_task(stranger.remote(Long).run())
        await long.begun.wait()
        with pytest.raises(PermissionDenied, match="operators"):
            await stranger.running_calls(Long)
        for allowed in (ops, host):
            (calls,) = (await allowed.running_calls(Long)).servers
            (running,) = calls.calls
        assert running.user == other
        with pytest.raises(PermissionDenied, match="operators"):
            await stranger.stop_calls([running.id], Long)
        assert not call.done()
        assert await ops.stop_calls([running.id], Long) == [running.id]
        with pytest.raises(Cancelled):
            await call


async def test_a_name_that_is_no_unicode_silences_nobody(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Echo(), Gate(), grace=0):
        raw.request("echo.echo", b'{"text":"x"}', correlation_id="\udcff", app_id="\udcfe")
        await raw.reply()
        raw.request("echo.echo", b"[", correlation_id="\udcff", app_id="\udcfe")
        await raw.reply()
        raw.request("gate.once", b'{"n":1}', correlation_id="\udcff", app_id="\udcfe")
        stats = (await client.stats(Echo)).methods()["echo.echo"]
        assert stats.callers["?"].handled == 2
        assert stats.last_error is not None
        assert stats.last_error.call == "?"
        async with at_once():
            while not (calls := (await client.running_calls(Gate)).servers[0].calls):
                pass
        assert (calls[0].id, calls[0].caller) == ("?", "?")


class Feed(Service):
    @method
    async def forever(self) -> AsyncIterator[int]:
        while True:
            yield 7
            await asyncio.sleep(0.01)


async def test_a_stream_that_a_drain_ends_is_handed_back(client: Rabbit, host: Rabbit) -> None:
    server = await host.serving(Feed())
    stream = client.remote(Feed).forever()
    assert await anext(stream) == 7
    await server.drain(0)
    with pytest.raises(leveret.StreamBroken):
        async for _ in stream:
            pass
    (queue,) = server.queues()
    assert (queue.counters.handled, queue.counters.handed_back) == ({}, 1)
    assert queue.counters.items_out >= 1
