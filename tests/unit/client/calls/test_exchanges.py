"""Requests are held until the exchange is back that they are published to."""

from __future__ import annotations

import asyncio

import pytest

from leveret.client.calls import exchanges
from leveret.client.calls.exchanges import Exchanges
from leveret.errors import PermissionDenied
from tests.behaviour.patience import until


class There:
    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.attempts = 0
        self.held: list[str] = []
        self.exchanges = Exchanges(
            begin=asyncio.create_task,
            restore=self._restore,
            hold=self.held.append,
            release=self.held.remove,
        )

    async def _restore(self) -> None:
        self.attempts += 1
        if self.refusals:
            raise PermissionDenied(self.refusals.pop(0))


async def test_requests_are_held_until_the_exchange_is_there_again() -> None:
    there = There()
    there.exchanges.missing("leveret")
    there.exchanges.missing("leveret")  # by another request, meanwhile
    assert there.held == ["the exchange 'leveret' does not exist on the broker any more"]
    await until(lambda: not there.held, "they go again")
    assert there.attempts == 1
    there.exchanges.missing("leveret")
    await until(lambda: not there.held and there.attempts == 2, "and once more")


async def test_whoever_may_not_put_it_back_waits_for_those_who_may_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exchanges, "_PAUSE", 0.001)
    there = There("no right", "no right", "no right")
    there.exchanges.missing("leveret")
    await until(lambda: not there.held, "somebody else put it back")
    assert there.attempts == 4
    assert len([m for m in caplog.messages if "cannot be declared now: no right" in m]) == 1
