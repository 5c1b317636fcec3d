"""Whoever publishes what must be confirmed is told whether the broker has it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.errors import ConnectionLost, LeveretError
from leveret.server import confirmed_messages
from leveret.server.confirmed_messages import ConfirmedMessages
from leveret.transport.confirmed import Outcome


class Publisher:
    """Publishes nothing, and says what the test says of it."""

    opened = 0

    def __init__(self) -> None:
        self.is_open = True
        self.outcomes: list[Outcome | LeveretError] = []
        self.waits = asyncio.Event()

    async def open(self, _connection: object) -> Publisher:
        self.opened += 1
        self.is_open = True
        return self

    async def repeat(self, _frames: bytes, _name: str) -> Outcome:
        if not self.outcomes:
            await self.waits.wait()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, LeveretError):
            self.is_open = False
            raise outcome
        return outcome

    async def close(self) -> None:
        self.is_open = False


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    made = Publisher()
    monkeypatch.setattr(confirmed_messages, "ConfirmedPublisher", made)
    return made


def made() -> ConfirmedMessages:
    connection: Any = object()
    return ConfirmedMessages(asyncio.get_running_loop(), lambda: connection)


async def test_each_is_told_whether_the_broker_has_its_message(publisher: Publisher) -> None:
    publish = made()
    told: list[bool] = []
    lost = ConnectionLost("the test ends it")
    publisher.outcomes = [Outcome.TAKEN, Outcome.REFUSED, Outcome.UNROUTED, lost, Outcome.TAKEN]
    for name in "abcde":
        publish(b"", name, told.append)
        await publish.finished()
    assert told == [True, False, False, False, True]
    assert publisher.opened == 2


async def test_closed_it_tells_nobody_and_more_than_it_can_wait_for_it_refuses(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmed_messages, "_MOST", 1)
    publish = made()
    told: list[bool] = []
    await publish.close()  # nothing was ever published
    publish(b"", "a", told.append)
    await asyncio.sleep(0)
    publish(b"", "b", told.append)
    assert told == [False]
    await publish.close()
    assert told == [False]
    assert not publisher.is_open
