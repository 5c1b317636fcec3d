"""Sends requests again: at once, in a moment, or as soon as requests may be sent.

Whoever fires the event decides whether a request may be sent again; see `life.py`. Here it is
packed for the current channel, with the time that it has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from leveret.body_parts import Body
from leveret.client.calls.life import Event, Fire, Pending, State
from leveret.errors import CallError
from leveret.wire.dialect import ClientChannel
from leveret.wire.timing import PROBE_AFTER

_SENT_SOON: Final = 0.05
"""Seconds until a request that the broker did not keep is sent again, if servers listen."""


class Publishes(Protocol):
    """What sends requests: the `Publisher`."""

    outgoing: ClientChannel
    """The channel as packers see it."""

    def publish(self, call: Pending, timeout: float, body: Body, headers: bytes) -> None:
        """Send the request of a call."""


class Resends:
    """Sends requests again.

    :param is_open: whether requests may go now.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        publisher: Publishes,
        *,
        fire: Fire,
        is_open: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._publisher = publisher
        self._fire = fire
        self._is_open = is_open

    # -- acts ---------------------------------------------------------------------------------

    def publish(self, call: Pending) -> None:
        """Send a request again if no server can have its latest copy."""
        self._publish(call, doubtful=call.doubtful)

    def publish_doubtful(self, call: Pending) -> None:
        """Send a request again though a server may have an earlier copy."""
        self._publish(call, doubtful=True)

    def _publish(self, call: Pending, *, doubtful: bool) -> None:
        request = call.request.first
        key = (call.trouble.key if call.trouble is not None else "") or ""
        try:
            if request.channel is not self._publisher.outgoing:
                request.renew(self._publisher.outgoing)
            headers = request.headers_again(call.headers, doubtful=doubtful, key=key)
            request.check_headers(headers)
        except CallError as error:  # its metadata does not fit into the frames of another broker
            self._fire(call, Event.UNPACKABLE, error)
            return
        self._publisher.publish(call, self._time_left(call), call.body or b"", headers)

    def publish_later(self, call: Pending) -> None:
        """Fire RESEND in a moment."""
        self._loop.call_later(_pause(call), self._again, call, Event.RESEND)

    def publish_later_doubtful(self, call: Pending) -> None:
        """Fire RESEND_DOUBTFUL in a moment."""
        self._loop.call_later(_pause(call), self._again, call, Event.RESEND_DOUBTFUL)

    # -- when ---------------------------------------------------------------------------------

    def send_missing(self, call: Pending) -> None:
        """Send the request of this call again, as nobody has it."""
        self._again(call, Event.STILL_MISSING)

    def send_unsent(self, calls: Iterable[Pending]) -> None:
        """Requests may be sent again: send those that waited."""
        for call in list(calls):
            if call.state is State.UNSENT:
                back = call.trouble is not None and call.trouble.back_at
                self._again(call, Event.SENDABLE if back else Event.SENDABLE_DOUBTFUL)

    def _again(self, call: Pending, event: Event) -> None:
        """Fire an event that has a request sent again, if that is possible now.

        A call that has no time left is ended by its deadline.
        """
        if call.state is State.ENDED or self._time_left(call) <= 0:
            return
        if call.trouble is not None and call.trouble.key is None:
            self._fire(call, Event.KEY_LOST)
        elif self._is_open():
            self._fire(call, event)
        elif call.state is State.DELAYED:
            self._loop.call_later(PROBE_AFTER, self._again, call, event)

    def _time_left(self, call: Pending) -> float:
        return call.started + call.timeout - self._loop.time()


def _pause(call: Pending) -> float:
    return _SENT_SOON if call.route.finding.consumers else PROBE_AFTER
