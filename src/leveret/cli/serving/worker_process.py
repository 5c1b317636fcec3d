"""A worker as the supervisor sees it: its process, and the socket to it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

import msgspec

from leveret.cli.exits import CUT_SHORT, DONE, UNEXPECTED
from leveret.cli.serving.request import Ending, Report, ServeRequest
from leveret.cli.serving.worker import ASK, READY, Orders

__all__ = ["WorkerProcess"]

log = logging.getLogger("leveret.cli")

_LONGEST_LINE: Final = 256 * 1024 * 1024
"""Bytes of a line of a worker. A report of a method has two kilobytes."""
_LAST_LINE_TIMEOUT: Final = 1.0
"""Seconds to wait for a dead worker's last line; a process that it forked may hold the socket."""


class WorkerProcess:
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
        self._ending: Ending | None = None
        self.report: Report | None = None
        """What it said of itself last."""
        self._asked: asyncio.Future[None] | None = None
        """Ends with its next report, once it was asked for one."""
        self._asked_until = 0.0
        """Until when it has to answer the last question, by the clock of the loop."""

    @classmethod
    async def start(cls, number: int, request: ServeRequest, *, flags: tuple[str, ...]) -> Self:
        """Start a process, and send it its orders.

        :param flags: options of the interpreter.
        :raises OSError: if the system cannot start another process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(
                        sys.executable,
                        *flags,
                        "-m",
                        "leveret.cli.serving.worker",
                        str(theirs.fileno()),
                    ),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C in a terminal goes to a whole group. The supervisor passes it on.
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE)
        # Not on the command line: every user of the machine can read that, and the URL may hold a
        # password.
        writer.write(msgspec.json.encode(Orders(worker=number, request=request)) + b"\n")
        return cls(number, process, reader, writer)

    def __str__(self) -> str:
        return f"worker {self._number} (pid {self._process.pid})"

    async def ended(self) -> Ending:
        """Wait for its end, and say how it ended."""
        listening = asyncio.create_task(self._listen())
        code = await self._process.wait()
        await asyncio.wait((listening,), timeout=_LAST_LINE_TIMEOUT)
        listening.cancel()
        self._writer.close()
        return self._ending or _ending_of(code)

    @property
    def served(self) -> float:
        """Seconds since it was ready; 0 if it never was."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at

    @property
    def serves(self) -> bool:
        """Whether it has been ready."""
        return self.ready_at is not None

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.returncode is not None

    async def ask(self, seconds: float) -> bool:
        """Have it say how it stands, in `report`; False if it does not within this time.

        Others may wait for an answer already, maybe of a loop that stands still. Once such a time
        has passed it is asked again, as an answer may be lost.
        """
        if self.has_ended or self._writer.is_closing():
            return False
        now = asyncio.get_running_loop().time()
        asked = self._asked
        if asked is None or now >= self._asked_until:
            self._asked_until = now + seconds
            self._writer.write(ASK)
        if asked is None:
            asked = self._asked = asyncio.get_running_loop().create_future()
        await asyncio.wait((asked,), timeout=seconds)
        return asked.done()

    def terminate(self) -> None:
        """Send SIGTERM: it drains."""
        self._send(signal.SIGTERM)

    def hurry(self) -> None:
        """Send SIGINT: it cuts its drain short."""
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Not by the process's own methods: in some Pythons they look whether it has ended, and take
        # the exit code away from `wait`, which then says 255 (CPython's issue 87744).
        if not self.has_ended:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _listen(self) -> None:
        with suppress(OSError):  # the worker was killed before it had read its orders
            async for line in self._reader:
                if line == READY:
                    self.ready_at = time.monotonic()
                    log.info("%s is ready", self)
                    self.on_ready(self._number)
                    continue
                said = msgspec.json.decode(line, type=Report | Ending)
                if isinstance(said, Ending):
                    self._ending = said
                    continue
                self.report = said
                if self._asked is not None:
                    self._asked.set_result(None)
                    self._asked = None


def _ending_of(code: int) -> Ending:
    """How a worker ended that sent no `Ending`; negative codes are signals."""
    if code == -signal.SIGTERM:
        return Ending(code=DONE)  # before it served, or in its last moment
    if code < 0:
        return Ending(code=CUT_SHORT, error=f"killed by {signal.Signals(-code).name}")
    return Ending(code=code or UNEXPECTED, error=f"it ended with the exit code {code}")
