"""Runs the real command `leveret`, each in a process of its own, and waits for what it says."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.behaviour.forked_programs import ForkedProgram
from tests.behaviour.patience import PATIENCE, until

_STARTS = 3
"""Patience for a process that starts: as many times the usual; machines of CI are slow."""


class Command:
    """One `leveret ...`, running or ended."""

    def __init__(self, process: asyncio.subprocess.Process | ForkedProgram) -> None:
        self.process = process
        self.out = b""
        self.lines: list[str] = []
        """Of standard error."""
        self._reading = asyncio.gather(self._read_out(), self._read_errors())

    async def says(self, pattern: str, times: int = 1) -> list[re.Match[str]]:
        """Wait until that many lines on standard error match."""
        found: list[re.Match[str]] = []

        def said() -> bool:
            found[:] = [match for line in self.lines if (match := re.search(pattern, line))]
            return len(found) >= times or self._reading.done()

        for attempt in range(_STARTS):
            try:
                await until(said, f"{times} lines match {pattern!r}")
            except AssertionError:
                if attempt == _STARTS - 1:
                    raise AssertionError(self._story(f"no line matches {pattern!r}")) from None
        assert len(found) >= times, self._story(f"it ended, and no line matches {pattern!r}")
        return found

    async def ends(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        try:
            async with asyncio.timeout(_STARTS * PATIENCE):
                await self._reading
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(self._story("it does not end")) from None

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    @property
    def text(self) -> str:
        """Standard output."""
        return self.out.decode()

    @property
    def error(self) -> str:
        """The one line on standard error."""
        assert len(self.lines) == 1, self._story("more or less than one line of error")
        return self.lines[0]

    @property
    def json(self) -> Any:
        """Standard output, which is one line of JSON."""
        assert self.out.count(b"\n") == 1, self._story("not one line of output")
        return msgspec.json.decode(self.out)

    async def close(self) -> None:
        """Kill it, if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self._reading
        await self.process.wait()

    async def _read_out(self) -> None:
        assert self.process.stdout is not None
        self.out = await self.process.stdout.read()

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))

    def _story(self, what: str) -> str:
        return "\n".join((f"{what}; stdout {self.out!r}; stderr:", *self.lines))


class Commands:
    """Starts commands in a folder that holds `cli_service.py`, with the broker in LEVERET_URL."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self._all: list[Command] = []
        shutil.copy(Path(__file__).with_name("cli_service.py"), folder)

    async def start(self, *args: str, stdin: bytes = b"", url: str | None = None) -> Command:
        """Start `leveret *args`: a fork of a process that has imported it."""
        return self._keep(
            await ForkedProgram.start(
                "leveret", args, folder=self.folder, environment=self._environment(url), stdin=stdin
            )
        )

    async def start_anew(self, *args: str) -> Command:
        """Start `python -m leveret *args`, as users do."""
        return self._keep(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "leveret", *args),
                cwd=self.folder,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )

    def _environment(self, url: str | None = None) -> dict[str, str]:
        return os.environ | {"LEVERET_URL": self.url if url is None else url, "COLUMNS": "200"}

    def _keep(self, process: asyncio.subprocess.Process | ForkedProgram) -> Command:
        command = Command(process)
        self._all.append(command)
        return command

    async def run(self, *args: str, stdin: bytes = b"", url: str | None = None) -> Command:
        """Run `leveret *args` to its end."""
        command = await self.start(*args, stdin=stdin, url=url)
        await command.ends()
        return command

    async def serve(self, *args: str) -> Command:
        """Start `leveret serve *args` in one process, and wait until it serves."""
        command = await self.start("serve", *args)
        await command.says("serving .* as instance")
        return command

    async def serve_with_workers(self, *args: str, workers: int = 2) -> tuple[Command, list[int]]:
        """Start it with several, and wait until all serve; returns the workers' process ids."""
        command = await self.start("serve", *args, "--workers", str(workers))
        ready = await command.says(r"worker \d+ \(pid (\d+)\) is ready", workers)
        return command, [int(match[1]) for match in ready]

    async def meeting(self, method: str = "desk.meet") -> Meeting:
        """Start a call of one of the methods that wait, and wait until its handler runs."""
        meeting = Meeting(self.folder)
        meeting.call = await self.start("call", method, f"folder={self.folder}", "--timeout", "30")
        await until((self.folder / "runs").exists, "the handler runs")
        return meeting

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for command in self._all:
            await command.close()


class Meeting:
    """A call whose handler runs until it is let go."""

    call: Command

    def __init__(self, folder: Path) -> None:
        self._may_end = folder / "may-end"

    def may_end(self) -> None:
        """Let the handler return."""
        self._may_end.touch()


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that ended and whose parent has not looked is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter as it ends while it is read
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return status.rpartition(")")[2].split()[0] != "Z"
