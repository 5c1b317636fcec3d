"""A second request beside a slow one: the first result wins, the loser is cancelled."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

import leveret
from leveret import Busy, Hedge, InvalidArgument, Rabbit, Service, method
from tests.behaviour.patience import at_once, until
from tests.behaviour.services import Gate


class Fickle(Service):
    """Calls whose numbers are in `slow` wait until they are let go; numbers count from 1."""

    def __init__(self, *slow: int) -> None:
        self.slow = set(slow)
        self.calls = 0
        self.let_go: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self.cancelled: list[int] = []
        self.refused: set[int] = set()

    @method(timeout=30, idempotent=True)
    async def ask(self) -> int:
        return await self._answer()

    @method(timeout=30, idempotent=True, hedge=0.02)
    async def ask_twice(self) -> int:
        return await self._answer()

    async def _answer(self) -> int:
        self.calls += 1
        number = self.calls
        if number in self.refused:
            raise Busy("not this one")
        if number in self.slow:
            try:
                await self.let_go[number].wait()
            except asyncio.CancelledError:
                self.cancelled.append(number)
                raise
        return number


async def test_the_second_request_wins_and_the_first_ones_handler_is_cancelled(
    client: Rabbit, host: Rabbit
) -> None:
    fickle = Fickle(1)
    async with host.serving(fickle):
        async with at_once():
            assert await client.remote(Fickle).with_options(hedge=0.02).ask() == 2
        await until(lambda: fickle.cancelled == [1], "the loser's handler is cancelled")
    assert client.in_flight == 0


async def test_the_first_request_wins_and_the_second_ones_handler_is_cancelled(
    client: Rabbit, host: Rabbit
) -> None:
    fickle = Fickle(1, 2)
    async with host.serving(fickle):
        call = asyncio.create_task(client.remote(Fickle).with_options(hedge=0.02).ask())
        await until(lambda: fickle.calls == 2, "both requests run")
        fickle.let_go[1].set()
        assert await call == 1
        await until(lambda: fickle.cancelled == [2], "the loser's handler is cancelled")


async def test_a_method_says_that_it_is_hedged_and_a_caller_turns_it_off(
    client: Rabbit, host: Rabbit
) -> None:
    fickle = Fickle(1)
    async with host.serving(fickle), at_once():
        assert await client.remote(Fickle).ask_twice() == 2
        fickle.slow = {3}
        patient = client.remote(Fickle).with_options(hedge=False, timeout=1)
        with pytest.raises(leveret.DeadlineExceeded):
            await patient.ask_twice()
    assert fickle.calls == 3


async def test_a_slow_call_is_hedged_once_it_is_known_what_is_slow(
    client: Rabbit, host: Rabbit
) -> None:
    fickle = Fickle()
    # A busy machine may make any call slow: a hedge of one of these does no harm.
    remote = client.remote(Fickle).with_options(hedge=Hedge(percentile=95))
    async with host.serving(fickle), at_once():
        for _ in range(20):
            await remote.ask()
        fickle.slow = {fickle.calls + 1}
        slow = fickle.calls + 1
        assert await remote.ask() == slow + 1
        await until(lambda: slow in fickle.cancelled, "the slow one is cancelled")


async def test_before_it_is_known_what_is_slow_no_call_is_hedged(
    client: Rabbit, host: Rabbit
) -> None:
    fickle = Fickle(20)
    remote = client.remote(Fickle).with_options(hedge=Hedge(), timeout=1)
    async with host.serving(fickle):
        for _ in range(19):
            await remote.with_options(timeout=30).ask()
        with pytest.raises(leveret.DeadlineExceeded):
            await remote.ask()
    assert fickle.calls == 20


async def test_an_error_waits_for_the_other_request(client: Rabbit, host: Rabbit) -> None:
    fickle = Fickle(1)
    fickle.refused = {2}
    async with host.serving(fickle):
        call = asyncio.create_task(client.remote(Fickle).with_options(hedge=0.02).ask())
        await until(lambda: fickle.calls == 2, "both requests are sent")
        await until(lambda: client.in_flight == 1, "the second has failed")
        fickle.let_go[1].set()
        assert await call == 1


async def test_a_caller_that_gives_up_cancels_both_handlers(client: Rabbit, host: Rabbit) -> None:
    fickle = Fickle(1, 2)
    async with host.serving(fickle):
        call = asyncio.create_task(client.remote(Fickle).with_options(hedge=0.02).ask())
        await until(lambda: fickle.calls == 2, "both requests run")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: sorted(fickle.cancelled) == [1, 2], "both handlers are cancelled")


async def test_what_must_not_run_twice_cannot_be_hedged(client: Rabbit) -> None:
    with pytest.raises(InvalidArgument, match="gate.once: hedge .* not declared idempotent"):
        await client.remote(Gate).with_options(hedge=0.02).once(1)
    with pytest.raises(InvalidArgument, match="not declared idempotent"):
        await client.with_options(hedge=0.02).call("gate.again", n=1)


async def test_a_client_hedges_of_its_calls_those_that_may_run_twice(
    rabbitmq_url: str, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate), leveret.connect(rabbitmq_url, hedge=0.02) as rabbit:
        twice = asyncio.create_task(rabbit.remote(Gate).again(1))
        await until(lambda: gate.started.qsize() == 2, "two requests run")
        once = asyncio.create_task(rabbit.remote(Gate).once(2))
        await until(lambda: gate.started.qsize() == 3, "the third runs")
        gate.opened.set()
        assert (await twice, await once) == (1, 2)
    assert gate.started.qsize() == 3
