"""How much the broker's messages weigh, in bytes, and whether that is too much. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from leveret.amqp.codes import ReplyCode
from leveret.broker.model.messages import Message
from leveret.broker.refusals import Refused

_PLACE: Final = 150
"""What a place in a queue weighs, roughly, in bytes."""

_FIELD: Final = 50
"""What a name or a value of a field table weighs beside its bytes, roughly, in bytes."""


def _weight(value: Any) -> int:
    """What a field's value takes in Python, roughly, in bytes; nothing for an empty table."""
    match value:
        case dict():
            return sum(len(name) + 2 * _FIELD + _weight(field) for name, field in value.items())
        case list():
            return _FIELD + sum(map(_weight, value))
        case str() | bytes() | bytearray():
            return _FIELD + len(value)
    return _FIELD


class Memory:
    """How much the broker's messages weigh, in bytes, and whether that is too much.

    A message weighs once, in however many queues it lies, and each of its places a little more: so
    does it in Python. `used` has besides what transactions keep until they are committed, what
    waits to be written to clients, and the arguments of what was declared. `watch` looks at it,
    once per read.
    """

    __slots__ = ("_forced", "_high", "_noted", "_on_alarm", "alarmed", "used")

    def __init__(self, high: int, on_alarm: Callable[[bool], None]) -> None:
        self.used = 0
        self.alarmed = False
        self._high = high
        self._noted = 0
        self._forced = False
        self._on_alarm = on_alarm

    def keep(self, message: Message) -> None:
        """A queue took the message."""
        if not message.places:
            self.used += message.size
        message.places += 1
        self.used += _PLACE

    def free(self, message: Message) -> None:
        """A queue has done with it: settled, dropped, or handed out to who acknowledges nothing."""
        message.places -= 1
        self.used -= _PLACE
        if not message.places:
            self.used -= message.size

    def note(self, arguments: dict[str, Any]) -> None:
        """A queue, an exchange or a binding is to have these arguments.

        :raises Refused: if the arguments of all of them would take more than there may be used.
        """
        weight = _weight(arguments)
        if weight and self._noted + weight > self._high:
            raise Refused(
                ReplyCode.RESOURCE_ERROR,
                f"the arguments of queues, exchanges and bindings take more than {self._high}"
                " bytes; delete some",
            )
        self._noted += weight
        self.used += weight

    def forget(self, arguments: dict[str, Any]) -> None:
        """The queue, exchange or binding that had them is gone."""
        weight = _weight(arguments)
        self._noted -= weight
        self.used -= weight

    def force(self, alarmed: bool) -> None:
        """Raise the alarm whatever is used, or no longer."""
        self._forced = alarmed
        self.watch()

    def watch(self) -> None:
        """Raise the alarm or clear it, where that is due."""
        while self.short != self.alarmed:  # those that are let go on may publish too much again
            self.alarmed = not self.alarmed
            self._on_alarm(self.alarmed)

    @property
    def short(self) -> bool:
        """Whether there is too little of it now."""
        return self._forced or self.used > self._high
