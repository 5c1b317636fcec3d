"""An answer that several ask for at once."""

from __future__ import annotations

import asyncio

import pytest

from leveret.console.recent import Recent


class Asked:
    def __init__(self) -> None:
        self.times = 0
        self.fails = False

    async def __call__(self) -> int:
        self.times += 1
        await asyncio.sleep(0)
        if self.fails:
            raise ValueError("no")
        return self.times


async def test_those_who_come_together_get_one_answer() -> None:
    ask = Asked()
    recent = Recent(ask, seconds=3600.0)
    assert list(await asyncio.gather(*(recent.get() for _ in range(3)))) == [1, 1, 1]
    recent.forget()
    assert await recent.get() == 2


async def test_an_old_answer_and_an_error_are_not_kept() -> None:
    ask = Asked()
    recent = Recent(ask, seconds=-1.0)
    assert [await recent.get(), await recent.get()] == [1, 2]
    kept = Recent(ask, seconds=3600.0)
    ask.fails = True
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await kept.get()
    ask.fails = False
    assert await kept.get() == 5
