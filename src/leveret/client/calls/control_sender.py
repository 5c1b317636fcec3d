"""The control messages by which a client tells servers about its calls, and asks about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Final

import msgspec

from leveret.amqp.properties import Properties
from leveret.client.calls.life import Pending
from leveret.client.calls.route import Route
from leveret.streaming import Credit
from leveret.wire.control import CANCEL, CONFIRMED, QUERY, REBIND, properties
from leveret.wire.message import ReplyAddress
from leveret.wire.native.stream_replies import credit_properties
from leveret.wire.timing import REPLY_GRACE

log = logging.getLogger("leveret.client")

_OF_USE: Final = 1.0
"""Seconds for which a question is of use. After that the client asks again."""
_CREDIT_OF_USE: Final = 10.0
"""Seconds for which a credit may wait for its server."""
_QUERIED_AT_ONCE: Final = 1_000
"""How many calls one query asks for at most."""
_ASKED_EVERY: Final = 0.2
"""Seconds between two requests to the servers of a service to bind their queues."""


class ControlSender:
    """Sends control messages, where that is possible at the moment.

    :param send: sends a message under a routing key: `send(key, properties, body)`.
    :param reply_to: gives the current reply queue.
    :param is_open: whether messages may go now.
    :param time: the clock of the event loop.
    :param user: gives the current user of the broker, "" if it is unknown.
    """

    def __init__(
        self,
        *,
        send: Callable[[str, Properties, bytes], None],
        reply_to: Callable[[], ReplyAddress],
        is_open: Callable[[], bool],
        time: Callable[[], float],
        user: Callable[[], str] = str,
    ) -> None:
        self._user = user
        self._send_message = send
        self._reply_to = reply_to
        self._is_open = is_open
        self._time = time
        self._asked_to_bind: dict[str, float] = {}  # when, by the control key of a service

    def cancel(self, call: Pending) -> None:
        """Nobody waits for this call any more."""
        request = call.request
        # A pipe may be further on than its client knows, or about to be.
        later = request.stages[request.stage - 1 :] if request.stage else (request,)
        for key in dict.fromkeys(one.route.control_key for one in later):
            if key:
                self._send(key, CANCEL, call.id, call.timeout)

    def cancel_at(self, server: str, call: Pending) -> None:
        """Nobody waits for the call any more, which this server, "service.instance", has."""
        self._send(server, CANCEL, call.id, call.timeout)

    def credit(self, server: str, call_id: str, credit: Credit) -> None:
        """Tell the server of a stream which items have arrived, and how many more may."""
        if self._is_open():
            message = credit_properties(
                credit, call_id, reply_to=self._reply_to(), seconds=_CREDIT_OF_USE
            )
            self._send_message(server, message, b"")

    def acknowledge(self, server: str, call_id: str, number: int) -> None:
        """Tell the server of a stream that its end has come, which has this number."""
        self.credit(server, call_id, Credit(got=number, upto=number, size=0))

    def cancel_for_all(self, key: str, call_id: str, seconds: float) -> None:
        """Nobody waits any more for a call that the servers under this key were asked to run."""
        self._send(key, CANCEL, call_id, seconds)

    def confirm(self, key: str, call_id: str, waits: bool) -> None:
        """Tell a server, which listens under this key, whether a caller still waits."""
        self._send(key, CONFIRMED if waits else CANCEL, call_id, REPLY_GRACE)

    def query(self, route: Route, ids: list[str]) -> None:
        """Ask the servers of a queue which of these calls they run or have replied to."""
        for start in range(0, len(ids), _QUERIED_AT_ONCE):
            body = msgspec.json.encode(ids[start : start + _QUERIED_AT_ONCE])
            self._send(route.control_key, QUERY, "", _OF_USE, body)

    def ask_to_bind(self, route: Route) -> None:
        """Ask servers to bind their queue: it exists, but requests do not reach it."""
        now = self._time()
        key = route.control_key
        if key and now - self._asked_to_bind.get(key, -inf) > _ASKED_EVERY:
            self._asked_to_bind = {key: now}
            log.info("no request reaches the queue %r; asking its servers to bind it", route.queue)
            self._send(key, REBIND, "", _OF_USE)

    def inquire(self, word: str, key: str, name: str, seconds: float, body: bytes = b"") -> None:
        """Ask the servers under a key about themselves; their answers have this name."""
        self._send(key, word, name, seconds, body, user=self._user())

    def _send(
        self,
        key: str,
        word: str,
        call_id: str,
        timeout: float,
        body: bytes = b"",
        *,
        user: str = "",
    ) -> None:
        if self._is_open():
            reply_to = self._reply_to()
            self._send_message(
                key,
                properties(word, reply_to=reply_to, seconds=timeout, call_id=call_id, user=user),
                body,
            )
