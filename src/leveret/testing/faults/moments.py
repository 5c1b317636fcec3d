"""The moments at which a `FaultProxy` can strike: by frame, inside a frame, by bytes."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from leveret.amqp.codes import FRAME_BODY, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD
from leveret.amqp.methods import METHODS

__all__ = [
    "Direction",
    "Frame",
    "FrameKind",
    "Moment",
    "after_bytes",
    "after_frame",
    "before_frame",
    "inside_frame",
]

Direction: TypeAlias = Literal["to_broker", "to_client"]
"""Which way bytes go: from the client to the broker, or from the broker to the client."""

_TYPES: Final = {
    "method": FRAME_METHOD,
    "header": FRAME_HEADER,
    "body": FRAME_BODY,
    "heartbeat": FRAME_HEARTBEAT,
}
_TYPE_NAMES: Final = {number: name for name, number in _TYPES.items()}


_METHOD_NAMES: Final = {
    (index >> 16, index & 0xFFFF): method.name for index, method in METHODS.items()
}
_METHODS: Final = {name: ids for ids, name in _METHOD_NAMES.items()}


class Frame(NamedTuple):
    """The head of one AMQP frame (AMQP 0-9-1, section 2.3.5): what a rule can go by.

    :param type: 1 method, 2 content header, 3 content body, 8 heartbeat.
    :param channel: 0 is the connection itself.
    :param size: of the payload, in bytes; the whole frame has 8 more.
    :param method: class and method id, as (60, 40) for basic.publish; (0, 0) of other frames.
    """

    type: int
    channel: int
    size: int
    method: tuple[int, int] = (0, 0)

    @property
    def kind(self) -> str:
        """Its name: "basic.publish", "queue.declare-ok", "header", "body", "heartbeat"."""
        if self.type == FRAME_METHOD:
            return _METHOD_NAMES.get(self.method, "method {}.{}".format(*self.method))
        return _TYPE_NAMES[self.type]


FrameKind: TypeAlias = str | int | tuple[int, int] | Callable[[Frame], bool] | None
"""Which frames count: a name, as in `Frame.kind`, or "method" for all methods; a frame type;
(class id, method id); a function of the `Frame`; None for all but heartbeats, which come at any
time."""

Matches: TypeAlias = Callable[[Frame], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A place in one direction of a connection; `after_frame` and the others make it.

    :param direction: which way.
    :param count: which frame, counted from 1, or how many bytes.
    :param matches: which frames count; None where bytes do.
    :param offset: how far into the frame, in bytes; None is its end.
    :param text: how it is printed.
    """

    direction: Direction
    count: int
    matches: Matches | None
    offset: int | None
    text: str

    def __str__(self) -> str:
        return self.text


def after_frame(n: int, direction: Direction, *, kind: FrameKind = None) -> Moment:
    """When the nth frame has passed as a whole, and nothing of the next one.

    ::

        after_frame(3, "to_broker")                          # the third of all but heartbeats
        after_frame(1, "to_client", kind="basic.deliver")    # the first delivery
        after_frame(1, "to_broker", kind=lambda frame: frame.channel == 2)

    Each connection counts for itself, from 1: from its beginning, or from when the rule was made,
    if the connection was there before. The protocol header, with which a client begins, is no
    frame. On a connection that does not speak AMQP, or is encrypted, the moment never comes.

    :raises ValueError: if `n` is less than 1, or nothing is called as `kind` is.
    """
    return _at_frame("after", n, direction, kind, None)


def before_frame(n: int, direction: Direction, *, kind: FrameKind = None) -> Moment:
    """When the nth frame has come to the proxy, and nothing of it has passed; as `after_frame`."""
    return _at_frame("before", n, direction, kind, 0)


def inside_frame(n: int, offset: int, direction: Direction, *, kind: FrameKind = None) -> Moment:
    """When the first `offset` bytes of the nth frame have passed; as `after_frame`.

    The first 7 bytes are the frame's head; the last one is its end octet. Past a shorter frame's
    end it is the end.

    :raises ValueError: if `n` is less than 1, `offset` is negative, or `kind` is unknown.
    """
    if offset < 0:
        raise ValueError(f"the offset in a frame must be 0 bytes or more, not {offset}")
    return _at_frame(f"{offset} bytes into", n, direction, kind, offset)


def after_bytes(n: int, direction: Direction) -> Moment:
    """When `n` bytes have passed, of any protocol; counted as `after_frame` counts frames.

    0 is when the next byte has come to the proxy, and has not passed.

    :raises ValueError: if `n` is negative.
    """
    if n < 0:
        raise ValueError(f"the number of bytes must be 0 or more, not {n}")
    text = f"after {n} bytes {_words(direction)}"
    return Moment(direction=direction, count=n, matches=None, offset=None, text=text)


def _at_frame(
    where: str, n: int, direction: Direction, kind: FrameKind, offset: int | None
) -> Moment:
    if n < 1:
        raise ValueError(f"frames are counted from 1; there is no frame {n}")
    matches, name = _matcher(kind)
    text = f"{where} frame {n}{name} {_words(direction)}"
    return Moment(direction=direction, count=n, matches=matches, offset=offset, text=text)


def _matcher(kind: FrameKind) -> tuple[Matches, str]:
    """A predicate for frames, and how messages describe it."""
    if kind is None:
        return lambda frame: frame.type != FRAME_HEARTBEAT, ""
    if callable(kind):
        return kind, " that matches"
    if isinstance(kind, tuple):
        return lambda frame: frame.method == kind, f" ({_METHOD_NAMES.get(kind, kind)})"
    if isinstance(kind, str):
        if (number := _TYPES.get(kind)) is None:
            return _matcher(_method_called(kind))
        return lambda frame: frame.type == number, f" ({kind})"
    if kind not in _TYPE_NAMES:
        raise ValueError(f"AMQP has no frames of type {kind}; there are {_TYPE_NAMES}")
    return lambda frame: frame.type == kind, f" ({_TYPE_NAMES[kind]})"


def _method_called(name: str) -> tuple[int, int]:
    try:
        return _METHODS[name]
    except KeyError:
        near = difflib.get_close_matches(name, [*_METHODS, *_TYPES], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "try basic.publish, or body"
        raise ValueError(f"AMQP has no frames called {name!r}; {hint}") from None


def _words(direction: Direction) -> str:
    if direction not in ("to_broker", "to_client"):
        raise ValueError(f'the direction is "to_broker" or "to_client", not {direction!r}')
    return direction.replace("_", " ")
