"""`leveret serve --reload`: new workers whenever the code changes, for development.

The new workers start first, and the old ones drain once the new ones serve. So every call finds a
server, and code that does not load never replaces code that works. In that case, and if nothing
serves yet, the supervisor waits for the next change.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from leveret.cli.current_folder import current_folder
from leveret.cli.exits import DONE, UNREACHABLE
from leveret.cli.serving.changes import Changes, watched
from leveret.cli.serving.crew import Crew
from leveret.cli.serving.monitoring import Monitoring, MonitorOptions
from leveret.cli.serving.request import ServeRequest
from leveret.cli.serving.supervisor import handle_signals
from leveret.cli.serving.systemd import SystemManager
from leveret.cli.serving.worker_reports import WorkerReports

__all__ = ["serve_reloading"]

log = logging.getLogger("leveret.cli")

_NAMED: Final = 5
"""How many changed files a line of the log names."""
_NO_BYTECODE: Final = ("-B",)
"""Python knows an outdated .pyc by the second and the size of its source; an edit may keep both."""
_UNMENDABLE: Final = frozenset({2, UNREACHABLE, 10})
"""Exit codes that no change of the code mends: a bad URL, no broker, a refused login."""


def serve_reloading(
    request: ServeRequest, workers: int, monitor: MonitorOptions, manager: SystemManager
) -> int:
    """Serve until a signal to stop, with new workers after each change; returns the exit code.

    :param manager: who started it, and wants to know how it stands: ready, once any code serves.
    :raises CannotListen: if it cannot listen where it is to be monitored.
    """
    return asyncio.run(_run(request, workers, monitor, manager))


async def _run(
    request: ServeRequest, workers: int, monitor: MonitorOptions, manager: SystemManager
) -> int:
    reports = WorkerReports(workers)
    async with Monitoring(monitor, reports):
        manager.watch()
        changes = Changes(watched(request.targets))
        try:
            return await _Reloader(request, workers, changes, reports, manager).run()
        finally:
            manager.close()


class _Reloader:
    """Starts one crew of workers after the other."""

    def __init__(
        self,
        request: ServeRequest,
        workers: int,
        changes: Changes,
        reports: WorkerReports,
        manager: SystemManager,
    ) -> None:
        self._reports = reports
        self._manager = manager
        self._request = request
        self._workers = workers
        self._changes = changes
        self._crews: dict[Crew, asyncio.Task[int]] = {}
        """The crews that have not ended: one serves, one may start, and any number may drain."""
        self._serving: Crew | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Serve until a signal, or until the first crew fails for a reason that no change mends."""
        with handle_signals(self._drain, self._cut_short):
            stopping = asyncio.create_task(self._stopping.wait())
            changing = asyncio.create_task(self._changes.next())
            code = DONE
            while not stopping.done():
                code = await self._start(stopping, changing)
                if self._serving is None and code in _UNMENDABLE:
                    break
                await asyncio.wait((stopping, changing), return_when=asyncio.FIRST_COMPLETED)
                if changing.done():
                    _log_changes(changing.result())
                    changing = asyncio.create_task(self._changes.next())
            for task in (stopping, changing):
                task.cancel()
            codes = await asyncio.gather(*self._crews.values())
        log.info("all workers have ended")
        return next(filter(None, codes), DONE if self._stopping.is_set() else code)

    async def _start(self, stopping: asyncio.Task[bool], changing: asyncio.Task[list[Path]]) -> int:
        """Start a new crew, which replaces the old one when it serves.

        Returns at once if the code changes meanwhile. The result is the exit code of a crew that
        could not serve, else 0.
        """
        crew = Crew(
            self._request,
            self._workers,
            self._reports,
            flags=_NO_BYTECODE,
            outlasts_broker=self._serving is not None,
        )
        running = self._crews[crew] = asyncio.create_task(crew.run())
        running.add_done_callback(lambda _: self._ended(crew))
        ready = asyncio.create_task(crew.ready.wait())
        await asyncio.wait(
            (ready, running, stopping, changing), return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        if crew.ready.is_set():
            old, self._serving = self._serving, crew
            if self._stopping.is_set():
                pass  # who has started this was told so
            elif old is None:
                self._manager.ready()
            else:
                old.drain("")
        elif running.done():
            code = running.result()
            if self._serving is not None:
                log.error("waiting for the next change; until then the old code serves on")
            elif code not in _UNMENDABLE:
                log.error("waiting for the next change")
            return code
        elif self._serving is None and crew.has_served:
            self._serving = crew  # its code is already outdated, and nothing else serves
            if not self._stopping.is_set():
                self._manager.ready()
        elif not self._stopping.is_set():
            crew.drain("")  # its code is already outdated
        return DONE

    def _ended(self, crew: Crew) -> None:
        self._crews.pop(crew, None)
        if crew.has_served and crew is not self._serving:
            log.info("the workers with the old code have ended")

    def _drain(self) -> None:
        self._manager.stopping()
        self._stopping.set()
        for crew in tuple(self._crews):
            crew.drain()

    def _cut_short(self) -> None:
        for crew in tuple(self._crews):
            crew.cut_short()


def _log_changes(changed: list[Path]) -> None:
    here = current_folder()
    names = [
        str(path.relative_to(here) if here is not None and path.is_relative_to(here) else path)
        for path in changed
    ]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    log.info("%s%s changed; starting anew", ", ".join(names[:_NAMED]), more)
