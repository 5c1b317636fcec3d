"""Deliveries for the tests of the wire: what one end packed, as the other end gets it."""

from __future__ import annotations

import itertools
from typing import Any

from leveret.amqp.events import Delivery
from leveret.amqp.parser import Parser
from leveret.amqp.properties import Properties
from leveret.contract import MethodSpec, Service, method, spec_of
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import ReplyAddress
from tests.unit.amqp.deliveries import deliver_frame

NOW = 1_750_000_000.0
FRAME_MAX = 131_072
MINE = ReplyAddress(exchange="", key="leveret.reply.me")


class Words(Service):
    @method(timeout=7.0, idempotent=True)
    async def shout(self, text: str) -> str:
        return text.upper()


SHOUT: MethodSpec = spec_of(Words).methods["shout"]
CHANNEL = ClientChannel(number=3, frame_max=FRAME_MAX, reply_to=MINE, user="ann", name="a test")

_tags = itertools.count(1)


def split(frames: bytes) -> list[bytes]:
    """The frames of some bytes, one by one."""
    found = []
    while frames:
        size = int.from_bytes(frames[3:7]) + 8
        found.append(frames[:size])
        frames = frames[size:]
    return found


def delivered(frames: bytes, *, redelivered: bool = False, max_body: int = 1 << 20) -> Delivery:
    """A published message, as a consumer gets it."""
    publish, *content = split(frames)
    assert publish[7:11] == b"\x00\x3c\x00\x28"
    exchange_end = 14 + publish[13]
    exchange = publish[14:exchange_end].decode()
    key = publish[exchange_end + 1 : exchange_end + 1 + publish[exchange_end]].decode()
    channel = int.from_bytes(publish[1:3])
    deliver = deliver_frame(channel, "tag", next(_tags), redelivered, exchange, key)
    (event,) = Parser(max_body=max_body).receive(deliver + b"".join(content))
    assert isinstance(event, Delivery)
    return event


def delivery(body: bytes | None = b"{}", **properties: Any) -> Delivery:
    """A message with these properties."""
    size = 1 << 30 if body is None else len(body)
    return Delivery(
        1, "", next(_tags), False, "leveret", "words.shout", Properties(**properties), body, size
    )
