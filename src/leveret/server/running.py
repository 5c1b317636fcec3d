"""One call from its delivery to its acknowledgement, and the cancels that came too early."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, structs
from msgspec.structs import asdict

from leveret.amqp.events import Delivery
from leveret.wire.context import CurrentCall
from leveret.wire.message import Incoming
from leveret.wire.native.request import read_request

if TYPE_CHECKING:
    from leveret.server.consumer import MethodConsumer

CallKey = tuple[str | None, str | None]
"""What names a call everywhere: its reply queue and its correlation id."""

StopReason = Literal["deadline", "caller", "drain"]

_REMEMBERED: Final = 10_000


class Running(CurrentCall):
    """A call from its delivery on.

    `claimed`: its caller was not asked whether it still waits, or said that it does. `taken`: when
    it got its place, in seconds since 1970. Then, in this order: `asking`, the store of keys is
    asked about it; `begun`, its middleware runs, or it waits for a thread or a process; `entered`,
    its handler runs; `over`, its handler has ended, and its reply is being recorded.
    `announced`: what its caller was told of that. `answered`: it was replied to.
    """

    __slots__ = (
        "_delivery",
        "announced",
        "answered",
        "asking",
        "begun",
        "claimed",
        "consumer",
        "entered",
        "in_thread",
        "over",
        "since",
        "stopped_by",
        "struct",
        "taken",
        "task",
        "tick",
    )

    def __init__(
        self, consumer: MethodConsumer, method: str, delivery: Delivery, deadline: float
    ) -> None:
        # The fields of CurrentCall, without the call of its __init__: this is the hot path.
        self.method = method
        self.deadline = deadline
        self.struct: Struct | None = None
        self.entered = False
        self._delivery = delivery
        self._metadata = None
        self._reply_metadata = None
        self.consumer = consumer
        self.since = 0.0
        self.taken = 0.0
        self.announced: Literal["", "waits", "runs"] = ""
        self.answered = False
        self.asking = False
        self.begun = False
        self.over = False
        self.claimed = True
        self.in_thread = False
        self.stopped_by: Literal["", StopReason] = ""
        self.task: asyncio.Task[None] | None = None
        self.tick = 0

    def enter(self) -> None:
        """Its handler begins now: what fails from here on has run."""
        self.entered = True

    @property
    def _request(self) -> Incoming:  # type: ignore[override]
        return read_request(self._delivery, time.time(), self.remaining())

    @property
    def arguments(self) -> dict[str, Any]:
        """As in `CurrentCall`."""
        return {} if self.struct is None else asdict(self.struct)

    @property
    def user(self) -> str:
        """As in `CurrentCall`, also where another server has handed the request back."""
        return self.consumer.user_of(self._delivery)

    @property
    def key(self) -> CallKey:
        """What names the call."""
        properties = self._delivery.properties
        return properties.reply_to, properties.correlation_id

    @property
    def delivery(self) -> Delivery:
        """The request."""
        return self._delivery

    def orphan(self) -> None:
        """Its delivery is void: the channel is gone, and the broker has the request back."""
        self._delivery = structs.replace(self._delivery, delivery_tag=0)

    def adopt(self, delivery: Delivery) -> None:
        """Its request was delivered again."""
        self._delivery = delivery


class EarlyCancels:
    """Cancels that overtook their requests, which may still wait in a queue.

    Each is remembered until its request's deadline, for the `_REMEMBERED` latest of them.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[CallKey, float] = OrderedDict()

    def add(self, key: CallKey, seconds: float) -> None:
        """Remember that this call's caller went away."""
        self._until[key] = time.monotonic() + seconds
        while len(self._until) > _REMEMBERED:
            self._until.popitem(last=False)

    def take(self, key: CallKey) -> bool:
        """Whether this request's caller went away before the request came."""
        until = self._until.pop(key, None)
        return until is not None and until > time.monotonic()

    def __len__(self) -> int:
        return len(self._until)
