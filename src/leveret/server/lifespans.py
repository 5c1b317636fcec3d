"""Services that are async context managers: entered before their first call, left after their last.

They are entered and left in one task of their own, as task groups and cancel scopes inside them
must be.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import cast

log = logging.getLogger("leveret.server")


class Lifespans:
    """The lifespans of the services of one server."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._cut_short = False
        self._entered = asyncio.Event()
        self._over = asyncio.Event()

    async def enter(self, services: tuple[object, ...]) -> None:
        """Enter them, in order. If one raises, leave those before it, and raise its error."""
        managers = [
            cast("AbstractAsyncContextManager[object]", service)
            for service in services
            if hasattr(service, "__aenter__")
        ]
        if not managers:
            return
        self._task = asyncio.create_task(self._live(managers))
        entered = asyncio.create_task(self._entered.wait())
        try:
            await asyncio.wait((self._task, entered), return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()
        if self._task.done():
            task, self._task = self._task, None
            task.result()

    async def leave(self) -> None:
        """Leave them, the last first, and raise their errors.

        If one is still being entered, cancel that, and again if this is cancelled.
        """
        self._over.set()
        task, self._task = self._task, None
        if task is None:
            return
        is_entering = not self._entered.is_set()
        if is_entering:
            task.cancel()
        self._leaving = task
        try:
            await task
        except asyncio.CancelledError:
            if not ((is_entering or self._cut_short) and task.cancelled()):
                raise

    def hurry(self) -> None:
        """Cancel the `__aexit__` that runs now, and go on with the others."""
        if self._leaving is not None and not self._leaving.done():
            log.warning("a service does not end: cancelling what it waits for")
            self._cut_short = True
            self._leaving.cancel()

    async def _live(self, managers: list[AbstractAsyncContextManager[object]]) -> None:
        async with AsyncExitStack() as stack:
            for manager in managers:
                await stack.enter_async_context(manager)
            self._entered.set()
            await self._over.wait()
