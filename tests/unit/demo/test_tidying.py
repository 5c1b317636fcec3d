"""The demo deletes its own queues, and leaves those that were there before."""

from __future__ import annotations

from leveret.broker import EmbeddedBroker
from leveret.demo.fibonacci import Fibonacci
from leveret.demo.tidying import tidied
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url


async def test_only_what_was_not_there_before_is_deleted() -> None:
    async with EmbeddedBroker() as broker:
        connection = await open_connection(
            parse_url(broker.url, {}), name="test", max_message_size=0
        )
        channel = await connection.open_channel()
        await channel.declare_queue("leveret.fibonacci.fib")
        async with tidied(broker.url, Fibonacci, plain="rpc_queue"):
            for name in ("leveret.fibonacci.recursive", "rpc_queue", "another"):
                await channel.declare_queue(name)
        await connection.close()
        assert set(broker.node.vhosts["/"].queues) == {"leveret.fibonacci.fib", "another"}
