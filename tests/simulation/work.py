"""The services that simulated clients call, and the diary of what their handlers really did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

from leveret import DeclaredError, Service, method
from tests.faults.diary import Entry, What
from tests.faults.streams import Tally

Conduct = Literal["", "deaf", "raises", "refuses", "exits", "yields", "talks"]
"""How a handler behaves: well; it does not hear that it is cancelled; it raises an error of its
own, a declared one, SystemExit, GeneratorExit; its result is large."""

_DEAF: Final = 0.3
"""Seconds for which a handler that does not hear its cancellation goes on."""


_LARGE: Final = 150_000
"""Bytes that a large result has more than others."""


def answer_to(key: str, conduct: Conduct) -> str:
    """The right result of a call."""
    return key + "y" * _LARGE if conduct == "talks" else key


class Refused(DeclaredError):
    """What a handler says no with."""

    reason: str


class MemoryDiary:
    """What the handlers of all servers did, on the world's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.entries: dict[str, Entry] = {}
        self.running: Counter[tuple[str, str]] = Counter()
        """How many handlers of a call are at work at a server, by the call's key and the server."""
        self.uploads: dict[str, list[Tally]] = {}
        """What came of each upload to a handler that saw its end, by its call's key."""
        self.tallies: list[tuple[str, Tally]] = []
        """What came of each upload to any handler."""
        self._clock = clock

    def write(self, key: str, what: What, server: str) -> None:
        """Note that the handler of this call began, ended, or broke off."""
        entry = self.entries.setdefault(key, Entry())
        now = self._clock()
        if what == "began":
            entry.began.append(now)
            entry.servers.append(server)
            self.running[key, server] += 1
            return
        self.running[key, server] -= 1
        if what == "ended":
            entry.ended.append(now)
        else:
            entry.broke_off.append(now)


class Work(Service):
    """Handlers that write into the diary.

    :param server: what this server is called there.
    """

    def __init__(self, diary: MemoryDiary, server: str) -> None:
        self._diary = diary
        self._server = server

    @method(timeout=5, raises=[Refused])
    async def once(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)

    @method(timeout=5, idempotent=True, raises=[Refused])
    async def again(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)

    async def _work(self, key: str, seconds: float, conduct: Conduct) -> str:
        write = self._diary.write
        write(key, "began", self._server)
        try:
            if seconds:
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if conduct == "deaf":
                await asyncio.sleep(_DEAF)
            else:
                write(key, "broke off", self._server)
                raise
        write(key, "ended", self._server)
        match conduct:
            case "raises":
                raise ArithmeticError(key)
            case "refuses":
                raise Refused(reason=key)
            case "exits":
                raise SystemExit(1)
            case "yields":
                raise GeneratorExit
            case _:
                return answer_to(key, conduct)


class Keyed(Work, name="keyed"):
    """The same work, each call with a key: it may be asked for again, and runs once."""

    @method(timeout=5, once=True, raises=[Refused])
    async def once(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)

    @method(timeout=5, once=True, idempotent=True, raises=[Refused])
    async def again(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)


NARROW: Final = 2
"""How many calls of one narrow method a server runs at a time."""


class Narrow(Work, name="narrow"):
    """The same work where few calls run and few wait."""

    @method(timeout=5, concurrency=NARROW, max_length=4, raises=[Refused])
    async def once(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)

    @method(timeout=5, idempotent=True, concurrency=NARROW, max_length=4, raises=[Refused])
    async def again(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)


class Quorum(Work, name="quorum"):
    """The same work from quorum queues."""

    @method(timeout=5, queue="quorum", raises=[Refused])
    async def once(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)

    @method(timeout=5, idempotent=True, queue="quorum", raises=[Refused])
    async def again(self, key: str, seconds: float, padding: str, conduct: Conduct) -> str:
        return await self._work(key, seconds, conduct)


KINDS: Final[tuple[type[Work], ...]] = (Work, Keyed, Narrow, Quorum)
