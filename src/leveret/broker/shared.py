"""The brokers behind `embedded://`: one per name and event loop, while somebody uses it."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from leveret.broker.embedded import EmbeddedBroker

__all__ = ["SharedBroker", "share"]

_Brokers = WeakValueDictionary[str, "SharedBroker"]

_RUNNING: Final[WeakKeyDictionary[AbstractEventLoop, _Brokers]] = WeakKeyDictionary()
"""Weak on both sides: a broker knows its loop, so that a table which held the broker would hold the
loop too, and what ended without `leave` for good. While a broker listens, its loop holds it."""


class SharedBroker(EmbeddedBroker):
    """A broker and how many use it; the first one starts it, the last one closes it."""

    def __init__(self, name: str, others: _Brokers) -> None:
        super().__init__()
        self._name = name
        self._others = others
        self._uses = 0
        self._starting = asyncio.Lock()

    async def join(self) -> None:
        """Use it. It runs until as many have called `leave`.

        :raises OSError: if it cannot listen.
        """
        self._uses += 1
        try:
            async with self._starting:
                await self.start()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Use it no longer."""
        self._uses -= 1
        if self._uses == 0:
            # Out of the table first: who comes while it closes gets a new one.
            del self._others[self._name]
            await self.close()


async def share(name: str = "") -> SharedBroker:
    """The broker of that name in this event loop, started where it does not run.

    Whoever has it calls `leave` at the end.
    """
    brokers = _RUNNING.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    shared = brokers.get(name)
    if shared is None:
        shared = brokers[name] = SharedBroker(name, brokers)
    await shared.join()
    return shared
