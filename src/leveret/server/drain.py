"""How a server stops without losing a call: the sequence of a drain.

1. Take no more requests, and tell the callers of the requests that are here so: a client that sees
no consumer on the queue would take its call for lost. 2. Let running handlers end, at most for the
grace; then cancel them. 3. Wait until the broker has confirmed the last replies.

If the broker does not read, or is gone, the first and the last step end, and the grace is cut
short: nobody can be answered, and the broker hands the calls to other servers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol

from leveret.server.method_server import MethodServer
from leveret.server.subscription import Subscription
from leveret.transport.connection import Connection
from leveret.transport.link import Link
from leveret.wire.log_fields import NamedCall, shown_all

log = logging.getLogger("leveret.server")

_RESTORED: Final = 1.0
"""Seconds that a channel has to be restored when a drain begins."""
_SILENT: Final = 5.0
"""Seconds without a byte from a broker that owes answers, after which a drain gives it up."""
_LAST_WAIT: Final = 1.0
"""Seconds that handlers get to end once they are cancelled."""


class Calls(Protocol):
    """All calls of the server."""

    def __len__(self) -> int:
        """The number of calls that are here."""
        ...

    def all(self) -> Sequence[NamedCall]:
        """The calls that are here."""
        ...


class Drain:
    """Drains one server.

    :param queues: its subscriptions, each with the method that it serves.
    :param calls: the calls that are here.
    :param cancel_running: cancels the calls that are here, and hands back those that have not
        begun.
    :param abandon_running: waits no longer for the calls that are here, but tells their callers.
    :param clock: a clock in seconds that never jumps.
    """

    def __init__(
        self,
        link: Link,
        queues: Sequence[tuple[Subscription, MethodServer]],
        calls: Calls,
        *,
        cancel_running: Callable[[], None],
        abandon_running: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._queues = queues
        self._calls = calls
        self._cancel_running = cancel_running
        self._abandon_running = abandon_running
        self._clock = clock
        self._cut_short = asyncio.Event()

    def cut_short(self) -> None:
        """Wait no longer for handlers that still run."""
        self._cut_short.set()

    async def run(self, grace: float, restoring: Collection[asyncio.Task[None]]) -> None:
        """Drain, and leave the channels open.

        :param grace: seconds that running handlers get.
        :param restoring: the tasks that declare queues again at this moment.
        """
        log.info("draining: %d calls are here", len(self._calls))
        if restoring:
            await asyncio.wait(restoring, timeout=_LAST_WAIT)
        if not await self._while_heard(self._stop_taking(*queue) for queue in self._queues):
            for queue, method in self._queues:
                await self._link.release(queue)
                method.draining = True
                queue.cancel_unheard()
            self.cut_short()
            self._cancel_running()
        await self._finish(grace)
        await self._while_heard(queue.outbox.confirmed() for queue, _ in self._queues)

    async def _stop_taking(self, queue: Subscription, method: MethodServer) -> None:
        await self._link.release(queue, patience=_RESTORED)
        method.draining = True
        if not queue.is_open:
            await method.hand_back_waiting()
            return
        method.announce(self._clock())
        await queue.select_confirms()
        await method.hand_back_waiting()
        await queue.cancel()

    @property
    def _connection(self) -> Connection:
        return self._link.connection

    @property
    def _hears(self) -> bool:
        """Whether the broker reads what is sent to it."""
        return self._connection.closed is None and not self._connection.blocked

    async def _while_heard(self, steps: Iterable[Coroutine[Any, Any, None]]) -> bool:
        """Take a step for all queues; False if the broker does not read, or stops reading.

        That can happen: this server's own replies may trigger the broker's memory alarm.
        One queue whose channel broke does not stop the others.
        """
        tasks = [asyncio.create_task(step) for step in steps]
        heard = True

        def listen(_news: str) -> None:
            nonlocal heard
            if not self._hears:
                heard = False  # the steps are not taken, though it may read again at once
                for task in tasks:
                    task.cancel()

        news = self._connection.on_blocked
        news.append(listen)
        listen("")
        try:
            await self._answered(tasks)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            news.remove(listen)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and heard and self._hears:
                log.error("the drain was cut short: %s", outcome)
        return heard and self._hears

    async def _answered(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait for tasks that need the broker's answers; give up a broker that sends nothing."""
        connection = self._connection
        pending = set(tasks)
        while pending:
            reads = connection.reads
            _, pending = await asyncio.wait(pending, timeout=_SILENT)
            if pending and connection.reads == reads:
                connection.abort(f"nothing heard from the broker for {_SILENT:g} s")

    async def _finish(self, grace: float) -> None:
        finishing = asyncio.gather(*(method.finish() for _, method in self._queues))
        cut_short = asyncio.create_task(self._cut_short.wait())
        try:
            await asyncio.wait(
                (finishing, cut_short), timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            if not finishing.done():
                if calls := self._calls.all():
                    log.warning("cancelling what still runs after the grace: %s", shown_all(calls))
                self._cancel_running()
                # A thread cannot be stopped, and a handler may refuse to be: neither holds us up.
                await asyncio.wait((finishing,), timeout=_LAST_WAIT)
                self._abandon_running()
        finally:
            finishing.cancel()
            cut_short.cancel()
            await asyncio.wait((finishing, cut_short))
            if not finishing.cancelled():
                finishing.exception()
