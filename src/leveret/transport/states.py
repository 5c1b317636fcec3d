"""Where a connection and its channels stand, and what moves them on. Pure.

A connection:

    GREETING ──► TUNING ──► OPEN ──► CLOSING ──► CLOSED
        │           │         │                    ▲
        └───────────┴─────────┴────────────────────┘

- GREETING: this side has sent the protocol header. Until the peer has sent a first method, it may
  be anything that listens on the port, so bad bytes are no error of AMQP.
- TUNING: the peer speaks AMQP. Login, limits and virtual host are negotiated. On an error this side
  closes the socket and says nothing (AMQP 0-9-1, section 2.2.4).
- OPEN: channels can be opened. On an error this side sends connection.close first.
- CLOSING: this side has sent connection.close. All channels have ended. What still comes is read
  past, up to close-ok.
- CLOSED: nothing is read any more, and the socket is closed once what was written has left.

A channel:

    OPEN ──► CLOSING ──► CLOSED
      │         │           ▲
      │         └► DETACHED ┤
      └─────────────────────┘

- OPEN: from the moment it has its number; channel.open is the first method that it sends.
- CLOSING: this side has sent channel.close, and its users wait for close-ok.
- DETACHED: its users were told that it has ended, and close-ok is still due. Another channel with
  its number would take the late close-ok, so the number is not free yet.
- CLOSED: its number is free.

An event that is not in the table for a state changes nothing: a connection may end in the very
read that opens it, and both sides may close at once.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class ConnState(Enum):
    """Where a connection stands."""

    GREETING = auto()
    TUNING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class ConnEvent(Enum):
    """The events of a connection."""

    GREETED = auto()
    """The peer sent its first method."""
    AGREED = auto()
    """The broker opened the virtual host."""
    CLOSE_SENT = auto()
    """This side sent connection.close, and waits for close-ok."""
    ENDED = auto()
    """The socket is gone, or either side has hung up."""


CONNECTION: Final[dict[tuple[ConnState, ConnEvent], ConnState]] = {
    (ConnState.GREETING, ConnEvent.GREETED): ConnState.TUNING,
    (ConnState.TUNING, ConnEvent.AGREED): ConnState.OPEN,
    (ConnState.OPEN, ConnEvent.CLOSE_SENT): ConnState.CLOSING,
    (ConnState.GREETING, ConnEvent.ENDED): ConnState.CLOSED,
    (ConnState.TUNING, ConnEvent.ENDED): ConnState.CLOSED,
    (ConnState.OPEN, ConnEvent.ENDED): ConnState.CLOSED,
    (ConnState.CLOSING, ConnEvent.ENDED): ConnState.CLOSED,
}


class ChannelState(Enum):
    """Where a channel stands."""

    OPEN = auto()
    CLOSING = auto()
    DETACHED = auto()
    CLOSED = auto()


class ChannelEvent(Enum):
    """The events of a channel."""

    CLOSE_SENT = auto()
    """This side sent channel.close."""
    CLOSE_OK = auto()
    """The broker answered it."""
    ENDED = auto()
    """The broker closed the channel, the connection ended, or close-ok did not come in time."""


CHANNEL: Final[dict[tuple[ChannelState, ChannelEvent], ChannelState]] = {
    (ChannelState.OPEN, ChannelEvent.CLOSE_SENT): ChannelState.CLOSING,
    (ChannelState.OPEN, ChannelEvent.ENDED): ChannelState.CLOSED,
    (ChannelState.CLOSING, ChannelEvent.CLOSE_OK): ChannelState.CLOSED,
    (ChannelState.CLOSING, ChannelEvent.ENDED): ChannelState.DETACHED,
    (ChannelState.DETACHED, ChannelEvent.CLOSE_OK): ChannelState.CLOSED,
}
