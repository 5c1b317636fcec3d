"""The bench's side of a worker process: start it, ask it, and see that it goes away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import IO, Any

from .peer import ROOT

READY_WITHIN = 30.0
"""Seconds in which a process must say that it is ready."""
GONE_WITHIN = 5.0
"""Seconds a process gets to end by itself before it is killed."""


class WorkerFailedError(Exception):
    """A worker died, hung or never got ready; the message holds the last thing it said."""


class WorkerProcess:
    """One running process of a peer. Made by `start`, ended by `stop`."""

    def __init__(self, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors
        self.address = ""
        """What the process said its address is; only servers have one."""

    @property
    def pid(self) -> int:
        """The process id, for reading its memory."""
        return self._process.pid

    @classmethod
    async def start(cls, command: list[str], address: str) -> WorkerProcess:
        """Start a process and wait until it is ready.

        :raises WorkerFailedError: when it ends first, or is not ready within `READY_WITHIN`.
        """
        errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env={**os.environ, "BENCH_ADDRESS": address},
            # Ctrl-C is for the bench alone: it then ends its workers in order.
            start_new_session=True,
        )
        worker = cls(process, errors)
        try:
            ready = await worker._answer(READY_WITHIN)
        except BaseException:
            await worker.stop()
            raise
        worker.address = ready.get("address", "")
        return worker

    async def ask(self, command: dict[str, Any], within: float) -> dict[str, Any]:
        """Send one command and wait for its answer, at most `within` seconds.

        :raises WorkerFailedError: when there is none.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # the missing answer tells more
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            await self._process.stdin.drain()
        return await self._answer(within)

    async def stop(self) -> None:
        """End the process: by closing its input, else by a signal to it and its children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        for last_resort in (signal.SIGTERM, signal.SIGKILL):
            try:
                await asyncio.wait_for(self._process.wait(), GONE_WITHIN)
                break
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, last_resort)
        await self._process.wait()
        self._errors.close()

    async def _answer(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            raise WorkerFailedError(f"no answer in {within:.0f} s{self._last_words()}") from None
        if not line:
            raise WorkerFailedError(f"it ended{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """The last line that the process wrote to its standard error.

        The frame that Python draws around a group of exceptions is left aside.
        """
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        words = [stripped for line in lines if (stripped := line.strip(" |+-"))]
        return f": {words[-1]}" if words else ", and said nothing"


def resident_bytes(pid: int) -> int:
    """The resident memory (RSS) of a process, in bytes.

    :raises OSError: where there is no /proc, or the process is gone.
    """
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
