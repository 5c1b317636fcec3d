"""Hedging: when a second request is sent in addition to a slow one, and which of the two wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from leveret.client.policy.retry import executed_of_all
from leveret.contract import Hedge
from leveret.errors import CallError, Executed
from leveret.sliding_window import SlidingWindow

Attempt = Callable[[float], Coroutine[Any, Any, Any]]
"""Sends the request and awaits the result, within a number of seconds."""

LEAST: Final = 0.01
"""Seconds that a call must have left for a further request to make sense."""

_KEPT: Final = 128
"""The latencies of this many calls of a method are kept."""
_ENOUGH: Final = 20
"""How many calls are needed for a percentile to mean anything."""
_SORT_EVERY: Final = 16
"""By how many calls a percentile may be out of date."""


def latencies() -> SlidingWindow:
    """The latencies of a method's latest calls, from request to result, in seconds.

    A hedged call counts with the time to its first result. So hedging does not feed on itself: at
    percentile p, 100 - p per cent of the calls still take longer.
    """
    return SlidingWindow(_KEPT, enough=_ENOUGH, sort_every=_SORT_EVERY)


def delay_of(hedge: Hedge, latencies: SlidingWindow) -> float | None:
    """Seconds until the second request is sent; None if none is."""
    if hedge.after is not None:
        return hedge.after
    percentile = latencies.percentile(hedge.percentile)
    return None if percentile is None else max(percentile, hedge.at_least)


async def race(attempt: Attempt, timeout: float, delay: float, may_send: Callable[[], bool]) -> Any:
    """The first result of one request, or of two if the first takes longer than `delay`.

    The loser is cancelled, and with it its handler. An error waits for the other request.

    :param may_send: asked once, just before the second request.
    :raises CallError: if both fail: the error of the first, with an `executed` that holds for both.
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
        executed: list[Executed] = [failure.executed for failure in failures]
        error.executed = executed_of_all(*executed)
        error.attempts = sum(failure.attempts for failure in failures)
    raise error


async def _cancel(requests: list[asyncio.Task[Any]]) -> None:
    """Cancel the requests that still wait, and count their errors as seen."""
    unfinished = [request for request in requests if not request.done()]
    for request in unfinished:
        request.cancel()
    if unfinished:
        await asyncio.wait(unfinished)
    for request in requests:
        if not request.cancelled():
            request.exception()
