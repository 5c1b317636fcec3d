"""One-way requests of wire protocol 1: persistent, and without an address for replies."""

from __future__ import annotations

import struct
import time
from typing import Final

from leveret.amqp.frames import FRAME_OVERHEAD, content_frames, publish_prefix
from leveret.amqp.properties import (
    APP_ID,
    CONTENT_TYPE,
    CORRELATION_ID,
    DELIVERY_MODE,
    EXPIRATION,
    HEADERS,
    PRIORITY,
    TYPE,
    USER_ID,
    short_string,
)
from leveret.amqp.tables import encode_table
from leveret.body_parts import Body
from leveret.wire.dialect import ClientChannel
from leveret.wire.native.dialect import NativeClient
from leveret.wire.native.headers import DEADLINE
from leveret.wire.native.names import CALL, EXCHANGE

_PERSISTENT: Final = b"\x02"
_ADDED: Final = 1024 + 512
"""Bytes that servers and the broker may add to the headers of such a request."""
_U16 = struct.Struct(">H").pack
_U32 = struct.Struct(">I").pack


class OneWayClient(NativeClient):
    """The client's end, for requests that nobody answers.

    :param expires_in: seconds from its sending after which no server begins a request any more;
        None: it waits until a server takes it.
    """

    def __init__(self, expires_in: float | None) -> None:
        self._expires_in = expires_in

    def packer(
        self, channel: ClientChannel, *, key: str, content_type: str, priority: int | None = None
    ) -> OneWayPacker:
        """What packs requests to "service.method"."""
        return OneWayPacker(
            channel,
            key=key,
            content_type=content_type,
            priority=priority,
            expires_in=self._expires_in,
        )


class OneWayPacker:
    """Packs the one-way requests of one method; see `wire.dialect.RequestPacker`.

    The deadline of such a call is the client's own: that by which the broker has to confirm it.
    """

    def __init__(
        self,
        channel: ClientChannel,
        *,
        key: str,
        content_type: str,
        priority: int | None,
        expires_in: float | None,
    ) -> None:
        self._channel = channel.number
        self._frame_max = channel.frame_max
        self._publish = publish_prefix(channel.number, EXCHANGE, key, mandatory=True)
        self._expires_in = None if expires_in is None else int(expires_in * 1000) or 1
        flags = CONTENT_TYPE | HEADERS | DELIVERY_MODE | CORRELATION_ID | TYPE
        self._after_headers = _PERSISTENT
        if priority is not None:
            flags |= PRIORITY
            self._after_headers += bytes((priority,))
        self._end = b""
        if self._expires_in is not None:
            flags |= EXPIRATION
            self._end += short_string(str(self._expires_in))
        self._end += short_string(CALL)
        if channel.user:
            flags |= USER_ID
            self._end += short_string(channel.user)
        if channel.name:
            flags |= APP_ID
            self._end += short_string(channel.name)
        self._head = _U16(flags) + short_string(content_type)
        added = _ADDED + 4 * len(key) + len(channel.user)
        constant = 12 + FRAME_OVERHEAD + len(self._head) + len(self._end) + 300
        self.headers_room = (channel.frame_max or 1 << 62) - constant - added
        if self.headers_room < 0:
            raise ValueError(
                f"a request to {key!r} does not fit into a frame of {channel.frame_max} bytes"
            )

    def pack(
        self, call_id: bytes, _deadline: int, _expiration: int, body: Body, headers: bytes = b"", /
    ) -> bytes:
        """The frames of one request; see `wire.dialect.RequestPacker`."""
        if self._expires_in is not None:
            at = time.time_ns() // 1_000_000 + self._expires_in
            headers += encode_table({DEADLINE: at})[4:]
        properties = b"".join(
            (
                self._head,
                _U32(len(headers)),
                headers,
                self._after_headers,
                bytes((len(call_id),)),
                call_id,
                self._end,
            )
        )
        return self._publish + content_frames(self._channel, properties, body, self._frame_max)
