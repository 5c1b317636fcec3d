"""Finds where frames begin and end in a stream of bytes, and where rules have it stop.

Bytes in, positions out: no sockets here. It keeps only numbers, so a frame that claims to be 4 GB
costs nothing. A stream that does not begin as AMQP does (TLS, say), or breaks its form later,
has no frames from there on, and passes as it is.
"""

from __future__ import annotations

import struct
from typing import Final, Generic, TypeVar

from leveret.amqp.codes import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    PROTOCOL_HEADER,
)
from leveret.testing.faults.moments import Frame, Moment

__all__ = ["FrameStream", "Tripwire"]

_HEAD: Final = struct.Struct(">BHI")
_METHOD: Final = struct.Struct(">HH")
_SURROUNDINGS: Final = _HEAD.size + 1
"""Bytes of a frame beside its payload."""
_TYPES: Final = frozenset((FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT))
_OPENINGS: Final = (b"AMQP", b"\x01\x00\x00")
"""How a client begins (the protocol header), and how a broker does (connection.start)."""

T = TypeVar("T")


class Tripwire(Generic[T]):
    """A moment that one stream waits for, and the rule that waits for it."""

    __slots__ = ("moment", "rule", "seen")

    def __init__(self, moment: Moment, rule: T) -> None:
        self.moment = moment
        self.rule = rule
        self.seen = 0

    def touch(self, frame: Frame, start: int, end: int) -> int | None:
        """The offset in the stream where this frame makes it due; None if it does not."""
        matches = self.moment.matches
        if matches is None or not matches(frame):
            return None
        self.seen += 1
        if self.seen != self.moment.count:
            return None
        offset = self.moment.offset
        return end if offset is None else min(start + offset, end)


class FrameStream(Generic[T]):
    """The frames in one direction of one connection."""

    __slots__ = (
        "_begun",
        "_counts",
        "_due",
        "_framed",
        "_in_frame",
        "_left",
        "_wires",
        "frames",
        "position",
    )

    def __init__(self) -> None:
        self.position = 0
        """How many bytes have passed."""
        self.frames = 0
        """How many whole frames were among them, heartbeats aside."""
        self._begun = False
        self._framed = True  # False once the stream has broken the form of AMQP
        self._left = 0  # bytes of the current frame, or protocol header, that are still to come
        self._in_frame = False  # False in the protocol header
        self._counts = False  # whether the current frame does
        self._wires: list[Tripwire[T]] = []
        self._due: list[tuple[int, Tripwire[T]]] = []

    def arm(self, wire: Tripwire[T]) -> None:
        """Have `advance` stop at a moment, counted from here."""
        if wire.moment.matches is None:
            self._become_due(self.position + wire.moment.count, wire)
        else:
            self._wires.append(wire)

    def disarm(self, rule: T) -> None:
        """Remove all moments of a rule."""
        self._wires = [wire for wire in self._wires if wire.rule is not rule]
        self._due = [due for due in self._due if due[1].rule is not rule]

    def advance(self, data: memoryview) -> tuple[int, list[Tripwire[T]]]:
        """Tell how many of these bytes may pass, and what is due once they have.

        If nothing is due, the rest is an incomplete head of a frame, shorter than 12 bytes. Pass it
        again, followed by more.
        """
        at, size = 0, len(data)
        while True:
            if self._due and self._due[0][0] <= self.position:
                return at, self._take_due()
            if at == size or (self._framed and not self._left and not self._enter(data, at)):
                return at, []
            if self._due and self._due[0][0] <= self.position:
                continue  # before the frame whose head was just read
            step = min(size - at, self._left) if self._framed else size - at
            if self._due:
                step = min(step, self._due[0][0] - self.position)
            at += step
            self.position += step
            if self._framed:
                self._left -= step
                if not self._left:
                    self._leave(data[at - 1])

    def _enter(self, data: memoryview, at: int) -> bool:
        """Read the head of the frame that begins here; False if it is not complete."""
        if not self._begun:
            return self._open(data)
        if len(data) - at < _HEAD.size:
            return False
        kind, channel, size = _HEAD.unpack_from(data, at)
        if kind not in _TYPES:
            self._framed = False
            return True
        method = (0, 0)
        if kind == FRAME_METHOD and size >= _METHOD.size:
            if len(data) - at < _HEAD.size + _METHOD.size:
                return False
            if self._wires:
                method = _METHOD.unpack_from(data, at + _HEAD.size)
        self._left = size + _SURROUNDINGS
        self._in_frame = True
        self._counts = kind != FRAME_HEARTBEAT
        if self._wires:
            self._touch(Frame(kind, channel, size, method))
        return True

    def _open(self, data: memoryview) -> bool:
        """Look at the first bytes of all; False if they are too few to tell."""
        first = bytes(data[:4])
        if any(len(first) < len(opening) and opening.startswith(first) for opening in _OPENINGS):
            return False
        self._begun = True
        self._framed = first.startswith(_OPENINGS)
        if first != PROTOCOL_HEADER[:4]:
            return not self._framed or self._enter(data, 0)
        self._left = len(PROTOCOL_HEADER)
        return True

    def _leave(self, last: int) -> None:
        """The current frame, or the protocol header, has passed; its last byte was this."""
        if not self._in_frame:
            return
        if last != FRAME_END:
            self._framed = False
        elif self._counts:
            self.frames += 1

    def _touch(self, frame: Frame) -> None:
        end = self.position + self._left
        for wire in self._wires:
            if (offset := wire.touch(frame, self.position, end)) is not None:
                self._become_due(offset, wire)
        due = {id(wire) for _, wire in self._due}
        self._wires = [wire for wire in self._wires if id(wire) not in due]

    def _become_due(self, offset: int, wire: Tripwire[T]) -> None:
        self._due.append((offset, wire))
        self._due.sort(key=lambda due: due[0])

    def _take_due(self) -> list[Tripwire[T]]:
        taken = [wire for offset, wire in self._due if offset <= self.position]
        self._due = [due for due in self._due if due[0] > self.position]
        return taken
