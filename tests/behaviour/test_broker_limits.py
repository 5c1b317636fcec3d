"""Messages that are larger than the broker takes, on brokers whose limit is low."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

import leveret
from leveret import Busy, InvalidResult, Rabbit, Retry, Service, method
from leveret.broker import EmbeddedBroker, Limits
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once
from tests.behaviour.services import Echo, Gate

LIMIT = 100_000

# RabbitMQ 3 looks at the first for each message; RabbitMQ 4 copies it into the second at its start.
SET_LIMIT = """\
application:set_env(rabbit, max_message_size, {0}), persistent_term:put(max_message_size, {0})"""


@pytest.fixture(
    params=["embedded", pytest.param("rabbitmq", marks=[pytest.mark.slow, pytest.mark.rabbitmq])]
)
async def small_broker(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a broker that takes messages of up to `LIMIT` bytes."""
    if request.param == "embedded":
        async with EmbeddedBroker(limits=Limits(max_message_size=LIMIT)) as broker:
            yield broker.url
        return
    own: RabbitMQ = request.getfixturevalue("own_rabbitmq")
    before = await asyncio.to_thread(own.evaluate, "application:get_env(rabbit, max_message_size)")
    await asyncio.to_thread(own.evaluate, SET_LIMIT.format(LIMIT))
    yield own.url
    await asyncio.to_thread(own.evaluate, SET_LIMIT.format(re.sub(r"\D", "", before)))


async def test_a_request_that_the_broker_does_not_take_is_refused_as_that_and_alone(
    small_broker: str,
) -> None:
    gate = Gate()
    async with (
        leveret.connect(small_broker) as client,
        leveret.connect(small_broker) as host,
        host.serving(Echo(), gate),
    ):
        before = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        after = await _sent_together(client)
        gate.opened.set()
        assert await before == 1
        assert after == ["a", "b"]
        async with at_once():  # from now on without asking the broker
            channel = client.calls.channel
            with pytest.raises(Busy, match=f"its limit is {LIMIT}") as again:
                await client.remote(Echo).echo("x" * LIMIT)
        assert (again.value.executed, again.value.attempts) == ("no", 0)
        assert client.calls.channel is channel


class Large(Service):
    @method(idempotent=True, timeout=20)
    async def again(self, size: int) -> str:
        return "x" * size


async def test_a_reply_that_the_broker_does_not_take_is_told_instead(small_broker: str) -> None:
    async with (
        leveret.connect(small_broker) as client,
        leveret.connect(small_broker) as host,
        host.serving(Large()),
    ):
        large = client.remote(Large)
        for _ in range(2):
            async with at_once():
                with pytest.raises(InvalidResult, match=f"more than the {LIMIT} that the broker"):
                    await large.again(LIMIT)
        assert await large.again(1) == "x"


async def _sent_together(client: Rabbit) -> list[str]:
    """The large request between two small ones."""
    echo = client.remote(Echo).with_options(timeout=20)
    large = client.remote(Echo).with_options(retry=Retry(attempts=3), timeout=20)
    first, refused, last = await asyncio.gather(
        echo.echo("a"), large.echo("x" * LIMIT), echo.echo("b"), return_exceptions=True
    )
    assert isinstance(refused, Busy)
    assert refused.executed == "no"
    assert refused.attempts == 1
    assert f"takes no message of {LIMIT + 11} bytes" in str(refused)
    assert f"larger than configured max size {LIMIT}" in str(refused)
    assert isinstance(first, str)
    assert isinstance(last, str)
    return [first, last]
