"""What the broker says of queues, and what it does not."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from leveret.amqp.methods import Queue
from leveret.console import queues
from leveret.console.queues import look_at
from leveret.errors import ChannelClosed
from leveret.transport.channel import Channel


class Scripted:
    """A connection and its channels: queues by name, with ready messages and consumers."""

    def __init__(self, **queues: tuple[int, int]) -> None:
        self.queues = queues
        self.opened = self.closed = 0

    async def open_channel(self) -> Channel:
        self.opened += 1
        return cast("Channel", self)

    async def look_at_queue(self, name: str) -> Any:
        if name == "stuck":
            await asyncio.Event().wait()
        if name not in self.queues:
            raise ChannelClosed(404, "no queue")
        ready, consumers = self.queues[name]
        return Queue.DeclareOk(queue=name, message_count=ready, consumer_count=consumers)

    def abandon(self) -> None:
        self.closed += 1


async def test_a_queue_that_is_not_there_costs_a_channel_and_no_page() -> None:
    broker = Scripted(a=(3, 2), c=(0, 1))
    rows = await look_at(broker, [("a", "s.a"), ("b", "s.b"), ("c", "s.c")])
    assert [(row.name, row.ready, row.consumers) for row in rows] == [
        ("a", 3, 2),
        ("b", None, None),
        ("c", 0, 1),
    ]
    assert "no queue" in rows[1].why
    assert (broker.opened, broker.closed) == (2, 1)
    assert await look_at(broker, []) == []


async def test_a_broker_that_says_nothing_costs_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "_WITHIN", 0.0)
    broker = Scripted(a=(3, 2), c=(0, 1))
    async with asyncio.timeout(30):
        rows = await look_at(broker, [("a", "s.a"), ("stuck", "s.b"), ("c", "s.c")])
    assert [(row.name, row.ready) for row in rows] == [("a", 3), ("stuck", None), ("c", None)]
    assert "did not say" in rows[2].why
    assert broker.closed == 1
