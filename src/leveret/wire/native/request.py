"""Requests of wire protocol 1: packed at the client, read at the server.

A packer holds everything of a message that is the same for each call of a method, packed once. What
differs is joined to it per call.
"""

from __future__ import annotations

import struct
import time
from math import inf
from typing import Final

from msgspec import structs

from leveret.amqp.codes import BASIC
from leveret.amqp.events import Delivery
from leveret.amqp.frames import (
    FRAME_OVERHEAD,
    SMALL_BODY,
    content_frames,
    publish_prefix,
    with_body,
)
from leveret.amqp.properties import (
    APP_ID,
    CONTENT_TYPE,
    CORRELATION_ID,
    EXPIRATION,
    HEADERS,
    PRIORITY,
    REPLY_TO,
    TYPE,
    USER_ID,
    encode_properties,
    short_string,
)
from leveret.amqp.tables import encode_table
from leveret.body_parts import Body
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import Copy, Incoming, ReplyAddress
from leveret.wire.native.headers import (
    ATTEMPT,
    DEADLINE,
    HANDED_BACK,
    METADATA,
    OLD,
    ON_BEHALF_OF,
    attempts,
    delivery_count,
    does_wait,
    does_want_progress,
    idempotency_key,
    is_copy,
    is_old,
    is_resent,
    on_behalf_of,
    problem_of,
    seconds_kept,
    stream_request,
)
from leveret.wire.native.names import CALL, EXCHANGE
from leveret.wire.native.stages import OF_A_STAGE, STAGE_OF_NO_PIPE, read_stage

_USUAL_HEADERS: Final = 2
"""Most requests have two headers in addition to metadata: `CC` and `deadline`."""

_NOWHERE: Final = ReplyAddress(exchange="", key="leveret.started")
"""Where the replies to started calls would go, which servers record and do not send."""

_HEADER = struct.Struct(">BHIHH").pack
_U16 = struct.Struct(">H").pack
_U32 = struct.Struct(">I").pack


class RequestPacker:
    """Packs the requests of one method.

    Call id, expiration and headers usually have the same lengths in consecutive requests, so
    the frames before the body are one `struct`. It is laid out anew when one of them changes.

    :param key: "service.method", the routing key.
    :raises ValueError: if what is the same for all requests does not fit into a frame.
    """

    def __init__(
        self, channel: ClientChannel, *, key: str, content_type: str, priority: int | None = None
    ) -> None:
        reply_queue = channel.reply_to.key
        self._channel = channel.number
        self._room = (channel.frame_max or 1 << 62) - FRAME_OVERHEAD
        self._small = min(self._room, SMALL_BODY)
        self._publish = publish_prefix(channel.number, EXCHANGE, key, mandatory=True)
        self._table = encode_table({"CC": [reply_queue]})[4:]
        flags = CONTENT_TYPE | HEADERS | CORRELATION_ID | REPLY_TO | EXPIRATION | TYPE
        self._priority = b""
        if priority is not None:
            flags |= PRIORITY
            self._priority = bytes((priority,))
        self._after = short_string(CALL)
        if channel.user:
            flags |= USER_ID
            self._after += short_string(channel.user)
        if channel.name:
            flags |= APP_ID
            self._after += short_string(channel.name)
        self._head = _U16(flags) + short_string(content_type)
        self._reply_to = short_string(reply_queue)
        # A request that the broker sends back has x-death added, which names key and queues again;
        # a request that a server handed back before also names its user once more.
        bounce = 1024 + 4 * (len(key) + len(reply_queue)) + len(channel.user)
        constant = len(self._head) + len(self._table) + len(self._reply_to) + len(self._after) + 22
        self.headers_room = self._room - constant - bounce
        if self.headers_room < 0:
            raise ValueError(
                f"a request to {key!r} does not fit into a frame of {channel.frame_max} bytes"
            )
        # Of the last request; the first one has to be laid out.
        self._expiration: int | None = None
        self._id_size: int | None = None
        self._headers_size: int | None = None

    def pack(
        self, call_id: bytes, deadline: int, expiration: int, body: Body, headers: bytes = b"", /
    ) -> bytes:
        """The frames of one request; see `wire.dialect.RequestPacker`."""
        if (
            expiration != self._expiration
            or len(call_id) != self._id_size
            or len(headers) != self._headers_size
        ):
            self._lay_out(expiration, len(call_id), len(headers))
        size = len(body)
        start, middle, end = self._constant
        between = self._between
        frames = self._pack(
            start, size, middle, headers, b"\x08deadlinel", deadline, between, call_id, end, 3,
            self._channel, size,
        )  # fmt: skip
        if 0 < size <= self._small:  # an empty body has no frame of its own
            return frames + body + b"\xce"
        return with_body(frames[:-7], self._channel, body, self._room)

    def _lay_out(self, expiration: int, id_size: int, headers_size: int) -> None:
        self._expiration, self._id_size, self._headers_size = expiration, id_size, headers_size
        table_size = len(self._table) + headers_size + 18  # the deadline: name 9, type 1, value 8
        middle = self._head + _U32(table_size) + self._table
        between = self._priority + bytes((id_size,))
        end = self._reply_to + short_string(str(expiration)) + self._after
        size = 12 + len(middle) + headers_size + 18 + len(between) + id_size + len(end)
        start = self._publish + _HEADER(2, self._channel, size, BASIC, 0)
        self._between = between
        self._constant = (start, middle, end + b"\xce")
        self._pack = struct.Struct(
            f">{len(start)}sQ{len(middle)}s{headers_size}s10sq"
            f"{len(between)}s{id_size}s{len(end) + 1}sBHI"
        ).pack


def read_request(delivery: Delivery, now: float, timeout: float) -> Incoming:
    """A delivery from a request queue as a server sees it; see `ServerDialect.read`."""
    properties = delivery.properties
    headers = properties.headers
    at = metadata = None
    usual = 0
    if headers is not None:
        at = headers.get(DEADLINE)
        usual = len(headers)
        if METADATA in headers:
            metadata = headers[METADATA] if isinstance(headers[METADATA], dict) else None
            usual -= 1
    expiration = properties.expiration
    if expiration and expiration.isdecimal():
        time_to_live = int(expiration) / 1000
    else:
        time_to_live = timeout
    deadline = now + (time_to_live or timeout)
    if type(at) is int:
        by_clock = at / 1000
        if by_clock < deadline or not time_to_live:
            deadline = by_clock
    encoding = properties.content_encoding
    reply_to = properties.reply_to
    call = Incoming(
        delivery=delivery,
        call_id=properties.correlation_id or "",
        reply_to=ReplyAddress(exchange="", key=reply_to) if reply_to else None,
        content_type=properties.content_type,
        body=delivery.body,
        body_size=delivery.body_size,
        deadline=deadline,
        timeout=time_to_live or timeout,
        only_if_free=not time_to_live,
        redelivered=delivery.redelivered,
        user=properties.user_id or "",
        caller=properties.app_id or "",
        metadata=metadata,
        problem="" if encoding is None else problem_of(encoding),
    )
    if headers is None or (usual == _USUAL_HEADERS and "CC" in headers and at is not None):
        return call if reply_to else _one_way(call, at, now, timeout)
    stage = STAGE_OF_NO_PIPE
    if call.content_type == OF_A_STAGE:
        stage = read_stage(headers, properties)
    started = seconds_kept(headers)
    if not reply_to:
        if started is None:
            call = _one_way(call, at, now, timeout)
        else:
            call = structs.replace(call, reply_to=_NOWHERE)
    return structs.replace(
        call,
        started=started,
        stage=stage.number,
        then=stage.then,
        content_type=stage.content_type or call.content_type,
        problem=stage.problem or call.problem,
        on_behalf_of=on_behalf_of(headers),
        idempotency_key=idempotency_key(headers),
        resent=is_resent(headers),
        is_copy=is_copy(headers),
        old=is_old(headers),
        waits=does_wait(headers),
        wants_progress=does_want_progress(headers),
        attempts=attempts(headers),
        delivery_count=delivery_count(headers),
        stream=stream_request(headers),
    )


def _one_way(call: Incoming, at: object, now: float, timeout: float) -> Incoming:
    """A request that nobody waits for: its handler has the method's own time at most.

    :param at: the header that says when it expires.
    """
    return structs.replace(
        call,
        deadline=min(call.deadline, now + timeout),
        timeout=min(call.timeout, timeout),
        expires=at / 1000 if type(at) is int else inf,
    )


def pack_copy(copy: Copy, *, channel: int, frame_max: int, exchange: str, key: str) -> bytes:
    """A request once more, as a server publishes it to an exchange.

    RabbitMQ lets nobody send another's `user_id`. So the copy carries the server's own, and a
    header says whose request it is. Where either of them is unknown, the copy says nothing.
    """
    request, user, own_user = copy.request, copy.user, copy.own_user
    properties = request.delivery.properties
    before = properties.headers or {}
    headers = {k: v for k, v in before.items() if k not in {ON_BEHALF_OF, HANDED_BACK}}
    headers[HANDED_BACK] = copy.has_original
    if user and own_user and user != own_user:
        headers[ON_BEHALF_OF] = user
    if copy.attempts is not None:
        headers[ATTEMPT] = copy.attempts
    if request.old:
        headers[OLD] = True
    expiration = properties.expiration
    if request.reply_to is None:
        # What is left of its handler's time is not how long it may wait.
        if request.expires < inf:
            expiration = str(max(int((request.expires - time.time()) * 1000), 0))
    elif expiration is not None and not request.only_if_free:
        expiration = str(int(copy.seconds * 1000))
    packed = encode_properties(
        structs.replace(
            properties,
            headers=headers,
            user_id=own_user if user and own_user else None,
            expiration=expiration,
        )
    )
    # Of a copy whose original is kept it matters that it reaches its queue.
    publish = publish_prefix(channel, exchange, key, mandatory=copy.has_original)
    return publish + content_frames(channel, packed, request.body or b"", frame_max)
