"""`Lifespans`: what was entered is left, however far the start came."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

import pytest

from leveret.server.lifespans import Lifespans


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.news = asyncio.Event()

    def add(self, line: str) -> None:
        self.lines.append(line)
        self.news.set()

    async def says(self, line: str) -> None:
        async with asyncio.timeout(10):
            while line not in self.lines:
                self.news.clear()
                await self.news.wait()


class Service:
    def __init__(self, log: Log, name: str) -> None:
        self.log = log
        self.name = name

    async def __aenter__(self) -> Self:
        self.log.add(f"{self.name} entered")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.log.add(f"{self.name} left")


class Hanging(Service):
    async def __aenter__(self) -> Self:
        self.log.add(f"{self.name} hangs")
        await asyncio.Event().wait()
        return self


class Stubborn(Service):
    """Takes the first cancellation for something that may be tried again."""

    async def __aenter__(self) -> Self:
        self.log.add(f"{self.name} begins")
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        self.log.add(f"{self.name} tries again")
        await asyncio.Event().wait()
        return self


class NeverLeft(Service):
    async def __aexit__(self, *error: object) -> None:
        self.log.add(f"{self.name} hangs at its end")
        await asyncio.Event().wait()


async def test_they_are_entered_in_order_and_left_in_the_reverse_order() -> None:
    log, lifespans = Log(), Lifespans()
    await lifespans.enter((Service(log, "a"), object(), Service(log, "b")))
    await lifespans.leave()
    await lifespans.leave()
    assert log.lines == ["a entered", "b entered", "b left", "a left"]


async def test_one_that_hangs_is_cancelled_and_those_before_it_are_left() -> None:
    log, lifespans = Log(), Lifespans()
    entering = asyncio.create_task(
        lifespans.enter((Service(log, "a"), Hanging(log, "b"), Service(log, "c")))
    )
    await log.says("b hangs")
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    async with asyncio.timeout(10):
        await lifespans.leave()
    assert log.lines == ["a entered", "b hangs", "a left"]


async def test_one_that_does_not_let_itself_be_cancelled_is_cancelled_again() -> None:
    log, lifespans = Log(), Lifespans()
    entering = asyncio.create_task(lifespans.enter((Service(log, "a"), Stubborn(log, "b"))))
    await log.says("b begins")
    entering.cancel()
    await asyncio.wait((entering,))
    leaving = asyncio.create_task(lifespans.leave())
    await log.says("b tries again")
    leaving.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait((leaving,))
    assert log.lines == ["a entered", "b begins", "b tries again", "a left"]


async def test_one_that_hangs_while_it_is_left_is_cancelled_once_there_is_no_more_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, lifespans = Log(), Lifespans()
    await lifespans.enter((Service(log, "a"), NeverLeft(log, "b")))
    lifespans.hurry()  # it is not being left yet
    leaving = asyncio.create_task(lifespans.leave())
    await log.says("b hangs at its end")
    lifespans.hurry()
    async with asyncio.timeout(10):
        await leaving
    lifespans.hurry()
    assert log.lines == ["a entered", "b entered", "b hangs at its end", "a left"]
    assert len([m for m in caplog.messages if "cancelling what it waits for" in m]) == 1
