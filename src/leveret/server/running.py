"""One call from its delivery to its acknowledgement, and the table of those that run."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal

from leveret.amqp.events import Delivery
from leveret.wire.current import CurrentCall

if TYPE_CHECKING:
    from leveret.server.consumer import MethodConsumer

CallKey = tuple[str | None, str | None]
"""What names a call everywhere: its reply queue and its correlation id."""

_REMEMBERED: Final = 10_000


class Running(CurrentCall):
    """A call that a handler works on. `answered`: its caller has been replied to already."""

    __slots__ = ("answered", "consumer", "key", "stopped_by", "task", "tick")

    def __init__(
        self, consumer: MethodConsumer, method: str, delivery: Delivery, deadline: float
    ) -> None:
        super().__init__(method, delivery, deadline)
        self.consumer = consumer
        self.key: CallKey = (delivery.properties.reply_to, delivery.properties.correlation_id)
        self.answered = False
        self.stopped_by: Literal["", "deadline", "caller", "drain"] = ""
        self.task: asyncio.Task[None] | None = None
        self.tick = 0

    @property
    def delivery(self) -> Delivery:
        """The request."""
        return self._delivery

    def expire(self) -> None:
        """The deadline has passed: the caller is told now, and the handler is cancelled."""
        self.consumer.stop(self, "deadline")


class RunningCalls:
    """The calls that one server runs, and those it was told to cancel before it saw them.

    A cancel can overtake its request, which may still wait in the queue: it is remembered until
    the request's deadline, for the `_REMEMBERED` latest of them.
    """

    def __init__(self) -> None:
        self._running: dict[CallKey, Running] = {}
        self._cancelled: OrderedDict[CallKey, float] = OrderedDict()

    def add(self, running: Running) -> None:
        """A handler begins."""
        self._running[running.key] = running

    def remove(self, running: Running) -> None:
        """A handler ended."""
        if self._running.get(running.key) is running:
            del self._running[running.key]

    def cancel(self, key: CallKey, remember: float) -> None:
        """A caller waits no more. `remember`: for how many seconds its request may still come."""
        running = self._running.get(key)
        if running is not None:
            running.consumer.stop(running, "caller")
            return
        self._cancelled[key] = time.monotonic() + remember
        while len(self._cancelled) > _REMEMBERED:
            self._cancelled.popitem(last=False)

    def was_cancelled(self, key: CallKey) -> bool:
        """Whether this request's caller went away before the request came."""
        if not self._cancelled:
            return False
        until = self._cancelled.pop(key, None)
        return until is not None and until > time.monotonic()

    def all(self) -> list[Running]:
        """Those that run now."""
        return list(self._running.values())

    def __len__(self) -> int:
        return len(self._running)
