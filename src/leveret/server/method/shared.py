"""What the methods of one server have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from leveret.contract import MethodSpec
from leveret.errors import CallError
from leveret.once import OnceStore
from leveret.server.calls.endings import Endings
from leveret.server.calls.kept_replies import RecordStore
from leveret.server.calls.life import Life, ServerCall
from leveret.server.calls.passing import Publish
from leveret.server.calls.table import CallTable, EarlyCancels
from leveret.server.calls.tracing import ServerTracing
from leveret.server.confirmed_messages import PublishConfirmed
from leveret.server.streams.registry import Streams
from leveret.wire.message import Incoming


class Announces(Protocol):
    """Has callers told of calls that take long."""

    watching: bool
    """Whether its timer runs."""

    def watch(self) -> None:
        """A call begins."""


class Shared(Struct, frozen=True, kw_only=True):
    """What the methods of one server have in common."""

    life: Life
    """Takes calls from state to state."""
    table: CallTable
    """The calls that are here."""
    kept: RecordStore
    """Replies that may have to be sent again."""
    streams: Streams
    """The calls that stream."""
    early_cancels: EarlyCancels
    """Cancels that overtook their requests."""
    announcer: Announces
    """Tells callers of calls that take long."""
    once: OnceStore
    """Where the replies to requests with an idempotency key are recorded."""
    instance: str
    """The server's name for itself, which no other has."""
    user_of: Callable[[Incoming, str], str]
    """The user whose request it is, as far as a server with a given user may believe."""
    reply_elsewhere: Callable[[bytes], None]
    """Sends a reply whose own channel is gone, if another one is there."""
    publish_next: Publish
    """Publishes the request of the next stage of a pipe."""
    publish_confirmed: PublishConfirmed
    """Publishes what must be at the broker before the server goes on."""
    keep_failed: Callable[[MethodSpec, ServerCall, CallError, str], None]
    """Keeps the request of a one-way call that failed with this error, and has this key."""
    failed_kept: Callable[[], Awaitable[None]]
    """Waits until all of those are kept."""
    max_message_size: int
    """Bytes of the largest result."""
    send_tracebacks: bool
    """Whether callers get the traceback of an exception that the contract does not declare."""
    tracing: ServerTracing | None = None
    """Traces the calls; None if they are not traced."""
    endings: Endings | None = None
    """Tells how each call ended; None if nobody wants to know."""
