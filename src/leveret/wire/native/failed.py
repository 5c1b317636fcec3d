"""Failed one-way requests of wire protocol 1: the queue that keeps them, and how they look in it.

A failed request is the request as it came, persistent and without an expiry, with the header
`failed`: why it failed. What would lead it astray, or belongs to its delivery, is taken off.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from msgspec import Struct, structs

from leveret.amqp.codes import ReplyCode
from leveret.amqp.properties import Properties, encode_properties
from leveret.contract import MethodSpec
from leveret.errors import CallError, ChannelClosed, DeclaredError, RemoteError
from leveret.transport.channel import Channel
from leveret.wire.channel_errors import explained
from leveret.wire.error_texts import safe_str, shortened
from leveret.wire.message import Incoming
from leveret.wire.native.headers import (
    ATTEMPT,
    DEADLINE,
    HANDED_BACK,
    IDEMPOTENCY_KEY,
    OLD,
    ON_BEHALF_OF,
    RESENT,
    WAITS,
)

log = logging.getLogger("leveret.wire")

FAILED_SUFFIX: Final = ".failed"
"""After the name of a request queue, the name of the queue of its failed requests."""
FAILED: Final = "failed"
"""The header of a failed request: a table that says why."""
RETRIED: Final = "retried"
"""The header of a request that was failed before: how often somebody published it again."""

_OF_ITS_DELIVERY: Final = frozenset(
    {"CC", "BCC", DEADLINE, ATTEMPT, HANDED_BACK, OLD, ON_BEHALF_OF, RESENT, WAITS, FAILED}
)
"""Headers that a failed request does not keep, in addition to those of the broker (`x-...`)."""
_MESSAGES: Final = (4_000, 400, 40)
"""Characters of the error's message that are tried, until all headers fit into a frame."""
_PERSISTENT: Final = 2
_SUFFIX: Final = re.compile(r"#\d+\Z")


class Failure(Struct, frozen=True, kw_only=True):
    """Why a one-way request failed."""

    code: str
    """The error's code, as in replies."""
    type: str
    """The class of the error or, with INTERNAL, of what the handler raised."""
    message: str
    """What the error says."""
    executed: str
    """Whether the handler ran: "no", "maybe" or "yes"."""
    at: int
    """When it failed, in milliseconds since 1970."""
    instance: str
    """The server that it failed at."""
    attempts: int
    """How often it has failed, this time included."""
    key: str = ""
    """The idempotency key that it had, "" if none: under that it does not run again."""


async def declare_failed_queue(channel: Channel, spec: MethodSpec) -> None:
    """See that the queue of a method's failed requests exists.

    :raises TopologyError: if it exists with other options.
    :raises PermissionDenied: if the user may not declare it.
    :raises ChannelClosed: if the broker closed the channel for another reason.
    """
    name, arguments = spec.failed_queue_name, failed_queue_arguments(spec)
    try:
        if arguments and _limits_returns(channel):
            if await _is_declared_without_limit(channel, name, arguments):
                return
            log.warning(
                "the queue %r drops requests that were looked at some twenty times, as it was made"
                " with RabbitMQ's limit; delete it once it is empty, or set the policy"
                ' {"delivery-limit": -1} for it',
                name,
            )
        await channel.declare_queue(name, arguments=arguments)
    except ChannelClosed as error:
        raise explained(error, f"queue {name!r}") from error


def _limits_returns(channel: Channel) -> bool:
    """Whether a quorum queue of this broker drops what comes back too often: RabbitMQ 4 does.

    To RabbitMQ 3, which does not, -1 is a limit that every request has reached.
    """
    version = str(channel.connection.server_properties.get("version"))
    major = version.partition(".")[0]
    return major.isdigit() and int(major) >= 4


async def _is_declared_without_limit(
    channel: Channel, name: str, arguments: dict[str, Any]
) -> bool:
    """Declare a quorum queue that keeps what comes back, however often: on a channel of its own.

    :returns: False if it is there with another limit, of an earlier release or of RabbitMQ 3.
    :raises ChannelClosed: if the broker refuses it for another reason.
    """
    own = await channel.connection.open_channel()
    try:
        await own.declare_queue(name, arguments={**arguments, "x-delivery-limit": -1})
    except ChannelClosed as error:
        if error.reply_code == ReplyCode.PRECONDITION_FAILED:
            return False
        raise
    finally:
        own.abandon()
    return True


def failed_queue_arguments(spec: MethodSpec) -> dict[str, Any]:
    """Those of the queue of failed requests: it is as safe as the request queue is."""
    return {"x-queue-type": "quorum"} if spec.queue.type == "quorum" else {}


def failure_of(error: CallError, request: Incoming, *, at: int, instance: str, key: str) -> Failure:
    """What is noted of an error.

    :param at: now, in milliseconds since 1970.
    :param instance: the server's name for itself.
    :param key: the idempotency key of the request, "" if it has none.
    """
    return Failure(
        code=error.__sent_code__ if isinstance(error, DeclaredError) else str(error.code),
        type=error.type_name if isinstance(error, RemoteError) else type(error).__name__,
        message=shortened(safe_str(error.message)),
        executed=error.executed,
        at=at,
        instance=instance,
        attempts=times_retried(request.delivery.properties) + 1,
        key=key,
    )


def failed_properties(
    request: Incoming, failure: Failure, *, user: str, own_user: str, room: int
) -> Properties:
    """The properties of a request in the queue of failed ones.

    :param user: whose request it is, "" if that is unknown.
    :param own_user: the broker's user who publishes it.
    :param room: bytes that the properties may take.
    """
    before = request.delivery.properties
    headers = {
        name: value
        for name, value in (before.headers or {}).items()
        if name not in _OF_ITS_DELIVERY and not name.startswith("x-")
    }
    made = structs.replace(
        before,
        delivery_mode=_PERSISTENT,
        reply_to=None,
        expiration=None,
        user_id=own_user or None,
    )
    if user and own_user and user != own_user:
        headers[ON_BEHALF_OF] = user
    for length in _MESSAGES:
        cut = structs.replace(failure, message=_utf8(failure.message[:length]))
        headers[FAILED] = structs.asdict(cut)
        properties = structs.replace(made, headers=headers)
        if _size(properties) <= room:
            return properties
    kept = {name: headers[name] for name in (FAILED, ON_BEHALF_OF) if name in headers}
    return structs.replace(made, headers=kept)


def _size(properties: Properties) -> int:
    """Bytes that properties take; more than any room where they cannot be packed."""
    try:
        return len(encode_properties(properties))
    except (TypeError, ValueError):
        return 1 << 62


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def read_failure(properties: Properties) -> Failure | None:
    """Why a request failed; None if the message is not one that a server has put there."""
    found = (properties.headers or {}).get(FAILED)
    if not isinstance(found, dict):
        return None

    def text(name: str) -> str:
        value = found.get(name)
        return value if isinstance(value, str) else ""

    def number(name: str) -> int:
        value = found.get(name)
        return value if type(value) is int else 0

    return Failure(
        code=text("code"),
        type=text("type"),
        message=text("message"),
        executed=text("executed") or "maybe",
        at=number("at"),
        instance=text("instance"),
        attempts=number("attempts"),
        key=text("key"),
    )


def times_retried(properties: Properties) -> int:
    """How often a request was published again after it had failed."""
    count = (properties.headers or {}).get(RETRIED)
    return count if type(count) is int and count > 0 else 0


def retried_properties(properties: Properties, own_user: str) -> Properties:
    """The properties of a failed request that is to be run again.

    If it had an idempotency key it has another one now, which is the same for each copy of this
    retry: so the request runs again, and a copy of it does not.

    :param own_user: the broker's user who publishes it.
    """
    headers = dict(properties.headers or {})
    failure = read_failure(properties)
    headers.pop(FAILED, None)
    times = headers[RETRIED] = times_retried(properties) + 1
    key = "" if failure is None else failure.key
    if key:
        headers[IDEMPOTENCY_KEY] = f"{_SUFFIX.sub('', key) if times > 1 else key}#{times}"
    user = headers.get(ON_BEHALF_OF) or properties.user_id
    headers.pop(ON_BEHALF_OF, None)
    if isinstance(user, str) and own_user and user != own_user:
        headers[ON_BEHALF_OF] = user
    return structs.replace(
        properties, headers=headers, user_id=own_user or None, expiration=None, reply_to=None
    )
