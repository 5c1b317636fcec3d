"""Looks whether a server may be free, for calls that must not wait (`if_busy="fail"`).

The broker gives such a request to a server at once, or sends it back: it expires at once. But the
broker drops expired requests at the head of a queue only. Behind others the request would stay
until those before it are gone; no server would ever get it, and its caller would not know. So the
client looks at the queue first, and sends nothing while requests wait.

A look is a probe that was sent after the call was made. Calls that come while one is under way
share the next. What the queue gets between the look and the request is `monitor.py`'s to find.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from leveret.client.calls.route import Finding, QueueState, Route
from leveret.client.calls.tasks import Begin
from leveret.errors import Busy, CallError, DeadlineExceeded, NoServer


class Vacancy:
    """Refuses calls that must not wait and would have to.

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

    async def check(self, route: Route, timeout: float) -> float:
        """Return what is left of `timeout`, in seconds, unless requests wait in the queue.

        Where the broker does not tell, the request is to go: then that tells.

        :raises Busy: if they wait for servers that are busy. :raises NoServer: if nobody listens.
        :raises DeadlineExceeded: if the broker does not answer within `timeout` seconds.
        """
        before = self._loop.time()
        self.looking += 1
        try:
            async with asyncio.timeout(timeout):
                found = await self._look(route)
        except TimeoutError:
            raise DeadlineExceeded(
                f"not sent in {timeout:g} s: the broker did not tell whether requests wait",
                where="client",
                method=route.key,
            ) from None
        finally:
            self.looking -= 1
        finding = route.finding
        if found and finding.state is QueueState.THERE and finding.messages:
            raise _refusal(route, finding)
        return max(timeout - (self._loop.time() - before), 0.001)

    def _look(self, route: Route) -> asyncio.Future[bool]:
        """Has the queue probed after now; the result is whether anything was found out."""
        answer = self._next.get(route)
        if answer is None:
            answer = self._next[route] = self._loop.create_future()
            if route not in self._under_way:
                self._under_way.add(route)
                self._begin(self._look_again_and_again(route))
        return asyncio.shield(answer)

    async def _look_again_and_again(self, route: Route) -> None:
        """Look for all that wait for it, and once more for those that came meanwhile."""
        answer: asyncio.Future[bool] | None = None
        try:
            while answer := self._next.pop(route, None):
                answer.set_result(await self._probe(route))
        finally:
            self._under_way.discard(route)
            for left in (answer, self._next.pop(route, None)):
                if left is not None and not left.done():
                    left.set_result(False)  # the client is being closed, which they are told next


def _refusal(route: Route, finding: Finding) -> CallError:
    """Why a request is not sent."""
    error: CallError
    if finding.consumers:
        error = Busy(f"all servers are busy this moment: {finding.in_words}", method=route.key)
    else:
        error = NoServer(finding.in_words, method=route.key)
    error.attempts = 0
    return error
