"""Runs the listing under "A minimal client" in docs/protocol.md, over pika."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

import pika
from pika.exceptions import NackError, UnroutableError

from tests.docs.fences import blocks

Outcome = tuple[str, str, Any]
"""The code, `executed`, and the result or the error."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """What the listing looks at in a message."""

    type: str
    correlation_id: str
    reply_to: str | None
    headers: dict[str, Any]
    body: bytes


class MinimalClient:
    """The listing, over one connection. It does nothing while nobody waits."""

    def __init__(self, url: str) -> None:
        self.heard: list[str] = []
        """The types of the messages that came."""
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self.connection.channel()
        (listing,) = blocks("docs/protocol.md", "python")
        self.names: dict[str, Any] = {
            "user": "guest",
            "Future": Future,
            "basic_consume": self._consume,
            "basic_publish": self._publish,
            "call_later": lambda ms, *what: self.connection.call_later(
                ms / 1000, lambda: what[0](*what[1:])
            ),
            "confirm_select": self._confirm,
            "from_json": json.loads,
            "now_in_ms": lambda: int(time.time() * 1000),
            "queue_declare": self._channel.queue_declare,
            "random_text": lambda length: secrets.token_urlsafe(length)[:length],
            "to_json": lambda value: json.dumps(value).encode(),
        }
        exec(compile(listing.text, str(listing.path), "exec"), self.names)
        self.listing = SimpleNamespace(**self.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.connection.is_open:
            self._channel.queue_delete(self.listing.reply)
            self.connection.close()

    def call(self, key: str, arguments: dict[str, Any], ms: int = 15_000) -> Outcome:
        """A call, to its end."""
        return self.end(self.listing.call(key, arguments, ms))

    def end(self, future: Future[Outcome]) -> Outcome:
        """How a call ends."""
        while not future.done():
            self.connection.process_data_events(0.05)
        return future.result()

    # -- what the listing calls --------------------------------------------------------------------

    def _confirm(
        self, on_nack: Callable[[str], None], on_return: Callable[[Message], None]
    ) -> None:
        self._on_nack, self._on_return = on_nack, on_return
        self._channel.confirm_delivery()

    def _consume(self, queue: str, on_message: Callable[[Message], None], *, no_ack: bool) -> None:
        def take(_channel: Any, _method: Any, properties: Any, body: bytes) -> None:
            self.heard.append(properties.type)
            on_message(_message(properties, body))

        self._channel.basic_consume(queue, take, auto_ack=no_ack)

    def _publish(
        self, exchange: str, key: str, body: bytes, *, mandatory: bool = False, **properties: Any
    ) -> None:
        """As without waiting for it: what the broker says of it goes to the listing's functions."""
        sent = pika.BasicProperties(**properties)
        try:
            self._channel.basic_publish(exchange, key, body, sent, mandatory)
        except UnroutableError:
            self._on_return(_message(sent, body))
        except NackError:
            self._on_nack(sent.correlation_id)


def _message(properties: Any, body: bytes) -> Message:
    return Message(
        type=properties.type,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        headers=properties.headers or {},
        body=body,
    )
