"""The publisher confirms of one channel: one frame for all that one read published. Pure.

https://www.rabbitmq.com/docs/confirms#publisher-confirms
"""

from __future__ import annotations

from leveret.amqp import frames


class Confirming:
    """Numbers the publishes of a channel, and confirms or refuses them.

    The broker decides each publish at once and in order. So all before a number are decided when it
    is, and one frame may confirm all of them.
    """

    __slots__ = ("_channel", "_first", "_last", "_ok")

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._first = 1  # the first that is decided and not sent
        self._last = 0
        self._ok = True

    def decide(self, ok: bool) -> bytes:
        """Note whether the next publish was taken.

        Returns the frame that must be sent before that, or nothing.
        """
        due = b""
        if ok is not self._ok:
            due = self.collect()
            self._ok = ok
        self._last += 1
        return due

    def collect(self) -> bytes:
        """The frame for all that was decided since; empty if there is none."""
        if self._first > self._last:
            return b""
        multiple = self._first != self._last
        self._first = self._last + 1
        if self._ok:
            return frames.ack(self._channel, self._last, multiple=multiple)
        return frames.nack(self._channel, self._last, multiple=True)  # as RabbitMQ does
