"""The states of a session, and what leads from one to the next. Pure.

A session waits for the client's protocol header (HEADER), then for its part of the handshake:
start-ok, tune-ok and open (HANDSHAKE; `handshake` knows which is due). Once the client is admitted
the session is OPEN. A broker that closes it tells the client why, and then only hears close-ok
(CLOSING). CLOSED is the end: the link writes what is left in the output, and reads nothing more.

    HEADER ──> HANDSHAKE ──> OPEN ──> CLOSING ──> CLOSED

Every state but CLOSED may lead to CLOSING or CLOSED: a client may be refused, an error may end it,
and a socket may be lost at any time.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class SessionState(Enum):
    """How far a session has come."""

    HEADER = auto()
    """The client's protocol header is due."""
    HANDSHAKE = auto()
    """The client logs in, and agrees to limits and a vhost."""
    OPEN = auto()
    """The client may use the vhost."""
    CLOSING = auto()
    """The broker has sent connection.close; close-ok is due."""
    CLOSED = auto()
    """Nothing is read any more, and the socket closes."""


class SessionEvent(Enum):
    """What happens to a session."""

    GREETED = auto()
    """The protocol header is complete, and the broker speaks this protocol."""
    ADMITTED = auto()
    """The handshake is complete."""
    FAILED = auto()
    """The broker closes the session and tells the client why."""
    ENDED = auto()
    """The broker hangs up, or the socket is lost."""


TRANSITIONS: Final[dict[tuple[SessionState, SessionEvent], SessionState]] = {
    (SessionState.HEADER, SessionEvent.GREETED): SessionState.HANDSHAKE,
    (SessionState.HEADER, SessionEvent.FAILED): SessionState.CLOSING,
    (SessionState.HEADER, SessionEvent.ENDED): SessionState.CLOSED,
    (SessionState.HANDSHAKE, SessionEvent.ADMITTED): SessionState.OPEN,
    (SessionState.HANDSHAKE, SessionEvent.FAILED): SessionState.CLOSING,
    (SessionState.HANDSHAKE, SessionEvent.ENDED): SessionState.CLOSED,
    (SessionState.OPEN, SessionEvent.FAILED): SessionState.CLOSING,
    (SessionState.OPEN, SessionEvent.ENDED): SessionState.CLOSED,
    (SessionState.CLOSING, SessionEvent.FAILED): SessionState.CLOSED,  # the client was told already
    (SessionState.CLOSING, SessionEvent.ENDED): SessionState.CLOSED,
    (SessionState.CLOSED, SessionEvent.FAILED): SessionState.CLOSED,
    (SessionState.CLOSED, SessionEvent.ENDED): SessionState.CLOSED,
}
"""The next state. A pair that is missing here is a bug."""
