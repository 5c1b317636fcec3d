"""Asks the servers how they stand, again and again: once for all browsers together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from leveret.console.board import Board
from leveret.console.rows import View
from leveret.errors import LeveretError
from leveret.wire.stats import ServerStats

__all__ = ["Answers", "Poller"]

log = logging.getLogger("leveret.console")

_SHARE: Final = 3.0
"""After a poll, the poller rests for this many times of what it took."""


class Answers(Protocol):
    """What servers said."""

    @property
    def servers(self) -> Sequence[ServerStats]:
        """Each of them."""
        ...

    @property
    def missing(self) -> dict[str, int]:
        """By service, how many did not answer."""
        ...

    @property
    def uncounted(self) -> Sequence[str]:
        """The services of which the broker did not say how many servers there are."""
        ...


class Poller:
    """Polls for as long as it runs, and tells who waits for news.

    :param ask: asks all servers; it raises `LeveretError` where they cannot be asked.
    :param interval: seconds between two polls, at least.
    """

    def __init__(self, ask: Callable[[], Awaitable[Answers]], *, interval: float = 2.0) -> None:
        self.view = View()
        """What is known."""
        self.away = ""
        """Why the servers cannot be asked; "" if they can."""
        self.away_since = 0.0
        """Since when, in seconds since 1970."""
        self.turn = 0
        """How often it has asked, with whatever success."""
        self.is_over = False
        """Whether nobody is to wait for news any more."""
        self._ask = ask
        self._interval = interval
        self._board = Board()
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def start(self) -> None:
        """Begin, in the running event loop. Twice is fine."""
        if self._task is None or self._task.done():
            self.is_over = False
            self._task = asyncio.get_running_loop().create_task(self._run(), name="console poller")

    async def stop(self) -> None:
        """End."""
        self.end()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def end(self) -> None:
        """Have nobody wait for news any more."""
        self.is_over = True
        self._tell()

    async def after(self, turn: int) -> int:
        """Wait until it has asked more often than that, or is over; returns how often it has."""
        while self.turn <= turn and not self.is_over:
            await self._news.wait()
        return self.turn

    async def poll(self) -> None:
        """Ask once."""
        try:
            answers = await self._ask()
            # In a thread: a hundred thousand queues take a while, and pages are to go on.
            self.view = await asyncio.to_thread(
                self._board.take, answers.servers, answers.missing, answers.uncounted
            )
            self.away = ""
        except (LeveretError, RuntimeError) as error:
            if not self.away:
                log.info("the servers cannot be asked: %s", error)
            self._be_away(str(error) or type(error).__name__)
        except Exception as error:
            log.exception("what the servers say cannot be shown")
            self._be_away(repr(error))
        self.turn += 1
        self._tell()

    def _be_away(self, why: str) -> None:
        if not self.away:
            self.away_since = time.time()
        self.away = why

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            await self.poll()
            took = clock() - began
            await asyncio.sleep(max(self._interval - took, min(took * _SHARE, 30.0), 0.05))

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
