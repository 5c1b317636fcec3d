"""A channel that is of no more use ends, once the broker has answered for its requests."""

from __future__ import annotations

import asyncio

import pytest

from leveret.amqp.codes import ReplyCode
from leveret.client.calls import channel_replacement
from leveret.client.calls.channel_replacement import ChannelReplacement
from leveret.errors import ChannelClosed


class There:
    """A channel, and what publishes on it."""

    def __init__(self) -> None:
        self.closed: Exception | None = None
        self.is_closed_at_broker = False
        self.answered = asyncio.Event()
        self.held: list[str] = []
        self.replacement = ChannelReplacement(self, hold=self.held.append, release=self.held.remove)

    @property
    def channel(self) -> There:
        return self

    async def all_answered(self) -> None:
        await self.answered.wait()

    def abandon(self) -> None:
        self.is_closed_at_broker = True

    def end(self, error: ChannelClosed) -> None:
        self.closed = error


async def test_it_ends_once_the_broker_has_answered_for_all_requests() -> None:
    there = There()
    replacing = asyncio.create_task(there.replacement.replace("gone", ReplyCode.NOT_FOUND))
    await asyncio.sleep(0)
    assert there.held == ["the client's channel is being replaced"]
    assert there.closed is None
    there.answered.set()
    await replacing
    assert there.is_closed_at_broker
    assert isinstance(there.closed, ChannelClosed)
    assert (there.closed.reply_code, there.held) == (ReplyCode.NOT_FOUND, [])


async def test_it_ends_too_where_the_broker_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_replacement, "_CONFIRMED_WITHIN", 0.001)
    there = There()
    await there.replacement.replace()
    assert "it refuses requests" in str(there.closed)
    assert not there.held


async def test_one_that_has_ended_meanwhile_is_left_alone() -> None:
    there = There()
    there.answered.set()
    there.closed = broken = ConnectionError("broken")
    await there.replacement.replace()
    assert there.closed is broken
    assert not there.is_closed_at_broker
    assert not there.held


async def test_requests_go_on_where_the_replacement_is_cancelled() -> None:
    there = There()
    replacing = asyncio.create_task(there.replacement.replace())
    await asyncio.sleep(0)
    replacing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replacing
    assert there.closed is None
    assert not there.held
