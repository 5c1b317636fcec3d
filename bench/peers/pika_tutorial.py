"""RabbitMQ's tutorial "Remote procedure call" on pika: blocking, so one call at a time.

Its client blocks the event loop while it waits, which costs it nothing with one call in flight.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pika

from ..load import Calls

INCREMENT = "bench.pika.increment"
ECHO = "bench.pika.echo"


def _connect(address: str) -> Any:
    parameters = pika.URLParameters(address)
    # Nothing answers heartbeats while the other peers have their turn.
    parameters.heartbeat = 0
    return pika.BlockingConnection(parameters)


def _handle(channel: Any, handler: Callable[[bytes], bytes]) -> Callable[..., None]:
    def on_request(_: Any, delivery: Any, properties: Any, body: bytes) -> None:
        channel.basic_publish(
            exchange="",
            routing_key=properties.reply_to,
            properties=pika.BasicProperties(correlation_id=properties.correlation_id),
            body=handler(body),
        )
        channel.basic_ack(delivery_tag=delivery.delivery_tag)

    return on_request


@asynccontextmanager
async def serving(address: str) -> AsyncIterator[str]:
    """Consume both queues in a thread, as the tutorial's server does in its only one."""
    connection = _connect(address)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1)
    for queue, handler in (
        (INCREMENT, lambda body: str(int(body) + 1).encode()),
        (ECHO, lambda body: body),
    ):
        channel.queue_declare(queue=queue, auto_delete=True)
        channel.basic_consume(queue=queue, on_message_callback=_handle(channel, handler))
    consuming = asyncio.create_task(asyncio.to_thread(channel.start_consuming))
    yield address
    connection.add_callback_threadsafe(channel.stop_consuming)
    await consuming
    connection.close()


class TutorialClient:
    """The tutorial's client, for both methods."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._reply_to = self._channel.queue_declare(queue="", exclusive=True).method.queue
        self._channel.basic_consume(
            queue=self._reply_to, on_message_callback=self._on_reply, auto_ack=True
        )
        self._waiting_for = ""
        self._replies: list[bytes] = []

    def _on_reply(self, _: Any, __: Any, properties: Any, body: bytes) -> None:
        if properties.correlation_id == self._waiting_for:
            self._replies.append(body)

    async def increment(self, n: int) -> int:
        """Return n + 1, counted by the server."""
        return self.increment_now(n)

    def increment_now(self, n: int) -> int:
        """The same, for code without asyncio."""
        return int(self._call(INCREMENT, str(n).encode()))

    async def echo(self, body: bytes) -> bytes:
        """Return what the server sent back."""
        return self._call(ECHO, body)

    def _call(self, queue: str, body: bytes) -> bytes:
        self._waiting_for = str(uuid.uuid4())
        self._channel.basic_publish(
            exchange="",
            routing_key=queue,
            properties=pika.BasicProperties(
                reply_to=self._reply_to, correlation_id=self._waiting_for
            ),
            body=body,
        )
        while not self._replies:
            self._connection.process_data_events(time_limit=None)
        return self._replies.pop()


def connected(address: str) -> TutorialClient:
    """A client with a connection of its own, which lasts as long as its process."""
    return TutorialClient(_connect(address))


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Calls]:
    """A connection, a callback queue and its consumer."""
    connection = _connect(address)
    yield TutorialClient(connection)
    connection.close()
