"""Calls as a server has them, made without a broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret import Service, method
from leveret.amqp.events import Delivery
from leveret.amqp.frames import Frames
from leveret.amqp.properties import Properties
from leveret.contract import spec_of
from leveret.server.calls.life import ServerCall, Source
from leveret.server.calls.names import name_of
from leveret.server.calls.next_requests import Fate
from leveret.server.calls.way_back import Settle
from leveret.wire.dialect import ReplyPacker
from leveret.wire.message import CallKey, Incoming, Next, ReplyAddress
from leveret.wire.native.reply import ReplyPacker as NativePacker
from leveret.wire.native.request import read_request


class Desk(Service):
    @method
    async def work(self) -> None: ...

    @method(idempotent=True)
    async def again(self) -> None: ...

    @method(idempotent=True, queue="quorum")
    async def counted(self) -> None: ...

    @method(once=True)
    async def pay(self) -> None: ...


SPECS = spec_of(Desk).methods
SPEC = SPECS["work"]
METHOD = SPEC.key


class NextStage:
    """In place of `NextRequests`: what is passed on is written down, and has a fate.

    :param fates: those of the first ones; all others are taken.
    """

    def __init__(self, *fates: Fate) -> None:
        self.published: list[Next] = []
        self._fates = list(fates)

    async def publish(self, notice: bytes, request: Next) -> Fate:
        assert notice or request.request.started is not None
        self.published.append(request)
        return self._fates.pop(0) if self._fates else Fate.TAKEN


NOBODY = NextStage()
"""For servers of which none passes anything on."""


class Answers:
    """A way back on which everything is written down, by the name of the method."""

    def __init__(self, packer: ReplyPacker | None = None, number: int = 1) -> None:
        self.packer = packer or NativePacker(number, 0, spec=SPEC)
        self.number = number
        self.own_user = "server"
        self.remembers = True
        self.confirms = True
        self.is_open = True
        self.full = False
        self.paused = False
        self.sent: list[tuple[str, Any]] = []

    async def writable(self) -> None:
        self.paused = False

    def reply(self, frames: bytes) -> None:
        self.sent.append(("reply", frames))

    def send_item(self, frames: Frames) -> bool:
        self.sent.append(("reply", bytes(frames)))
        return not self.paused

    def defer(self, callback: Callable[[], None]) -> None:
        callback()

    def notice(self, frames: bytes) -> bool:
        self.sent.append(("notice", frames))
        return not self.full

    def repeat(self, name: str, frames: bytes) -> None:
        self.sent.append(("repeat", frames))

    def repeat_for(self, tag: int, frames: bytes) -> None:
        self.sent.extend((("repeat", frames), ("ack", tag)))

    def finish(self, call: ServerCall, frames: bytes) -> bool:
        self.sent.append(("finish", frames))
        return not self.full

    def reject(self, call: ServerCall, frames: bytes) -> None:
        self.sent.append(("reject", frames))

    def settle(self, tag: int, how: Settle) -> None:
        self.sent.append((how.value, tag))

    def hand_back(
        self,
        call: Incoming,
        seconds: float,
        user: str,
        attempts: int | None,
        placed: Callable[[bool], None] | None = None,
    ) -> bool:
        self.sent.append(("hand back", attempts))
        if placed is not None:
            placed(True)
        return True


def request(
    call_id: str = "1",
    *,
    redelivered: bool = False,
    tag: int = 1,
    body: bytes | None = b"{}",
    now: float = 0.0,
    **properties: Any,
) -> Incoming:
    """A request as it came from the broker.

    :param now: when, in seconds since 1970.
    """
    given = {"correlation_id": call_id or None, "reply_to": "replies", "expiration": "5000"}
    delivery = Delivery(
        1, "", tag, redelivered, "leveret", METHOD, Properties(**{**given, **properties}), body, 2
    )
    return read_request(delivery, now, 5.0)


def key(call_id: str, queue: str = "replies") -> CallKey:
    return ReplyAddress(exchange="", key=queue), call_id


def name(call_id: str, queue: str = "replies") -> str:
    return name_of(key(call_id, queue))


def call(call_id: str = "1", *, answers: Answers | None = None, **properties: Any) -> ServerCall:
    """A call that has arrived."""
    incoming = request(call_id, **properties)
    source = Source(queue="leveret.desk.work", answers=answers or Answers())
    named = name_of((incoming.reply_to, incoming.call_id))
    return ServerCall(method=METHOD, incoming=incoming, source=source, name=named)
