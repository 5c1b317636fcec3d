"""The frames that wait to be written to one client, and whether there is room for more."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from leveret.amqp import frames
from leveret.amqp.codes import FRAME_MIN_SIZE
from leveret.amqp.frames import FRAME_OVERHEAD
from leveret.amqp.methods import AMQPMethod
from leveret.broker.model.memory import Memory

_HEADER = struct.Struct(">BHIHHQ")
_FRAME = struct.Struct(">BHI")
_OVERHEAD: Final = 64
"""Bytes that a message's frames take beside its body, roughly."""


class Output:
    """The frames for one client. All that one pass of the event loop adds leaves in one write.

    :param memory: counts the messages that wait here or in the socket's buffer.
    :param limit: bytes of messages above which there is no room for more.
    :param on_first: called when the first frame after a write is added.
    """

    __slots__ = ("_limit", "_memory", "_on_first", "_parts", "frame_max", "room", "size")

    def __init__(self, memory: Memory, limit: int, on_first: Callable[[], None]) -> None:
        self.room = True
        """Whether more may be sent now.

        While it is False, the client's consumers get nothing and its frames are not handled.
        """
        self.frame_max = FRAME_MIN_SIZE
        """Bytes of the largest frame, as agreed with the client."""
        self.size = 0
        """Bytes of the messages that wait here or in the socket's buffer."""
        self._memory = memory
        self._limit = limit
        self._on_first = on_first
        self._parts: list[bytes | memoryview] = []

    def send(self, data: bytes) -> None:
        """Add frames to the next write."""
        parts = self._parts
        if not parts:
            self._on_first()
        parts.append(data)

    def send_method(self, channel: int, method: AMQPMethod) -> None:
        """Add a method's frame."""
        self.send(frames.method_frame(channel, method))

    def send_content(self, channel: int, packed: bytes, body: bytes) -> None:
        """Add a message's header and body, after its method.

        The header is one frame, however large: it cannot be cut. RabbitMQ does the same.
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
            view = memoryview(body)
            for start in range(0, size, room):
                chunk = view[start : start + room]
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
        """Take all that waits, to write it now."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def written(self, waiting: int) -> bool:
        """Note that the socket took it all, and still holds `waiting` bytes.

        Returns whether there is room again where there was none.
        """
        self._memory.used += waiting - self.size
        self.size = waiting
        if self.room or waiting > self._limit // 2:
            return False
        self.room = True
        return True

    def drop(self) -> None:
        """Drop what waits, as the client is gone. There is no room for more."""
        self._memory.used -= self.size
        self.size = 0
        self._parts.clear()
        self.room = False
