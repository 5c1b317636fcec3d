"""Calls that are made again: which are, when, how often, and what their handlers see of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import leveret
from leveret import (
    Busy,
    CallError,
    DeclaredError,
    NoServer,
    OutgoingCall,
    Rabbit,
    RemoteError,
    Retry,
    Service,
    current_call,
    method,
)
from leveret.client.middleware import CallNext as NextCall
from leveret.server.handlers.execution import CallNext
from leveret.wire.context import CurrentCall
from tests.behaviour.patience import at_once, until
from tests.behaviour.services import Echo, Gate

EAGER = Retry(attempts=3, backoff=0.01)


class NotYet(DeclaredError):
    """Come back later."""


class Shaky(Service):
    """Its handlers raise what the test laid out, then work. `log` is who ran when."""

    def __init__(self, *ends: Exception) -> None:
        self.ends = list(ends)
        self.log: list[str] = []
        self.times: list[float] = []
        self.deadlines: list[float] = []

    @method(idempotent=True, raises=[NotYet])
    async def look(self) -> str:
        return self._run("look")

    @method(raises=[NotYet])
    async def buy(self) -> str:
        return self._run("buy")

    @method(idempotent=True, retry=EAGER)
    async def insist(self) -> str:
        return self._run("insist")

    def _run(self, name: str) -> str:
        self.log.append(name)
        self.times.append(time.monotonic())
        self.deadlines.append(current_call().deadline)
        if self.ends:
            raise self.ends.pop(0)
        return "done"


def busy(count: int) -> list[Exception]:
    return [Busy("not now") for _ in range(count)]


async def test_a_busy_server_is_asked_again_when_it_said_and_not_before(
    client: Rabbit, host: Rabbit
) -> None:
    shaky = Shaky(Busy("in a moment", retry_after=0.3))
    async with host.serving(shaky):
        assert await client.remote(Shaky).with_options(retry=EAGER).look() == "done"
    assert shaky.log == ["look", "look"]
    assert shaky.times[1] - shaky.times[0] >= 0.3


async def test_a_server_that_says_never_is_not_asked_again(client: Rabbit, host: Rabbit) -> None:
    shaky = Shaky(Busy("go away", retry_after=-1))
    async with host.serving(shaky):
        with pytest.raises(Busy, match=r"go away \(attempt 1 of 3; the server says not to"):
            await client.remote(Shaky).with_options(retry=EAGER).look()
    assert shaky.log == ["look"]


async def test_without_a_policy_nothing_is_tried_again(client: Rabbit, host: Rabbit) -> None:
    shaky = Shaky(Busy("not now", retry_after=2))
    async with host.serving(shaky):
        with pytest.raises(Busy) as caught:
            await client.remote(Shaky).look()
    assert shaky.log == ["look"]
    assert (caught.value.retry_after, caught.value.attempts) == (2, 1)


async def test_the_last_error_tells_how_often_it_was_tried(client: Rabbit, host: Rabbit) -> None:
    shaky = Shaky(*busy(5))
    async with host.serving(shaky):
        with pytest.raises(Busy, match=r"shaky.look: not now \(attempt 3 of 3\)") as caught:
            await client.remote(Shaky).with_options(retry=EAGER).look()
    assert len(shaky.log) == 3
    assert (caught.value.attempts, caught.value.executed) == (3, "yes")


@pytest.mark.parametrize(
    "end", [ValueError("a bug"), Busy("full"), NotYet()], ids=lambda end: type(end).__name__
)
async def test_a_handler_that_must_not_run_twice_does_not(
    client: Rabbit, host: Rabbit, end: Exception
) -> None:
    shaky = Shaky(end)
    async with host.serving(shaky):
        with pytest.raises(CallError) as caught:
            await client.remote(Shaky).with_options(retry=EAGER).buy()
    assert shaky.log == ["buy"]
    assert (caught.value.attempts, caught.value.executed) == (1, "yes")


@pytest.mark.parametrize(
    ("end", "error"), [(ValueError("a bug"), RemoteError), (NotYet(), NotYet)], ids=["bug", "own"]
)
async def test_an_answer_is_an_answer_even_where_the_handler_may_run_twice(
    client: Rabbit, host: Rabbit, end: Exception, error: type[CallError]
) -> None:
    shaky = Shaky(end)
    async with host.serving(shaky):
        with pytest.raises(error):
            await client.remote(Shaky).with_options(retry=EAGER).look()
    assert shaky.log == ["look"]


async def test_what_was_turned_away_before_its_handler_is_tried_again_in_any_case(
    client: Rabbit, host: Rabbit
) -> None:
    turned_away: list[str] = []

    async def guard(call: CurrentCall, call_next: CallNext) -> Any:
        if len(turned_away) < 2:
            turned_away.append(call.id)
            raise Busy("the door is shut")
        return await call_next(call)

    shaky = Shaky()
    async with host.serving(shaky, middleware=[guard]):
        assert await client.remote(Shaky).with_options(retry=EAGER).buy() == "done"
        assert await client.with_options(retry=EAGER).call("shaky.buy") == "done"
    assert len(set(turned_away)) == 2
    assert shaky.log == ["buy", "buy"]


async def test_a_call_outlasts_the_restart_of_its_server(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Echo()):
        pass
    patient = client.remote(Echo).with_options(retry=Retry(attempts=50, backoff=0.01))
    call = asyncio.create_task(patient.echo("x"))
    await until(lambda: client.calls.sent >= 2, "the client tries again")
    async with host.serving(Echo()):
        assert await call == "x"


async def test_a_call_whose_server_has_to_stop_goes_to_another(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    stopping, staying = Gate(), Gate()
    staying.opened.set()
    async with host.serving(stopping) as server:
        patient = client.remote(Gate).with_options(retry=EAGER)
        call = asyncio.create_task(patient.again(1))
        await stopping.started.get()
        async with other_host.serving(staying):
            await server.drain(grace=0)
            assert await call == 1
    assert (stopping.cancelled, staying.ended) == ([1], [1])


async def test_all_attempts_have_one_deadline(client: Rabbit, host: Rabbit) -> None:
    shaky = Shaky(*(Busy("not now", retry_after=0.5) for _ in range(9)))
    policy = Retry(attempts=9, backoff=0)
    async with host.serving(shaky), at_once():
        with pytest.raises(Busy, match="the next, in 0.5 s, would be past the deadline") as caught:
            await client.remote(Shaky).with_options(retry=policy, timeout=2).look()
    assert caught.value.attempts == len(shaky.log) > 1
    assert max(shaky.deadlines) - min(shaky.deadlines) < 0.4  # the attempts were 0.5 s apart


async def test_a_method_brings_its_policy_and_a_caller_turns_it_off(
    client: Rabbit, host: Rabbit
) -> None:
    shaky = Shaky(*busy(2))
    async with host.serving(shaky):
        assert await client.remote(Shaky).insist() == "done"
        assert len(shaky.log) == 3
        shaky.ends = busy(1)
        with pytest.raises(Busy):
            await client.remote(Shaky).with_options(retry=False).insist()
    assert len(shaky.log) == 4


async def test_a_client_has_a_policy_for_all_its_calls(rabbitmq_url: str, host: Rabbit) -> None:
    shaky = Shaky(*busy(2))
    async with host.serving(shaky), leveret.connect(rabbitmq_url, retry=EAGER) as rabbit:
        assert await rabbit.remote(Shaky).look() == "done"
    assert len(shaky.log) == 3


async def test_client_middleware_is_around_the_call_with_all_its_attempts(
    rabbitmq_url: str, host: Rabbit
) -> None:
    seen: list[str] = []

    async def note(call: OutgoingCall, call_next: NextCall) -> Any:
        seen.append(call.method)
        call.metadata["seen"] = "yes"
        return await call_next(call)

    shaky = Shaky(*busy(2))
    async with (
        host.serving(shaky),
        leveret.connect(rabbitmq_url, retry=EAGER, middleware=[note]) as rabbit,
    ):
        assert await rabbit.remote(Shaky).look() == "done"
    assert len(shaky.log) == 3
    assert seen == ["shaky.look"]


async def test_a_body_that_is_too_large_stays_so(rabbitmq_url: str) -> None:
    async with leveret.connect(rabbitmq_url, max_message_size=100, retry=EAGER) as rabbit:
        with pytest.raises(Busy, match="more than the 100 of max_message_size") as caught:
            await rabbit.remote(Echo).echo("x" * 200)
    assert caught.value.attempts == 0


async def test_an_outage_is_not_amplified(rabbitmq_url: str, host: Rabbit) -> None:
    async with host.serving(Echo()):
        pass
    policy = Retry(attempts=100, backoff=0, budget=0.25)
    async with leveret.connect(rabbitmq_url, retry=policy) as rabbit:
        echo = rabbit.remote(Echo).with_options(if_busy="fail", timeout=60)
        errors: list[NoServer] = []
        for _ in range(40):
            with pytest.raises(NoServer) as caught:
                await echo.echo("x")
            errors.append(caught.value)
        attempts = sum(error.attempts for error in errors)
        assert rabbit.calls.sent == attempts
    assert "the client's budget of retries is spent" in str(errors[-1])
    assert attempts < 40 * 1.25 + 10 + 20  # what the calls earn, the reserve, and its return


async def test_a_caller_that_gives_up_ends_its_attempts(client: Rabbit, host: Rabbit) -> None:
    shaky = Shaky(Busy("much later", retry_after=20))
    async with host.serving(shaky):
        patient = client.remote(Shaky).with_options(retry=EAGER, timeout=60)
        call = asyncio.create_task(patient.look())
        await until(lambda: shaky.log == ["look"], "the first attempt is made")
        await until(lambda: client.in_flight == 0, "it has failed")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert shaky.log == ["look"]
