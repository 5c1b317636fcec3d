"""Keeps N workers running: starts them, restarts those that die, drains all of them together.

A `Crew` is the workers that run the same code; with `--reload` one crew follows the other
(`reloading.py`). The supervisor imports none of the services and opens no connection, so there is
little in it that could fail. A worker that dies is replaced after a pause, which doubles with each
death that comes soon after a start. A worker that *cannot* start, before any has, is a mistake in
the configuration: that ends the supervisor with the worker's exit code.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final, Self

import msgspec

from leveret.cli.exits import CUT_SHORT, DONE, UNEXPECTED
from leveret.cli.printing import describe, print_error_text
from leveret.cli.serving import SPARE, Ending, ServeOptions
from leveret.cli.worker import READY, Orders

__all__ = ["Backoff", "Crew", "signals", "supervise"]

log = logging.getLogger("leveret.cli")

_LAST_WORDS: Final = 1.0
"""Seconds that a dead worker's last line may take; a process it forked can hold the socket open."""


def supervise(options: ServeOptions, workers: int) -> int:
    """Run the workers until SIGINT or SIGTERM; returns the exit code.

    0 when all that served drained within the grace, else the first other exit code of one.
    """
    return asyncio.run(_until_told(Crew(options, workers)))


async def _until_told(crew: Crew) -> int:
    with signals(crew.drain, crew.hurry):
        code = await crew.run()
    log.info("all workers have ended")
    return code


@contextmanager
def signals(first: Callable[[], None], further: Callable[[], None]) -> Generator[None]:
    """Call `first` at the first SIGINT or SIGTERM, `further` at each one after it."""
    loop = asyncio.get_running_loop()
    told: list[int] = []

    def on_signal(number: int) -> None:
        told.append(number)
        (first if len(told) == 1 else further)()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Backoff:
    """The pause before a worker's next start."""

    FIRST: Final = 0.2
    """Seconds, as all of these."""
    LONGEST: Final = 30.0
    HEALTHY: Final = 10.0
    """A worker that served for so long was well: the next pause is the first again."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, served: float) -> float:
        """Seconds to wait after a worker died that had served for `served` seconds.

        Up to a half is taken off at random: workers that died together don't come back together.
        """
        if served >= self.HEALTHY:
            self._deaths = 0
        pause = min(self.FIRST * 2.0 ** min(self._deaths, 32), self.LONGEST)
        self._deaths += 1
        return pause * random.uniform(0.5, 1.0)


class _Worker:
    """One worker process, and the socket to it."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.ready_at: float | None = None
        self.on_ready: Callable[[int], None] = lambda number: None
        self._number = number
        self._process = process
        self._reader = reader
        self._writer = writer
        self._last_words: Ending | None = None

    @classmethod
    async def start(cls, number: int, options: ServeOptions, *, flags: tuple[str, ...]) -> Self:
        """Start its process and give it its orders.

        :param flags: options of the interpreter.
        :raises OSError: if the system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, *flags, "-m", "leveret.cli.worker", str(theirs.fileno())),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C in a terminal goes to a whole group: it is the supervisor's to pass on.
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours)
        # By the socket: a command line can be read by every user of the machine, and a URL has
        # a password in it.
        writer.write(msgspec.json.encode(Orders(worker=number, options=options)) + b"\n")
        return cls(number, process, reader, writer)

    def __str__(self) -> str:
        return f"worker {self._number} (pid {self._process.pid})"

    async def ended(self) -> Ending:
        """Wait for its end."""
        listening = asyncio.create_task(self._listen())
        code = await self._process.wait()
        await asyncio.wait((listening,), timeout=_LAST_WORDS)
        listening.cancel()
        self._writer.close()
        return self._last_words or _without_words(code)

    @property
    def served(self) -> float:
        """For how many seconds it has served."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at

    def terminate(self) -> None:
        """Tell it to drain; told once more, it hurries."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _listen(self) -> None:
        with suppress(OSError):  # it was killed before it had read its orders
            async for line in self._reader:
                if line == READY:
                    self.ready_at = time.monotonic()
                    log.info("%s is ready", self)
                    self.on_ready(self._number)
                else:
                    self._last_words = msgspec.json.decode(line, type=Ending)


class Crew:
    """Some workers that run the same code.

    `ready` is set once all of them have served.

    :param flags: options of their interpreters.
    """

    def __init__(self, options: ServeOptions, workers: int, *, flags: tuple[str, ...] = ()) -> None:
        self.ready = asyncio.Event()
        self._options = options
        self._count = workers
        self._flags = flags
        self._served: set[int] = set()
        self._workers: set[_Worker] = set()
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
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                worker = await _Worker.start(number, self._options, flags=self._flags)
            except OSError as error:
                log.error("worker %d cannot be started: %s", number, describe(error))
                await self._pause(backoff.after(0.0))
                continue
            ending = await self._watch(worker)
            if not self._stopping.is_set():
                await self._replace(worker, ending, backoff)
            elif ending.code != DONE and worker.ready_at is not None:
                # One that had not served yet could leave nothing undone, whatever ended it.
                self._code = self._code or ending.code
                log.error("%s ended: %s", worker, ending.error)

    async def _watch(self, worker: _Worker) -> Ending:
        """Wait for a worker's end."""
        self._workers.add(worker)
        worker.on_ready = self._note_ready
        if self._stopping.is_set():  # it was told while this worker started
            worker.terminate()
        try:
            return await worker.ended()
        finally:
            self._workers.discard(worker)
            self._any_served = self._any_served or worker.ready_at is not None

    def _note_ready(self, number: int) -> None:
        self._served.add(number)
        if len(self._served) == self._count:
            self.ready.set()

    async def _replace(self, worker: _Worker, ending: Ending, backoff: Backoff) -> None:
        """A worker ended that should not have: return when another may start, or give up."""
        others_serve = any(other.ready_at is not None for other in self._workers)
        if ending.hopeless and not self._any_served and not others_serve:
            print_error_text(ending.error)
            self._code = ending.code
            self._stop()
            return
        pause = backoff.after(worker.served)
        why = ending.error or "somebody else told it to stop"
        log.error("%s ended: %s; starting another in %.1f s", worker, why, pause)
        await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    # -- the end ------------------------------------------------------------------------------

    def drain(self, hint: str = "; a second signal hurries them") -> None:
        """Have all workers end what runs, and go."""
        workers, grace = len(self._workers), self._options.grace
        log.info("draining %d workers, for %g s at the most%s", workers, grace, hint)
        self._stop()

    def hurry(self) -> None:
        """Wait no longer for what runs."""
        log.warning("a second signal: hurrying %d workers", len(self._workers))
        self._terminate(2 * SPARE)

    def _stop(self) -> None:
        self._stopping.set()
        self._terminate(self._options.grace + 2 * SPARE)

    def _terminate(self, patience: float) -> None:
        """Send SIGTERM to all. They end themselves; one that has not in time is killed."""
        for worker in self._workers:
            worker.terminate()
        asyncio.get_running_loop().call_later(patience, self._kill)

    def _kill(self) -> None:
        for worker in self._workers:
            log.error("%s does not end; killing it", worker)
            worker.kill()


def _without_words(code: int) -> Ending:
    """How a worker ended that could not say so itself; negative codes are signals."""
    if code == -signal.SIGTERM:
        return Ending(code=DONE)  # before it served, or when it had ended but for the last step
    if code < 0:
        return Ending(code=CUT_SHORT, error=f"killed by {signal.Signals(-code).name}")
    return Ending(code=code or UNEXPECTED, error=f"it ended with the exit code {code}")
