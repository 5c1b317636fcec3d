"""A second request beside one that is slow: after how long it goes, and which of the two wins."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from math import ceil
from typing import Any, Final

from leveret.client.retry import executed_of_all
from leveret.contract import Hedge
from leveret.errors import CallError

Attempt = Callable[[float], Coroutine[Any, Any, Any]]
"""Sends the request and awaits the result, within so many seconds."""

LEAST: Final = 0.01
"""Seconds that must be left of a call for a further request of it to make sense."""

_KEPT: Final = 128
"""Of how many calls of a method the latency is remembered."""
_ENOUGH: Final = 20
"""From how many calls on their percentiles mean something."""
_SORT_EVERY: Final = 16


class Latencies:
    """How long the latest calls of one method took, from the request to the result, in seconds.

    Of a hedged call that is the time to whichever result came first, so hedging does not feed on
    itself: with the percentile at p, 100 - p per cent of the calls go on being longer than it.
    """

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=_KEPT)
        self._sorted: list[float] = []
        self._unsorted = 0

    def add(self, seconds: float) -> None:
        """A call had its result."""
        self._latest.append(seconds)
        self._unsorted += 1

    def percentile(self, percent: float) -> float | None:
        """What so many per cent of the calls did not exceed; None before enough are known.

        It may be a few calls old.
        """
        if len(self._latest) < _ENOUGH:
            return None
        if self._unsorted >= _SORT_EVERY or not self._sorted:
            self._sorted = sorted(self._latest)
            self._unsorted = 0
        return self._sorted[ceil(percent / 100 * len(self._sorted)) - 1]


def delay_of(hedge: Hedge, latencies: Latencies) -> float | None:
    """Seconds until the second request goes; None if none does."""
    if hedge.after is not None:
        return hedge.after
    percentile = latencies.percentile(hedge.percentile)
    return None if percentile is None else max(percentile, hedge.at_least)


async def race(attempt: Attempt, timeout: float, delay: float, may_send: Callable[[], bool]) -> Any:
    """The first result of one request, or of two if the first takes longer than `delay`.

    The loser is cancelled, and with it its handler. An error waits for the other request.

    :param may_send: asked once, just before the second request.
    :raises CallError: if both fail, that of the first, with `executed` true of both.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    requests = [loop.create_task(attempt(timeout))]
    try:
        await asyncio.wait(requests, timeout=delay)
        left = end - loop.time()
        if requests[0].done() or left < LEAST or not may_send():
            return await requests[0]
        requests.append(loop.create_task(attempt(left)))
        return await _first_result(requests)
    finally:
        await _cancel(requests)


async def _first_result(requests: list[asyncio.Task[Any]]) -> Any:
    """The result of the first request that has one.

    :raises CallError: if none has.
    """
    waiting = set(requests)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for request in requests:
            if request in done and request.exception() is None:
                return request.result()
    errors = [request.exception() for request in requests]
    error = errors[0]
    assert error is not None
    failures = [error for error in errors if isinstance(error, CallError)]
    if isinstance(error, CallError):
        error.executed = executed_of_all(*(failure.executed for failure in failures))
        error.attempts = sum(failure.attempts for failure in failures)
    raise error


async def _cancel(requests: list[asyncio.Task[Any]]) -> None:
    """End what still waits, and see to it that no error counts as unseen."""
    unfinished = [request for request in requests if not request.done()]
    for request in unfinished:
        request.cancel()
    if unfinished:
        await asyncio.wait(unfinished)
    for request in requests:
        if not request.cancelled():
            request.exception()
