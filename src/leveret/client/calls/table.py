"""The calls in flight: found by id, bounded in number, ended by their deadlines.

Only `fire` changes the state of a call, except for the two hot pairs: `open` registers a call and
`replied` ends one, in straight code.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Final

from leveret.body_parts import Body
from leveret.client.calls.life import (
    REPEATABLE_ONLY,
    TRANSITIONS,
    Act,
    Event,
    Pending,
    State,
    remember,
)
from leveret.client.calls.request import Request
from leveret.client.calls.sinks import Sink
from leveret.client.calls.verdicts import FAILURES, verdict
from leveret.errors import LeveretError
from leveret.transport.deadlines import Deadlines
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import Reply
from leveret.wire.timing import REPLY_GRACE

log = logging.getLogger("leveret.client")

KEPT_ANYWAY: Final = 65_536
"""Bytes of the largest body that is kept for a call that may not be repeated: if the broker closes
the channel before it has taken the request, the request may be sent again."""

_ENDED: Final = State.ENDED
"""Bound once, for the hot path: before Python 3.12 reading a member of an enum is slow."""

Hook = Callable[[Pending, State, Event, State, float], None]
"""`on_transition(call, before, event, after, now)`, where `now` is on the event loop's clock."""


class CallTable:
    """All calls of one client that have not ended.

    :param ids: gives call ids without end.
    :param is_unconfirmed: whether the broker is not known to have a call's request.
    :param acts: what carries out an act. Acts that are missing here are left to whoever fired the
        event: `fire` returns the act.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        ids: Iterator[str],
        is_unconfirmed: Callable[[Pending], bool],
        acts: Mapping[Act, Callable[[Pending], None]],
    ) -> None:
        self.by_id: Final[dict[str, Pending]] = {}
        """The calls by id, in the order in which they were sent. For others to read only."""
        self.opened = 0
        """How many calls were registered so far."""
        self.on_transition: Hook | None = None
        """Called with each transition, in the event loop; it must return at once and not raise."""
        self._ids = ids
        self._time = loop.time
        self._deadlines = Deadlines(loop, self._expired)
        self._is_unconfirmed = is_unconfirmed
        self._acts = acts

    def open(
        self,
        request: Request,
        body: Body,
        timeout: float,
        sink: Sink,
        headers: bytes,
        ids: Iterator[str] | None = None,
    ) -> Pending:
        """Register a call, under its deadline: NEW, SEND. The caller sends its request next.

        :param timeout: seconds from now.
        :param ids: gives the call its id; None: a new one.
        """
        now = self._time()
        call_id = next(self._ids if ids is None else ids)
        call = self.by_id[call_id] = Pending(
            request,
            call_id,
            now,
            timeout,
            sink,
            body if request.repeatable or len(body) <= KEPT_ANYWAY else None,
            headers,
            len(body),
        )
        call.tick = self._deadlines.add(now + timeout + REPLY_GRACE, call)
        self.opened += 1
        if self.on_transition is not None:
            self.on_transition(call, State.NEW, Event.SEND, State.QUIET, now)
        return call

    def replied(self, call: Pending, reply: Reply) -> None:
        """Give a reply to its call: any live state, REPLY. The call ends if its sink is done."""
        sink = call.sink
        if not sink.done():
            sink.set_result(reply)
        if not sink.done():
            return
        self.by_id.pop(call.id, None)
        self._deadlines.discard(call.tick, call)
        before, call.state = call.state, _ENDED
        if self.on_transition is not None:
            self.on_transition(call, before, Event.REPLY, _ENDED, self._time())

    def finished(self, call: Pending) -> None:
        """End a call whose sink has all that it waited for: any live state, REPLY."""
        self.fire(call, Event.REPLY)

    def fire(self, call: Pending, event: Event, cause: LeveretError | None = None) -> Act:
        """Note that something happened to a call; return the act, once it is carried out.

        :param cause: why the call fails, for its error.
        """
        before = call.state
        if before is State.ENDED:
            return Act.NOTHING  # too late
        row = TRANSITIONS.get((before, event))
        if row is None or (event in REPEATABLE_ONLY and not call.request.repeatable):
            log.error(
                "a bug in Leveret: %s met %s while it was %s; please report it",
                *(shown(call), event.name, before.name),
                extra=fields_of(call),
            )
            return Act.NOTHING
        after, act = row
        now = self._time()
        remember(call, event, act, now)
        call.state = after
        if after is State.ENDED:
            self.by_id.pop(call.id, None)
            self._deadlines.discard(call.tick, call)
        if self.on_transition is not None:
            self.on_transition(call, before, event, after, now)
        if act in FAILURES and not call.sink.done():
            call.sink.set_exception(verdict(act, call, cause))
            call.sink.exception()  # seen, even if its caller is cancelled before it wakes up
        if act in self._acts:
            self._acts[act](call)
        return act

    def extend(self, call: Pending, when: float) -> None:
        """Move the deadline of a call, `when` on the event loop's clock; inf: it has none.

        The consumer of a stream may ask for that when its call has ended.
        """
        self._deadlines.discard(call.tick, call)
        if when < inf and call.state is not State.ENDED:
            call.tick = self._deadlines.add(when, call)

    def end_all(self, error: LeveretError) -> None:
        """End every call, since no reply will come any more."""
        for call in list(self.by_id.values()):
            unconfirmed = self._is_unconfirmed(call)
            self.fire(call, Event.CLOSED_UNCONFIRMED if unconfirmed else Event.CLOSED, error)

    def close(self) -> None:
        """Forget all deadlines."""
        self._deadlines.close()

    @property
    def deadlines(self) -> int:
        """How many deadlines are kept."""
        return len(self._deadlines)

    def _expired(self, call: Pending) -> None:
        unconfirmed = self._is_unconfirmed(call)
        self.fire(call, Event.DEADLINE_UNCONFIRMED if unconfirmed else Event.DEADLINE)
