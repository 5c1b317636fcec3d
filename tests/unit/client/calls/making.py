"""Calls without a client, for the tests of the pure files."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextvars import Context
from itertools import count
from typing import Any, TypeVarTuple, Unpack

from leveret.client.calls.life import Pending
from leveret.client.calls.request import InPipe, Request
from leveret.client.calls.route import Finding, QueueState, Route
from leveret.errors import CallError
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import Reply, ReplyAddress
from leveret.wire.native.dialect import NativeClient

Ts = TypeVarTuple("Ts")

CHANNEL = ClientChannel(
    number=1,
    frame_max=131072,
    reply_to=ReplyAddress(exchange="", key="leveret.reply.test"),
    user="guest",
    name="",
)

REPLY = Reply(is_error=False, content_type="application/json", body=b"1", body_size=1)


class Heard:
    """A sink that keeps what it is given, and is done after so many replies."""

    def __init__(self, replies: int = 1) -> None:
        self.replies: list[Reply] = []
        self.error: CallError | None = None
        self.gone = False
        self._wanted = replies

    def done(self) -> bool:
        return self.gone or self.error is not None or len(self.replies) == self._wanted

    def set_result(self, reply: Reply, /) -> None:
        assert not self.done()
        self.replies.append(reply)

    def set_exception(self, error: CallError, /) -> None:
        assert not self.done()
        self.error = error

    def exception(self) -> CallError | None:
        return self.error


def a_request(route: Route | None = None, **options: Any) -> Request:
    """What calls of `gate.once` have in common."""
    dialect = NativeClient()
    route = route or Route("gate.once", "leveret.gate.once", "gate")
    return Request(
        CHANNEL, dialect, route, key="gate.once", content_type="application/json", **options
    )


def a_call(
    *, started: float = 100.0, timeout: float = 10.0, route: Route | None = None, **options: Any
) -> Pending:
    """A call that was sent at `started`; `options` are those of its `Request`."""
    request = a_request(route, **options)
    return Pending(request, f"call-{next(_NUMBERS)}", started, timeout, Heard(), b"{}", b"")


def a_pipe(**options: Any) -> Pending:
    """A call of a pipe of three stages, at the first."""
    routes = [Route(f"{name}.do", f"leveret.{name}.do", name) for name in ("ink", "press")]
    return a_call(in_pipe=InPipe(headers=b"stages", routes=routes), **options)


def found(
    consumers: int = 0,
    messages: int = 0,
    *,
    at: float = 100.0,
    state: QueueState = QueueState.THERE,
) -> Finding:
    """What a probe found that was sent and answered at one time."""
    return Finding(
        state=state,
        asked_at=at,
        found_at=at,
        consumers=consumers,
        messages=messages,
        covers_since=at,
    )


_NUMBERS: Iterator[int] = count(1)


class HandLoop(asyncio.BaseEventLoop):
    """An event loop's clock and timers, moved by hand; nothing else of a loop works."""

    def __init__(self, now: float = 1000.0) -> None:
        super().__init__()
        self.close()  # of a loop, only the clock and the timers are here
        self.now = now
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []

    def time(self) -> float:
        return self.now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(_NUMBERS), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over."""

    @property
    def timers(self) -> int:
        """How many timers are set."""
        return sum(not handle.cancelled() for _, _, handle in self._timers)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and all happen that is due by then, with the tasks that it starts."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled():
                self.now = max(self.now, when)
                handle._run()
                for _ in range(3):
                    await asyncio.sleep(0)
        self.now = end
