"""What comes in for the calls of one client: replies, words of servers, requests that come back.

Replies and what servers say beside them come to the reply queue, and so do requests that the broker
gave up ("bounces"). What it finds no queue for it returns on the channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.amqp.events import Content, Delivery
from leveret.client import verdicts
from leveret.client.pending import GRACE
from leveret.wire.before import marked_as_resent
from leveret.wire.control import CANCEL, CONFIRMED
from leveret.wire.native.headers import attempts, bounce_reason, was_handed_back
from leveret.wire.native.names import ACCEPTED, CALL, CONFIRM

if TYPE_CHECKING:
    from leveret.client.calls import Calls

_LATEST: Final = 0.095
"""Seconds after its deadline at which a call ends at the very latest."""


class Arrivals:
    """Gives what comes in to the calls it is for, and drops what is for none."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def on_reply(self, delivery: Delivery) -> None:
        """Take what came to the reply queue."""
        calls = self._calls
        properties = delivery.properties
        kind = properties.type
        if kind == CALL:
            self._bounced(delivery)
            return
        if kind == ACCEPTED:
            if properties.correlation_id in calls.pending:
                calls.accepted[properties.correlation_id] = calls.loop.time()
                if not delivery.body:  # else it waits at its server
                    calls.begun.add(properties.correlation_id)
            return
        if kind == CONFIRM:
            answer_to, call_id = properties.reply_to or "", properties.correlation_id or ""
            waits = call_id in calls.pending
            if waits:  # with our answer its handler may begin
                calls.accepted[call_id] = calls.loop.time()
            calls.tell(answer_to, CONFIRMED if waits else CANCEL, call_id, GRACE)
            return
        if calls.resent and properties.correlation_id in calls.resent:
            delivery = marked_as_resent(delivery)
        pending = calls.take(properties.correlation_id)
        if pending is None:
            calls.counters.late += 1
            return
        pending.request.route.alive_at = calls.loop.time()
        pending.future.set_result(delivery)

    def _bounced(self, delivery: Delivery) -> None:
        """Our own request came back: the broker says why in x-death."""
        calls = self._calls
        pending = calls.pending.get(delivery.properties.correlation_id or "")
        if pending is None:
            calls.counters.late += 1
            return
        headers = delivery.properties.headers
        reason = bounce_reason(headers)
        if reason == "maxlen" and was_handed_back(headers):
            return  # only a copy, which found no place: its server keeps the request
        if attempts(headers):  # a server had it, and died
            calls.resent.setdefault(pending.id, 0)
        if reason == "maxlen" and attempts(headers) and pending.request.repeatable:
            calls.returned.lost(pending)
        elif reason == "expired":
            # Was nobody there, or were all busy? The look gets a grace of its own.
            calls.expiring.add(pending.id)
            pending.back_at = calls.loop.time()
            if not pending.request.if_busy_fail:
                calls.deadlines.discard(pending.tick, pending)
                latest = pending.started + pending.timeout + _LATEST
                pending.tick = calls.deadlines.add(min(calls.loop.time() + GRACE, latest), pending)
            calls.returned.expired(pending)
        else:
            calls.fail(pending, verdicts.bounce(reason))

    def on_return(self, content: Content) -> None:
        """The broker has no queue for a request."""
        calls = self._calls
        pending = calls.pending.get(content.properties.correlation_id or "")
        if pending is not None:
            pending.body = content.body
            pending.back_at = calls.loop.time()
            calls.returned.unroutable(pending)
