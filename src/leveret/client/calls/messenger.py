"""Control messages to servers, on a channel of their own.

The broker closes the channel of a message that it cannot handle: the control exchange may have been
deleted, or this user may not use it. As control messages have a channel of their own, no request is
lost then. The client sends a message again if the broker has not confirmed it, or has no queue for
it. That does no harm, as each message may arrive twice. Servers bind their control queues again,
seconds after the exchange was deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct

from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Content
from leveret.amqp.properties import Properties
from leveret.client.calls.tasks import Begin
from leveret.errors import LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection

log = logging.getLogger("leveret.client")

_MOST_TRIES: Final = 6
"""How often a message is sent if it reaches no server."""
_TRIED_EVERY: Final = 1.0
"""Seconds between two attempts."""
_LAST_WAIT: Final = 1.0
"""Seconds that the last messages have to be sent when the client is closed."""


class Message(Struct, kw_only=True):
    """One control message."""

    key: str
    """The routing key."""
    properties: Properties
    """Its properties."""
    body: bytes
    """Its body."""
    sent: int = 0
    """How often it was sent."""


class Messenger:
    """Sends control messages.

    :param exchange: where servers listen for them.
    :param connection: gives the current connection.
    :param restore: declares the exchange where it is missing.
    :param unbound: is given the properties of a message for which no server listens; it returns
        True if the message is not to be sent again.
    :param most: how many messages may wait for a channel; beyond that the oldest are dropped.
    """

    def __init__(
        self,
        *,
        exchange: str,
        connection: Callable[[], Connection],
        begin: Begin,
        restore: Callable[[], Awaitable[None]],
        call_later: Callable[[float, Callable[[], None]], object],
        unbound: Callable[[Properties], bool],
        most: int,
    ) -> None:
        self._exchange = exchange
        self._connection = connection
        self._begin = begin
        self._restore = restore
        self._call_later = call_later
        self._unbound = unbound
        self._channel: Channel | None = None
        self._waiting: deque[Message] = deque(maxlen=most)
        self._sent: Confirms[Message] = Confirms()
        self._by_name: dict[tuple[str | None, str | None], Message] = {}  # those of `_sent`
        self._opening: asyncio.Task[None] | None = None
        self._failed = ""
        self._is_closed = False

    def send(self, key: str, properties: Properties, body: bytes = b"") -> None:
        """Send a message, now or as soon as there is a channel. It may be lost."""
        self._send(Message(key=key, properties=properties, body=body))

    def _send(self, message: Message) -> None:
        self._waiting.append(message)
        channel = self._channel
        if channel is not None and channel.closed is None:
            self._flush(channel)
        else:
            self._open()

    async def close(self) -> None:
        """Send the messages that wait, if that is possible at once, and close the channel."""
        self._is_closed = True
        if self._opening is not None:
            await asyncio.wait((self._opening,), timeout=_LAST_WAIT)
        if self._channel is not None:
            self._channel.on_close = None
            await self._channel.close()

    def _open(self) -> None:
        if self._opening is None or self._opening.done():
            self._opening = self._begin(self._open_and_flush())

    async def _open_and_flush(self) -> None:
        try:
            if self._failed:
                await self._restore()
            channel = await self._connection().open_channel()
            await channel.select_confirms()
        except LeveretError as error:
            self._waiting.clear()
            if self._connection().closed is None:  # else the servers are asked on the next one
                self._tell(error)
            return
        self._sent = Confirms()
        channel.on_confirm = self._on_confirm
        channel.on_close = self._on_close
        channel.on_return = self._on_return
        self._channel = channel
        if channel.closed is None:
            self._flush(channel)

    def _flush(self, channel: Channel) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            message.sent += 1
            self._sent.add(message)
            self._by_name[_name(message.properties)] = message
            channel.publish(
                self._exchange, message.key, message.properties, message.body, mandatory=True
            )

    def _on_confirm(self, number: int, multiple: bool, _ok: bool) -> None:
        for message in self._sent.settle(number, multiple):
            self._by_name.pop(_name(message.properties), None)
        self._failed = ""

    def _on_close(self, error: LeveretError) -> None:
        unconfirmed, self._sent = self._sent.open(), Confirms()
        self._by_name.clear()
        if self._connection().closed is not None:
            return  # the servers are asked anew on the next connection
        self._tell(error)
        self._waiting.extendleft(reversed([m for m in unconfirmed if m.sent == 1]))
        if self._waiting:
            self._open()

    def _on_return(self, returned: Content) -> None:
        """No queue is bound with this key: no server is there, or it will bind its queue soon."""
        if self._unbound(returned.properties):
            return
        message = self._by_name.get(_name(returned.properties))
        if message is not None and message.sent < _MOST_TRIES:
            self._call_later(_TRIED_EVERY, partial(self._again, message))

    def _again(self, message: Message) -> None:
        if not self._is_closed and self._connection().closed is None:
            self._send(message)

    def _tell(self, error: LeveretError) -> None:
        if str(error) != self._failed:
            self._failed = str(error)
            log.warning("messages to servers cannot be sent now: %s", error)


def _name(properties: Properties) -> tuple[str | None, str | None]:
    """What identifies a message that is returned: its word, and the call that it is about."""
    return properties.type, properties.correlation_id
