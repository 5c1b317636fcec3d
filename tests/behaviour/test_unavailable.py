"""Calls that no server takes: no queue, no consumer, all busy, a full queue. None of them ran."""

from __future__ import annotations

import asyncio

import pytest

import leveret
from leveret import (
    Busy,
    Code,
    DeadlineExceeded,
    InvalidArgument,
    NoServer,
    Rabbit,
    Service,
    Unimplemented,
    method,
)
from leveret.backoff import Backoff
from leveret.client.calls import monitor
from tests.behaviour.crashing import crash
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate


class Bounded(Service):
    """Two calls may wait."""

    @method(timeout=30, max_length=2)
    async def work(self, n: int) -> int:
        return n


async def test_a_call_fails_at_once_when_there_is_no_such_method(client: Rabbit) -> None:
    async with at_once():
        with pytest.raises(Unimplemented, match=r"'leveret\.echo\.echo' does not exist") as caught:
            await client.remote(Echo).with_options(timeout=60).echo("x")
    assert caught.value.executed == "no"
    assert caught.value.code == Code.UNIMPLEMENTED
    assert caught.value.method == "echo.echo"


async def test_a_call_fails_at_once_when_no_server_listens(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Echo()):
        pass
    async with at_once():
        with pytest.raises(NoServer, match="no server listens.*wait_for_server") as caught:
            await client.remote(Echo).with_options(timeout=60).echo("x")
    assert caught.value.executed == "no"
    assert caught.value.code == Code.UNAVAILABLE


async def test_calls_that_all_wait_for_no_server_all_fail(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Echo()):
        pass
    echo = client.remote(Echo).with_options(timeout=60)
    async with at_once():
        ended = await asyncio.gather(
            *(echo.echo(str(n)) for n in range(20)), return_exceptions=True
        )
    assert {type(error) for error in ended} == {NoServer}


async def test_a_call_that_was_told_of_no_server_is_not_run_by_one_that_comes_later(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    gate.opened.set()
    async with host.serving(Gate()):
        pass
    with pytest.raises(NoServer) as caught:
        await client.remote(Gate).with_options(timeout=60).once(1)
    assert caught.value.executed == "no"
    assert await raw.waiting("leveret.gate.once") == 1
    async with host.serving(gate) as server:
        assert await client.remote(Gate).once(2) == 2
        await until(lambda: not server.calls(), "the server has dealt with both")
    assert gate.ended == [2]
    assert await raw.waiting("leveret.gate.once") == 0


async def test_a_call_whose_server_died_with_it_may_have_been_executed(
    client: Rabbit, raw: RawPeer, host: Rabbit
) -> None:
    async with host.serving(Gate()):
        pass
    taken = await raw.take("leveret.gate.once")
    call = asyncio.create_task(client.remote(Gate).once(1))
    await taken.get()
    route = client.calls.routes["gate.once"]
    await until(lambda: route.finding.consumers == 1, "the client sees the server")
    raw.crash()
    async with at_once():
        with pytest.raises(NoServer) as caught:
            await call
    assert caught.value.executed == "maybe"


async def test_a_call_whose_server_came_and_went_between_two_probes_may_have_been_executed(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    """The queue was probed just before the call, when its server had not come yet."""
    async with host.serving(Gate()):
        pass
    remote = client.remote(Gate)
    with pytest.raises(NoServer) as caught:
        await remote.with_options(if_busy="fail").once(1)
    assert caught.value.executed == "no"
    taken = await raw.take("leveret.gate.once")
    call = asyncio.create_task(remote.once(2))
    await taken.get()
    raw.crash()
    with pytest.raises(NoServer) as caught:
        await call
    assert caught.value.executed == "maybe"


async def test_a_call_waits_for_a_server_when_told_to(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Echo()):
        pass
    call = asyncio.create_task(client.remote(Echo).with_options(wait_for_server=True).echo("x"))
    await until_found(lambda: raw.waiting("leveret.echo.echo"), 1, "the request waits")
    route = client.calls.routes["echo.echo"]
    await until(lambda: route.finding.messages == 1, "the client sees that nobody takes it")
    async with host.serving(Echo()):
        assert await call == "x"


async def test_a_call_waits_for_the_first_server_ever_when_told_to(
    client: Rabbit, host: Rabbit
) -> None:
    call = asyncio.create_task(client.remote(Echo).with_options(wait_for_server=True).echo("x"))
    await until(lambda: client.calls.sent >= 2, "the client tries again")
    async with host.serving(Echo()):
        assert await call == "x"


async def test_a_call_looks_for_its_first_server_once_more_shortly_before_its_deadline(
    client: Rabbit, host: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Backoff(first=1000, most=1000)
    monkeypatch.setattr("leveret.client.invocation._PAUSES", pauses)
    remote = client.remote(Echo).with_options(wait_for_server=True, timeout=3)
    call = asyncio.create_task(remote.echo("x"))
    await until(lambda: client.calls.sent == 1, "the client has tried")
    async with host.serving(Echo()):
        assert await call == "x"


@pytest.mark.usefixtures("patient_clients")
async def test_waiting_for_a_server_that_never_comes_ends_in_the_end(client: Rabbit) -> None:
    async with at_once():
        with pytest.raises(DeadlineExceeded, match="no server came up in time") as caught:
            await client.remote(Echo).with_options(wait_for_server=True, timeout=0.3).echo("x")
    assert (caught.value.where, caught.value.executed) == ("queue", "no")


async def test_a_call_that_may_have_run_before_its_queue_was_gone_says_so_to_the_end(
    client: Rabbit,
) -> None:
    remote = client.remote(Echo).with_options(wait_for_server=True, timeout=2)
    call = asyncio.create_task(remote.echo("x"))
    while not client.calls.sent:  # noqa: ASYNC110 - no pass of the loop may go by after it
        await asyncio.sleep(0)
    crash(client)  # a copy of its request is sent, and comes back
    with pytest.raises(DeadlineExceeded, match="no server came up in time") as caught:
        await call
    assert (caught.value.where, caught.value.executed) == ("queue", "maybe")


@pytest.mark.usefixtures("patient_clients")
async def test_waiting_in_the_queue_for_a_server_that_never_comes_ends_at_the_deadline(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Echo()):
        pass
    async with at_once():
        with pytest.raises(DeadlineExceeded, match="no server listens") as caught:
            await client.remote(Echo).with_options(wait_for_server=True, timeout=0.5).echo("x")
    assert (caught.value.where, caught.value.executed) == ("queue", "no")


async def test_a_call_that_must_not_wait_fails_when_all_servers_are_busy(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    remote = client.remote(Gate).with_options(if_busy="fail", timeout=60)
    async with host.serving(gate):
        running = asyncio.create_task(remote.one_by_one(1))
        await gate.started.get()
        async with at_once():
            with pytest.raises(Busy, match="all servers are busy.*1 server listens") as caught:
                await remote.one_by_one(2)
        assert caught.value.executed == "no"
        assert caught.value.code == Code.RESOURCE_EXHAUSTED
        gate.opened.set()
        assert await running == 1
        assert await remote.one_by_one(3) == 3
    assert gate.ended == [1, 3]


async def test_a_call_that_must_not_wait_fails_when_no_server_listens(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Echo()):
        pass
    async with at_once():
        with pytest.raises(NoServer) as caught:
            await client.remote(Echo).with_options(if_busy="fail", timeout=60).echo("x")
    assert caught.value.executed == "no"


async def test_a_call_fails_at_once_when_the_queue_is_full(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Bounded()):
        pass
    remote = client.remote(Bounded).with_options(wait_for_server=True)
    waiting = [asyncio.create_task(remote.work(n)) for n in range(2)]
    await until_found(lambda: raw.waiting("leveret.bounded.work"), 2, "the queue is full")
    async with at_once():
        with pytest.raises(Busy, match="full.*try again later") as caught:
            await remote.work(3)
    assert caught.value.executed == "no"
    async with host.serving(Bounded()):
        assert await asyncio.gather(*waiting) == [0, 1]
    assert client.late_replies <= 1  # the broker tells of a full queue twice


async def test_a_call_that_would_be_one_too_many_in_flight_is_refused(
    rabbitmq_url: str, host: Rabbit
) -> None:
    gate = Gate()
    async with (
        host.serving(gate),
        leveret.connect(rabbitmq_url, max_in_flight=2) as rabbit,
    ):
        remote = rabbit.remote(Gate)
        running = [asyncio.create_task(remote.once(n)) for n in range(2)]
        await until(lambda: gate.started.qsize() == 2, "both calls run")
        with pytest.raises(Busy, match="2 calls are in flight.*max_in_flight") as caught:
            await remote.once(2)
        assert caught.value.executed == "no"
        assert rabbit.in_flight == 2
        gate.opened.set()
        assert await asyncio.gather(*running) == [0, 1]
        assert await remote.once(4) == 4


@pytest.mark.parametrize("timeout", [0.15, 0.4])
async def test_a_short_call_beside_a_young_long_one_is_told_that_there_is_no_server(
    client: Rabbit, host: Rabbit, timeout: float
) -> None:
    """Each call is looked after at its own time, whichever was sent before it."""
    async with host.serving(Gate(), Echo()):
        pass
    patient = client.remote(Gate).with_options(timeout=10, wait_for_server=True)
    gate = client.remote(Gate).with_options(timeout=timeout)
    echo = client.remote(Echo).with_options(timeout=timeout)
    waiting: list[asyncio.Task[int]] = []
    told: list[type[Exception]] = []
    for number in range(10):  # a busy machine may be late for some of them
        waiting.append(asyncio.create_task(patient.again(number)))
        await until(lambda: client.in_flight == len(waiting), "one with time is sent before")
        with pytest.raises((NoServer, DeadlineExceeded)) as caught:
            await (gate.once(number) if number % 2 else echo.echo("x"))
        told.append(type(caught.value))
    for call in waiting:
        call.cancel()
    await asyncio.wait(waiting)
    assert told.count(NoServer) >= 5


async def test_an_idempotent_call_that_runs_for_long_is_not_sent_again(
    client: Rabbit, host: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server is asked again whether it still runs; it was sought when it was young, too."""
    monkeypatch.setattr(monitor, "NOTICE_TRUSTED_FOR", 0.5)
    monkeypatch.setattr(monitor, "QUERY_ANSWERED_WITHIN", 1.0)  # a busy machine may be late
    gate = Gate()
    async with host.serving(gate):
        call = asyncio.create_task(client.remote(Gate).again(1))
        await gate.started.get()
        await asyncio.sleep(2.0)
        gate.opened.set()
        assert await call == 1
    assert gate.started.empty()


async def test_a_caller_that_said_it_waits_is_not_told_that_there_is_no_server(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    """With its answer the handler may begin, though the next look finds no server any more."""
    async with host.serving(Gate()):
        pass
    taken = await raw.take("leveret.gate.once")
    call = asyncio.create_task(client.remote(Gate).with_options(timeout=1.5).once(1))
    request = await taken.get()
    (tag,) = raw.channel.consumers
    await raw.channel.cancel_consumer(tag)
    raw.request("gate.once", b'{"n":2}')  # one that waits
    raw.answer(request, b"", type="claim", reply_to="gate.nobody")
    await until(lambda: client.calls.at_servers == 1, "the client has answered")
    with pytest.raises(DeadlineExceeded) as caught:
        await call
    assert caught.value.executed == "maybe"


async def test_a_name_that_is_too_long_for_a_queue_is_refused(client: Rabbit) -> None:
    with pytest.raises(InvalidArgument, match="too long"):
        await client.call(f"gate.{'n' * 250}")
