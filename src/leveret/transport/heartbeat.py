"""Heartbeats, both ways (section 4.2.7, https://www.rabbitmq.com/docs/heartbeats)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from leveret.amqp.frames import HEARTBEAT

if TYPE_CHECKING:
    from leveret.transport.connection import Connection

_SILENT_TICKS: Final = 4
"""Half intervals without a byte from the broker after which it counts as dead: two intervals."""


class Heartbeat:
    """Sends a heartbeat where nothing else was sent, and gives up on a silent broker.

    `heard` and `sent` are set by the connection with any traffic, and taken back at each tick of
    half an interval.
    """

    def __init__(self, connection: Connection) -> None:
        self.heard = False
        self.sent = False
        self._connection = connection
        self._interval = 0
        self._silent = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, interval: int) -> None:
        """Begin, every `interval` seconds; 0 is never."""
        self._interval = interval
        if interval:
            self._schedule()

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._timer = self._connection.loop.call_later(self._interval / 2, self._tick)

    def _tick(self) -> None:
        self._silent = 0 if self.heard else self._silent + 1
        if self._silent >= _SILENT_TICKS:
            self._connection.abort(
                f"nothing heard from the broker for {2 * self._interval} s (heartbeat)"
            )
            return
        if not self.sent:
            self._connection.send(HEARTBEAT)
        self.heard = self.sent = False
        self._schedule()
