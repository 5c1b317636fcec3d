"""A server that stops: it ends what runs, hands back what it has not begun, and loses nothing."""

from __future__ import annotations

import asyncio

import pytest

import leveret
from leveret import (
    Adaptive,
    Cancelled,
    DeadlineExceeded,
    MaybeExecuted,
    Rabbit,
    Service,
    current_call,
    method,
)
from leveret.server.outbox import Outbox
from leveret.server.server import Server
from leveret.testing import FaultProxy
from leveret.transport.channel import Channel
from leveret.wire.message import Incoming
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate, Stubborn


class Log(Service):
    """Writes down which calls ran, and whether they were delivered before."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.redelivered = 0

    @method(timeout=30)
    async def note(self, n: int) -> int:
        self.ran.append(n)
        self.redelivered += current_call().redelivered
        await asyncio.sleep(0)
        return n


class Narrow(Service):
    """Runs one call at a time."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    @method(timeout=300, idempotent=True, concurrency=1)
    async def work(self, n: int) -> int:
        await self.opened.wait()
        return n


async def draining(
    server: Server, raw: RawPeer, queue: str, grace: float = 30
) -> asyncio.Task[None]:
    """A drain that has begun: the server takes nothing more."""
    drain = asyncio.create_task(server.drain(grace))
    await until_found(lambda: raw.consumers(queue), 0, "the server drains")
    return drain


async def test_a_drain_lets_running_calls_end(client: Rabbit, host: Rabbit, raw: RawPeer) -> None:
    gate = Gate()
    async with host.serving(gate) as server:
        calls = [asyncio.create_task(client.remote(Gate).once(n)) for n in range(3)]
        await until(lambda: gate.started.qsize() == 3, "all run")
        drain = await draining(server, raw, "leveret.gate.once")
        gate.opened.set()
        assert await asyncio.gather(*calls) == [0, 1, 2]
        await drain
        await server.drain()  # once more is fine
    assert gate.cancelled == []


async def test_no_call_is_lost_or_doubled_when_one_of_two_servers_drains(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    one, two = Log(), Log()
    remote = client.remote(Log)
    numbers = iter(range(600))
    results: list[int] = []

    async def caller() -> None:
        results.extend([await remote.note(n) for n in numbers])

    async with other_host.serving(two), host.serving(one) as server:
        callers = [asyncio.create_task(caller()) for _ in range(30)]
        await until(lambda: len(one.ran) > 50, "both are at work")
        await server.drain()
        after_the_drain = len(one.ran)
        await asyncio.gather(*callers)
    assert sorted(results) == list(range(600))
    assert sorted(one.ran + two.ran) == list(range(600))
    assert len(one.ran) == after_the_drain
    assert one.redelivered == two.redelivered == 0


async def test_servers_may_come_and_go_under_load(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    log = Log()
    remote = client.remote(Log)
    numbers = iter(range(600))

    async def caller() -> None:
        for n in numbers:
            assert await remote.note(n) == n

    async with other_host.serving(log):
        callers = asyncio.gather(*(caller() for _ in range(20)))
        while not callers.done():
            async with host.serving(log):
                await until(lambda: callers.done() or len(log.ran) % 7 == 0, "some more calls")
        await callers
    assert sorted(log.ran) == list(range(600))
    assert log.redelivered == 0


@pytest.fixture
def handed_back(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The delivery tags of what servers hand back."""
    tags: list[int] = []
    hand_back = Outbox.hand_back

    def note(
        outbox: Outbox, call: Incoming, seconds: float, user: str, attempts: int | None
    ) -> bool:
        tags.append(call.delivery.delivery_tag)
        return hand_back(outbox, call, seconds, user, attempts)

    monkeypatch.setattr(Outbox, "hand_back", note)
    return tags


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Until this is set, drains have not told the broker yet, and still get requests."""
    event = asyncio.Event()
    cancel_consumer = Channel.cancel_consumer

    async def wait(channel: Channel, tag: str) -> None:
        await event.wait()
        await cancel_consumer(channel, tag)

    monkeypatch.setattr(Channel, "cancel_consumer", wait)
    return event


async def test_what_arrives_during_a_drain_is_handed_back_as_if_it_had_never_been_delivered(
    client: Rabbit,
    host: Rabbit,
    other_host: Rabbit,
    handed_back: list[int],
    go_on: asyncio.Event,
) -> None:
    one, two = Log(), Log()
    waiting = client.remote(Log).with_options(wait_for_server=True)
    async with host.serving(one) as server:
        drain = asyncio.create_task(server.drain())
        await until(lambda: server.methods["log.note"].draining, "it drains")
        calls = [asyncio.create_task(waiting.note(n)) for n in range(10)]
        # They go back to the queue, come again, and so on, until the server hears no more.
        await until(lambda: len(handed_back) >= 10, "they are handed back")
        go_on.set()
        await drain
    assert one.ran == []
    async with other_host.serving(two):
        assert await asyncio.gather(*calls) == list(range(10))
    assert sorted(two.ran) == list(range(10))
    assert two.redelivered == 0


@pytest.mark.usefixtures("patient_clients")
async def test_what_was_handed_back_still_expires_in_time(
    client: Rabbit, host: Rabbit, handed_back: list[int], go_on: asyncio.Event
) -> None:
    log = Log()
    waiting = client.remote(Log).with_options(wait_for_server=True, timeout=1)
    async with host.serving(log) as server:
        drain = asyncio.create_task(server.drain())
        await until(lambda: server.methods["log.note"].draining, "it drains")
        call = asyncio.create_task(waiting.note(1))
        await until(lambda: len(handed_back) >= 1, "it is handed back")
        go_on.set()
        await drain
        with pytest.raises(DeadlineExceeded, match="no server took the request in 1 s") as caught:
            await call
    assert caught.value.where == "queue"
    assert caught.value.executed in {"no", "maybe"}  # the client saw that a server went away
    assert log.ran == []


async def test_clients_that_wait_on_a_draining_server_are_not_told_that_there_is_none(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate) as server:
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        drain = await draining(server, raw, "leveret.gate.once")
        # A stranger's request waits in the queue, and could be taken for that of the call.
        stranger = asyncio.create_task(
            other_host.remote(Gate).with_options(wait_for_server=True).once(2)
        )
        await until_found(lambda: raw.waiting("leveret.gate.once"), 1, "it waits")
        route = client.calls.routes["gate.once"]
        await until(
            lambda: (route.finding.consumers, route.finding.messages) == (0, 1), "the client looks"
        )
        finding = route.finding
        await until(lambda: route.finding is not finding, "the client looks again")
        assert not call.done()
        gate.opened.set()
        assert await call == 1
        await drain
    async with host.serving(gate):
        assert await stranger == 2


async def test_a_call_that_outlasts_the_grace_is_cancelled(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate) as server:
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        await server.drain(grace=0)
        with pytest.raises(Cancelled, match="server stopped while the handler ran") as caught:
            await call
    assert caught.value.executed == "maybe"
    assert gate.cancelled == [1]


class Ending(Service):
    """A handler that closes the connection which it is served on."""

    rabbit: Rabbit

    @method(timeout=30)
    async def end(self) -> None:
        await self.rabbit.close()


async def test_a_close_that_is_cancelled_cuts_the_grace_short_and_tells_the_callers(
    rabbitmq_url: str, client: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    rabbit = await leveret.connect(rabbitmq_url)
    await rabbit.serving(gate, grace=600)
    call = asyncio.create_task(client.remote(Gate).once(1))
    await gate.started.get()
    closing = asyncio.create_task(rabbit.close())
    await until_found(lambda: raw.consumers("leveret.gate.once"), 0, "the server drains")
    closing.cancel()
    with pytest.raises(Cancelled, match="server stopped while the handler ran"):
        await call
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (gate.cancelled, rabbit.state) == ([1], "closed")


async def test_a_close_that_is_cancelled_twice_waits_for_no_handler(
    rabbitmq_url: str, client: Rabbit, raw: RawPeer
) -> None:
    stubborn = Stubborn()
    rabbit = await leveret.connect(rabbitmq_url)
    await rabbit.serving(stubborn, grace=600)
    call = asyncio.create_task(client.remote(Stubborn).refuse())
    await stubborn.started.wait()
    closing = asyncio.create_task(rabbit.close())
    await until_found(lambda: raw.consumers("leveret.stubborn.refuse"), 0, "the server drains")
    closing.cancel()
    await stubborn.swallowed.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (stubborn.ended, rabbit.state) == (False, "closed")
    stubborn.opened.set()
    call.cancel()


async def test_a_handler_that_closes_its_own_connection_ends_and_its_caller_is_told(
    rabbitmq_url: str, client: Rabbit
) -> None:
    ending = Ending()
    ending.rabbit = await leveret.connect(rabbitmq_url)
    await ending.rabbit.serving(ending, grace=0)
    with pytest.raises(Cancelled, match="server stopped while the handler ran") as caught:
        await client.remote(Ending).end()
    assert caught.value.executed == "maybe"
    await ending.rabbit.close()


async def test_an_idempotent_call_that_outlasts_the_grace_moves_to_another_server(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    one, two = Gate(), Gate()
    async with host.serving(one) as server:
        call = asyncio.create_task(client.remote(Gate).again(1))
        await one.started.get()
        async with other_host.serving(two):
            await server.drain(grace=0)
            two.opened.set()
            assert await call == 1
    assert (one.cancelled, two.ended) == ([1], [1])


async def test_a_call_that_waited_when_its_channel_ended_holds_up_no_drain(
    client: Rabbit, other_host: Rabbit, rabbitmq_url: str
) -> None:
    """Another server has run it. This one knows it for the case that its request comes again."""
    narrow, other = Narrow(), Narrow()
    other.opened.set()
    async with (
        FaultProxy(rabbitmq_url) as proxy,
        leveret.connect(proxy.url) as host,
        host.serving(narrow, grace=30, plain={"narrow": "narrow.work"}) as server,
    ):
        plain = client.plain("narrow", result=int, timeout=300)
        calls = [asyncio.create_task(plain.call(0))]
        try:
            await until(lambda: len(server.calls()) == 1, "one runs")
            calls.append(asyncio.create_task(client.remote(Narrow).work(1)))
            await until(lambda: len(server.calls()) == 2, "one waits")
            async with (
                other_host.serving(other, plain={"narrow": "narrow.work"}),
                asyncio.timeout(PATIENCE),
            ):
                proxy.refuse()
                proxy.cut()
                assert await asyncio.gather(*calls) == [0, 1]
                proxy.accept()
                await until(lambda: server.unready == "", "it serves again")
        finally:
            narrow.opened.set()
        async with at_once():
            await server.drain()


async def test_a_handler_that_refuses_to_end_holds_up_no_drain_and_no_caller(
    client: Rabbit, host: Rabbit
) -> None:
    stubborn = Stubborn()
    async with host.serving(stubborn) as server:
        call = asyncio.create_task(client.remote(Stubborn).refuse())
        await stubborn.started.wait()
        try:
            await server.drain(grace=0)
            async with at_once():
                with pytest.raises((Cancelled, MaybeExecuted)) as caught:
                    await call
        finally:
            stubborn.opened.set()
        assert caught.value.executed == "maybe"
    # What it wants to send now has no channel any more, and must not break the connection.
    await until(lambda: stubborn.ended, "the handler ends after all")
    async with host.serving(Log()):
        assert await client.remote(Log).note(1) == 1


async def test_a_drain_ends_when_the_connection_breaks(
    client: Rabbit, mortal_host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with mortal_host.serving(gate) as server:
        call = asyncio.create_task(client.remote(Gate).again(1))
        await gate.started.get()
        drain = await draining(server, raw, "leveret.gate.again")
        crash(mortal_host)
        gate.opened.set()
        await drain
        call.cancel()


async def test_a_drain_into_a_full_queue_bounces_no_call(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    """What is handed back finds no place there; its server then gives the original back instead."""

    class Narrow(Service):
        def __init__(self) -> None:
            self.opened = asyncio.Event()
            self.ran: list[int] = []

        @method(timeout=30, idempotent=True, max_length=1, concurrency=Adaptive(least=1, most=1))
        async def work(self, n: int) -> int:
            self.ran.append(n)
            await self.opened.wait()
            return n

    one, two = Narrow(), Narrow()
    two.opened.set()
    remote = client.remote(Narrow).with_options(wait_for_server=True)
    async with host.serving(one) as server:
        (served,) = server.methods.values()
        calls = [asyncio.create_task(remote.work(1))]
        await until(lambda: len(one.ran) == 1, "one runs")
        calls.append(asyncio.create_task(remote.work(2)))
        await until(lambda: len(served.waiting) == 1, "one waits at the server")
        calls.append(asyncio.create_task(remote.work(3)))
        await until(lambda: not client.calls.unconfirmed, "one waits in the queue, which is full")
        draining = asyncio.create_task(server.drain())
        await until(lambda: not served.waiting, "what waited is handed back")
        one.opened.set()
        await draining
    async with other_host.serving(two):
        assert await asyncio.gather(*calls) == [1, 2, 3]
    assert sorted(one.ran + two.ran) == [1, 2, 3]
