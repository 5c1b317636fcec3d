"""Workers that run the same code: started together, replaced when they die, drained together.

A worker that dies is replaced after a pause, which grows with each death that comes soon after a
start. A worker that *cannot* start, before any has, is a mistake in the configuration: that ends
the crew with the worker's exit code. So does a broker that cannot be reached then, as it ends a
single server process. Later, a worker that finds no broker is replaced after short pauses, so that
it serves soon after the broker is back.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from leveret.backoff import Backoff
from leveret.cli.exits import DONE, UNREACHABLE
from leveret.cli.logs import tell_end
from leveret.cli.printing import describe
from leveret.cli.serving.process import STOP_MARGIN
from leveret.cli.serving.request import Ending, ServeRequest
from leveret.cli.serving.worker_process import WorkerProcess
from leveret.cli.serving.worker_reports import WorkerReports

__all__ = ["Crew", "RestartPauses"]

log = logging.getLogger("leveret.cli")


_HEALTHY: Final = 10.0
"""Seconds. After a worker that served for this long, the next pause is the first one again."""

_BACKOFF: Final = Backoff(first=0.2, most=30.0, jitter=0.5)

_BACKOFF_UNREACHABLE: Final = Backoff(first=0.2, most=3.0, jitter=0.5)
"""Where no broker can be reached; the longest pause is that of `Reconnect`."""


class RestartPauses:
    """The pauses before the next starts of one worker."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, served: float, *, unreachable: bool = False) -> float:
        """Seconds to wait after a worker died that had served for `served` seconds.

        :param unreachable: whether it found no broker.
        """
        self._deaths = 1 if served >= _HEALTHY else self._deaths + 1
        return (_BACKOFF_UNREACHABLE if unreachable else _BACKOFF).pause(self._deaths)


class Crew:
    """Workers that run the same code.

    `ready` is set once all of them have been ready.

    :param workers: how many.
    :param reports: those who ask workers how they stand.
    :param flags: options of their interpreters.
    :param outlasts_broker: whether it goes on where no broker can be reached at its start.
    """

    def __init__(
        self,
        request: ServeRequest,
        workers: int,
        reports: WorkerReports,
        *,
        flags: tuple[str, ...] = (),
        outlasts_broker: bool = False,
    ) -> None:
        self.ready = asyncio.Event()
        self._request = request
        self._count = workers
        self._reports = reports
        self._flags = flags
        self._outlasts_broker = outlasts_broker
        self._served: set[int] = set()
        self._workers: set[WorkerProcess] = set()
        self._any_served = False
        self._stopping = asyncio.Event()
        self._code = DONE

    async def run(self) -> int:
        """Keep the workers running until `drain`, or until they prove unable to start.

        Returns 0 when all that served drained within the grace, else the first other exit code.
        """
        log.info("starting %d workers", self._count)
        await asyncio.gather(*(self._keep(number + 1) for number in range(self._count)))
        return self._code

    async def _keep(self, number: int) -> None:
        """Run worker after worker under one number."""
        pauses = RestartPauses()
        while not self._stopping.is_set():
            try:
                worker = await WorkerProcess.start(number, self._request, flags=self._flags)
            except OSError as error:
                log.error("worker %d cannot be started: %s", number, describe(error))
                await self._pause(pauses.after(0.0))
                continue
            ending = await self._watch(worker)
            if not self._stopping.is_set():
                await self._replace(worker, ending, pauses)
            elif ending.code != DONE and worker.ready_at is not None:
                # A worker that never served has cut off no call, so its exit code does not count.
                self._code = self._code or ending.code
                log.error("%s ended: %s", worker, ending.error)

    async def _watch(self, worker: WorkerProcess) -> Ending:
        """Wait for a worker's end."""
        self._workers.add(worker)
        self._reports.add(worker)
        worker.on_ready = self._note_ready
        if self._stopping.is_set():  # `drain` was called while this worker started
            worker.terminate()
        try:
            return await worker.ended()
        finally:
            self._workers.discard(worker)
            self._reports.discard(worker)
            self._any_served = self._any_served or worker.ready_at is not None

    @property
    def has_served(self) -> bool:
        """Whether any of its workers has been ready."""
        return bool(self._served)

    def _note_ready(self, number: int) -> None:
        self._served.add(number)
        if len(self._served) == self._count:
            self.ready.set()

    async def _replace(self, worker: WorkerProcess, ending: Ending, pauses: RestartPauses) -> None:
        """After an unexpected end: return when another may start, or stop the whole crew."""
        others_serve = any(other.ready_at is not None for other in self._workers)
        unreachable = ending.code == UNREACHABLE
        cannot = ending.permanent or (unreachable and not self._outlasts_broker)
        if cannot and not self._any_served and not others_serve:
            tell_end(ending.error, self._request.log_format)
            self._code = ending.code
            self._stop()
            return
        pause = pauses.after(worker.served, unreachable=unreachable)
        why = ending.error or "somebody else told it to stop"
        log.error("%s ended: %s; starting another in %.1f s", worker, why, pause)
        await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    # -- the end ------------------------------------------------------------------------------

    def drain(self, hint: str = "; a second signal cuts it short") -> None:
        """Have all workers drain and end.

        :param hint: the end of the line in the log.
        """
        workers, grace = len(self._workers), self._request.grace
        log.info("draining %d workers, for at most %g s%s", workers, grace, hint)
        self._stop()

    def cut_short(self) -> None:
        """Have all workers cut their drain short."""
        log.warning("a second signal: %d workers cut their drain short", len(self._workers))
        for worker in self._workers:
            worker.hurry()
        self._kill_after(2 * STOP_MARGIN)

    def _stop(self) -> None:
        self._stopping.set()
        for worker in self._workers:
            worker.terminate()
        self._kill_after(self._request.grace + 2 * STOP_MARGIN)

    def _kill_after(self, seconds: float) -> None:
        """Send SIGKILL to those that still run then."""
        asyncio.get_running_loop().call_later(seconds, self._kill)

    def _kill(self) -> None:
        for worker in self._workers:
            log.error("%s does not end; killing it", worker)
            worker.kill()
