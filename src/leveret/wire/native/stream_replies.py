"""The client's half of streams in wire protocol 1: what it reads, and what its requests carry.

What a client reads is from its reply queue, for calls that stream. Other calls have `read_reply`
alone, for which the types of streams are unknown ones.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from msgspec import structs

from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.amqp.tables import encode_table
from leveret.streaming import Credit
from leveret.wire.control import properties
from leveret.wire.message import Reply, ReplyAddress
from leveret.wire.native.headers import (
    AGAIN,
    BYTES,
    CREDIT_BYTES,
    CREDIT_ITEMS,
    CURSOR,
    GOT,
    MOVED,
    NUMBER,
    PACKED,
    TOTAL,
    UPLOADS,
    UPTO,
    Headers,
    metadata_of,
    problem_of,
)
from leveret.wire.native.names import CREDIT, END, ERROR, ITEM, ITEMS, PROGRESS, RESULT
from leveret.wire.native.reply import read_reply
from leveret.wire.stream_messages import Closing, Credited, End, Item, Items, Received, Sign

_U32: Final = struct.Struct(">I")


def read_stream(delivery: Delivery) -> Received:
    """A delivery from a client's reply queue for the call of a stream. It never raises."""
    sent = delivery.properties
    kind = sent.type
    headers = sent.headers
    if kind in (ITEM, ITEMS):
        return _items(delivery)
    server = sent.reply_to or ""
    if kind == END:
        return End(
            server=server,
            n=_number(headers, NUMBER),
            moved=bool((headers or {}).get(MOVED)),
            metadata=metadata_of(headers),
        )
    if kind == PROGRESS:
        return Sign(server=server, n=_number(headers, NUMBER))
    if kind == CREDIT:
        credit = Credit(
            got=_number(headers, GOT),
            upto=_number(headers, UPTO),
            size=_number(headers, BYTES),
            again=bool((headers or {}).get(AGAIN)),
        )
        return Credited(server=server, credit=credit)
    message = read_reply(delivery)
    if isinstance(message, Reply) and kind in (ERROR, RESULT):
        return Closing(server=server, n=_number(headers, NUMBER), reply=message)
    return message


def _items(delivery: Delivery) -> Item | Items:
    """A message of one item or several."""
    sent, body, headers = delivery.properties, delivery.body, delivery.properties.headers
    server, encoding = sent.reply_to or "", sent.content_encoding
    number, cursor = 0, None
    if headers is not None:
        number = headers.get(NUMBER, 0)
        if len(headers) > 1:
            cursor = headers.get(CURSOR)
    if type(number) is not int:
        number = 0
    problem = "" if encoding is None else problem_of(encoding)
    if sent.type == ITEMS and body is not None and not problem:
        sizes = _sizes(body)
        if sizes:
            return Items(server, number, body, sizes, sent.content_type)
        problem = "several items, and not their sizes"
    return Item(
        server,
        number,
        body,
        delivery.body_size,
        sent.content_type,
        cursor if isinstance(cursor, str) else None,
        problem,
    )


def stream_headers(
    *,
    credit: int | None,
    credit_bytes: int,
    packed: int,
    uploads: bool,
    total: int | None,
    cursor: str | None,
) -> bytes:
    """What the request of a stream carries besides, as entries of a header table.

    :param credit: how many items the caller takes at first; None where no results stream.
    :param credit_bytes: how many bytes of items it takes at first.
    :param packed: bytes of the largest body with several items.
    :param uploads: whether the caller will send items.
    :param total: when the stream has to be over, in milliseconds since 1970; None: at no time.
    :param cursor: where to go on.
    """
    table: dict[str, Any] = {}
    if credit is not None:
        table |= {CREDIT_ITEMS: credit, CREDIT_BYTES: credit_bytes, PACKED: packed}
    if uploads:
        table[UPLOADS] = True
    if total is not None:
        table[TOTAL] = total
    if cursor is not None:
        table[CURSOR] = cursor
    return encode_table(table)[4:]


def credit_properties(
    credit: Credit, call_id: str, *, reply_to: ReplyAddress, seconds: float
) -> Properties:
    """The properties of a credit, from the receiver of results to their server.

    :param seconds: how long it may wait for its server.
    """
    headers: dict[str, Any] = {GOT: credit.got, UPTO: credit.upto, BYTES: credit.size}
    if credit.again:
        headers[AGAIN] = True
    message = properties(CREDIT, reply_to=reply_to, seconds=seconds, call_id=call_id)
    return structs.replace(message, headers=headers)


def _sizes(body: bytes) -> tuple[int, ...]:
    """The bytes of each item in a body of several; nothing if they are not those of the body."""
    if len(body) < _U32.size:
        return ()
    (count,) = _U32.unpack_from(body)
    start = _U32.size * (count + 1)
    if start > len(body):
        return ()
    sizes = struct.unpack_from(f">{count}I", body, _U32.size)
    return sizes if start + sum(sizes) == len(body) else ()


def _number(headers: Headers, name: str) -> int:
    number = (headers or {}).get(name)
    return number if type(number) is int else 0
