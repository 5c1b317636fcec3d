"""Work for a browser, and a browser that leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.console.leaving import unless_left


async def stays() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_what_work_gives_and_raises_is_handed_on() -> None:
    async def work() -> int:
        return 7

    async def fails() -> int:
        raise ValueError("no")

    assert await unless_left(stays, work()) == 7
    with pytest.raises(ValueError, match="no"):
        await unless_left(stays, fails())


async def test_work_is_cancelled_and_has_ended_when_its_browser_has_left() -> None:
    began = asyncio.Event()
    ended = False
    said = iter(("http.request", "http.disconnect"))

    async def leaves() -> dict[str, Any]:
        await began.wait()
        return {"type": next(said)}

    async def work() -> int:
        nonlocal ended
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended = True
        return 7

    async with asyncio.timeout(30):
        assert await unless_left(leaves, work()) is None
    assert ended
