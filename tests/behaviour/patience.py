"""How tests wait: for a condition, never for a length of time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 15.0
"""Seconds after which what a test waits for counts as never coming."""

AT_ONCE = 5.0
"""Seconds that stand for "at once" where the alternative is a deadline of 30 s or more."""


def at_once() -> asyncio.Timeout:
    """What happens in this block is not a matter of waiting for the call's deadline."""
    return asyncio.timeout(AT_ONCE)


async def until(true: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition holds; fail, saying what did not happen."""
    give_up = asyncio.get_running_loop().time() + PATIENCE
    while not true():
        assert asyncio.get_running_loop().time() < give_up, f"this never happened: {what}"
        await asyncio.sleep(0.005)


async def until_found(
    look: Callable[[], Awaitable[object]], wanted: object, what: str, patience: float = PATIENCE
) -> None:
    """Look again and again until what is found is what is wanted."""
    give_up = asyncio.get_running_loop().time() + patience
    while (found := await look()) != wanted:
        assert asyncio.get_running_loop().time() < give_up, (
            f"this never happened: {what}; wanted {wanted!r}, the last look found {found!r}"
        )
        await asyncio.sleep(0.005)
