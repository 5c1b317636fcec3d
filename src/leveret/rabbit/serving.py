"""Serving from start to end: `Serving`, which is entered or awaited, and serving until a signal."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any

from leveret.async_only import AsyncOnly
from leveret.server.server import Server
from leveret.server.signals import stop_signals

__all__ = ["Serving", "serve_until_stopped"]

log = logging.getLogger("leveret.server")


class Serving(AsyncOnly):
    """Serves from start to end: `async with` does both, `await` only starts.

    `async with rabbit.serving(...) as server` serves until the end of the block, then drains.
    `server = await rabbit.serving(...)` serves until `await server.close()`, or until the rabbit is
    closed, which drains the server first.

    :param start: makes a server and starts it.
    """

    def __init__(self, start: Callable[[], Awaitable[Server]]) -> None:
        self._start = start
        self._begun = False
        self._server: Server | None = None

    def __await__(self) -> Generator[Any, None, Server]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Server:
        if self._begun:
            raise RuntimeError("it already serves, or has served; call rabbit.serving(...) again")
        self._begun = True
        self._server = await self._start()
        return self._server

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            await self._server.close()

    def __del__(self) -> None:
        if not self._begun:
            warnings.warn(
                "rabbit.serving(...) serves nothing until it is entered with `async with`, or"
                " awaited",
                RuntimeWarning,
                stacklevel=2,
            )


async def serve_until_stopped(server: Server, *, grace: float, signals: bool) -> None:
    """Serve until SIGINT, SIGTERM or an operator's command, then drain.

    A signal during the start ends the start.

    :param grace: seconds that running calls have to end.
    :param signals: whether to listen to signals at all.
    :raises LeveretError: why the server cannot start, or cannot go on.
    """
    starting = asyncio.create_task(server.start())

    def hurry() -> None:
        starting.cancel()
        server.cancel_running()

    with stop_signals(hurry, listen=signals) as stopped:
        try:
            await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,))
        if starting.cancelled():
            log.info("stopped before it served")
            return
        starting.result()
        try:
            await asyncio.wait(
                (stopped, server.failed, server.told_to_drain),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if server.failed.done():
                server.failed.result()
        finally:
            await server.drain(grace)
