"""What waits to be written to one client, and whether there is room for more."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from leveret.amqp import frames
from leveret.amqp.codes import FRAME_MIN_SIZE
from leveret.amqp.frames import FRAME_OVERHEAD
from leveret.amqp.methods import AMQPMethod

if TYPE_CHECKING:
    from leveret.broker.session.session import Session

_HEADER = struct.Struct(">BHIHHQ")
_FRAME = struct.Struct(">BHI")
_OVERHEAD = 64
"""What a message's frames take beside its body, roughly, in bytes."""


class Output:
    """The frames for one client, until the server writes them, all of one pass in one write.

    `room` says whether more may be sent now: its consumers get nothing while it is False, and
    nothing that the client sends is handled. `frame_max` is what was agreed, in bytes. `size` is
    what the messages take, in bytes, that wait here or in the socket's buffer; it counts in the
    broker's memory.
    """

    __slots__ = ("_limit", "_memory", "_node", "_owner", "_parts", "frame_max", "room", "size")

    def __init__(self, owner: Session) -> None:
        self.room = True
        self.frame_max = FRAME_MIN_SIZE
        self._owner = owner
        self._node = owner.node
        self._memory = owner.node.memory
        self._limit = owner.node.limits.output
        self._parts: list[bytes] = []
        self.size = 0

    def send(self, data: bytes) -> None:
        """Have frames sent with the next write."""
        parts = self._parts
        if not parts:
            self._node.dirty.append(self._owner)
        parts.append(data)

    def send_method(self, channel: int, method: AMQPMethod) -> None:
        """Send a method."""
        self.send(frames.method_frame(channel, method))

    def send_content(self, channel: int, packed: bytes, body: bytes) -> None:
        """Send a message's header and body, after its method.

        As RabbitMQ does, the header goes in one frame whatever its size: it cannot be cut.
        """
        size = len(body)
        parts = self._parts
        parts += (_HEADER.pack(2, channel, 12 + len(packed), 60, 0, size), packed)
        if not size:
            parts.append(b"\xce")
        elif size + FRAME_OVERHEAD <= self.frame_max:
            parts += (b"\xce" + _FRAME.pack(3, channel, size), body, b"\xce")
        else:
            room = self.frame_max - FRAME_OVERHEAD
            for start in range(0, size, room):
                chunk = body[start : start + room]
                parts += (b"\xce" + _FRAME.pack(3, channel, len(chunk)), chunk)
            parts.append(b"\xce")
        self.size += size + _OVERHEAD
        self._memory.used += size + _OVERHEAD
        if self.size > self._limit:
            self.room = False

    @property
    def waiting(self) -> bool:
        """Whether there is something to write."""
        return bool(self._parts)

    def take(self) -> bytes:
        """All that is to be written now."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def written(self, waiting: int) -> bool:
        """It was given to the socket, where `waiting` bytes wait still; whether room came of it."""
        self._memory.used += waiting - self.size
        self.size = waiting
        if self.room or waiting > self._limit // 2:
            return False
        self.room = True
        return True

    def drop(self) -> None:
        """Nobody will read it: nothing waits, and there is no room for more."""
        self._memory.used -= self.size
        self.size = 0
        self._parts.clear()
        self.room = False
