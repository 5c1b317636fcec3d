"""How late the event loop itself was: that part of a call's lateness is the machine's."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

_TICK: Final = 0.005
_NOTED: Final = 0.002


class LagMeter:
    """Wakes up every 5 ms, and notes by how much too late."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late: list[tuple[float, float]] = []
        """When the loop should have run the meter, and by how many seconds later it did."""
        self._timer: asyncio.TimerHandle | None = None
        self.worst = 0.0
        """Seconds."""

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def between(self, start: float, end: float) -> float:
        """Seconds of this span of the loop's clock in which the loop ran nobody's timers."""
        return sum(
            min(due + late, end) - max(due, start)
            for due, late in self._late
            if due < end and due + late > start
        )

    def forget(self, before: float) -> None:
        """Keep only what came after a point of the loop's clock."""
        self._late = [(due, late) for due, late in self._late if due + late > before]

    def _arm(self) -> None:
        self._next(self._loop.time())

    def _next(self, now: float) -> None:
        # From the one look at the clock: what happens between two would be in neither.
        self._due = now + _TICK
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._due
        if late > _NOTED:
            self._late.append((self._due, late))
            self.worst = max(self.worst, late)
        self._next(now)
