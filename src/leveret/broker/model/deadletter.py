"""Dead letters: what becomes of a message that dies in a queue with a dead-letter exchange. Pure.

https://www.rabbitmq.com/docs/dlx
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec

from leveret.amqp.properties import EXPIRATION, HEADERS
from leveret.broker.model import packed as packing
from leveret.broker.model.messages import Message


class Named(Protocol):
    """A queue, as far as its name matters here."""

    name: str


_Queue = TypeVar("_Queue", bound=Named)


class Death(StrEnum):
    """Why a message died, as x-death says it."""

    EXPIRED = "expired"
    """It waited longer than its time to live."""
    REJECTED = "rejected"
    """A client rejected it for good."""
    MAXLEN = "maxlen"
    """The queue was full."""
    DELIVERY_LIMIT = "delivery_limit"
    """It was requeued too often."""


def dead_letter(
    message: Message,
    *,
    reason: Death,
    queue: str,
    exchange: str,
    routing_key: str | None,
    seconds: float,
) -> Message:
    """Make the message to publish to `exchange`.

    :param queue: the name of the queue that it died in.
    :param routing_key: x-dead-letter-routing-key, which also removes the message's CC; None keeps
        its own keys.
    :param seconds: the time of its death, in seconds since 1970.
    """
    old = dict(message.properties.headers or {})
    fields = packing.split(message.packed)
    entries = packing.read_entries(fields.get(HEADERS, b"\0\0\0\0"))
    if routing_key is not None:
        entries.pop("CC", None)
        old.pop("CC", None)
    changed = _headers_of_death(message, old, reason, queue, seconds)
    entries |= {name: packing.value(content) for name, content in changed.items()}
    fields[HEADERS] = packing.write_entries(dict(sorted(entries.items())))
    fields.pop(EXPIRATION, None)
    return Message(
        exchange,
        message.routing_keys if routing_key is None else (routing_key,),
        msgspec.structs.replace(message.properties, headers=old | changed, expiration=None),
        packing.join(fields),
        message.body,
    )


def _headers_of_death(
    message: Message, headers: dict[str, Any], reason: Death, queue: str, seconds: float
) -> dict[str, Any]:
    deaths = _deaths(headers)
    event: dict[str, Any] = {
        "count": 1,
        "reason": reason.value,
        "queue": queue,
        "time": datetime.fromtimestamp(int(seconds), tz=UTC),
        "exchange": message.exchange,
        "routing-keys": [message.routing_key, *_copies(message.properties.headers)],
    }
    if message.properties.expiration is not None:
        event["original-expiration"] = message.properties.expiration
    if "x-death" not in headers:
        return {
            "x-death": [event],
            "x-first-death-exchange": message.exchange,
            "x-first-death-queue": queue,
            "x-first-death-reason": reason.value,
        }
    if not isinstance(headers["x-death"], list):  # a client made it up
        return {"x-death": [event]}
    same = [death for death in deaths if _is_same(death, queue, reason)]
    others = [death for death in deaths if not _is_same(death, queue, reason)]
    if same:
        event = {**same[0], "count": same[0].get("count", 0) + 1}
    return {"x-death": [dict(sorted(event.items())), *others]}  # sorted, as RabbitMQ does


def _is_same(death: dict[str, Any], queue: str, reason: str) -> bool:
    return death.get("queue") == queue and death.get("reason") == reason


def _deaths(headers: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The entries of x-death, the latest first, without those that a client made up."""
    deaths = (headers or {}).get("x-death")
    if not isinstance(deaths, list):
        return []
    return [death for death in deaths if isinstance(death, dict)]


def _copies(headers: dict[str, Any] | None) -> list[str]:
    copies = (headers or {}).get("CC")
    return [key for key in copies if isinstance(key, str)] if isinstance(copies, list) else []


def without_cycles(message: Message, reason: Death, queues: Iterable[_Queue]) -> list[_Queue]:
    """The queues that a dead letter may go to.

    A queue that it has died in before is left out, unless a client rejected it on its way round:
    otherwise it would go round forever.
    """
    if reason is Death.REJECTED:
        return list(queues)
    deaths = _deaths(message.properties.headers)
    return [queue for queue in queues if not _is_cycle(queue.name, deaths)]


def _is_cycle(queue: str, deaths: list[dict[str, Any]]) -> bool:
    for index, death in enumerate(deaths):
        if death.get("queue") == queue:
            return all(d.get("reason") != Death.REJECTED for d in deaths[: index + 1])
    return False
