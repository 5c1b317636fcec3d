"""Control messages leave by a channel of their own, which may be closed for one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from leveret.amqp import methods
from leveret.amqp.events import Content
from leveret.amqp.properties import Properties
from leveret.client.calls.messenger import Messenger
from leveret.errors import ChannelClosed, ConnectionLost, LeveretError
from leveret.transport.connection import Connection
from tests.behaviour.patience import until

GONE = ChannelClosed(404, "NOT_FOUND - no exchange 'control' in vhost '/'")


class Line:
    """A channel, as far as a messenger uses it."""

    def __init__(self) -> None:
        self.closed: LeveretError | None = None
        self.sent: list[str] = []
        self.on_confirm: Callable[[int, bool, bool], None] | None = None
        self.on_return: Callable[[Content], None] | None = None
        self.on_close: Callable[[LeveretError], None] | None = None

    async def select_confirms(self) -> None:
        """It has nothing to tell."""

    def publish(
        self, exchange: str, key: str, properties: Properties, _body: bytes, *, mandatory: bool
    ) -> None:
        assert (exchange, mandatory) == ("control", True)
        self.sent.append(f"{key} {properties.type} {properties.correlation_id}")

    def end(self, error: LeveretError) -> None:
        self.closed = error
        assert self.on_close is not None
        self.on_close(error)

    async def close(self) -> None:
        self.closed = ChannelClosed(200, "bye")


class There:
    """A messenger on a connection that opens lines."""

    def __init__(self) -> None:
        self.closed: LeveretError | None = None
        self.refusal: LeveretError | None = None
        self.lines: list[Line] = []
        self.restored = 0
        self.question: str | None = None
        self.later: list[Callable[[], None]] = []
        self.messenger = Messenger(
            exchange="control",
            connection=lambda: cast("Connection", self),
            begin=asyncio.create_task,
            restore=self._restore,
            call_later=self._call_later,
            unbound=lambda sent: sent.correlation_id == self.question,
            most=10,
        )

    async def open_channel(self) -> Line:
        if self.refusal is not None:
            raise self.refusal
        self.lines.append(Line())
        return self.lines[-1]

    async def _restore(self) -> None:
        self.restored += 1

    def _call_later(self, _seconds: float, again: Callable[[], None]) -> None:
        self.later.append(again)

    def cancel(self, call_id: str) -> None:
        self.messenger.send("gate", properties(call_id))

    async def until_sent(self, *messages: str) -> Line:
        await until(lambda: self.lines and self.lines[-1].sent == [*messages], "they are sent")  # type: ignore[arg-type, return-value]
        return self.lines[-1]


def properties(call_id: str) -> Properties:
    return Properties(type="cancel", correlation_id=call_id)


def returned(call_id: str) -> Content:
    method: Any = methods.Basic.Return(
        reply_code=312, reply_text="NO_ROUTE", exchange="control", routing_key="gate"
    )
    return Content(channel=1, method=method, properties=properties(call_id), body=b"", body_size=0)


async def test_messages_wait_for_their_channel_and_then_leave_at_once() -> None:
    there = There()
    there.cancel("1")
    there.cancel("2")
    line = await there.until_sent("gate cancel 1", "gate cancel 2")
    there.cancel("3")
    assert line.sent[-1] == "gate cancel 3"
    await there.messenger.close()
    assert line.closed is not None
    assert len(there.lines) == 1


async def test_what_the_broker_did_not_take_is_sent_once_more_once_the_exchange_is_back() -> None:
    there = There()
    for call_id in ("1", "2"):
        there.cancel(call_id)
    line = await there.until_sent("gate cancel 1", "gate cancel 2")
    assert line.on_confirm is not None
    line.on_confirm(1, False, True)
    line.end(GONE)
    line = await there.until_sent("gate cancel 2")
    assert there.restored == 1
    line.end(GONE)
    await asyncio.sleep(0)
    assert len(there.lines) == 2  # twice is enough


async def test_a_message_that_reaches_no_server_is_sent_again_later_a_few_times() -> None:
    there = There()
    there.cancel("1")
    line = await there.until_sent("gate cancel 1")
    assert line.on_return is not None
    for times in range(1, 9):
        line.on_return(returned("1"))
        if there.later:
            there.later.pop()()
        assert len(line.sent) == min(times + 1, 6)
    line.on_return(returned("unknown"))
    assert not there.later


async def test_nothing_is_sent_again_after_the_end() -> None:
    there = There()
    there.cancel("1")
    line = await there.until_sent("gate cancel 1")
    assert line.on_return is not None
    line.on_return(returned("1"))
    there.closed = ConnectionLost("it broke")
    line.end(there.closed)
    there.later.pop()()
    assert (len(there.lines), len(line.sent)) == (1, 1)


async def test_a_channel_that_cannot_be_opened_loses_the_messages_and_is_told_of_once(
    caplog: Any,
) -> None:
    there = There()
    there.refusal = ChannelClosed(403, "ACCESS_REFUSED")
    for call_id in ("1", "2"):
        there.cancel(call_id)
        await there.messenger.close()
    assert len([m for m in caplog.messages if "cannot be sent now" in m]) == 1
    there.refusal = None
    there.cancel("3")
    await there.until_sent("gate cancel 3")


async def test_a_question_that_nobody_is_there_for_is_not_sent_again() -> None:
    there = There()
    there.question = "1"
    there.cancel("1")
    there.cancel("2")
    line = await there.until_sent("gate cancel 1", "gate cancel 2")
    assert line.on_return is not None
    line.on_return(returned("1"))
    assert not there.later
    line.on_return(returned("2"))
    assert len(there.later) == 1
