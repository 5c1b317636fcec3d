"""Finds places for the calls of one method, and measures how long the calls take.

The decisions are made in `load/`, which is pure: how many places there are and who waits for one
(`slots.py`, `limiter.py`), and which calls cannot end in time (`admission.py`). They are carried
out here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from leveret.contract import MethodSpec
from leveret.errors import Busy, CallError, DeadlineExceeded
from leveret.server.calls.life import Event, Life, ServerCall
from leveret.server.load.adaptive import AdaptiveMeasures, Measures
from leveret.server.load.admission import LOOK_AHEAD, Admission
from leveret.server.load.limiter import Limiter
from leveret.server.load.prefetch import Consumes, Prefetch
from leveret.server.load.slots import Slots
from leveret.wire.message import Incoming


class Places:
    """The places of one method, and the calls that wait for one.

    :param concurrency: how many calls may run at a time at first.
    :param adaptive: whether the limit may follow the load, if the method says that it does.
    :param start: begins a call that has got a place.
    :param fail: answers a call that ends without a task.
    :param begin_time: gives a one-way call all of its method's time.
    :param is_draining: whether the server takes no more requests.
    """

    def __init__(
        self,
        spec: MethodSpec,
        concurrency: int,
        life: Life,
        loop: asyncio.AbstractEventLoop,
        *,
        adaptive: bool,
        start: Callable[[ServerCall], None],
        fail: Callable[[ServerCall, CallError], None],
        begin_time: Callable[[ServerCall], bool],
        is_draining: Callable[[], bool],
    ) -> None:
        self.admission = Admission()
        self.doubtful = 0.0
        """Seconds; a request with no more time left than this may not be finished in time."""
        limiter = None
        if adaptive and spec.adaptive is not None:
            limiter = Limiter(spec.adaptive, concurrency)
        self.slots: Slots[ServerCall] = Slots(
            concurrency if limiter is None else limiter.limit,
            lambda now: LOOK_AHEAD if self.admission.overloaded(now) else 0,
            adapts=limiter is not None,
        )
        self.measures: Measures = self.admission
        """Learns how long calls take."""
        if limiter is not None:
            self.measures = AdaptiveMeasures(self.admission, limiter, self.slots, life.clock)
        self._prefetch = Prefetch(
            loop, self.slots.changed_prefetch, life.clock, varies=limiter is not None
        )
        self._key = spec.key
        self._life = life
        self._clock = life.clock
        self._start = start
        self._fail = fail
        self._begin_time = begin_time
        self._is_draining = is_draining

    # -- calls -------------------------------------------------------------------------------------

    def admit(self, call: ServerCall) -> None:
        """Find a place for a call, now or later."""
        if self.slots.acquire():
            self._start(call)
        else:
            self.find_no_place(call)

    def find_no_place(self, call: ServerCall) -> None:
        """No place is free: have the call wait, unless its caller does not want to."""
        if call.incoming.only_if_free:
            self._life.fire(call, Event.BUSY)
            self._fail(call, Busy(f"no server of {self._key} has a free place at this moment"))
            return
        self._life.fire(call, Event.NO_PLACE)
        self.slots.wait(call)
        if self._prefetch.varies:
            self._adjust()

    def leave(self) -> None:
        """Free the place of a call: the next one gets it."""
        slots = self.slots
        slots.release()
        if self._prefetch.varies:
            self._adjust()
        if slots.waiting:
            self._start_waiting()

    def _start_waiting(self) -> None:
        """Begin waiting calls while there are places, unless too little time is left for them."""
        while (call := self.slots.next()) is not None:
            if call.one_way:
                self._begin_time(call)
            now = self._clock()
            try:
                if call.ends - now <= self.doubtful:
                    self.check_time_left(call.incoming, call.ends - now, now)
            except DeadlineExceeded as error:
                self.slots.release()
                self._life.fire(call, Event.LATE)
                self._fail(call, error)
            else:
                self._start(call)

    # -- time --------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Judge again how much time a request must have left to be taken without a check."""
        self.doubtful = self.admission.judge(self._clock())

    def check_time_left(self, request: Incoming, seconds: float, now: float) -> None:
        """:raises DeadlineExceeded: if there is too little time left to begin a request."""
        try:
            self.admission.check(seconds, request.timeout, now)
        except DeadlineExceeded:
            if self.admission.overloaded(now):
                self._prefetch.varies = True
                self._adjust()
            raise

    # -- the prefetch ------------------------------------------------------------------------------

    def serve_queue(self, queue: Consumes) -> None:
        """Requests come by this queue as well."""
        self._prefetch.queues.append(queue)

    @property
    def has_several_queues(self) -> bool:
        """Whether calls may have to wait for calls from another queue."""
        return len(self._prefetch.queues) > 1

    def prefetch(self) -> int:
        """How many requests a consumer that begins now may have at a time."""
        return self.slots.prefetch(self._clock())

    async def settled(self) -> None:
        """Wait until no prefetch is being changed."""
        await self._prefetch.settled()

    def _adjust(self) -> None:
        if not self._is_draining():
            self._prefetch.adjust()
