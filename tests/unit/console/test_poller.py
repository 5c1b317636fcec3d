"""The poller: what it knows, what it tells, and how it lives through a broker that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec import Struct

from leveret.console.poller import Poller
from leveret.errors import ConnectionLost
from leveret.wire.stats import ServerStats


class Said(Struct, frozen=True):
    servers: Sequence[ServerStats]
    missing: dict[str, int]
    uncounted: Sequence[str] = ()


class Broker:
    def __init__(self) -> None:
        self.away = ""
        self.asked = 0

    async def ask(self) -> Said:
        self.asked += 1
        if self.away:
            raise ConnectionLost(self.away)
        return Said([ServerStats(instance="a", services=["shop"])], {"shop": 1}, ["shop"])


async def test_a_poll_is_what_pages_show() -> None:
    poller = Poller(Broker().ask)
    await poller.poll()
    assert poller.view.services["shop"].missing == 1
    assert poller.view.uncounted == ["shop"]
    assert (poller.turn, poller.away) == (1, "")


async def test_a_broker_that_is_away_is_told_of_and_what_was_known_stays() -> None:
    broker = Broker()
    poller = Poller(broker.ask)
    await poller.poll()
    broker.away = "nobody listens"
    await poller.poll()
    since = poller.away_since
    await poller.poll()
    assert "nobody listens" in poller.away
    assert poller.away_since == since > 0
    assert "shop" in poller.view.services
    broker.away = ""
    await poller.poll()
    assert poller.away == ""


async def test_it_goes_on_until_it_is_stopped_and_tells_of_each_turn() -> None:
    broker = Broker()
    poller = Poller(broker.ask, interval=0.0)
    poller.start()
    poller.start()
    async with asyncio.timeout(30):
        assert await poller.after(0) >= 1
        assert await poller.after(2) >= 3
    await poller.stop()
    asked = broker.asked
    await asyncio.sleep(0)
    assert broker.asked == asked
    await Poller(broker.ask).stop()


async def test_who_waits_for_news_does_so_until_its_end() -> None:
    poller = Poller(Broker().ask, interval=3600.0)
    poller.start()
    turn = await poller.after(0)
    waiting = asyncio.create_task(poller.after(turn))
    await asyncio.sleep(0)
    poller.end()
    async with asyncio.timeout(30):
        assert await waiting == turn
    assert poller.is_over
    await poller.stop()


async def test_what_nobody_foresaw_ends_no_poll(caplog: pytest.LogCaptureFixture) -> None:
    asked = 0

    async def ask() -> Said:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise KeyError("a bug")
        return Said([], {})

    poller = Poller(ask, interval=0.0)
    await poller.poll()
    assert (poller.turn, poller.away) == (1, "KeyError('a bug')")
    assert poller.away_since > 0
    assert "KeyError" in caplog.text
    poller.start()
    async with asyncio.timeout(30):
        await poller.after(1)
    assert poller.away == ""
    await poller.stop()
