"""Has callers told of calls that take long. It costs nothing while no call runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from leveret.wire.timing import ANNOUNCE_AFTER

_ROUNDING: Final = 0.001
"""Seconds by which a timer of the loop may fire early."""


class Announcer:
    """One timer for all calls of a server.

    :param announce: tells the callers of all calls that have been here since before a time of the
        clock; returns whether any call is still here.
    :param clock: a clock in seconds that never jumps.
    :param on_watch: is called when a call begins after a while without calls.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        announce: Callable[[float], bool],
        clock: Callable[[], float],
        on_watch: Callable[[], None],
    ) -> None:
        self.watching = False
        """Whether the timer runs."""
        self._loop = loop
        self._announce = announce
        self._clock = clock
        self._on_watch = on_watch
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """A call begins: check in a while whether it is still here."""
        if not self.watching:
            self.watching = True
            self._on_watch()
            self._timer = self._loop.call_later(ANNOUNCE_AFTER, self._look)

    def close(self) -> None:
        """Stop announcing."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.watching = False
        if self._announce(self._clock() - ANNOUNCE_AFTER + _ROUNDING):
            self.watch()
