"""`leveret.blocking` while RabbitMQ is killed and started again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import leveret
import leveret.blocking
from leveret import Service, State, method
from leveret.testing import RabbitMQ
from tests.brokers import Loop


class Desk(Service):
    @method(idempotent=True, timeout=100)
    async def double(self, n: int) -> int:
        return 2 * n


@pytest.fixture
def served(own_rabbitmq: RabbitMQ) -> Iterator[str]:
    async def serve() -> Any:
        rabbit = await leveret.connect(own_rabbitmq.url)
        await rabbit.serving(Desk())
        return rabbit

    with Loop() as loop:
        rabbit = loop.run(serve())
        yield own_rabbitmq.url
        loop.run(rabbit.close())


@pytest.mark.slow
def test_a_call_waits_for_a_broker_that_was_killed_and_a_short_one_says_what_is_wrong(
    own_rabbitmq: RabbitMQ, served: str
) -> None:
    lost, back = threading.Event(), threading.Event()

    def hear(event: leveret.ConnectionEvent) -> None:
        if event.state is State.CONNECTED:
            back.set()
        else:
            lost.set()

    with leveret.blocking.connect(served, on_connection=hear) as rabbit:
        desk = rabbit.remote(Desk)
        assert rabbit.run(desk.double(1)) == 2
        back.clear()
        own_rabbitmq.kill()
        assert lost.wait(30)
        patient = rabbit.submit(desk.double(2))
        with pytest.raises(leveret.CallError) as caught:
            rabbit.run(desk.with_options(timeout=0.2).double(3))
        assert caught.value.executed == "no"
        own_rabbitmq.restart()
        assert patient.result(90) == 4
        assert back.is_set()
        assert rabbit.run(desk.double(4)) == 8
