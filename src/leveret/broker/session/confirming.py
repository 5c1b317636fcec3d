"""Publisher confirms of one channel, joined: what one read publishes is confirmed by one frame.

https://www.rabbitmq.com/docs/confirms#publisher-confirms
"""

from __future__ import annotations

from leveret.amqp import frames


class Confirming:
    """Numbers the publishes of a channel, and tells which were taken.

    Each publish is decided at once, in order: so all before a number are decided when it is, and
    one frame may confirm all up to it.
    """

    __slots__ = ("_channel", "_first", "_last", "_ok")

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._first = 1  # of those that are decided and not told yet
        self._last = 0
        self._ok = True

    def decide(self, ok: bool) -> bytes:
        """The next publish was taken, or refused; returns what must be told before that."""
        told = b""
        if ok is not self._ok:
            told = self.collect()
            self._ok = ok
        self._last += 1
        return told

    def collect(self) -> bytes:
        """The frame that tells all that was decided; empty if there is nothing to tell."""
        if self._first > self._last:
            return b""
        multiple = self._first != self._last
        self._first = self._last + 1
        if self._ok:
            return frames.ack(self._channel, self._last, multiple=multiple)
        return frames.nack(self._channel, self._last, multiple=True)  # as RabbitMQ does
