"""A client and servers of `Work`, some of them by way of a `FaultProxy`; and load on them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, Unpack

import leveret
from leveret import Rabbit, Reconnect
from leveret.testing import FaultProxy
from tests.behaviour.patience import until
from tests.faults.diary import Diary
from tests.faults.oracle import Details, How, Oracle
from tests.faults.work import Work

SOON: Final = Reconnect(first=0.01, most=0.1)
"""So that tests need not wait; all else is as users have it."""

Link: TypeAlias = Literal["client", "server"]
"""Whose connection goes through the proxy."""


@dataclass(slots=True)
class Scene:
    """Who is there: `proxy` is on the way of `broken`, which is the client or the first server."""

    proxy: FaultProxy
    broken: Rabbit
    client: Rabbit
    server: Rabbit
    service: type[Work]

    async def whole(self) -> None:
        """Wait until the broken connection is there again."""
        await until(lambda: self.broken.state == "connected", "it is connected again")


@asynccontextmanager
async def scene(
    url: str,
    diary: Diary,
    *,
    broken: Link,
    servers: int = 1,
    service: type[Work] = Work,
    heartbeat: int | None = None,
    concurrency: int | None = None,
) -> AsyncIterator[Scene]:
    """A client and servers. The proxy is on the way of the client or of the first server.

    :param heartbeat: seconds, of the connection by way of the proxy.
    """
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(url))
        by_proxy = proxy.url + (f"?heartbeat={heartbeat}" if heartbeat else "")
        hosts = []
        for n in range(servers):
            own_url = by_proxy if broken == "server" and n == 0 else url
            own_diary = Diary(diary.path, f"{service.__name__}-{n}")
            stack.callback(own_diary.close)
            host = await stack.enter_async_context(leveret.connect(own_url, reconnect=SOON))
            hosts.append(host)
            await stack.enter_async_context(
                host.serving(service(own_diary), concurrency=concurrency, grace=2)
            )
        own_url = by_proxy if broken == "client" else url
        client = await stack.enter_async_context(leveret.connect(own_url, reconnect=SOON))
        try:
            yield Scene(
                proxy, client if broken == "client" else hosts[0], client, hosts[0], service
            )
        finally:
            proxy.heal()  # or nobody could say goodbye


class Load:
    """Callers that make one call after the other, for the length of a block.

    Every other call is of the idempotent method. Handlers work from no time to twice `seconds`, by
    chance, and so do callers pause: faults meet calls in all their states. At the end of the block
    the last calls are waited for.

    :param callers: how many calls there are at a time.
    :param pause: seconds between two calls of one caller.
    :param clients: whose connection each caller uses; `client`'s by default.
    :param how: the calls, as for `Oracle.call`.
    """

    def __init__(
        self,
        oracle: Oracle,
        client: Rabbit,
        *,
        callers: int = 8,
        pause: float = 0.01,
        clients: Callable[[int], Rabbit] | None = None,
        timeout: float = 3.0,
        **how: Unpack[Details],
    ) -> None:
        self.done = 0
        """How many calls have ended."""
        self.served = 0
        """How many of them with a result."""
        self._oracle = oracle
        self._clients = clients or (lambda _: client)
        self._callers = callers
        self._pause = pause
        self._how = how
        self._longest = 2 * how.get("seconds", 0.02)
        self._timeout = timeout
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._run(n)) for n in range(self._callers)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=kind is not None)

    async def some_more(self, count: int = 20) -> None:
        """Wait until so many more calls have got their results."""
        enough = self.served + count
        await until(lambda: self.served >= enough, f"{count} more calls are served")

    async def ended(self, count: int) -> None:
        """Wait until so many more calls have ended, somehow."""
        enough = self.done + count
        await until(lambda: self.done >= enough, f"{count} more calls end")

    async def _run(self, number: int) -> None:
        idempotent = bool(number % 2)
        client = self._clients(number)
        while not self._stopped:
            how: How = {**self._how, "idempotent": idempotent, "timeout": self._timeout}
            how["seconds"] = random.uniform(0, self._longest)
            call = await self._oracle.call(client, **how)
            self.done += 1
            self.served += call.error is None
            idempotent = not idempotent
            await asyncio.sleep(random.uniform(0, 2 * self._pause))
