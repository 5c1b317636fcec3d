"""Tells the calls in flight that the client has another channel, reply queue or user than before.

`life.py` has what each of these events leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from leveret.client.calls.life import Event, Fire, Pending, State
from leveret.client.calls.route import Route
from leveret.errors import LeveretError

__all__ = ["Reconnected"]


class Reconnected:
    """Tells the calls in flight what has changed under them.

    :param calls: the calls in flight, by id.
    :param query: asks the servers of a queue what became of calls: `query(route, call_ids)`.
    """

    def __init__(
        self,
        calls: Mapping[str, Pending],
        *,
        fire: Fire,
        query: Callable[[Route, list[str]], None],
    ) -> None:
        self._calls = calls
        self._fire = fire
        self._query = query

    def connected_again(self) -> None:
        """The client has a channel again: ask the servers which calls they run or have answered."""
        waiting: dict[Route, list[str]] = {}
        for call in self._calls.values():
            route = call.route
            route.connection_changed()
            if call.state is State.STREAMING:
                self._fire(call, Event.RESUMES)
                waiting.setdefault(route, []).append(call.id)  # its one result may be lost
            elif call.state is not State.UNSENT and route.control_key:
                waiting.setdefault(route, []).append(call.id)
                if call.request.repeatable:
                    self._fire(call, Event.CONNECTED_AGAIN)
        for route, ids in waiting.items():
            self._query(route, ids)

    def replies_lost(self, queue: str, error: LeveretError) -> None:
        """The replies cannot come any more: repeatable calls are sent again, the others end.

        :param queue: the name of the reply queue that is out of reach.
        """
        for call in list(self._calls.values()):
            if call.request.one_way:
                continue
            if call.request.needs_key and call.ensure_trouble().key == "":
                call.ensure_trouble().key = f"{queue}/{call.id}"
            if call.request.repeatable:
                self._fire(call, Event.REPLY_QUEUE_GONE)
            else:
                self._fire(call, Event.REPLY_QUEUE_LOST, error)

    def user_changed(self) -> None:
        """Each user has keys of its own: a call that needs its key is not sent again."""
        for call in self._calls.values():
            if call.request.needs_key:
                call.ensure_trouble().key = None
