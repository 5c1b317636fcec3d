"""`PipeHandle`: a started pipe, whose stages leave their outcomes one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from msgspec import Struct, structs

from leveret.client.verbs.handle import TIMEOUT, CallHandle
from leveret.client.verbs.stage_results import at_stage
from leveret.client.verbs.started_servers import StartedServers
from leveret.errors import CallError
from leveret.wire.started import Standing

R_co = TypeVar("R_co", covariant=True)


class StageOfHandle(Struct, frozen=True, kw_only=True):
    """A stage of a started pipe."""

    handle: CallHandle[Any]
    """The stage as a started call of its own."""
    read: Callable[[Standing], Any]
    """Reads the result out of an answer, or raises its error."""


class PipeHandle(CallHandle[R_co]):
    """A pipe that outlives its caller. It is at the first stage that has not passed its result on.

    :param stages: its stages, in their order.
    """

    def __init__(
        self,
        method: str,
        key: str,
        start: str,
        servers: StartedServers,
        stages: Sequence[StageOfHandle],
    ) -> None:
        super().__init__(method, key, start, servers, self._read_stage)
        self._stages = stages
        self._at = 0

    def __repr__(self) -> str:
        return f"<started pipe {self.key!r} of {self.method}>"

    def _read_stage(self, standing: Standing) -> R_co:
        """The outcome of the stage that ended the pipe."""
        try:
            result: R_co = self._stages[self._at].read(standing)
        except CallError as error:
            raise at_stage(error, self._at + 1) from error.__cause__
        return result

    async def _asked(self, ask: Literal["look", "cancel"], until: float, last: float) -> Standing:
        if ask == "cancel":
            return await self._cancel(until, last)
        final = len(self._stages) - 1
        while True:
            standing = await self._at_stage(self._at, "look", until, last)
            if standing.state == "unknown":
                return await self._without_its_first(standing, last)
            if self._at == final or standing.state != "done" or standing.kind == "error":
                return standing
            self._at += 1

    async def _peeked(self) -> Standing:
        now = asyncio.get_running_loop().time()
        standing = await self._asked("look", now, now + TIMEOUT)
        if standing.state != "running":
            return standing
        return await self._stages[self._at].handle._peeked()  # noqa: SLF001 - its own kind

    async def _without_its_first(self, unknown: Standing, last: float) -> Standing:
        """Look at the later stages: the earlier ones may be forgotten, or a result on its way."""
        final = len(self._stages) - 1
        standing = await self._at_stage(final, "look", 0.0, last)
        if standing.state == "done":
            self._at = final
            return standing
        return structs.replace(unknown, state="waiting") if self._at else unknown

    async def _cancel(self, until: float, last: float) -> Standing:
        """Cancel each stage: the one that runs, and those that wait for their requests."""
        *earlier, final = range(len(self._stages))
        for number in earlier:
            await self._at_stage(number, "cancel", until, last)
        return await self._at_stage(final, "cancel", until, last)

    async def _at_stage(
        self, number: int, ask: Literal["look", "cancel"], until: float, last: float
    ) -> Standing:
        handle = self._stages[number].handle
        return await handle._asked(ask, until, last)  # noqa: SLF001 - its own kind
