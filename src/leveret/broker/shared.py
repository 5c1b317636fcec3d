"""The brokers behind `embedded://`: one per name and event loop, while somebody uses it (asyncio).

They have no port. Their clients connect in memory.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from leveret.broker.limits import Limits
from leveret.broker.permissions import User
from leveret.broker.pipe import join
from leveret.broker.running import PURPOSE, RunningBroker

__all__ = ["SharedBroker", "share"]

log = logging.getLogger("leveret.broker")

_Brokers = WeakValueDictionary[str, "SharedBroker"]

_RUNNING: Final[WeakKeyDictionary[AbstractEventLoop, _Brokers]] = WeakKeyDictionary()
"""Weak on both sides: a broker knows its loop. A table that held the broker would hold the loop as
well, and whatever ended without `leave` would stay forever. Whoever uses a broker holds it."""


class SharedBroker:
    """A broker in memory, and how many use it. It ends when the last one has left.

    Its only user is guest, with the password guest, and its only vhost is "/".
    """

    def __init__(self, name: str, others: _Brokers) -> None:
        self.name = name
        self._others = others
        self._uses = 0
        guest = User(password="guest")  # noqa: S106 - the only user of a broker without a port
        self._broker = RunningBroker({"guest": guest}, ("/",), Limits())
        log.info("embedded AMQP broker at embedded://%s: %s", name, PURPOSE)

    def join(self) -> None:
        """Use it. It runs until as many have called `leave`."""
        self._uses += 1

    async def leave(self) -> None:
        """Use it no longer."""
        self._uses -= 1
        if self._uses == 0:
            # Out of the table first: whoever comes while it ends gets a new one.
            del self._others[self.name]
            await self._broker.stop()

    async def connect(self, client: asyncio.Protocol) -> None:
        """Connect a client in memory.

        :raises ConnectionRefusedError: if the broker has ended.
        """
        if self._uses == 0:
            raise ConnectionRefusedError(f"the broker embedded://{self.name} has ended")
        join(client, self._broker.accept(), name=f"embedded://{self.name}")


def share(name: str = "") -> SharedBroker:
    """The broker of that name in this event loop, which is made if there is none.

    Whoever gets it calls `leave` at the end.
    """
    brokers = _RUNNING.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    shared = brokers.get(name)
    if shared is None:
        shared = brokers[name] = SharedBroker(name, brokers)
    shared.join()
    return shared
