"""Translates errors of sockets and TLS into Leveret's errors; the only place that does.

Everything that `socket`, `ssl` and asyncio's transports raise on the way to a broker, or when a
socket breaks, is one of `NETWORK_ERRORS`. It becomes a `ConnectionLost` with the original as its
cause. Anything else is a bug, here or in a callable of the user, and is not hidden.
"""

from __future__ import annotations

from typing import Final

from leveret.errors import ConnectionLost

NETWORK_ERRORS: Final = (OSError, EOFError, UnicodeError)
"""- `OSError`: refused, reset, unreachable, a name that does not resolve (`socket.gaierror`), time
  that is up (`TimeoutError`), and all of TLS (`ssl.SSLError`).
- `EOFError`: a stream that ends early (`asyncio.IncompleteReadError`).
- `UnicodeError`: a host name that IDNA cannot encode."""


def reason(error: Exception | None, *, seconds: float | None = None) -> str:
    """Why a connection could not be made, or was lost, in words.

    :param error: None if the peer closed the socket in order.
    :param seconds: how long the attempt was allowed to take.
    """
    if error is None:
        return "the broker closed the socket"
    if isinstance(error, TimeoutError) and seconds is not None:
        return f"no answer in {seconds:g} s"
    if isinstance(error, UnicodeError):
        return f"the host name cannot be looked up: {error}"
    return str(error) or type(error).__name__


def as_connection_lost(error: Exception, text: str = "") -> ConnectionLost:
    """`error` as a `ConnectionLost`, which it is the cause of; nothing was sent before it.

    :param text: the message; by default that of `error`.
    """
    lost = ConnectionLost(text or reason(error), executed="no")
    lost.__cause__ = error
    return lost
