"""Where a call's outcome goes.

A call ends when its sink is done, not with its first reply. The future of one caller is done with
the first reply, and `loop.create_future()` is therefore the sink of a plain call. A sink that
collects several replies, or the items of a stream, is done when it has all of them; until then the
call stays in the table, under its deadline. The sink of a one-way call is done with the broker's
confirm, for which it gets `CONFIRMED`.
"""

from __future__ import annotations

from typing import Final, Protocol

from leveret.errors import CallError
from leveret.wire.message import Reply

CONFIRMED: Final = Reply(is_error=False, content_type=None, body=b"", body_size=0)
"""What the sink of a one-way call takes once the broker has confirmed the request."""


class Sink(Protocol):
    """What takes the replies to one call, or its error. An `asyncio.Future[Reply]` is one."""

    def done(self) -> bool:
        """Whether it takes nothing more: it has all that it waited for, or its caller is gone."""
        ...

    def set_result(self, reply: Reply, /) -> None:
        """Take a reply. Called only while it is not done."""

    def set_exception(self, error: CallError, /) -> None:
        """Take the error that the call ends with. Called only while it is not done."""

    def exception(self) -> BaseException | None:
        """The error that it took. It is read once, so that no event loop reports it as unseen."""
