"""Services that fail are not called any more for a while, and their callers are told why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

import leveret
from leveret import (
    Breaker,
    Busy,
    CircuitOpen,
    Code,
    DeadlineExceeded,
    NoServer,
    Rabbit,
    RemoteError,
    Retry,
    Service,
    method,
)
from tests.behaviour.patience import PATIENCE, at_once
from tests.behaviour.services import Echo, Gate

T = TypeVar("T")

LASTING = Breaker(volume=3, reset=600, most=600)
"""Once it is open, it stays so for the length of a test."""
SHORT = Breaker(volume=3, reset=0.05, most=0.05)


class Moody(Service):
    """Fails as it is told."""

    @method(timeout=30)
    async def fail(self, how: str) -> str:
        if how == "busy":
            raise Busy("not now")
        if how == "late":
            await asyncio.sleep(30)
        if how == "bug":
            raise ValueError(how)
        return how


@pytest.fixture
async def lasting(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    async with leveret.connect(rabbitmq_url, breaker=LASTING) as rabbit:
        yield rabbit


@pytest.fixture
async def short(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    async with leveret.connect(rabbitmq_url, breaker=SHORT) as rabbit:
        yield rabbit


async def find_no_server(rabbit: Rabbit, host: Rabbit) -> None:
    """Three calls that find no server: the circuit opens."""
    async with host.serving(Echo()):
        pass
    for _ in range(3):
        with pytest.raises(NoServer):
            await rabbit.remote(Echo).with_options(if_busy="fail").echo("x")


async def let_through(call: Callable[[], Awaitable[T]]) -> T:
    """A call as soon as the circuit lets one through."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await call()
            except CircuitOpen as error:
                await asyncio.sleep(error.retry_after)


async def test_a_circuit_opens_when_no_server_listens_and_says_so(
    lasting: Rabbit, host: Rabbit
) -> None:
    await find_no_server(lasting, host)
    sent = lasting.calls.sent
    async with at_once():
        with pytest.raises(
            CircuitOpen, match=r"circuit of 'echo' .* 3 of 3 calls in 10 s failed \(3 NoServer\)"
        ) as caught:
            await lasting.remote(Echo).echo("x")
    error = caught.value
    assert (error.code, error.executed, error.attempts) == (Code.UNAVAILABLE, "no", 0)
    assert (error.service, error.method) == ("echo", "echo.echo")
    assert error.failures == {"NoServer": 3}
    assert 0 < error.retry_after <= 600
    assert lasting.calls.sent == sent


async def test_other_services_and_other_clients_go_on(
    lasting: Rabbit, client: Rabbit, host: Rabbit
) -> None:
    await find_no_server(lasting, host)
    async with host.serving(Echo(), Moody()):
        assert await lasting.remote(Moody).fail("not") == "not"
        assert await client.remote(Echo).echo("x") == "x"
        with pytest.raises(CircuitOpen):
            await lasting.call("echo.echo", text="x")


@pytest.mark.parametrize(("how", "error"), [("busy", Busy), ("late", DeadlineExceeded)])
async def test_a_circuit_opens_when_servers_turn_calls_away_or_are_too_slow(
    lasting: Rabbit, host: Rabbit, how: str, error: type[leveret.CallError]
) -> None:
    moody = lasting.remote(Moody)
    async with host.serving(Moody()):
        for _ in range(3):
            with pytest.raises(error):
                await moody.with_options(timeout=0.2 if how == "late" else 30).fail(how)
        with pytest.raises(CircuitOpen, match=rf"\(3 {error.__name__}\)"):
            await moody.fail("not")


async def test_a_handlers_own_errors_open_nothing(lasting: Rabbit, host: Rabbit) -> None:
    moody = lasting.remote(Moody)
    async with host.serving(Moody()):
        for _ in range(20):
            with pytest.raises(RemoteError):
                await moody.fail("bug")
        assert await moody.fail("not") == "not"


async def test_a_circuit_closes_when_the_service_is_back(short: Rabbit, host: Rabbit) -> None:
    await find_no_server(short, host)
    async with host.serving(Echo()):
        assert await let_through(lambda: short.remote(Echo).echo("x")) == "x"
        assert [await short.remote(Echo).echo(str(n)) for n in range(5)] == list("01234")


async def test_one_call_tries_while_the_others_go_on_failing(short: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate):
        pass
    remote = short.remote(Gate)
    for n in range(3):
        with pytest.raises(NoServer):
            await remote.with_options(if_busy="fail").once(n)
    async with host.serving(gate):
        probe = asyncio.create_task(let_through(lambda: remote.once(5)))
        await gate.started.get()
        with pytest.raises(CircuitOpen, match="one call is under way to try"):
            await remote.once(6)
        gate.opened.set()
        assert await probe == 5
        assert await remote.once(7) == 7
    assert gate.ended == [5, 7]


async def test_a_try_that_fails_opens_the_circuit_anew(rabbitmq_url: str, host: Rabbit) -> None:
    half_a_second = Breaker(volume=3, reset=0.5, most=0.5)
    async with leveret.connect(rabbitmq_url, breaker=half_a_second) as rabbit:
        await find_no_server(rabbit, host)
        impatient = rabbit.remote(Echo).with_options(if_busy="fail")
        with pytest.raises(NoServer):
            await let_through(lambda: impatient.echo("x"))
        with pytest.raises(CircuitOpen) as caught:
            await impatient.echo("x")
        assert caught.value.retry_after <= half_a_second.most


async def test_retries_end_when_the_circuit_opens(lasting: Rabbit, host: Rabbit) -> None:
    async with host.serving(Echo()):
        pass
    echo = lasting.remote(Echo).with_options(
        retry=Retry(attempts=9, backoff=0.01), if_busy="fail", timeout=60
    )
    with pytest.raises(NoServer, match=r"attempt 3 of 9; the circuit of 'echo' has opened") as got:
        await echo.echo("x")
    assert got.value.attempts == 3
    with pytest.raises(CircuitOpen):
        await echo.echo("x")
