"""Calls that their callers give up: the server is told, and nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from leveret import Rabbit, Service, method
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate


class Stubborn(Service):
    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.swallowed = asyncio.Event()

    @method(timeout=30)
    async def refuse(self) -> str:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.swallowed.set()
        return "all the same"


async def cancelled(call: asyncio.Task[object]) -> None:
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    assert call.cancelled()


async def test_a_cancelled_call_cancels_its_handler(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate):
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        await cancelled(call)
        await until(lambda: gate.cancelled == [1], "the handler is cancelled")


async def test_a_call_that_its_caller_stops_waiting_for_cancels_its_handler(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.remote(Gate).once(1)
        await until(lambda: gate.cancelled == [1], "the handler is cancelled")


async def test_only_the_cancelled_call_is_cancelled(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    remote = client.remote(Gate)
    async with host.serving(gate):
        calls = [asyncio.create_task(remote.once(n)) for n in range(5)]
        await until(lambda: gate.started.qsize() == 5, "all run")
        await cancelled(calls[3])
        await until(lambda: gate.cancelled == [3], "the handler is cancelled")
        gate.opened.set()
        assert await asyncio.gather(*calls[:3], calls[4]) == [0, 1, 2, 4]


async def test_a_call_of_another_client_with_the_same_id_goes_on(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate):
        first = asyncio.create_task(client.remote(Gate).once(1))
        second = asyncio.create_task(other_host.remote(Gate).once(2))  # its first call as well
        await until(lambda: gate.started.qsize() == 2, "both run")
        await cancelled(first)
        await until(lambda: gate.cancelled == [1], "the handler is cancelled")
        gate.opened.set()
        assert await second == 2


async def test_a_cancel_that_overtakes_its_request_keeps_it_from_running(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    remote = client.remote(Gate)
    async with host.serving(gate) as server:
        first = asyncio.create_task(remote.one_by_one(1))
        await gate.started.get()
        second = asyncio.create_task(remote.one_by_one(2))
        await until_found(lambda: raw.waiting("leveret.gate.one_by_one"), 1, "the second waits")
        await cancelled(second)
        await until(lambda: len(server.early_cancels) == 1, "the server hears of it")
        gate.opened.set()
        assert await first == 1
        assert await remote.one_by_one(3) == 3
        assert len(server.early_cancels) == 0
    assert gate.ended == [1, 3]


async def test_a_cancel_that_no_server_hears_does_no_harm(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Echo()):
        pass
    echo = client.remote(Echo)
    call = asyncio.create_task(echo.with_options(wait_for_server=True).echo("x"))
    await until_found(lambda: raw.waiting("leveret.echo.echo"), 1, "the request waits")
    await cancelled(call)
    await raw.delete("leveret.echo.echo")
    async with host.serving(Echo()):
        assert await echo.echo("y") == "y"


async def test_a_handler_that_swallows_its_cancellation_ends_as_it_likes(
    client: Rabbit, host: Rabbit
) -> None:
    stubborn = Stubborn()
    async with host.serving(stubborn) as server:
        call = asyncio.create_task(client.remote(Stubborn).refuse())
        await stubborn.started.wait()
        await cancelled(call)
        await stubborn.swallowed.wait()
        await until(lambda: not server.calls(), "the handler ends")
        await until(lambda: client.late_replies == 1, "its reply is dropped")


async def test_a_call_cancelled_before_it_began_sends_nothing(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate):
        sent = client.calls.sent
        call = asyncio.create_task(client.remote(Gate).once(1))
        await cancelled(call)
        assert client.calls.sent == sent


async def test_no_table_grows_by_cancelled_calls(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    remote = client.remote(Gate)
    async with host.serving(gate) as server:
        calls = [asyncio.create_task(remote.once(n)) for n in range(50)]
        await until(lambda: gate.started.qsize() == 50, "all run")
        for call in calls:
            await cancelled(call)
        assert client.in_flight == 0
        await until(lambda: not server.calls(), "the handlers end")
        await until(lambda: client.late_replies == 50, "what servers say is dropped, and counted")
        await until(lambda: not client.calls.unconfirmed, "the broker confirms all")
        assert client.calls.table.deadlines == 0
        assert not any(len(it.deadlines) for it in server.methods.values())
        assert len(server.early_cancels) == 0
    assert sorted(gate.cancelled) == list(range(50))
