"""A queue that does not answer, as one that has just lost its leader, troubles only its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

import leveret
from leveret import DeadlineExceeded, NoServer
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once, until
from tests.behaviour.services import Echo, Gate


@asynccontextmanager
async def stuck(rabbitmq: RabbitMQ, url: str, queue: str) -> AsyncIterator[None]:
    """Nobody gets an answer of this queue."""
    vhost = urlsplit(url).path[1:] or "/"
    found = f'rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>))'

    async def tell(what: str) -> None:
        await asyncio.to_thread(
            rabbitmq.evaluate, f"{{ok, Q}} = {found}, sys:{what}(amqqueue:get_pid(Q))"
        )

    await tell("suspend")
    try:
        yield
    finally:
        await tell("resume")


async def test_looks_at_a_queue_that_hangs_hold_up_no_others(
    rabbitmq: RabbitMQ, rabbitmq_url: str
) -> None:
    async with leveret.connect(rabbitmq_url) as client:
        async with client.serving(Echo(), Gate()):
            pass  # their queues are there, and no server
        gate = client.remote(Gate).with_options(timeout=2.0)
        echo = client.remote(Echo).with_options(timeout=30)
        async with stuck(rabbitmq, rabbitmq_url, "leveret.gate.again"):
            waiting = asyncio.create_task(gate.again(1))
            await until(lambda: "gate.again" in client.calls.routes, "it is sent")
            route = client.calls.routes["gate.again"]
            await until(lambda: route.is_probed, "a look that hangs")
            async with at_once():
                with pytest.raises(NoServer):
                    await echo.echo("a")
            assert route.is_probed
            with pytest.raises(DeadlineExceeded):
                await waiting
        await until(lambda: not route.is_probed, "it is answered")
        with pytest.raises(NoServer):
            await gate.again(2)
