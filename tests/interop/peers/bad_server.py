"""Servers of the tutorial's kind that go wrong: `bad_server.py QUEUE HOW`.

silent        takes requests, and never answers
forgetful     acknowledges a request before it works on it, and dies
dying         dies with the request that it has taken
confused      answers under other correlation ids first, then right, and then right once more
babbling      answers what is no number
"""

from __future__ import annotations

import os
import sys

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties


def answer(
    channel: BlockingChannel, request: BasicProperties, correlation_id: str | None, text: str
) -> None:
    properties = BasicProperties(correlation_id=correlation_id)
    channel.basic_publish("", request.reply_to or "", text.encode(), properties)


def on_request(
    channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
) -> None:
    print("taken", flush=True)
    tag = method.delivery_tag or 0
    match sys.argv[2]:
        case "forgetful":
            channel.basic_ack(tag)
            channel.connection.close()
            sys.exit(1)
        case "dying" if sys.stdin.readline():  # when the test says so
            os._exit(1)
        case "confused":
            for wrong in ("no such call", "", None):
                answer(channel, properties, wrong, "666")
            answer(channel, properties, properties.correlation_id, "832040")
            answer(channel, properties, properties.correlation_id, "667")
            channel.basic_ack(tag)
        case "babbling":
            answer(channel, properties, properties.correlation_id, "about a million")
            channel.basic_ack(tag)


def serve(queue: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["LEVERET_URL"]))
    channel = connection.channel()
    channel.queue_declare(queue=queue, durable=True)
    channel.basic_consume(queue=queue, on_message_callback=on_request)
    print("awaiting requests", flush=True)
    channel.start_consuming()


if __name__ == "__main__":
    serve(sys.argv[1])
