"""How much memory the broker's messages take, and whether that is too much. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from leveret.amqp.codes import ReplyCode
from leveret.broker.model.messages import Message
from leveret.broker.refusals import Refused

_PLACE: Final = 150
"""Bytes that a message's place in a queue takes, roughly."""

_FIELD: Final = 50
"""Bytes that a name or a value of a field table takes beside its content, roughly."""


def _weight(value: Any) -> int:
    """Bytes that a field's value takes in Python, roughly; 0 for an empty table."""
    match value:
        case dict():
            return sum(len(name) + 2 * _FIELD + _weight(field) for name, field in value.items())
        case list():
            return _FIELD + sum(map(_weight, value))
        case str() | bytes() | bytearray():
            return _FIELD + len(value)
    return _FIELD


class Memory:
    """Counts the bytes that a broker uses, and raises an alarm above a limit.

    A message counts once, however many queues it lies in, and each of its places counts a little
    more, as they do in Python. `used` also has the messages of open transactions, what waits to be
    written to clients, and the arguments of queues, exchanges and bindings.

    :param limit: bytes that may be used.
    :param on_alarm: called with True when the alarm is raised, with False when it is cleared.
    """

    __slots__ = ("_arguments", "_forced", "_limit", "_on_alarm", "alarmed", "incoming", "used")

    def __init__(self, limit: int, on_alarm: Callable[[bool], None]) -> None:
        self.used = 0
        """Bytes in use."""
        self.incoming = 0
        """Bytes of messages of which only a part has come; not in `used`."""
        self.alarmed = False
        """Whether the alarm is raised."""
        self._limit = limit
        self._arguments = 0
        self._forced = False
        self._on_alarm = on_alarm

    def keep(self, message: Message) -> None:
        """Count a message that a queue or a transaction took."""
        if not message.places:
            self.used += message.size
        message.places += 1
        self.used += _PLACE

    def free(self, message: Message) -> None:
        """Count one queue that released a message: acked, dropped, or delivered with no_ack."""
        message.places -= 1
        self.used -= _PLACE
        if not message.places:
            self.used -= message.size

    def keep_arguments(self, arguments: dict[str, Any]) -> None:
        """Count the arguments of a new queue, exchange or binding.

        :raises Refused: if all arguments together would take more than may be used.
        """
        weight = _weight(arguments)
        if weight and self._arguments + weight > self._limit:
            raise Refused(
                ReplyCode.RESOURCE_ERROR,
                f"the arguments of queues, exchanges and bindings take more than {self._limit}"
                " bytes; delete some",
            )
        self._arguments += weight
        self.used += weight

    def free_arguments(self, arguments: dict[str, Any]) -> None:
        """Count the end of a queue, exchange or binding that had these arguments."""
        weight = _weight(arguments)
        self._arguments -= weight
        self.used -= weight

    def force(self, alarmed: bool) -> None:
        """Raise the alarm whatever is used, or stop doing so."""
        self._forced = alarmed
        self.check()

    def check(self) -> None:
        """Raise or clear the alarm, where that is due. Called once per pass."""
        # Again and again, as sessions that are unblocked may publish too much once more.
        while (self._forced or self.used > self._limit) is not self.alarmed:
            self.alarmed = not self.alarmed
            self._on_alarm(self.alarmed)

    @property
    def short(self) -> bool:
        """Whether too much is used now."""
        return self._forced or self.used > self._limit
