"""Looks at a queue before the client sends it a request that must not stay there.

**Calls that must not wait** (`if_busy="fail"`). Their requests expire at once: the broker gives one
to a server this moment, or sends it back. But it drops expired requests at the head of a queue
only. Behind others the request would stay until those before it are gone; no server would ever get
it, and its caller would not know. So the client looks at the queue first, and sends nothing while
requests wait.

**Calls to servers of the tutorial's kind.** Such a server does not ask the callers of requests that
were there before it, but runs them. So where no server listens the client sends nothing, unless it
has seen one in the last second.

A look is a probe that was sent after the call was made. Calls that are made while a probe is in
flight share the next one. `monitor.py` finds requests that reach the queue between the look and the
client's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from leveret.client.calls.request import Request
from leveret.client.calls.route import Finding, QueueState, Route
from leveret.client.calls.tasks import Begin
from leveret.client.calls.verdicts import START_ONE
from leveret.errors import Busy, CallError, DeadlineExceeded, NoServer

SEEN_WITHIN: Final = 1.0
"""Seconds for which a server that was seen counts as listening."""


class Vacancy:
    """Refuses calls whose requests must not stay in the queue, but would.

    :param probe: probes a queue; returns whether anything was found out.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        begin: Begin,
        probe: Callable[[Route], Awaitable[bool]],
    ) -> None:
        self.looking = 0
        """How many calls wait for a look."""
        self._loop = loop
        self._begin = begin
        self._probe = probe
        self._next: dict[Route, asyncio.Future[bool]] = {}
        self._under_way: set[Route] = set()

    async def check(self, request: Request, timeout: float) -> float:
        """Return what is left of `timeout`, in seconds, if the request may go.

        If the broker does not tell, the request may go; its outcome tells then.

        :raises Busy: if others wait for servers that are busy. :raises NoServer: if nobody listens.
        :raises DeadlineExceeded: if the broker does not answer within `timeout` seconds.
        """
        route = request.route
        if not request.if_busy_fail and self._loop.time() - route.server_seen_at <= SEEN_WITHIN:
            return timeout
        before = self._loop.time()
        self.looking += 1
        try:
            async with asyncio.timeout(timeout):
                found = await self._look(route)
        except TimeoutError:
            late = DeadlineExceeded(
                f"not sent in {timeout:g} s: the broker did not tell whether requests wait",
                where="client",
                method=route.key,
            )
            late.attempts = 0
            raise late from None
        finally:
            self.looking -= 1
        finding = route.finding
        if found and finding.state is QueueState.THERE:
            _check(request, finding)
        return max(timeout - (self._loop.time() - before), 0.001)

    def _look(self, route: Route) -> asyncio.Future[bool]:
        """Have the queue probed from now on; the result is whether anything was found out."""
        answer = self._next.get(route)
        if answer is None:
            answer = self._next[route] = self._loop.create_future()
            if route not in self._under_way:
                self._under_way.add(route)
                self._begin(self._look_again_and_again(route))
        return asyncio.shield(answer)

    async def _look_again_and_again(self, route: Route) -> None:
        """Look once for all calls that wait, and once more for calls that came meanwhile."""
        answer: asyncio.Future[bool] | None = None
        try:
            while answer := self._next.pop(route, None):
                answer.set_result(await self._probe(route))
        finally:
            self._under_way.discard(route)
            for left in (answer, self._next.pop(route, None)):
                if left is not None and not left.done():
                    left.set_result(False)  # the client is being closed, which they are told next


def _check(request: Request, finding: Finding) -> None:
    """:raises Busy: :raises NoServer: if a request is not to go, by what was found."""
    error: CallError
    if not request.if_busy_fail:
        if finding.consumers:
            return
        error = NoServer(f"{finding.in_words}. {START_ONE}")
    elif not finding.messages:
        return  # without consumers too: of a queue without a leader RabbitMQ says that it is empty
    elif finding.consumers:
        error = Busy(f"all servers are busy this moment: {finding.in_words}")
    else:
        error = NoServer(finding.in_words)
    error.method = request.route.key
    error.attempts = 0
    raise error
