"""What a client sends of an upload in wire protocol 1: its items, its end, its signs of life."""

from __future__ import annotations

from leveret.amqp.frames import content_frames, publish_prefix
from leveret.amqp.properties import (
    CONTENT_TYPE,
    CORRELATION_ID,
    HEADERS,
    REPLY_TO,
    TYPE,
    USER_ID,
    short_string,
)
from leveret.body_parts import Body
from leveret.wire.dialect import ClientChannel
from leveret.wire.native.names import EXCHANGE


class UploadPacker:
    """Packs the messages of one upload. Only number and body differ from one to the next.

    :param key: "service.method".
    :param server: which instance takes it, as "service.instance".
    """

    def __init__(
        self, channel: ClientChannel, *, key: str, server: str, call_id: str, content_type: str
    ) -> None:
        flags = CONTENT_TYPE | HEADERS | CORRELATION_ID | REPLY_TO | TYPE
        flags |= USER_ID if channel.user else 0
        table = b"\x01nl"
        self._frame_max = channel.frame_max
        to = f"{key}@{server.rpartition('.')[2]}"
        self._publish = publish_prefix(0, EXCHANGE, to, mandatory=True)
        self._head = (
            flags.to_bytes(2) + short_string(content_type) + (len(table) + 8).to_bytes(4) + table
        )
        self._middle = short_string(call_id) + short_string(channel.reply_to.key)
        self._user = short_string(channel.user) if channel.user else b""

    def pack(self, kind: str, number: int, body: Body = b"") -> bytes:
        """The frames of one message, for channel 0: who sends them puts the channel in.

        :param kind: `ITEM`, `END` or `PROGRESS`.
        """
        properties = b"".join(
            (self._head, number.to_bytes(8), self._middle, short_string(kind), self._user)
        )
        return self._publish + content_frames(0, properties, body, self._frame_max)
