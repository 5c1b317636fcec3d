"""`CallHandle`: a started call, seen from any process that knows its key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct

from leveret.client.verbs.started_servers import StartedServers
from leveret.contract import Progress
from leveret.errors import Busy, DeadlineExceeded, InvalidArgument, NoServer
from leveret.wire.started import Standing, StartedQuestion

__all__ = ["CallHandle", "CallStatus"]

R_co = TypeVar("R_co", covariant=True)

_WAIT: Final = 10.0
"""Seconds that a server waits for the end of a call before it answers."""
_TIMEOUT: Final = 10.0
"""Seconds that servers have to tell the state of a call, or to cancel it."""


class CallStatus(Struct, frozen=True, kw_only=True):
    """The state of a started call."""

    state: Literal["not found", "waiting", "running", "done"]
    """"not found": it was never started, or is forgotten. "waiting": its request is in its queue,
    or waits at a server for its turn."""
    server: str = ""
    """The instance of its server, while it runs."""
    progress: Progress | None = None
    """The handler's last progress report, while it runs; None if there is none."""


class CallHandle(Generic[R_co]):
    """A call that outlives its caller. `await handle` is `await handle.result()`.

    :param key: its idempotency key.
    :param start: the call id of the request that this process sent; "" if another process did.
    :param read: reads the result out of an answer, or raises its error.
    """

    def __init__(
        self,
        method: str,
        key: str,
        start: str,
        servers: StartedServers,
        read: Callable[[Standing], R_co],
    ) -> None:
        self.method: Final = method
        """The method that it calls: "service.method"."""
        self.key: Final = key
        """Its key, which is all that another process needs to `attach`."""
        self._start = start
        self._servers = servers
        self._read = read

    def __repr__(self) -> str:
        return f"<started call {self.key!r} of {self.method}>"

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.result().__await__()

    async def result(self, timeout: float | None = None) -> R_co:
        """Wait for its end, across restarts of servers and broker, and return the result.

        :param timeout: seconds; None waits for as long as it takes. The call itself goes on.
        :raises DeadlineExceeded: if it has not ended by then, or at its own deadline.
        :raises InvalidArgument: if nothing is known of it.
        :raises CallError: the error that it ended with.
        """
        loop = asyncio.get_running_loop()
        give_up = None if timeout is None else loop.time() + timeout
        while True:
            left = _WAIT if give_up is None else max(give_up - loop.time(), 0.0)
            standing = await self._looked(min(left, _WAIT))
            if standing is not None and standing.state == "done":
                return self._read(standing)
            if standing is not None and standing.state == "unknown":
                raise InvalidArgument(
                    f"no call was started with the key {self.key!r}, or it is forgotten",
                    method=self.method,
                )
            if give_up is not None and loop.time() >= give_up:
                raise DeadlineExceeded(
                    f"the started call {self.key!r} has not ended in {timeout:g} s; it goes on",
                    executed="maybe",
                    method=self.method,
                )

    async def _looked(self, wait: float) -> Standing | None:
        """Its state once it has ended, or after a while; None if no server answers."""
        try:
            return await self._asked("look", wait)
        except Busy:
            await asyncio.sleep(min(wait, 1.0))
        except NoServer:
            pass  # it goes on as soon as there is one
        return None

    async def peek(self) -> CallStatus:
        """Its state at this moment.

        :raises CallError: if no server answers.
        """
        standing = await self._peeked()
        state = standing.state
        if state == "unknown" or state == "refused":  # noqa: PLR1714 - mypy understands this
            return CallStatus(state="not found")
        progress = None
        if standing.fraction is not None or standing.text:
            progress = Progress(fraction=standing.fraction, text=standing.text)
        return CallStatus(state=state, server=standing.runs_at, progress=progress)

    async def cancel(self) -> None:
        """End it before it begins, or cancel its handler. Its result tells which.

        :raises CallError: if no server answers.
        """
        await self._asked("cancel")

    async def _asked(self, ask: Literal["look", "cancel"], wait: float = 0.0) -> Standing:
        """A server's answer about it.

        :raises CallError: if none does.
        """
        return await self._servers.ask(self._question(ask, wait), wait + _TIMEOUT)

    async def _peeked(self) -> Standing:
        """The answer about it from the server that runs it, or from another one.

        :raises CallError: if none does.
        """
        standing = await self._asked("look")
        if standing.runs_at and standing.runs_at != standing.instance:
            there = await self._servers.ask_at(standing.runs_at, self._question("look"))
            standing = there or standing
        return standing

    def _question(self, ask: Literal["look", "cancel"], wait: float = 0.0) -> StartedQuestion:
        return StartedQuestion(
            ask=ask, method=self.method, key=self.key, start=self._start, wait=wait
        )
