"""A message whose confirm is awaited: what the broker did with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from leveret.amqp.events import Content
from leveret.amqp.frames import on_channel, publish_prefix
from leveret.amqp.methods import Basic
from leveret.amqp.properties import Properties
from leveret.errors import ConnectionLost, LeveretError
from leveret.transport.channel import Channel
from leveret.transport.confirmed import ConfirmedPublisher, Outcome


class Line:
    """A channel and its connection, as far as they are used here."""

    def __init__(self) -> None:
        self.connection = self
        self.loop = asyncio.get_running_loop()
        self.closed: LeveretError | None = None
        self.published: list[tuple[str, str, bool]] = []
        self.confirms = False
        self.number = 3
        self.sent: list[bytes] = []
        self.on_confirm: Callable[[int, bool, bool], None]
        self.on_return: Callable[[Content], None]
        self.on_close: Callable[[LeveretError], None]

    async def open_channel(self) -> Channel:
        return cast("Channel", self)

    async def select_confirms(self) -> None:
        self.confirms = True

    async def close(self) -> None:
        self.closed = LeveretError("closed")

    def publish(
        self, exchange: str, key: str, properties: Properties, body: bytes, *, mandatory: bool
    ) -> None:
        self.published.append((exchange, key, mandatory))

    async def writable(self) -> None:
        pass

    def check_open(self) -> None:
        if self.closed is not None:
            raise self.closed

    def send(self, frames: bytes) -> None:
        self.sent.append(frames)

    def give_back(self, name: str | None) -> None:
        properties = Properties(correlation_id=name)
        returned = Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="q")
        self.on_return(
            Content(channel=1, method=returned, properties=properties, body=b"", body_size=0)
        )


class There:
    def __init__(self, line: Line, publisher: ConfirmedPublisher) -> None:
        self.line = line
        self.publisher = publisher

    @classmethod
    async def open(cls) -> There:
        line = Line()
        publisher = await ConfirmedPublisher.open(line)
        assert line.confirms
        return cls(line, publisher)

    async def publish(self, *names: str) -> list[asyncio.Task[Outcome]]:
        """Messages are published, in this order."""
        tasks = []
        for name in names:
            publishing = self.publisher.publish("", "q", Properties(correlation_id=name), b"")
            tasks.append(asyncio.create_task(publishing))
            await asyncio.sleep(0)
        assert self.line.published[-len(names) :] == [("", "q", True)] * len(names)
        return tasks


async def test_each_message_is_answered_for_by_itself() -> None:
    there = await There.open()
    first, second, third, fourth = await there.publish("a", "a", "b", "")
    there.line.give_back("a")
    there.line.give_back(None)
    there.line.give_back("unknown")
    there.line.on_confirm(2, True, True)
    there.line.on_confirm(3, False, False)
    there.line.on_confirm(4, False, True)
    assert await first is Outcome.UNROUTED
    assert await second is Outcome.TAKEN
    assert await third is Outcome.REFUSED
    assert await fourth is Outcome.UNROUTED


async def test_who_waits_is_told_that_the_channel_has_ended_and_who_is_gone_is_not() -> None:
    there = await There.open()
    gone, waits = await there.publish("a", "b")
    gone.cancel()
    await asyncio.wait((gone,))
    there.line.on_confirm(1, False, True)
    assert there.publisher.is_open
    there.line.on_close(ConnectionLost("the test ends it"))
    with pytest.raises(ConnectionLost, match="the test ends it"):
        await waits
    await there.publisher.close()
    assert not there.publisher.is_open


async def test_a_message_that_was_packed_before_is_published_on_its_channel() -> None:
    there = await There.open()
    packed = publish_prefix(9, "leveret", "desk.work", mandatory=True)
    repeating = asyncio.create_task(there.publisher.repeat(packed, "a"))
    await asyncio.sleep(0)
    assert there.line.sent == [on_channel(packed, 3)]
    there.line.on_confirm(1, False, False)
    assert await repeating is Outcome.REFUSED
    await there.publisher.close()
    with pytest.raises(LeveretError, match="closed"):
        await there.publisher.repeat(packed, "b")
