"""Control messages: what clients and operators tell and ask servers, by the control exchange.

A message's `type` is its word, and `reply_to` says where an answer goes. docs/protocol.md, section
Control, describes all of them. Anybody can send them, so `read` takes whatever comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, TypeGuard

import msgspec
from msgspec import Struct

from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.streaming import Credit
from leveret.wire.message import CallKey, ReplyAddress
from leveret.wire.started import StartedQuestion, read_question

CANCEL: Final = "cancel"
"""The caller of a call waits no more."""
CONFIRMED: Final = "go"
"""The caller of a call, asked by a notice, still waits."""
QUERY: Final = "ask"
"""A client asks what became of its calls; the body is a JSON array of their ids."""
REBIND: Final = "bind"
"""A client found that requests do not reach a queue of the service, though the queue is there."""
INFO: Final = "info"
"""A client asks servers what they serve."""
SINCE: Final = "since"
"""A client asks servers for how long they have consumed a queue; the body is the queue's name."""
BEGIN: Final = "begin"
"""A server is about to consume the queues of a service; the body is its instance."""
PING: Final = "ping"
"""A client asks servers who they are."""
STATS: Final = "stats"
"""A client asks servers how they stand."""
CALLS: Final = "calls"
"""A client asks servers which calls they have."""
STOP: Final = "stop"
"""A client has servers cancel calls; the body is a JSON array of their ids."""
DRAIN: Final = "drain"
"""A client has servers drain; the body is a JSON array of their instances."""

LONGEST_CANCEL: Final = 3600.0
"""A server remembers the cancel of a request that it has not seen for this many seconds at most."""


class Cancel(Struct, frozen=True, kw_only=True):
    """The caller of a call waits no more."""

    key: CallKey
    """The call."""
    seconds: float
    """For how long its request may still come, up to `LONGEST_CANCEL`."""


class Confirmed(Struct, frozen=True, kw_only=True):
    """The caller of a call still waits."""

    key: CallKey
    """The call."""


class GivesCredit(Struct, frozen=True, kw_only=True):
    """The caller of a call that streams says what it has, and what it takes."""

    key: CallKey
    """The call."""
    credit: Credit
    """What it says."""


class Query(Struct, frozen=True, kw_only=True):
    """A client asks what became of its calls."""

    reply_to: ReplyAddress
    """Where the client waits for replies."""
    call_ids: set[str]
    """The calls."""


class CallForAll(Struct, frozen=True, kw_only=True):
    """A call that every server that this reaches is to run: all of a service, or one of them."""

    service: str
    """The service."""
    method: str
    """The method, without the service's name; "" if the message does not say."""
    delivery: Delivery
    """The message, which is a request as well."""


class Rebind(Struct, frozen=True, kw_only=True):
    """A client found that requests do not reach their queue, though it is there."""


class Inquiry(Struct, frozen=True, kw_only=True):
    """Somebody asks about the server itself."""

    about: Literal["ping", "info", "stats", "contracts", "calls"]
    """What is asked for."""
    user: str = ""
    """The broker's user that asks, verified by the broker; "" if it is unknown."""
    reply_to: ReplyAddress | None
    """Where the answer goes; None if nobody waits for one."""
    correlation_id: str | None
    """The asker's name for its question."""


class SinceWhen(Struct, frozen=True, kw_only=True):
    """A client asks for how long the server has consumed a queue."""

    queue: str
    """The name of the queue."""
    reply_to: ReplyAddress
    """Where the answer goes."""
    correlation_id: str
    """The client's name for its question."""


class Begins(Struct, frozen=True, kw_only=True):
    """A server is about to consume the queues of a service."""

    service: str
    """The service."""
    instance: str
    """The server."""


class StopCalls(Struct, frozen=True, kw_only=True):
    """Somebody who has looked at the calls of servers wants some of them cancelled."""

    call_ids: set[str]
    """The calls."""
    user: str = ""
    """The broker's user that wants it, verified by the broker; "" if it is unknown."""
    reply_to: ReplyAddress | None
    """Where the answer goes; None if nobody waits for one."""
    correlation_id: str | None
    """The asker's name for its question."""


class DrainServers(Struct, frozen=True, kw_only=True):
    """Somebody wants servers to take no more calls, and to end."""

    instances: set[str]
    """The servers."""
    user: str = ""
    """The broker's user that wants it, verified by the broker; "" if it is unknown."""
    reply_to: ReplyAddress | None
    """Where the answer goes; None if nobody waits for one."""
    correlation_id: str | None
    """The asker's name for its question."""


class Answer(Struct, frozen=True, kw_only=True):
    """What another server says to an inquiry of this one."""

    body: bytes
    """JSON, if it is a server's."""


class AboutStarted(Struct, frozen=True, kw_only=True):
    """A client asks about a started call."""

    question: StartedQuestion
    """What it asks."""
    user: str
    """The broker's user that asks, verified by the broker; "" if it is unknown."""
    reply_to: ReplyAddress
    """Where the answer goes."""
    correlation_id: str
    """The client's name for its question."""


Control: TypeAlias = (
    CallForAll
    | Cancel
    | Confirmed
    | GivesCredit
    | Query
    | Rebind
    | Inquiry
    | SinceWhen
    | Begins
    | StopCalls
    | DrainServers
    | Answer
    | AboutStarted
)

_decode_ids = msgspec.json.Decoder(set[str]).decode


def read(delivery: Delivery) -> Control | None:  # noqa: C901, PLR0911, PLR0912 - a word, a case
    """A control message; None for one that names no call, where it should name one.

    :raises ValueError: if its type is unknown or its body cannot be read.
    """
    properties = delivery.properties
    reply_to = _address(properties.reply_to)
    call_id = properties.correlation_id or ""
    match properties.type:
        case "cancel" | "go" | "call" | "credit" if reply_to is None or not call_id:
            return None
        case "cancel":
            expiration = properties.expiration or ""
            seconds = int(expiration) / 1000 if expiration.isdecimal() else 0.0
            return Cancel(key=(reply_to, call_id), seconds=min(seconds, LONGEST_CANCEL))
        case "call":
            method = (properties.headers or {}).get("method")
            named = method if isinstance(method, str) else ""
            service = delivery.routing_key.partition(".")[0]  # of "<service>.<instance>" as well
            return CallForAll(service=service, method=named, delivery=delivery)
        case "go":
            return Confirmed(key=(reply_to, call_id))
        case "credit":
            credit = _credit(properties.headers or {})
            return None if credit is None else GivesCredit(key=(reply_to, call_id), credit=credit)
        case "ask":
            return _query(delivery.body or b"", reply_to)
        case "bind":
            return Rebind()
        case "started":
            return _about_started(delivery, reply_to, call_id)
        case "since":
            return _since_when(delivery, reply_to, call_id)
        case "begin":
            instance = (delivery.body or b"").decode("utf-8", "replace")
            return Begins(service=delivery.routing_key.partition(".")[0], instance=instance)
        case "result":
            return Answer(body=delivery.body or b"")
        case "stop" | "drain" as word:
            return _command(word, delivery, reply_to)
        case "ping" | "info" | "stats" | "contracts" | "calls" as about:
            return Inquiry(
                about=about,
                user=properties.user_id or "",
                reply_to=reply_to,
                correlation_id=properties.correlation_id,
            )
        case unknown:
            raise ValueError(f"a message of the unknown type {unknown!r}")


def _command(
    word: Literal["stop", "drain"], delivery: Delivery, reply_to: ReplyAddress | None
) -> StopCalls | DrainServers:
    named, properties = _ids(delivery.body or b"", word), delivery.properties
    user, correlation_id = properties.user_id or "", properties.correlation_id
    if word == STOP:
        return StopCalls(
            call_ids=named, user=user, reply_to=reply_to, correlation_id=correlation_id
        )
    return DrainServers(
        instances=named, user=user, reply_to=reply_to, correlation_id=correlation_id
    )


def _about_started(
    delivery: Delivery, reply_to: ReplyAddress | None, name: str
) -> AboutStarted | None:
    question = read_question(delivery.body or b"")
    if reply_to is None:
        return None
    return AboutStarted(
        question=question,
        user=delivery.properties.user_id or "",
        reply_to=reply_to,
        correlation_id=name,
    )


def _since_when(delivery: Delivery, reply_to: ReplyAddress | None, name: str) -> SinceWhen | None:
    queue = (delivery.body or b"").decode("utf-8", "replace")
    if reply_to is None:
        return None
    return SinceWhen(queue=queue, reply_to=reply_to, correlation_id=name)


def _credit(headers: Mapping[str, Any]) -> Credit | None:
    """What a receiver of items says that it takes; None if it says it in no way of ours."""
    got, upto, size = (headers.get(name) for name in ("got", "upto", "bytes"))
    if not (_is_count(got) and _is_count(upto) and _is_count(size)):
        return None
    return Credit(got=got, upto=upto, size=size, again=headers.get("again") is True)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _ids(body: bytes, word: str) -> set[str]:
    try:
        return _decode_ids(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"a message {word!r} that cannot be read: {error}") from error


def _query(body: bytes, reply_to: ReplyAddress | None) -> Query | None:
    call_ids = _ids(body, QUERY)
    return None if reply_to is None else Query(reply_to=reply_to, call_ids=call_ids)


def properties(
    word: str, *, reply_to: ReplyAddress, seconds: float, call_id: str = "", user: str = ""
) -> Properties:
    """The properties of a control message from a client.

    :param word: `CANCEL`, `CONFIRMED`, `QUERY`, `REBIND`, `INFO`, `PING`, `STATS`, `CALLS`, `STOP`,
        `DRAIN`, `SINCE`.
    :param call_id: the call, or what the client calls its question.
    :param seconds: how long it may wait for its server.
    :param user: who asks, where that matters.
    """
    return Properties(
        type=word,
        correlation_id=call_id,
        reply_to=reply_to.key,
        expiration=str(int(seconds * 1000) or 1),
        user_id=user or None,
    )


def _address(reply_to: str | None) -> ReplyAddress | None:
    return ReplyAddress(exchange="", key=reply_to) if reply_to else None
