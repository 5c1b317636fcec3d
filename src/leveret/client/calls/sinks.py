"""Where a call's outcome goes.

A call ends when its sink is done, not with its first reply. The future of one caller is done with
the first reply, and `loop.create_future()` is therefore the sink of a plain call. A sink that
collects several replies, or the items of a stream, is done when it has all of them; until then the
call stays in the table, under its deadline.
"""

from __future__ import annotations

from typing import Protocol

from leveret.errors import CallError
from leveret.wire.message import Reply


class Sink(Protocol):
    """What takes the replies to one call, or its error. An `asyncio.Future[Reply]` is one."""

    def done(self) -> bool:
        """Whether it takes nothing more: it has what it waits for, or its caller is gone."""
        ...

    def set_result(self, reply: Reply, /) -> None:
        """Take a reply. Called only while it is not done."""

    def set_exception(self, error: CallError, /) -> None:
        """Take the error that the call ends with. Called only while it is not done."""

    def exception(self) -> BaseException | None:
        """The error that it took. Asked for once, so that no event loop reports it as unseen."""
