"""Calls that run out of time: in the queue, in the handler, or nobody knows where."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import msgspec
import pytest

import leveret
from leveret import (
    Code,
    CurrentCall,
    DeadlineExceeded,
    Rabbit,
    Service,
    current_call,
    method,
)
from leveret.server.handlers.execution import CallNext
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate


class Stubborn(Service):
    """A handler that swallows its cancellation, and returns all the same."""

    def __init__(self) -> None:
        self.swallowed = 0

    @method(timeout=30, concurrency=1)
    async def refuse(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.swallowed += 1
        return "too late"


class Outer(Service):
    """Calls the gate from inside a handler."""

    def __init__(self, rabbit: Rabbit) -> None:
        self.gate = rabbit.remote(Gate)
        self.remaining = 0.0
        self.error: BaseException | None = None

    @method(timeout=30)
    async def through(self) -> int:
        self.remaining = current_call().remaining()
        try:
            return await self.gate.once(1)
        except BaseException as error:
            self.error = error
            raise

    @method(timeout=30)
    async def after_the_deadline(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await self.gate.once(1)
            except DeadlineExceeded as error:
                self.error = error
            raise


class Feed(Service):
    """Says before each item whether it has a deadline."""

    @method(timeout=30)
    async def bounds(self) -> AsyncIterator[bool]:
        for _ in range(3):
            yield current_call().remaining() < inf


class Relay(Service):
    """Passes the items of another stream on."""

    def __init__(self, rabbit: Rabbit) -> None:
        self.feed = rabbit.remote(Feed)

    @method(timeout=30)
    async def bounds(self) -> AsyncIterator[bool]:
        async for is_bound in self.feed.bounds():
            yield is_bound

    @method(timeout=30)
    async def all_bounds(self) -> list[bool]:
        return [is_bound async for is_bound in self.feed.bounds()]


@pytest.mark.usefixtures("patient_clients")
async def test_a_request_that_no_server_takes_in_time_expires_in_the_queue(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate):
        running = asyncio.create_task(client.remote(Gate).one_by_one(1))
        await gate.started.get()
        with pytest.raises(DeadlineExceeded, match="no server took the request in 1 s") as caught:
            await client.remote(Gate).with_options(timeout=1).one_by_one(2)
        assert caught.value.where == "queue"
        assert caught.value.executed == "no"
        assert caught.value.code == Code.DEADLINE_EXCEEDED
        gate.opened.set()
        assert await running == 1
    assert gate.ended == [1]


async def test_an_expired_request_tells_of_the_backlog(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate):
        calls = [asyncio.create_task(client.remote(Gate).one_by_one(n)) for n in range(3)]
        await gate.started.get()
        with pytest.raises(DeadlineExceeded, match="1 server listens, 3 requests waiting"):
            await client.remote(Gate).with_options(timeout=1).one_by_one(9)
        gate.opened.set()
        await asyncio.gather(*calls)


@pytest.mark.usefixtures("patient_clients")
async def test_a_handler_is_cancelled_at_the_deadline(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate):
        with pytest.raises(DeadlineExceeded, match="handler did not end") as caught:
            await client.remote(Gate).with_options(timeout=1).once(1)
        assert caught.value.where == "handler"
        assert caught.value.executed == "yes"
        assert isinstance(caught.value, TimeoutError)
        await until(lambda: gate.cancelled == [1], "the handler is cancelled")


@pytest.mark.usefixtures("patient_clients")
async def test_a_handler_that_swallows_its_cancellation_does_not_hold_up_its_caller(
    client: Rabbit, host: Rabbit
) -> None:
    stubborn = Stubborn()
    async with host.serving(stubborn):
        async with at_once():
            with pytest.raises(DeadlineExceeded) as caught:
                await client.remote(Stubborn).with_options(timeout=1).refuse()
        assert caught.value.where == "handler"
        await until(lambda: stubborn.swallowed == 1, "the handler is told to end")
    assert client.late_replies == 0  # what it returns then is no second reply


async def test_a_call_that_nobody_answers_may_have_been_executed(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Gate()):
        pass
    taken = await raw.take("leveret.gate.once")
    with pytest.raises(DeadlineExceeded, match="no answer in 1 s: 1 server listens") as caught:
        await client.remote(Gate).with_options(timeout=1).once(1)
    assert caught.value.where == "unknown"
    assert caught.value.executed == "maybe"
    assert taken.qsize() == 1


async def test_a_request_past_its_deadline_is_not_run(host: Rabbit, raw: RawPeer) -> None:
    gate = Gate()
    await raw.listen()
    async with host.serving(gate):
        past = int(time.time() * 1000) - 1
        raw.request("gate.once", b'{"n":1}', headers={"deadline": past}, expiration="5000")
        failure = await raw.failure()
    assert (failure["code"], failure["where"], failure["executed"]) == (
        "DEADLINE_EXCEEDED",
        "queue",
        "no",
    )
    assert gate.started.empty()


async def test_a_request_without_a_deadline_has_that_of_its_method(
    host: Rabbit, raw: RawPeer
) -> None:
    class Clock(Service):
        @method(timeout=123)
        async def remaining(self) -> float:
            return current_call().remaining()

    await raw.listen()
    async with host.serving(Clock()):
        raw.request("clock.remaining", b"{}")
        reply = await raw.reply()
    assert 100 < msgspec.json.decode(reply.body or b"") <= 123


async def test_the_timeout_of_connect_is_the_default_of_its_calls(
    rabbitmq_url: str, host: Rabbit
) -> None:
    async with host.serving(Gate()), leveret.connect(rabbitmq_url, timeout=0.3) as rabbit:
        with pytest.raises(DeadlineExceeded):
            await rabbit.remote(Gate).once(1)
        with pytest.raises(DeadlineExceeded):
            await rabbit.call("gate.once", n=2)


async def test_a_call_by_name_takes_a_timeout(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Gate()):
        with pytest.raises(DeadlineExceeded):
            await client.with_options(timeout=0.3).call("gate.once", n=1)


async def test_nested_calls_inherit_the_deadline_of_the_outer_call(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    remaining: list[float] = []

    async def note(call: CurrentCall, call_next: CallNext) -> Any:
        remaining.append(call.remaining())
        return await call_next(call)

    gate, outer = Gate(), Outer(other_host)
    async with host.serving(gate, middleware=[note]), other_host.serving(outer):
        with pytest.raises(DeadlineExceeded):
            await client.remote(Outer).with_options(timeout=1).through()
        assert 0 < outer.remaining <= 1
        assert 0 < remaining[0] <= 1
        await until(lambda: gate.cancelled == [1], "the inner handler is cancelled")
        await until(lambda: outer.error is not None, "the outer handler is cancelled")


async def test_a_nested_call_after_the_deadline_is_not_made(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    gate, outer = Gate(), Outer(other_host)
    async with host.serving(gate), other_host.serving(outer):
        with pytest.raises(DeadlineExceeded):
            await client.remote(Outer).with_options(timeout=1).after_the_deadline()
        await until(lambda: outer.error is not None, "the nested call is refused")
        assert isinstance(outer.error, DeadlineExceeded)
        assert "the deadline of outer.after_the_deadline" in str(outer.error)
        assert outer.error.executed == "no"
        assert gate.started.empty()


async def test_the_deadline_of_a_stream_is_that_of_its_first_item(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Feed()):
        assert [bound async for bound in client.remote(Feed).bounds()] == [True, False, False]
        limited = client.with_options(total_timeout=60).remote(Feed)
        assert [bound async for bound in limited.bounds()] == [True, True, True]


async def test_a_stream_that_is_passed_on_lasts_as_long_as_the_outer_one(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    async with host.serving(Feed()), other_host.serving(Relay(other_host)):
        assert [bound async for bound in client.remote(Relay).bounds()] == [True, False, False]
        limited = client.with_options(total_timeout=60).remote(Relay)
        assert [bound async for bound in limited.bounds()] == [True, True, True]


async def test_a_stream_that_a_plain_call_reads_ends_with_that_call(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    async with host.serving(Feed()), other_host.serving(Relay(other_host)):
        assert await client.remote(Relay).all_bounds() == [True, True, True]


async def test_no_table_grows_by_calls_that_ran_out_of_time(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Gate()) as server:
        taken = await raw.take("leveret.gate.once")  # every other request ends up there
        remote = client.remote(Gate).with_options(timeout=1)
        ended = await asyncio.gather(*(remote.once(n) for n in range(20)), return_exceptions=True)
        assert {type(error) for error in ended} == {DeadlineExceeded}
        assert taken.qsize() == 10
        calls = client.calls
        assert (client.in_flight, calls.table.deadlines, calls.unconfirmed) == (0, 0, 0)
        await until(lambda: not server.calls(), "the handlers end")
        assert not any(len(it.deadlines) for it in server.methods.values())
        await until_found(lambda: raw.waiting("leveret.gate.once"), 0, "no request is left")
