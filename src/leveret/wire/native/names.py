"""Names of wire protocol 1: exchanges, queues, message types, and random ids."""

from __future__ import annotations

import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Final

EXCHANGE: Final = "leveret"
"""The direct exchange of requests."""
CONTROL_EXCHANGE: Final = "leveret.control"
"""The topic exchange of control messages."""
QUEUE_PREFIX: Final = "leveret."
"""Before "service.method" in the name of a request queue."""
REPLY_PREFIX: Final = "leveret.reply."
"""Before the user and the random part in the name of a reply queue."""

CALL: Final = "call"
"""The type of a request; in a reply queue, of a request that the broker sent back."""
RESULT: Final = "result"
"""The type of a reply with a result."""
ERROR: Final = "error"
"""The type of a reply with an error."""
ACCEPTED: Final = "accepted"
"""The type of a notice: the server has the call."""
NOT_BEGUN: Final = b'{"begun":false}'
"""The body of an "accepted" while the handler waits for its turn; it is empty once that runs."""
PROGRESS: Final = "progress"
"""The type of a notice: the handler runs, and the body may say how far it is."""
CONFIRM: Final = "claim"
"""The type of a notice: the server asks whether the caller still waits."""
PASSED: Final = "passed"
"""The type of a notice: the result of a stage of a pipe is on its way to the next one."""

ITEM: Final = "item"
"""The type of one item of a stream, in either direction."""
ITEMS: Final = "items"
"""The type of several items of a stream of results in one message."""
END: Final = "end"
"""The type of the end of a stream, in either direction."""
CREDIT: Final = "credit"
"""The type of what a receiver of items tells their sender: what it has, and what may come."""

_ID_BYTES: Final = 12
_IDS_AT_ONCE: Final = 256
_LONGEST_OWNER: Final = 200


def reply_queue_name(user: str = "") -> str:
    """A name for a client's reply queue that nobody can guess: it has 128 random bits.

    The user's name is a part of it, so that the broker's permissions can keep users from each
    other's reply queues. A name that is too long for that is left out.
    """
    owner = f"{user}." if user and len(user.encode()) <= _LONGEST_OWNER else ""
    return f"{REPLY_PREFIX}{owner}{secrets.token_urlsafe(16)}"


def call_ids() -> Iterator[str]:
    """Call ids without end, of 16 characters each: 96 random bits, drawn in batches.

    A server learns a client's reply queue from its first request. It must not be able to guess the
    ids of calls to other servers, and answer those. None begins with "-": a command line would take
    it for an option (`leveret failed show`).
    """
    while True:
        drawn = urlsafe_b64encode(os.urandom(_IDS_AT_ONCE * _ID_BYTES)).decode()
        for start in range(0, len(drawn), 16):
            if drawn[start] != "-":
                yield drawn[start : start + 16]
