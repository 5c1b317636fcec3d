"""The tutorial by pika: `python before.py serve`, and `python before.py call 30` elsewhere."""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

import pika

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")


def fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def on_request(channel: Any, delivery: Any, request: Any, body: bytes) -> None:
    answer = str(fib(int(body)))
    channel.basic_publish(
        "",
        request.reply_to,
        answer.encode(),
        pika.BasicProperties(correlation_id=request.correlation_id),
    )
    channel.basic_ack(delivery.delivery_tag)


def serve() -> None:
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    channel.queue_declare("rpc_queue", durable=True)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("rpc_queue", on_request)
    print("serving", flush=True)
    channel.start_consuming()


class FibonacciClient:
    def __init__(self) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(URL))
        self.channel = self.connection.channel()
        self.replies = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.basic_consume(self.replies, self.on_reply, auto_ack=True)
        self.expected = ""
        self.reply: bytes | None = None

    def on_reply(self, channel: Any, delivery: Any, reply: Any, body: bytes) -> None:
        if reply.correlation_id == self.expected:
            self.reply = body

    def fib(self, n: int) -> int:
        self.reply = None
        self.expected = str(uuid.uuid4())
        self.channel.basic_publish(
            "",
            "rpc_queue",
            str(n).encode(),
            pika.BasicProperties(reply_to=self.replies, correlation_id=self.expected),
        )
        while self.reply is None:
            self.connection.process_data_events(time_limit=None)
        return int(self.reply)


def call(n: int) -> None:
    client = FibonacciClient()
    print(f"fib({n}) = {client.fib(n)}")
    client.connection.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["call", n]:
            call(int(n))
