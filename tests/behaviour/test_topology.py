"""What an operator deletes is put back, and costs no call that has nothing to do with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest

import leveret
from leveret import Adaptive, PermissionDenied, Rabbit, Service, method
from leveret.amqp import methods
from leveret.amqp.properties import Properties
from leveret.server import topology
from leveret.server.streams.inbox import Inbox
from leveret.testing import FaultProxy, Stall, before_frame
from leveret.transport.channel import Channel
from leveret.wire.native.topology import restore_exchanges
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate
from tests.behaviour.users import Users
from tests.brokers import Broker


async def delete_exchange(raw: RawPeer, name: str) -> None:
    await raw.channel.call(methods.Exchange.Delete(exchange=name))


async def exchange_exists(raw: RawPeer, name: str) -> bool:
    channel = await raw.connection.open_channel()
    try:
        await channel.call(methods.Exchange.Declare(exchange=name, passive=True))
    except leveret.ChannelClosed:
        return False
    await channel.close()
    return True


async def unbind(raw: RawPeer, queue: str, exchange: str, key: str) -> None:
    await raw.channel.call(methods.Queue.Unbind(queue=queue, exchange=exchange, routing_key=key))


def lines(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    return [m for m in caplog.messages if all(word in m for word in words)]


@pytest.mark.parametrize("exchanges", [("leveret",), ("leveret", "leveret.control")])
async def test_a_call_does_not_notice_that_an_exchange_was_deleted(
    client: Rabbit,
    host: Rabbit,
    raw: RawPeer,
    exchanges: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    gate.opened.set()
    async with host.serving(gate):
        remote = client.remote(Gate)
        assert await remote.once(1) == 1
        for name in exchanges:
            await delete_exchange(raw, name)
        async with at_once():
            # Its request was not even routed, so it may be sent again though it is not idempotent.
            assert await remote.once(2) == 2
            assert await remote.again(3) == 3
        for name in exchanges:
            await until_found(partial(exchange_exists, raw, name), True, f"{name} is back")
            assert len(lines(caplog, f"'{name}'", "was missing")) == 1
    assert gate.ended == [1, 2, 3]


async def test_of_all_that_miss_an_exchange_at_once_one_puts_it_back_and_says_so(
    raw: RawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("leveret", "leveret.control"):
        await delete_exchange(raw, name)
    await asyncio.gather(*(restore_exchanges(raw.connection) for _ in range(3)))
    for name in ("leveret", "leveret.control"):
        assert await exchange_exists(raw, name)
        assert len(lines(caplog, f"'{name}'", "was missing")) == 1


async def test_a_cancel_that_finds_no_control_exchange_costs_no_other_call(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate):
        calls = [asyncio.create_task(client.remote(Gate).once(n)) for n in range(3)]
        for _ in calls:
            await gate.started.get()
        before = client.calls.channel
        await delete_exchange(raw, "leveret.control")
        calls[0].cancel()
        await until(lambda: gate.cancelled == [0], "the cancel arrives, once the exchange is back")
        gate.opened.set()
        assert await asyncio.gather(*calls[1:]) == [1, 2]
        assert client.calls.channel is before


async def test_a_client_has_a_binding_put_back_that_an_operator_deleted(
    client: Rabbit,
    host: Rabbit,
    raw: RawPeer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topology, "CHECKED_EVERY", 600.0)  # the server does not find it by itself
    gate = Gate()
    gate.opened.set()
    async with host.serving(gate):
        remote = client.remote(Gate)
        assert await remote.once(0) == 0
        await unbind(raw, "leveret.gate.once", "leveret", "gate.once")
        async with at_once():
            assert await remote.once(1) == 1
        assert len(lines(caplog, "do not reach their queue")) == 1


async def test_a_server_puts_bindings_back_that_an_operator_deleted(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate):
        call = asyncio.create_task(client.remote(Gate).once(0))
        await gate.started.get()
        await delete_exchange(raw, "leveret.control")
        await raw.channel.declare_exchange("leveret.control", "topic")  # with no bindings
        await until_found(partial(reaches_control, raw, "gate"), True, "it is bound again")
        call.cancel()
        await until(lambda: gate.cancelled == [0], "the server hears of the cancel")


def is_not(client: Rabbit, channel: object) -> bool:
    return client.calls.channel is not channel


async def reaches_control(raw: RawPeer, key: str) -> bool:
    """Whether the control exchange has a queue for this key."""
    returned: list[object] = []
    raw.channel.on_return = returned.append
    raw.channel.publish("leveret.control", key, Properties(type="ping"), b"", mandatory=True)
    await raw.flushed()
    return not returned


async def test_whoever_may_put_an_exchange_back_does_so_for_those_who_may_not(
    broker: Broker, host: Rabbit, raw: RawPeer
) -> None:
    url = Users(broker).add("poor", configure="^leveret\\.reply.*")
    async with leveret.connect(url) as poor, host.serving(Echo()):
        assert await poor.remote(Echo).echo("a") == "a"
        await delete_exchange(raw, "leveret")
        impatient = poor.remote(Echo).with_options(wait_for_connection=False)
        waiting = asyncio.create_task(poor.remote(Echo).echo("b"))
        await until(lambda: not poor.calls.is_attached or poor.calls.held, "it is found out")
        await until(lambda: poor.calls.is_attached, "replies come again")
        with pytest.raises(leveret.ConnectionLost, match="'leveret' does not exist") as caught:
            await impatient.echo("c")
        assert caught.value.executed == "no"
        assert await waiting == "b"


async def test_a_request_that_the_user_may_not_send_costs_no_other_call(
    broker: Broker, host: Rabbit
) -> None:
    url = Users(broker).add("typed", write="^leveret.*")
    gate = Gate()
    gate.opened.set()
    async with leveret.connect(url) as client, host.serving(gate):
        before, plain, after = await asyncio.gather(
            client.remote(Gate).once(1),
            client.plain("elsewhere").call("x"),
            client.remote(Gate).once(2),
            return_exceptions=True,
        )
        assert (before, after) == (1, 2)
        assert isinstance(plain, PermissionDenied)
        assert plain.executed == "no"
    assert gate.ended == [1, 2]


async def test_a_reply_queue_that_is_deleted_costs_no_request_that_is_on_its_way(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate):
        for n in range(5):
            before = client.calls.channel
            delete = methods.Queue.Delete(queue=client.calls.reply_queue.name)
            deleting = asyncio.create_task(raw.channel.call(delete))
            calls = [asyncio.create_task(client.remote(Gate).once(n)) for _ in range(20)]
            await deleting
            restored = partial(is_not, client, before)
            await until(restored, "it is restored")
            gate.opened.set()
            assert await asyncio.gather(*calls) == [n] * 20
            gate.opened.clear()


async def test_what_the_broker_says_of_a_name_that_is_no_text_can_be_written_to_any_log(
    raw: RawPeer,
) -> None:
    name = b"levere\x8b".decode(errors="surrogateescape")  # a byte was falsified on its way
    raw.channel.publish(name, "", Properties(), b"")
    await until(lambda: raw.channel.closed is not None, "the broker closes the channel")
    # RabbitMQ 4 takes the byte for a character of Latin-1.
    said = re.compile(rb"NOT_FOUND - no exchange 'levere(\\udc8b|\xc2\x8b)' in vhost")
    assert said.match(str(raw.channel.closed).encode())


class Narrow(Service):
    """One call runs at a time, and the next one waits at the server."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.ran: list[int] = []

    @method(timeout=30, idempotent=True, concurrency=Adaptive(least=1, most=1))
    async def work(self, n: int) -> int:
        self.ran.append(n)
        await self.opened.wait()
        return n


async def test_a_drain_loses_no_request_that_it_cannot_hand_back_for_lack_of_a_binding(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    one, two = Narrow(), Narrow()
    two.opened.set()
    remote = client.remote(Narrow).with_options(wait_for_server=True)
    async with host.serving(one) as server:
        (served,) = server.methods.values()
        calls = [asyncio.create_task(remote.work(1))]
        await until(lambda: one.ran == [1], "one runs")
        calls.append(asyncio.create_task(remote.work(2)))
        await until(lambda: len(served.waiting) == 1, "one waits at the server")
        await unbind(raw, "leveret.narrow.work", "leveret", "narrow.work")
        draining = asyncio.create_task(server.drain())
        await until_found(partial(raw.waiting, "leveret.narrow.work"), 1, "it goes back")
        one.opened.set()
        await draining
    async with other_host.serving(two):
        assert await asyncio.gather(*calls) == [1, 2]
    assert (one.ran, two.ran) == ([1], [2])


class Scale(Service):
    def __init__(self) -> None:
        self.weighed: asyncio.Queue[int] = asyncio.Queue()

    @method(timeout=30)
    async def weigh(self, items: AsyncIterator[int]) -> int:
        total = 0
        async for item in items:
            total += item
            self.weighed.put_nowait(item)
        return total


async def test_an_upload_goes_on_once_its_exchange_is_back(
    client: Rabbit, host: Rabbit, raw: RawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = asyncio.Event()
    bind = Inbox.bind

    async def noted(inbox: Inbox, channel: Channel) -> None:
        await bind(inbox, channel)
        bound.set()

    async def items() -> AsyncIterator[int]:
        yield 1
        await bound.wait()
        yield 2

    scale = Scale()
    monkeypatch.setattr(topology, "CHECKED_EVERY", 0.05)
    async with host.serving(scale):
        weighing = asyncio.create_task(client.remote(Scale).weigh(items()))
        await scale.weighed.get()
        await delete_exchange(raw, "leveret")
        monkeypatch.setattr(Inbox, "bind", noted)
        assert await weighing == 3


class Pair(Service):
    """Two queues, one after the other."""

    @method(timeout=30, idempotent=True)
    async def first(self, n: int) -> int:
        return n

    @method(timeout=30, idempotent=True)
    async def second(self, n: int) -> int:
        return n


async def test_a_queue_whose_channel_ends_while_its_server_starts_is_served_all_the_same(
    broker_url: str, client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Pair()):
        pass
    operator = await RawPeer.open(broker_url)
    taken = await raw.take("leveret.pair.first")
    waits = client.remote(Pair).with_options(wait_for_server=True)
    call = asyncio.create_task(waits.first(1))
    await taken.get()
    async with (
        FaultProxy(broker_url) as proxy,
        leveret.connect(proxy.url) as far,
        AsyncExitStack() as stack,
    ):
        # The control queue and the first one are consumed by then.
        second = before_frame(3, "to_broker", kind="basic.consume")
        rule = proxy.when(second, Stall("to_broker"))
        starting = asyncio.create_task(stack.enter_async_context(far.serving(Pair())))
        await rule.fired.wait()
        raw.crash()  # the server counts what comes again: it publishes a copy
        await delete_exchange(operator, "leveret")
        proxy.resume()
        await starting
        assert await call == 1
        assert await waits.second(2) == 2
    await operator.close()
