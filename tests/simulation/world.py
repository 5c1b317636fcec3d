"""Simulated time: what happens next, and when. And the processes that it happens to.

The world has one clock and one list of what is due. It takes the earliest entry, sets the clock,
and runs it: a pass of a process's event loop, bytes that arrive, a fault. A pass takes a little
time by chance, in which the other processes run. So all orders of events can come about, each from
its seed.
"""

from __future__ import annotations

import random
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, Final

from tests.simulation.loop import Handle, Net, SimulatedLoop, SimulatedTask
from tests.simulation.trace import Trace

EPOCH: Final = 1_750_000_000.0
"""The time of day at which the world begins, in seconds since 1970."""
_PASS_LEAST: Final = 0.000_01
_PASS_SPAN: Final = 0.000_11
"""Seconds that a pass of an event loop takes: so many, and a part of so many more, by chance."""
_TOO_LONG: Final = 3600.0
"""Seconds after which a run that has not ended never will."""


class Stuck(AssertionError):
    """Nothing is left to happen, or the run does not end."""


class World:
    """The clock, what is due, and the processes.

    :param seed: of all that happens by chance, but for the faults.
    """

    def __init__(self, seed: int, trace: Trace) -> None:
        self.now = 0.0
        """Seconds since the world began."""
        self.trace = trace
        self.current: Process | None = None
        """The process whose pass runs."""
        self.complaints: list[str] = []
        """What must not happen in any process, and did."""
        self.random = random.Random(f"{seed} world")
        self.due: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        """A heap of what is due, outside of all processes."""
        self.order = count(1)
        """Numbers what is due: of what is due at one time, the first that was asked for comes
        first."""
        self.until: Callable[[], bool] = bool
        """What is waited for."""
        self.end = 0.0
        """When that takes too long."""

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        """Have something happen, outside of all processes."""
        heappush(self.due, (when, next(self.order), callback, args))

    def run(self, until: Callable[[], bool]) -> None:
        """Let things happen until this is true.

        :raises Stuck: if it never will be.
        """
        try:
            self._run(until)
        finally:
            events._set_running_loop(None)

    def _run(self, until: Callable[[], bool]) -> None:
        self.until = until
        self.end = end = self.now + _TOO_LONG
        due = self.due
        while not until():
            if not due:
                raise Stuck("nothing is left to happen")
            when, _, callback, args = heappop(due)
            if when > self.now:
                self.now = when
                if when > end:
                    raise Stuck(f"it has not ended after {_TOO_LONG:.0f} s")
            callback(*args)

    def wall(self) -> float:
        """The time of day, as the process whose pass runs sees it."""
        process = self.current
        return EPOCH + self.now + (0.0 if process is None else process.wall_error)

    def monotonic(self) -> float:
        """The seconds of the process whose pass runs."""
        return self.now if self.current is None else self.current.clock()

    def complain(self, who: str, what: str) -> None:
        """Something must not happen, and did."""
        self.trace.note(self.now, who, f"COMPLAINT {what}")
        self.complaints.append(f"{who} at {self.now:.3f}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which a process ran nothing, on the world's clock."""

    since: float
    till: float
    suspended: bool
    """Whether its own clock stood still as well."""

    def within(self, start: float, end: float) -> float:
        """The seconds of a span by which what it had to do in it was late."""
        if self.since >= end or self.till <= start:
            return 0.0
        if self.suspended:
            return self.till - self.since
        return max(
            0.0, min(self.till, end) - max(self.since, start)
        )  # a span may end before it starts


class Process:
    """A simulated process on a host of its own: an event loop, clocks, and a place in the network.

    :param make_net: makes its place in the network.
    :param booted: when its machine was, on the world's clock, which its own counts from; None for
        some time ago.
    """

    def __init__(
        self,
        world: World,
        name: str,
        make_net: Callable[[Process], Net],
        *,
        booted: float | None = None,
    ) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.killed_at = inf
        """When it was killed; infinity if it was not."""
        self.wall_error = 0.0
        """Seconds that its time of day is ahead; negative for behind."""
        self.pauses: list[Pause] = []
        """When it ran nothing."""
        self.on_death: list[Callable[[], None]] = []
        """Called when it is killed."""
        self._lag = world.random.uniform(0.0, 1000.0) if booted is None else -booted
        self.loop = SimulatedLoop(
            self.clock, make_net(self), self._wake, lambda text: world.complain(name, text)
        )
        self._due_at = inf
        """When its next pass is due; infinity if none is."""
        self._scheduled = 0
        """Which of the passes that were to be is meant by that: the others do not take place."""
        self._busy_until = 0.0
        self._handles_left = -1
        self._draw = world.random.random

    def __str__(self) -> str:
        return self.name

    def clock(self) -> float:
        """Seconds on its monotonic clock."""
        return self.world.now + self._lag

    # -- running -----------------------------------------------------------------------------

    def start(self, main: Coroutine[Any, Any, Any], name: str | None = None) -> SimulatedTask:
        """Run a coroutine in it."""
        task = self.loop.create_task(main, context=Context(), name=name)
        self._wake()
        return task

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Call this in its next pass. Does nothing if it is dead."""
        if self.alive:
            self.loop.call_from_outside(callback, *args)

    def _wake(self) -> None:
        if self.world.current is not self and self.alive:
            self._schedule(self.world.now)

    def _schedule(self, when: float) -> None:
        """Have the next pass at this time, or sooner if it is due sooner, once it is not busy."""
        when = max(when, self._busy_until)
        if when < self._due_at:
            self._due_at = when
            self._scheduled = number = next(self.world.order)
            heappush(self.world.due, (when, number, self._run_pass, (number,)))

    def _unschedule(self) -> None:
        self._due_at = inf
        self._scheduled = 0

    def interrupt(self, handle: Handle) -> None:
        """Have its next pass call this, at once if it has nothing else to do."""
        if not self.alive:
            return
        self.loop.ready.append(handle)
        world = self.world
        if world.current is None and self._busy_until <= world.now:
            self._unschedule()
            self._run_passes()
        else:
            self._wake()

    def _run_pass(self, number: int) -> None:
        if number != self._scheduled:
            return
        self._unschedule()
        if self.world.now < self._busy_until:  # it was paused meanwhile
            self._schedule(self._busy_until)
        else:
            self._run_passes()

    def _run_passes(self) -> None:
        """Run passes until something else is due before the next one."""
        world, loop, draw = self.world, self.loop, self._draw
        events._set_running_loop(loop)
        due = world.due
        while True:
            world.current = self
            try:
                self._handles_left = loop.run_pass(world.now + self._lag, self._handles_left)
            finally:
                world.current = None
            if not self._handles_left:
                self._die()
            if not self.alive:
                return
            when = self._busy_until = world.now + _PASS_LEAST + _PASS_SPAN * draw()
            if not loop.ready:
                following = loop.next_due()
                if following is None:
                    return
                when = max(following - self._lag, when)
            if (due and due[0][0] <= when) or when > world.end or world.until():
                self._schedule(when)
                return
            world.now = when

    # -- what may befall it ------------------------------------------------------------------

    def kill(self, handles: int = 0) -> None:
        """End it, as `kill -9` does: after so many more of its callbacks, so at any await."""
        if not self.alive:
            return
        if handles > 0:
            self._handles_left = handles
        else:
            self._die()

    def _die(self) -> None:
        self.alive = False
        self.killed_at = self.world.now
        self.world.trace.note(self.world.now, self.name, "dies")
        self._unschedule()
        self.loop.stop_for_good()
        for callback in self.on_death:
            callback()

    def pause(self, seconds: float, *, suspended: bool) -> None:
        """Run nothing for a while.

        :param suspended: its monotonic clock stops, as that of a suspended machine does; else it
            goes on, as in a long garbage collection.
        """
        now = self.world.now
        end = max(now, self._busy_until) + seconds
        self.pauses.append(Pause(since=now, till=end, suspended=suspended))
        self._busy_until = end
        if suspended:
            self._lag -= seconds
        self._unschedule()
        if self.alive:
            self._schedule(end)
