"""What clients ask servers of started calls, and the answers; docs/protocol.md, Started calls.

A question travels as JSON, its answer as MessagePack, as it may have a recorded reply inside.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

__all__ = [
    "STARTED",
    "Standing",
    "StartedQuestion",
    "StateOfStarted",
    "read_question",
    "read_standing",
]

STARTED: Final = "started"
"""The type of a control message with such a question."""

LONGEST_WAIT: Final = 30.0
"""Seconds that a server waits at most for the end of a call before it answers."""

StateOfStarted: TypeAlias = Literal["unknown", "waiting", "running", "done", "refused"]
"""What a started call is doing; or "refused", if the server cannot tell."""


class StartedQuestion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question about one started call."""

    ask: Literal["expect", "withdraw", "look", "cancel"]
    """To expect its request, to expect it no more, to look how it stands, or to cancel it."""
    method: str
    """"service.method"."""
    key: str
    """Its idempotency key."""
    start: str = ""
    """The call id of its request, by which the client that sent it hears if it was refused."""
    keep: float = 0.0
    """With "expect": seconds for which its request may be expected."""
    wait: float = 0.0
    """With "look": seconds to wait for its end."""


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a started call stands."""

    instance: str
    """The server that says so."""
    state: StateOfStarted
    """What the call is doing."""
    runs_at: str = ""
    """While it runs: the instance of its server."""
    fraction: float | None = None
    """While it runs at this server: how much its handler says is done."""
    text: str = ""
    """While it runs at this server: what its handler says is being done."""
    kind: str = ""
    """Once it is done: the `type` of its reply."""
    content_type: str = ""
    """Once it is done: the encoding of the body."""
    body: bytes = b""
    """Once it is done: the body of its reply. With "refused": why, as text."""
    metadata: dict[str, str] | None = None
    """The metadata that the handler sent with its result, once it is done."""


_decode_question = msgspec.json.Decoder(StartedQuestion).decode
_decode_standing = msgspec.msgpack.Decoder(Standing).decode


def read_question(body: bytes) -> StartedQuestion:
    """:raises ValueError: if it cannot be read."""
    return _decode_question(body)


def read_standing(body: bytes) -> Standing:
    """:raises ValueError: if it cannot be read."""
    return _decode_standing(body)
