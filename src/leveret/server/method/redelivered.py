"""Handles requests that are redelivered, or that come while the server drains.

`calls/intake.py`, which is pure, decides what becomes of them; that is carried out here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from msgspec import structs

from leveret.contract import MethodSpec
from leveret.server.calls.intake import Decision, decide, gave_up, times_delivered
from leveret.server.calls.life import Act, Event, HoldingEvent, ServerCall, Source
from leveret.server.calls.names import name_of, name_of_one_way
from leveret.server.calls.settling import Settling
from leveret.server.calls.way_back import Settle
from leveret.server.method.ends import Ends
from leveret.server.method.shared import Shared
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import Incoming

log = logging.getLogger("leveret.server")


class Redelivered:
    """Handles these requests of one method.

    :param take: takes a request as if it had come for the first time.
    :param ask: asks the caller of a call once more whether it still waits.
    :param admit: finds a place for a call.
    """

    def __init__(
        self,
        spec: MethodSpec,
        shared: Shared,
        settling: Settling,
        ends: Ends,
        *,
        take: Callable[[Incoming, Source], None],
        ask: Callable[[ServerCall], None],
        admit: Callable[[ServerCall], None],
    ) -> None:
        self._spec = spec
        self._key = spec.key
        self._life = shared.life
        self._clock = shared.life.clock
        self._table = shared.table
        self._kept = shared.kept
        self._streams = shared.streams
        self._user_of = shared.user_of
        self._settling = settling
        self._ends = ends
        self._take = take
        self._ask = ask
        self._admit = admit

    def is_settled(
        self, request: Incoming, source: Source, seconds: float, *, old: bool, draining: bool
    ) -> bool:
        """Handle a request; False if it must be taken like any other.

        :param seconds: what is left of its time.
        :param old: whether it was in the queue before this server. A copy of it says so.
        """
        if old and not request.old:
            request = structs.replace(request, old=True)
        source.counters.redelivered += request.redelivered
        name = name_of((request.reply_to, request.call_id), request.stage)
        if request.reply_to is None:
            name = name_of_one_way(request.call_id, request.user, request.body)
        if name in self._streams:  # it was acknowledged on a channel that had ended
            source.answers.settle(request.delivery.delivery_tag, Settle.ACK)
            return True
        call = kept = None
        if request.redelivered:
            call = self._table.delivered_again(self._key, name)
            kept = self._kept.find(name)
        decision = decide(
            request,
            self._spec,
            seconds,
            known=call is not None,
            answered=kept is not None,
            draining=draining,
        )
        answers, tag = source.answers, request.delivery.delivery_tag
        if decision is Decision.JUDGE:
            return False
        if decision is Decision.HAND_BACK:
            self._settling.hand_back(request, source, seconds)
            self._handed_back(request, source)
        elif decision is Decision.GO_ON and call is not None:
            self._go_on(call, request, source)
        elif decision is Decision.REPEAT and kept is not None:
            answers.repeat_for(tag, kept[1])
            source.finished += 1
        else:
            self._count_or_give_up(decision, request, source, seconds)
        return True

    def _count_or_give_up(
        self, decision: Decision, request: Incoming, source: Source, seconds: float
    ) -> None:
        """Publish a request again with its number of deliveries; end it if it came too often."""
        answers = source.answers
        times, _ = times_delivered(request, self._spec)
        user = self._user_of(request, answers.own_user)
        placed = partial(self._placed, request, source, times)
        # One that cannot be counted could come for ever.
        if decision is Decision.GIVE_UP or not answers.hand_back(
            request, seconds, user, times, placed
        ):
            self._give_up(request, source, times)

    def _placed(self, request: Incoming, source: Source, times: int, has_place: bool) -> None:
        """The copy of a request that counts its deliveries is in its queue, or found no place."""
        if has_place:
            self._handed_back(request, source)
        else:
            self._run_uncounted(request, source, times)

    def _run_uncounted(self, request: Incoming, source: Source, times: int) -> None:
        """Run a request that nobody waits for, as its queue is too full to count it."""
        source.counters.started -= 1  # it was counted as it came
        self._take(structs.replace(request, redelivered=False, attempts=times), source)

    def _go_on(self, call: ServerCall, request: Incoming, source: Source) -> None:
        """The request of a call that is here has come again: it can be answered once more."""
        self._life.move(call, HoldingEvent.REDELIVERED)
        call.incoming = request
        call.source = source
        act = self._life.fire(call, Event.REDELIVERED)
        if call.streams:
            self._settling.acknowledge(call)
        if act is Act.ASK and call.told is None:
            self._ask(call)
        elif act is Act.ADMIT:
            self._admit(call)

    def _give_up(self, request: Incoming, source: Source, times: int) -> None:
        """Answer and dead-letter a request that may kill its servers."""
        error = gave_up(times)
        call = self._call_of(request, source)
        log.error("%s: %s", shown(call), error.message, extra=fields_of(call))
        self._ends.reject(call, error)

    def _handed_back(self, request: Incoming, source: Source) -> None:
        self._ends.handed_back(source, partial(self._call_of, request, source))

    def _call_of(self, request: Incoming, source: Source) -> ServerCall:
        """The call of a request that is not begun here."""
        now = self._clock()
        seconds = request.deadline - time.time()
        return ServerCall(
            method=self._key,
            incoming=request,
            source=source,
            user=self._user_of(request, source.answers.own_user),
            arrived=now,
            queued=0.0 if request.only_if_free else max(request.timeout - seconds, 0.0),
            ends=now + seconds,
            one_way=request.reply_to is None,
        )
