"""Tells middleware that has a `call_ended`, and the access log, how each call ended.

A server has one `Endings` if there is anybody to tell, and none otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from leveret.amqp.frames import body_size
from leveret.errors import Executed
from leveret.server.call_end import CallEnd, CallEnded, Outcome
from leveret.server.calls.life import Answer, ServerCall, goes_elsewhere
from leveret.wire.context import CurrentCall
from leveret.wire.log_fields import fields_of, shown

__all__ = ["Endings"]

log = logging.getLogger("leveret.server")


class Endings:
    """Tells how calls ended.

    :param told: who is told, in this order.
    :param clock: a clock in seconds that never jumps.
    """

    def __init__(self, told: Sequence[CallEnded], clock: Callable[[], float]) -> None:
        self._told = told
        self._clock = clock

    def of(self, call: ServerCall, reply: bytes, *, back: bool) -> CallEnd:
        """How a call ends; must be called before its request is settled.

        :param reply: the frames of its reply, b"" if there is none.
        :param back: whether another server is to run it.
        """
        if call.stream is not None and call.entered:
            return self._end(call, call.stream.size)
        if goes_elsewhere(call, back=back):
            return self._back(call)
        size = call.answer_size
        if call.answer is Answer.OWED and not call.dead_letter:
            size = body_size(reply)
        return self._end(call, size)

    def handed_back(self, call: ServerCall) -> None:
        """A call has gone to another server, or the broker has its request."""
        self.tell(call, self._back(call))

    def gave_up(self, call: ServerCall, reply: bytes) -> None:
        """A call was answered and its request dead-lettered."""
        self.tell(call, self._end(call, body_size(reply)))

    def tell(self, call: ServerCall, end: CallEnd) -> None:
        """A call has ended like this."""
        incoming = call.incoming
        context = CurrentCall(incoming, call.method, incoming.deadline, call.user, call.arguments)
        for told in self._told:
            try:
                told(context, end)
            except Exception:
                log.exception("%s: call_ended failed", shown(call), extra=fields_of(call))
        context.end()
        call.failure = None

    def _back(self, call: ServerCall) -> CallEnd:
        return self._made(call, "handed back", 0)

    def _end(self, call: ServerCall, size: int) -> CallEnd:
        return self._made(call, "done" if call.failure is None else "failed", size)

    def _made(self, call: ServerCall, outcome: Outcome, reply_size: int) -> CallEnd:
        now, incoming = self._clock(), call.incoming
        error = call.failure if outcome == "failed" else None
        executed: Executed = "yes" if call.entered else "no"
        return CallEnd(
            outcome=outcome,
            error=error,
            executed=executed if error is None else error.executed,
            queued=call.queued,
            waited=(call.started or now) - call.arrived,
            ran=now - call.started if call.started else 0.0,
            request_size=incoming.body_size,
            reply_size=reply_size,
        )
