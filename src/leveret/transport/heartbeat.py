"""Heartbeats in both directions (section 4.2.7, https://www.rabbitmq.com/docs/heartbeats)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from leveret.amqp.frames import HEARTBEAT

_SILENT_TICKS: Final = 4
"""Half intervals without a byte from the broker after which it counts as dead: two intervals."""


class Heartbeat:
    """Sends a heartbeat if nothing else was sent, and gives up on a silent broker.

    It checks twice in each interval.

    :param traffic: tells how many reads and writes the connection has made so far.
    :param send: sends a frame.
    :param dead: called with a reason, once, when the broker counts as dead.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        traffic: Callable[[], tuple[int, int]],
        send: Callable[[bytes], None],
        dead: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._traffic = traffic
        self._send = send
        self._dead = dead
        self._reads = self._writes = 0
        self._interval = 0
        self._silent = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, interval: int) -> None:
        """Begin. Each side sends something at least every `interval` seconds; 0 means never."""
        self._interval = interval
        if interval:
            self._reads, self._writes = self._traffic()
            self._schedule()

    def stop(self) -> None:
        """Stop: send nothing more, and expect nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(self._interval / 2, self._tick)

    def _tick(self) -> None:
        reads, writes = self._traffic()
        self._silent = 0 if reads != self._reads else self._silent + 1
        if self._silent >= _SILENT_TICKS:
            self._dead(f"nothing heard from the broker for {2 * self._interval} s (heartbeat)")
            return
        if writes == self._writes:
            self._send(HEARTBEAT)
        self._reads, self._writes = reads, writes
        self._schedule()
