"""The tutorial's client for pika: `pika_client.py QUEUE BODY...` prints each answer on a line.

Written from the protocol: an exclusive reply queue of the broker's naming, `reply_to` and a fresh
`correlation_id` on each request, and whatever answer has another correlation id is passed over.
"""

from __future__ import annotations

import os
import sys
import uuid

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties


class FibonacciRpcClient:
    """Blocks for one answer at a time."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.connection = pika.BlockingConnection(pika.URLParameters(os.environ["LEVERET_URL"]))
        self.channel = self.connection.channel()
        declared = self.channel.queue_declare(queue="", exclusive=True)
        self.reply_queue = declared.method.queue
        self.channel.basic_consume(
            queue=self.reply_queue, on_message_callback=self.on_reply, auto_ack=True
        )
        self.expected = ""
        self.answers: list[bytes] = []

    def on_reply(
        self,
        channel: BlockingChannel,
        method: Basic.Deliver,
        properties: BasicProperties,
        body: bytes,
    ) -> None:
        if properties.correlation_id == self.expected:
            self.answers.append(body)

    def call(self, text: str) -> str:
        self.expected = str(uuid.uuid4())
        self.channel.basic_publish(
            exchange="",
            routing_key=self.queue,
            properties=BasicProperties(reply_to=self.reply_queue, correlation_id=self.expected),
            body=text.encode(),
        )
        while not self.answers:
            self.connection.process_data_events(time_limit=None)
        return self.answers.pop().decode()


if __name__ == "__main__":
    client = FibonacciRpcClient(sys.argv[1])
    for request in sys.argv[2:]:
        print("answer:", client.call(request), flush=True)
    client.connection.close()
