from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from leveret.client.calls.life import Pending, State
from leveret.client.calls.publisher import Publisher
from leveret.errors import LeveretError
from leveret.transport.channel import Channel
from tests.behaviour.patience import until
from tests.unit.client.calls.making import CHANNEL, a_call


class Line:
    """A channel and its connection, as far as a publisher uses them."""

    def __init__(self) -> None:
        self.connection = self
        self.closed: LeveretError | None = None
        self.frames: list[bytes] = []
        self.on_confirm: Callable[[int, bool, bool], None] = lambda *_: None

    def send(self, frames: bytes) -> None:
        self.frames.append(frames)


class There:
    def __init__(self) -> None:
        self.refused: list[Pending] = []
        self.taken: list[Pending] = []
        self.publisher = Publisher(on_refused=self.refused.append, on_taken=self.taken.append)
        self.line = self.attach()

    def attach(self) -> Line:
        line = Line()
        self.publisher.attached(cast("Channel", line), CHANNEL)
        return line

    def publish(self, *, if_busy_fail: bool = False, one_way: bool = False) -> Pending:
        call = a_call(idempotent=True, if_busy_fail=if_busy_fail, one_way=one_way)
        self.publisher.publish(call, 5.0, b"{}", b"")
        return call


def test_nothing_is_sent_before_there_is_a_channel() -> None:
    publisher = Publisher(on_refused=lambda _call: None, on_taken=lambda _call: None)
    assert not publisher.is_attached
    with pytest.raises(AssertionError, match="while there is a channel"):
        publisher.publish(a_call(), 5.0, b"{}", b"")


def test_a_request_is_unconfirmed_until_the_broker_confirms_it() -> None:
    there = There()
    first, second, third = there.publish(), there.publish(), there.publish()
    assert there.publisher.unconfirmed == 3
    there.line.on_confirm(2, False, True)
    assert [there.publisher.is_unconfirmed(c) for c in (first, second, third)] == [
        True,
        False,
        True,
    ]
    there.line.on_confirm(3, True, True)
    assert there.publisher.unconfirmed == 0
    assert there.refused == []


def test_a_request_goes_with_its_id_and_its_time_to_live() -> None:
    there = There()
    call = there.publish()
    assert call.id.encode() in there.line.frames[0]
    assert b"\x045000" in there.line.frames[0]
    there.publish(if_busy_fail=True)
    assert b"\x010" in there.line.frames[1]


def test_a_refused_request_is_told_and_answered_for() -> None:
    there = There()
    calls = [there.publish() for _ in range(3)]
    there.line.on_confirm(2, True, False)
    assert there.refused == calls[:2]
    assert there.publisher.unconfirmed == 1


def test_a_channel_that_ends_gives_back_what_was_not_confirmed() -> None:
    there = There()
    first, second = there.publish(), there.publish()
    there.line.on_confirm(1, False, True)
    assert there.publisher.detached() == [second]
    assert there.publisher.detached() == []
    there.attach()
    assert not there.publisher.is_unconfirmed(first)
    assert not there.publisher.is_unconfirmed(second)
    second.state = State.UNSENT  # it goes out again on the next channel
    assert there.publisher.is_unconfirmed(second)
    there.publisher.publish(second, 5.0, b"{}", b"")
    second.state = State.QUIET
    assert (second.number, there.publisher.is_unconfirmed(second)) == (1, True)


async def test_a_channel_is_given_up_once_all_is_answered_for_or_once_it_has_ended() -> None:
    there = There()
    there.publish()
    answered = asyncio.create_task(there.publisher.all_answered())
    await asyncio.sleep(0.02)
    assert not answered.done()
    there.line.on_confirm(1, False, True)
    await until(answered.done, "all is answered for")
    there.publish()
    there.line.closed = LeveretError("it ended")
    assert not there.publisher.is_attached
    await there.publisher.all_answered()


def test_a_one_way_call_is_told_once_the_broker_has_its_latest_request() -> None:
    there = There()
    there.publish()
    first, second = there.publish(one_way=True), there.publish(one_way=True)
    there.publish()
    there.publisher.publish(first, 5.0, b"{}", b"")  # it was returned, and goes again
    there.line.on_confirm(2, False, True)
    assert there.taken == []
    there.line.on_confirm(4, True, True)
    assert there.taken == [second]
    there.line.on_confirm(0, True, True)
    assert there.taken == [second, first]
    assert there.refused == []
    refused = there.publish(one_way=True)
    there.line.on_confirm(refused.number, False, False)
    assert (there.taken, there.refused) == ([second, first], [refused])
