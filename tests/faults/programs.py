"""Server processes: started, killed, and restarted by tests."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.behaviour.forked_programs import ForkedProgram

_ROOT: Final = Path(__file__).parents[2]
_STDERR: Final = 2
_ATTEMPTS: Final = 5
_PATIENCE: Final = 20.0
"""Seconds after which a program that does not start or end is stuck, if no fault keeps it."""


class Programs:
    """Server processes with one diary; what still runs at the end of the block is killed.

    :param grace: seconds that their calls get when they are told to end.
    :param store: the URL of their store of idempotency keys.
    :param patience: seconds after which one that does not start or end is stuck.
    """

    def __init__(
        self,
        url: str,
        diary: Path,
        *,
        grace: float = 5.0,
        store: str = "memory",
        patience: float = _PATIENCE,
    ) -> None:
        self.running: list[ForkedProgram] = []
        self._url = url
        self._diary = diary
        self._grace = grace
        self._store = store
        self._patience = patience
        self._numbers = count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for program in tuple(self.running):
            await self.kill(program)

    async def start(self, number: int = 1, *, may_die: bool = False) -> None:
        """Start so many, and wait until they serve.

        :param may_die: whether they may die before they have said that they do.
        """
        await asyncio.gather(*(self._start(may_die=may_die) for _ in range(number)))

    async def _start(self, *, may_die: bool) -> None:
        for _ in range(_ATTEMPTS):  # as a supervisor does, where a fault meets the start itself
            program = await self._spawn()
            self.running.append(program)
            async with asyncio.timeout(self._patience):
                line = await program.stdout.readline()
            if line == b"serving\n" or may_die:
                return
            await self.kill(program)
        raise AssertionError(f"after {_ATTEMPTS} attempts, no server has started")

    async def _spawn(self) -> ForkedProgram:
        arguments = (self._url, str(self._diary), f"program-{next(self._numbers)}")
        return await ForkedProgram.start(
            "tests.faults.serving_program",
            (*arguments, str(self._grace), self._store),
            folder=_ROOT,
            environment=os.environ,
            stderr=_STDERR,
        )

    async def kill(self, program: ForkedProgram) -> None:
        """SIGKILL one; wait until it is gone."""
        if program.returncode is None:
            program.kill()
        await self._gone(program)

    async def end(self, program: ForkedProgram) -> None:
        """SIGTERM one; wait until it has drained."""
        program.terminate()
        assert await self._gone(program) == 0, f"the program {program.pid} failed"

    async def restart_each(self) -> None:
        """A rolling restart: one after the other, the new one first."""
        for program in tuple(self.running):
            await self.start()
            await self.end(program)

    async def _gone(self, program: ForkedProgram) -> int:
        async with asyncio.timeout(self._patience):
            code = await program.wait()
            await program.stdout.read()  # to its end, so that nothing of it is left open
        self.running.remove(program)
        return code
