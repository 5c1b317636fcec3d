"""Ends calls: counts, answers and settles each, and tells whoever wants to know.

`calls/settling.py` sends the reply and settles the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from leveret.amqp.frames import on_channel
from leveret.errors import CallError
from leveret.server.calls.counting import Counting
from leveret.server.calls.life import Answer, Event, ServerCall, Source, State
from leveret.server.calls.once_calls import OnceCalls
from leveret.server.calls.replies import Replies
from leveret.server.calls.run import Ended
from leveret.server.calls.settling import Settling
from leveret.server.method.shared import Shared

# What each call comes by: Python 3.11 takes five times as long to find a member of an Enum.
_ENDED: Final = State.ENDED


class Ends:
    """Ends the calls of one method.

    :param leave: frees the place of a call.
    :param wait_no_longer: takes a call out of the queue for a place, if it is there.
    """

    def __init__(
        self,
        shared: Shared,
        replies: Replies,
        settling: Settling,
        once: OnceCalls,
        loop: asyncio.AbstractEventLoop,
        *,
        leave: Callable[[], None],
        wait_no_longer: Callable[[ServerCall], None],
    ) -> None:
        self.refusals: set[asyncio.Task[None]] = set()
        """The tasks that note why started calls are not run, before their requests are settled."""
        self._life = shared.life
        self._clock = shared.life.clock
        self._replies = replies
        self._settling = settling
        self._once = once
        self._loop = loop
        self._leave = leave
        self._wait_no_longer = wait_no_longer
        self._endings = shared.endings
        self._counting = Counting(shared.life.clock, shared.tracing)
        self._count = self._counting.ended
        self._settle = settling.finish if shared.endings is None else self._settle_and_tell

    def end(self, call: ServerCall, ended: Ended) -> None:
        """The task of a call has finished with it."""
        before = call.state
        if before is _ENDED:
            return  # a drain has given it up
        # Written out, as each call comes by here; see `life.TRANSITIONS`.
        call.state = _ENDED
        if self._life.on_transition is not None:
            self._life.on_transition(call, before, Event.END, _ENDED, self._clock())
        reply = ended.reply
        if ended.packed_for is not call.source.answers:  # the channel ended meanwhile
            reply = on_channel(reply, call.source.answers.number)
        if self.finish(call, reply, back=ended.back):
            self._leave()

    def finish(self, call: ServerCall, reply: bytes, *, back: bool = False) -> bool:
        """Count a call that has ended, answer and settle it: `Settling.finish`."""
        self._count(call, reply, back)
        return self._settle(call, reply, back=back)

    def _settle_and_tell(self, call: ServerCall, reply: bytes, *, back: bool = False) -> bool:
        """`Settling.finish`, where somebody wants to know how calls end."""
        assert self._endings is not None
        end = self._endings.of(call, reply, back=back)
        is_free = self._settling.finish(call, reply, back=back)
        self._endings.tell(call, end)
        return is_free

    def fail(self, call: ServerCall, error: CallError) -> None:
        """Answer a call that has ended without a task."""
        reply = self._replies.error(call, error)
        if call.incoming.started is None:
            self.finish(call, reply)
        else:
            self._refuse(call, reply, partial(self.finish, call, b""))

    def reject(self, call: ServerCall, error: CallError) -> None:
        """Answer a call whose request may kill its servers, and dead-letter the request."""
        self._life.fire(call, Event.REFUSED)
        reply = self._replies.error(call, error)
        if call.incoming.started is None:
            self._reject(call, b"" if call.dead_letter else reply)
        else:
            self._refuse(call, reply, lambda: self._reject(call, b""))

    def _reject(self, call: ServerCall, reply: bytes) -> None:
        self._count(call, reply)
        if not self._settling.kept(call):
            call.source.answers.reject(call, reply)
        if self._endings is not None:
            self._endings.gave_up(call, reply)

    def _refuse(self, call: ServerCall, reply: bytes, then: Callable[[], object]) -> None:
        """Note why a started call is not run, and only then settle its request.

        It goes back where that cannot be noted: nobody could tell its caller. Where its channel has
        ended meanwhile, the broker has it already, and its tag may be that of another request.
        """
        answers, delivery = call.source.answers, call.incoming.delivery

        async def refuse() -> None:
            is_noted = False
            try:
                is_noted = await self._once.refuse(call, reply)
            finally:
                if call.incoming.delivery is delivery and not answers.is_open:
                    self.forget(call)
                elif is_noted:
                    then()
                else:
                    self.finish(call, b"", back=True)

        task = self._loop.create_task(refuse())
        self.refusals.add(task)
        task.add_done_callback(self.refusals.discard)

    def answer(self, call: ServerCall, error: CallError) -> None:
        """Answer a call that has not ended, if it is still owed an answer."""
        if call.answer is Answer.OWED:
            self._settling.answer(call, self._replies.error(call, error))

    def forget(self, call: ServerCall) -> None:
        """Drop a call without an answer."""
        self._wait_no_longer(call)
        self._settling.forget(call)
        self._counting.handed_back(call)
        if self._endings is not None:
            self._endings.handed_back(call)

    def handed_back(self, source: Source, call_of: Callable[[], ServerCall]) -> None:
        """Count and announce the end of a request that was handed back at once."""
        source.counters.handed_back += 1
        if self._endings is not None:
            self._endings.handed_back(call_of())
