"""Keeps N workers running until a signal to stop, then drains all of them together.

The supervisor imports none of the services and opens no connection, so little in it can fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from leveret.cli.serving.crew import Crew
from leveret.cli.serving.monitoring import Monitoring, MonitorOptions
from leveret.cli.serving.request import ServeRequest
from leveret.cli.serving.stopping import stop_numbers
from leveret.cli.serving.systemd import SystemManager
from leveret.cli.serving.worker_reports import WorkerReports
from leveret.server.signals import Echoes

__all__ = ["handle_signals", "supervise"]

log = logging.getLogger("leveret.cli")


def supervise(
    request: ServeRequest, workers: int, monitor: MonitorOptions, manager: SystemManager
) -> int:
    """Run the workers until a signal to stop; returns the exit code.

    It is 0 if all workers that served drained within the grace, else the first other exit code.

    :param monitor: where the supervisor answers those who monitor it and its workers.
    :param manager: who started it, and wants to know how it stands.
    :raises CannotListen: if it cannot listen there.
    """
    return asyncio.run(_run(request, workers, monitor, manager))


async def _run(
    request: ServeRequest, workers: int, monitor: MonitorOptions, manager: SystemManager
) -> int:
    reports = WorkerReports(workers)
    crew = Crew(request, workers, reports)

    def drain() -> None:
        manager.stopping()
        crew.drain()

    async with Monitoring(monitor, reports):
        manager.watch()
        telling = asyncio.create_task(_tell_ready(crew, manager))
        try:
            with handle_signals(drain, crew.cut_short):
                code = await crew.run()
        finally:
            manager.close()
            telling.cancel()
            await asyncio.wait((telling,))
    log.info("all workers have ended")
    return code


async def _tell_ready(crew: Crew, manager: SystemManager) -> None:
    await crew.ready.wait()
    manager.ready()


@contextmanager
def handle_signals(first: Callable[[], None], further: Callable[[], None]) -> Generator[None]:
    """Call `first` at the first signal to stop, `further` at each one after it, save for echoes."""
    loop = asyncio.get_running_loop()
    received: list[int] = []
    echoes = Echoes()

    def on_signal(number: int) -> None:
        if echoes.is_echo(number):
            return
        received.append(number)
        if len(received) == 1:
            first()
            echoes.end(loop)
        else:
            further()

    numbers = stop_numbers()
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
