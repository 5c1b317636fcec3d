"""One-way requests outlive a restart of RabbitMQ, waiting ones and failed ones."""

from __future__ import annotations

import asyncio

import leveret
from leveret import Service, method
from leveret.client.failed_requests import FailedRequests
from leveret.testing import RabbitMQ
from tests.behaviour.patience import until, until_found


class Post(Service):
    """Delivers letters, but for those that are torn."""

    def __init__(self) -> None:
        self.delivered: list[str] = []

    @method(one_way=True, keep_failed=True)
    async def deliver(self, letter: str) -> None:
        if letter == "torn":
            raise ValueError(letter)
        self.delivered.append(letter)


async def test_what_waits_and_what_has_failed_is_there_after_a_restart_of_the_broker(
    own_rabbitmq: RabbitMQ,
) -> None:
    async def kept(rabbit: leveret.Rabbit) -> int:
        requests = await FailedRequests.open(rabbit.calls.connection, "post.deliver")
        count = len([delivery async for delivery in requests.each()])
        await requests.close()
        return count

    async with leveret.connect(own_rabbitmq.url) as rabbit:
        remote = rabbit.remote(Post)
        async with rabbit.serving(Post()):
            await remote.deliver("torn")
            await until_found(lambda: kept(rabbit), 1, "it is kept")
        for letter in ("a", "b"):
            await remote.deliver(letter)
    await asyncio.to_thread(own_rabbitmq.restart)
    post = Post()
    async with leveret.connect(own_rabbitmq.url) as rabbit:
        await until_found(lambda: kept(rabbit), 1, "it is kept still")
        async with rabbit.serving(post):
            await until(lambda: sorted(post.delivered) == ["a", "b"], "all have run")
