"""`CallHandle`: a started call, seen from any process that knows its key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct

from leveret.client.verbs.started_servers import StartedServers
from leveret.contract import Progress
from leveret.errors import Busy, CallError, DeadlineExceeded, InvalidArgument, NoServer
from leveret.given_numbers import is_finite
from leveret.wire.started import Standing, StartedQuestion

__all__ = ["CallHandle", "CallStatus"]

R_co = TypeVar("R_co", covariant=True)

_WAIT: Final = 10.0
"""Seconds that a server waits for the end of a call before it answers."""
TIMEOUT: Final = 10.0
"""Seconds that servers have to tell the state of a call, or to cancel it."""
_ON_THE_WAY: Final = 0.1
"""Seconds that an answer may take which a server sends when the caller's time is over."""
_LEAST: Final = 1.0
"""Seconds that servers have at least, to be found and to answer, however short the time is."""


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

        :param timeout: seconds; None waits for as long as it takes, also while no server or broker
            can be reached. Servers have 1 s to answer if it is shorter. The call itself goes on.
        :raises DeadlineExceeded: if it has not ended by then, or at its own deadline.
        :raises InvalidArgument: if nothing is known of it, or for a timeout that is no number.
        :raises CallError: the error that it ended with.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        give_up = begun + _seconds(timeout)
        last = max(give_up + _ON_THE_WAY, begun + _LEAST)
        while True:
            until = min(give_up, loop.time() + _WAIT)
            standing = await self._looked(until, min(until + TIMEOUT, last))
            if isinstance(standing, Standing):
                if standing.state == "done":
                    return self._read(standing)
                if standing.state == "unknown":
                    raise InvalidArgument(
                        f"no call was started with the key {self.key!r}, or it is forgotten",
                        executed="maybe",
                        method=self.method,
                    )
            if loop.time() >= give_up:
                raise self._late(timeout, standing)

    def _late(self, timeout: float | None, last: Standing | CallError) -> DeadlineExceeded:
        what = f"the started call {self.key!r} has not ended in {timeout:g} s; it goes on"
        if isinstance(last, CallError):
            what = f"nobody told in {timeout:g} s whether the started call {self.key!r} has ended"
        late = DeadlineExceeded(what, executed="maybe", method=self.method)
        late.__cause__ = last if isinstance(last, CallError) else None
        return late

    async def _looked(self, until: float, last: float) -> Standing | CallError:
        """Its state once it has ended, or at `until`; or why nobody tells it."""
        try:
            return await self._asked("look", until, last)
        except Busy as error:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(min(max(until - now, 0.0), 1.0))
            return error
        except (NoServer, DeadlineExceeded) as error:
            return error  # it goes on as soon as there are a connection and a server

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
        now = asyncio.get_running_loop().time()
        await self._asked("cancel", now, now + TIMEOUT)

    async def _asked(self, ask: Literal["look", "cancel"], until: float, last: float) -> Standing:
        """A server's answer about it.

        :param until: when a server answers that the call has not ended, on the loop's clock.
        :param last: when it is too late for an answer.
        :raises CallError: if none answers. It tells nothing of the call, which may have run.
        """
        now = asyncio.get_running_loop().time()
        question = self._question(ask, max(until - now, 0.0))
        with _telling_nothing_of_the_call():
            return await self._servers.ask(question, last - now)

    async def _peeked(self) -> Standing:
        """The answer about it from the server that runs it, or from another one.

        :raises CallError: if none does.
        """
        now = asyncio.get_running_loop().time()
        standing = await self._asked("look", now, now + TIMEOUT)
        if standing.runs_at and standing.runs_at != standing.instance:
            with _telling_nothing_of_the_call():
                there = await self._servers.ask_at(standing.runs_at, self._question("look"))
            standing = there or standing
        return standing

    def _question(self, ask: Literal["look", "cancel"], wait: float = 0.0) -> StartedQuestion:
        return StartedQuestion(
            ask=ask, method=self.method, key=self.key, start=self._start, wait=wait
        )


@contextmanager
def _telling_nothing_of_the_call() -> Iterator[None]:
    """An error in this block is one of the question. The call may have run."""
    try:
        yield
    except CallError as error:
        error.executed = "maybe"
        raise


def _seconds(timeout: object) -> float:
    """:raises InvalidArgument: if it is neither a number of seconds nor None."""
    if timeout is None or timeout == inf:
        return inf
    if is_finite(timeout):
        return float(timeout)
    raise InvalidArgument(f"timeout must be a number of seconds, or None; got {timeout!r}")
