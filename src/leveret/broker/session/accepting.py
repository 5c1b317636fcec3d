"""Checks a message that a client publishes, and reads where it is to go. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from leveret.amqp.properties import HEADERS, REPLY_TO, Properties, short_string
from leveret.broker.model import packed as packing
from leveret.broker.model.arguments import LONGEST
from leveret.broker.model.messages import Message
from leveret.broker.permissions import User
from leveret.broker.refusals import precondition
from leveret.broker.session.received import Published

REPLY_TO_PSEUDO_QUEUE: Final = "amq.rabbitmq.reply-to"
"""https://www.rabbitmq.com/docs/direct-reply-to"""


def accept(
    publish: Published, *, user_name: str, user: User, reply_key: str | None, max_size: int
) -> Message:
    """Make the message to route.

    :param reply_key: replaces the pseudo-queue of direct reply-to in `reply_to`; None if the
        channel does not consume it.
    :param max_size: bytes of the largest body, for the complaint.
    :raises Refused: if it is too large or a property is invalid.
    """
    properties = publish.properties
    if publish.body is None:
        raise precondition(
            f"message size {publish.body_size} is larger than configured max size {max_size}"
        )
    if properties.expiration is not None:
        _check_expiration(properties.expiration)
    if properties.user_id is not None and properties.user_id != user_name and not user.impersonator:
        raise precondition(
            f"user_id property set to '{properties.user_id}' but authenticated user was"
            f" '{user_name}'"
        )
    packed = publish.packed
    keys: tuple[str, ...] = (publish.routing_key,)
    if properties.headers and not _NAMES_OF_COPIES.isdisjoint(properties.headers):
        keys += _copies(properties.headers, "CC", packed) + _copies(
            properties.headers, "BCC", packed
        )
        if "BCC" in properties.headers:
            properties, packed = _without_bcc(properties, packed)
    if properties.reply_to == REPLY_TO_PSEUDO_QUEUE:
        if reply_key is None:
            raise precondition("fast reply consumer does not exist")
        properties, packed = _with_reply_to(properties, packed, reply_key)
    return Message(publish.exchange, keys, properties, packed, publish.body)


_NUMBER: Final = re.compile(r"([+-]?)[0-9]+")
_NAMES_OF_COPIES: Final = frozenset(("CC", "BCC"))


def _check_expiration(text: str) -> None:
    if text.isascii() and text.isdecimal() and int(text) <= LONGEST:
        return
    number = _NUMBER.match(text)
    if number is None:
        why = "no_integer"
    elif number.end() < len(text):
        why = f'{{leftover_string,"{text[number.end() :]}"}}'
    elif number[1] == "-" and int(number[0]):
        why = f"{{value_negative,{int(number[0])}}}"
    elif int(number[0]) > LONGEST:
        why = f"{{value_too_large,{int(number[0])}}}"
    else:
        return
    raise precondition(f"invalid expiration '{text}': {why}")


def _copies(headers: dict[str, Any], name: str, packed: bytes) -> tuple[str, ...]:
    """The further routing keys (https://www.rabbitmq.com/docs/sender-selected)."""
    if name not in headers:
        return ()
    keys = headers[name]
    if not isinstance(keys, list):
        kind = packing.types(packing.split(packed)[HEADERS])[name]
        raise precondition(f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}')
    return tuple(key for key in keys if isinstance(key, str))


def _without_bcc(properties: Properties, packed: bytes) -> tuple[Properties, bytes]:
    fields = packing.split(packed)
    entries = packing.read_entries(fields[HEADERS])
    del entries["BCC"]
    fields[HEADERS] = packing.write_entries(entries)
    headers = {k: v for k, v in (properties.headers or {}).items() if k != "BCC"}
    return msgspec.structs.replace(properties, headers=headers), packing.join(fields)


def _with_reply_to(properties: Properties, packed: bytes, key: str) -> tuple[Properties, bytes]:
    fields = packing.split(packed)
    fields[REPLY_TO] = short_string(key)
    return msgspec.structs.replace(properties, reply_to=key), packing.join(fields)
