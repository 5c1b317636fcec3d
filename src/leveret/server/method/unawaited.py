"""Calls that nobody waits for: one-way calls, and started calls, whose outcome is in the store.

Their requests live longer than their handlers may run: the method's timeout begins anew when a call
is run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Final

from msgspec import structs

from leveret.contract import MethodSpec, Progress
from leveret.server.calls.life import ServerCall, Source, State
from leveret.server.calls.once_calls import OnceCalls
from leveret.transport.deadlines import Deadlines
from leveret.wire.message import Incoming

log = logging.getLogger("leveret.server")

_NOT_BEGUN: Final = (State.WAITING, State.CLAIMING)
"""The states in which a call waits for a place, or for its key."""
_LEFT_AFTER: Final = 1.0
"""Seconds after which a started call that this server cannot remember is handed back."""


class Unawaited:
    """The calls of one method that nobody waits for.

    :param calls: the calls of the method that are here.
    :param clock: a clock in seconds that never jumps.
    :param hand_back: hands back a request that was not begun, with what is left of its time.
    """

    def __init__(
        self,
        spec: MethodSpec,
        calls: Collection[ServerCall],
        once: OnceCalls,
        deadlines: Deadlines[ServerCall],
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        *,
        hand_back: Callable[[Incoming, Source, float], None],
    ) -> None:
        self._spec = spec
        self._calls = calls
        self._once = once
        self._deadlines = deadlines
        self._clock = clock
        self._loop = loop
        self._hand_back = hand_back

    # -- their time --------------------------------------------------------------------------------

    def begin_time(self, call: ServerCall) -> bool:
        """Give a one-way call that has not begun its whole timeout; False if it expired."""
        self._deadlines.discard(call.tick, call)
        now = time.time()
        seconds = min(self._spec.timeout, call.incoming.expires - now)
        if seconds <= 0:
            return False
        call.incoming = structs.replace(call.incoming, deadline=now + seconds)
        call.ends = self._clock() + seconds
        call.tick = self._deadlines.add(call.ends, call)
        return True

    def bound(self, call: ServerCall) -> None:
        """A call begins: its method's timeout bounds it from here on."""
        if call.incoming.started is None:
            self.begin_time(call)
            return
        self._deadlines.discard(call.tick, call)
        call.ends = self._clock() + self._spec.timeout
        call.tick = self._deadlines.add(call.ends, call)

    def lives_on(self, call: ServerCall) -> bool:
        """Whether a call goes on past its deadline, as its handler's time has not begun."""
        return call.one_way and call.state in _NOT_BEGUN and self.begin_time(call)

    # -- started calls -----------------------------------------------------------------------------

    @property
    def can_be_remembered(self) -> bool:
        """Whether this server's store outlives it, as the outcomes of started calls must."""
        return self._once.lasts

    def leave_to_others(self, request: Incoming, source: Source) -> None:
        """Hand back a started call that this server cannot remember, in a moment."""
        log.error(
            "%s: a started call is left to other servers, as this one has no store of idempotency"
            " keys that outlives it: serve with once='sqlite:///...', Redis or PostgreSQL",
            self._spec.key,
        )

        answers = source.answers  # on another channel its tag is another request's

        def hand_back() -> None:
            source.counters.handed_back += 1
            if answers.is_open:
                self._hand_back(request, source, request.deadline - time.time())

        self._loop.call_later(_LEFT_AFTER, hand_back)

    def progress(self, name: str) -> Progress | None:
        """The last progress report of a started call, if it runs here and has one."""
        call = self.find(name)
        return None if call is None or call.context is None else call.context.last_progress

    def find(self, name: str) -> ServerCall | None:
        """A started call that is here, by its key's name in the store.

        If several have the same key, it is the one that runs.
        """
        found = None
        for call in self._calls:
            is_started = call.incoming.started is not None
            if is_started and self._once.key(call.incoming, call.user) == name:
                if call.context is not None:
                    return call
                found = found or call
        return found
