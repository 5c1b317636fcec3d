"""The brokers behind `embedded://`: one per name and event loop, while somebody uses it."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from typing import Final
from weakref import WeakKeyDictionary

from leveret.broker.server import EmbeddedBroker

__all__ = ["SharedBroker", "share"]

_RUNNING: Final[WeakKeyDictionary[AbstractEventLoop, dict[str, SharedBroker]]] = WeakKeyDictionary()


class SharedBroker:
    """A broker and how many use it; the first one starts it, the last one closes it."""

    def __init__(self, name: str, others: dict[str, SharedBroker]) -> None:
        self._name = name
        self._others = others
        self._broker = EmbeddedBroker()
        self._users = 0
        self._starting = asyncio.Lock()

    @property
    def url(self) -> str:
        """Its AMQP URL, which other clients can use as well."""
        return self._broker.url

    async def join(self) -> None:
        """Use it. It runs until as many have called `leave`.

        :raises OSError: if it cannot listen.
        """
        self._users += 1
        try:
            async with self._starting:
                await self._broker.start()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Use it no longer."""
        self._users -= 1
        if self._users == 0:
            # Out of the table first: who comes while it closes gets a new one.
            del self._others[self._name]
            await self._broker.close()


async def share(name: str = "") -> SharedBroker:
    """The broker of that name in this event loop, started where it does not run.

    Whoever has it calls `leave` at the end.
    """
    brokers = _RUNNING.setdefault(asyncio.get_running_loop(), {})
    shared = brokers.get(name)
    if shared is None:
        shared = brokers[name] = SharedBroker(name, brokers)
    await shared.join()
    return shared
