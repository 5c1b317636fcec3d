"""Counts the calls of one method when they end: the only source of a server's statistics.

A call is counted before its request is settled, for the queue that delivered it last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.observe import BATCH
from leveret.server.calls.life import Holding, ServerCall, goes_elsewhere
from leveret.server.calls.tracing import ServerTracing

_HELD: Final = Holding.HELD
"""Bound once, for the hot path: before Python 3.12 reading a member of an enum is slow."""


class Counting:
    """Counts calls, and ends their spans.

    :param clock: a clock in seconds that never jumps.
    :param tracing: keeps the spans; None if calls are not traced.
    """

    def __init__(self, clock: Callable[[], float], tracing: ServerTracing | None) -> None:
        self._clock = clock
        self._tracing = tracing

    def ended(self, call: ServerCall, reply: bytes, back: bool = False) -> None:
        """A call has ended here, unless it goes to another server.

        :param reply: the frames of its reply.
        :param back: whether another server is to run it.
        """
        counters = call.source.counters
        if (back or call.holding is not _HELD) and goes_elsewhere(call, back=back):
            self.handed_back(call)
            return
        now, started, stream = self._clock(), call.started, call.stream
        size_out = len(reply) + call.answer_size
        if stream is not None:
            size_out += stream.size
            counters.items_in += stream.taken
            counters.items_out += stream.count
            if call.has_moved:
                counters.sent(size_out)
                self.handed_back(call)
                return
        incoming, records = call.incoming, counters.records
        # Written out, as each call comes by here; see `ServerCounters.ended`.
        records.append(
            (
                call.code,
                incoming.caller,
                now,
                call.queued + (started or now) - call.arrived,
                now - started if started and stream is None else None,
                incoming.body_size,
                size_out,
            )
        )
        if len(records) >= BATCH:
            counters.count_some()
        if self._tracing is not None:
            self._tracing.ended(call, gone=False)

    def handed_back(self, call: ServerCall) -> None:
        """A call has gone to another server, or the broker has its request."""
        call.source.counters.handed_back += 1
        if self._tracing is not None:
            self._tracing.ended(call, gone=True)
