"""The client's end of one stream: the sink of its call.

Items wait here until the consumer takes them. `ReceivingHalf` sees to it that each comes once and
in order, and that their number is bounded. The consumer takes what is here first, and only then
learns how the stream has ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from leveret.client.calls.upload import Upload
from leveret.errors import CallError
from leveret.streaming import Liveness, ReceivingHalf
from leveret.streaming.receiving import Act
from leveret.wire.message import Reply
from leveret.wire.stream_messages import Closing, Credited, End, Item, Items, Sign, StreamMessage

_TAKE: Final = Act.TAKE
"""Bound once, for the hot path: before Python 3.12 reading a member of an enum is slow."""

_ANSWERED: Final = frozenset({Act.ASK, Act.ACKNOWLEDGE, Act.FINISH, Act.BREAK})
"""After what the server is told something."""


def _nobody() -> None:
    """Nobody is to be told of credit yet: no server has begun the stream."""


def _no_deadline(_when: float) -> None:
    """No server has begun the stream: the deadline of its request stands."""


class Stream:
    """The items of one call that streams, and its upload.

    :param loop: the client's event loop.
    :param items: how many items may come beyond those that the consumer took.
    :param size: how many bytes of their bodies.
    :param until: when the stream must be over, on the event loop's clock; inf: never.
    :param results: whether results stream; otherwise one result ends it.
    :param upload: the upload, if there is one.
    """

    __slots__ = (
        "_loop",
        "_waiter",
        "error",
        "extend",
        "half",
        "heard",
        "is_asked_again",
        "is_over",
        "items",
        "liveness",
        "metadata",
        "moved",
        "results",
        "returned_at",
        "server",
        "tell",
        "until",
        "upload",
        "wants_credit",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        items: int,
        size: int,
        until: float,
        results: bool = True,
        upload: Upload | None = None,
    ) -> None:
        self.results = results
        """Whether results stream."""
        self.upload = upload
        """The upload; None if there is none."""
        self.items: deque[Item] = deque()
        """The items that arrived and were not taken."""
        self.server = ""
        """The server that sends, as "service.instance"; "" while none has begun."""
        self.error: BaseException | Reply | None = None
        """The reply or the error that ended it, if its end did not."""
        self.is_over = False
        """Whether no more items will come."""
        self.moved = False
        """Whether its server stopped before the handler had ended."""
        self.metadata: dict[str, str] | None = None
        """The metadata that came with its end."""
        self.liveness = Liveness(loop.time())
        self.heard = False
        """Whether its server has sent anything since `liveness` was told."""
        self.until = until
        """When it must be over, on the event loop's clock."""
        self.returned_at = 0.0
        """When the broker first returned a message for its server; 0 while the server can be
        reached."""
        self.is_asked_again = False
        """Whether the client is about to ask its server again, which could not be reached."""
        self.tell: Callable[[], None] = _nobody
        """Sends its credit to the server."""
        self.extend: Callable[[float], None] = _no_deadline
        """Moves the deadline of its call, on the event loop's clock."""
        self.wants_credit = False
        """Whether the message that was taken last asks for a credit."""
        self.half = ReceivingHalf(items, size)
        """The rules by which it receives."""
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    # -- what comes ---------------------------------------------------------------------------

    def take(self, message: StreamMessage) -> bool:
        """Take a message of its server; return whether all is said, as it has the next items.

        Otherwise `wants_credit` and `is_over` say what follows.
        """
        if type(message) is Item:
            act = self.half.item(message.n)
            if act is _TAKE:
                self.items.append(message)
                if self._waiter is not None:
                    self._wake()
                return True
        elif type(message) is Items:
            act, had = self.half.items(message.n, len(message.sizes))
            if act is _TAKE:
                self.items += message.after(had)
                if self._waiter is not None:
                    self._wake()
                return True
        else:
            act = self._take_other(message)
        self.wants_credit = act in _ANSWERED
        if act is Act.FINISH or act is Act.BREAK:
            self._over()
        return False

    def _take_other(self, message: StreamMessage) -> Act:
        """What to do about a message that is not an item."""
        if isinstance(message, End):
            act = self.half.end(message.n)
            self.moved = message.moved
            self.metadata = message.metadata
        elif isinstance(message, Closing):
            act = self.half.end(message.n)
            if act is Act.FINISH or act is Act.BREAK:
                # Also of a server that has lost count, as it does not know the stream any more.
                self.error = message.reply
                self.metadata = message.reply.metadata
        elif isinstance(message, Sign):
            act = self.half.sign(message.n)
        else:
            if self.upload is not None and isinstance(message, Credited):
                self.upload.credited(message.credit)
            act = Act.DROP
        return act

    # -- a sink, for the table ------------------------------------------------------------------

    def done(self) -> bool:
        """Whether it takes nothing more."""
        return self.is_over

    def set_result(self, reply: Reply, /) -> None:
        """Take a reply in place of a stream, which is over."""
        self.error = reply
        self._over()

    def set_exception(self, error: CallError, /) -> None:
        """Take the error that it ends with."""
        self.error = error
        self._over()

    def exception(self) -> BaseException | None:
        """The error that it took."""
        return self.error if isinstance(self.error, BaseException) else None

    def fail(self, error: BaseException) -> None:
        """End it, as it cannot go on at this side."""
        if not self.is_over:
            self.error = error
            self._over()

    # -- the consumer -------------------------------------------------------------------------

    @property
    def is_awaited(self) -> bool:
        """Whether a consumer waits for the next item."""
        return self._waiter is not None

    async def wait(self) -> None:
        """Return once there is an item, or the stream is over."""
        if self.items or self.is_over:
            return
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _over(self) -> None:
        self.is_over = True
        if self.upload is not None:
            self.upload.stop()
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
