"""Calls without a client, for the tests of the pure files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from leveret.client.calls.life import Pending
from leveret.client.calls.request import Request
from leveret.client.calls.route import Finding, QueueState, Route
from leveret.errors import CallError
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import Reply, ReplyAddress
from leveret.wire.native.dialect import NativeClient

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


def found(
    consumers: int = 0,
    messages: int = 0,
    *,
    at: float = 100.0,
    state: QueueState = QueueState.THERE,
) -> Finding:
    """What a probe found that was sent and answered at one time."""
    return Finding(state=state, asked_at=at, found_at=at, consumers=consumers, messages=messages)


_NUMBERS: Iterator[int] = count(1)
