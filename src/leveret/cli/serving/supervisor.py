"""Keeps N workers running until SIGINT or SIGTERM, then drains all of them together.

The supervisor imports none of the services and opens no connection, so little in it can fail.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

from leveret.cli.serving.crew import Crew
from leveret.cli.serving.request import ServeRequest

__all__ = ["handle_signals", "supervise"]

log = logging.getLogger("leveret.cli")


def supervise(request: ServeRequest, workers: int) -> int:
    """Run the workers until SIGINT or SIGTERM; returns the exit code.

    It is 0 if all workers that served drained within the grace, else the first other exit code.
    """
    return asyncio.run(_run(Crew(request, workers)))


async def _run(crew: Crew) -> int:
    with handle_signals(crew.drain, crew.cut_short):
        code = await crew.run()
    log.info("all workers have ended")
    return code


@contextmanager
def handle_signals(first: Callable[[], None], further: Callable[[], None]) -> Generator[None]:
    """Call `first` at the first SIGINT or SIGTERM, `further` at each one after it."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def on_signal(number: int) -> None:
        received.append(number)
        (first if len(received) == 1 else further)()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
