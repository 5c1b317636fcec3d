"""The tutorial's server for pika: `pika_server.py QUEUE [KIND]` computes fib until it is killed.

KIND says how the queue is declared: `quorum` (durable), `transient` (a classic queue that is not
durable, as older versions of the tutorial have it), or `durable` (a classic one; the default).
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

KINDS: dict[str, dict[str, Any]] = {
    "quorum": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
    "durable": {"durable": True},
    "transient": {"durable": False},
}


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def on_request(
    channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
) -> None:
    answer = str(fib(int(body)))
    print("answered", body.decode(), flush=True)
    channel.basic_publish(
        exchange="",
        routing_key=properties.reply_to or "",
        properties=BasicProperties(correlation_id=properties.correlation_id),
        body=answer.encode(),
    )
    channel.basic_ack(delivery_tag=method.delivery_tag or 0)


def serve(queue: str, kind: str = "durable") -> None:
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["LEVERET_URL"]))
    channel = connection.channel()
    channel.queue_declare(queue=queue, **KINDS[kind])
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue=queue, on_message_callback=on_request)
    print("awaiting requests", flush=True)
    channel.start_consuming()


if __name__ == "__main__":
    serve(*sys.argv[1:3])
