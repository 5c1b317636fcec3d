"""Time that passes only when it is told to, and chance that is none."""

from __future__ import annotations

from leveret.client.policy.call_policy import Clock


class HandClock:
    """Starts at 1000 s. Sleeping moves it on at once, and is noted in `slept`."""

    def __init__(self, *, chance: float = 1.0) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.chance = chance

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(time=self.time, random=lambda: self.chance, sleep=self.sleep)
