"""What a fuzzer starts from: messages as they should be, which it then spoils."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from leveret.amqp import frames, methods
from leveret.amqp.properties import Properties, encode_properties
from leveret.amqp.tables import encode_table
from leveret.codec.buffers import laid_out
from leveret.errors import Busy, DeadlineExceeded, RemoteError
from leveret.wire.failures import encode_failure
from tests.fuzz.nasty import CODECS, RESULTS, Loaded, Strict
from tests.unit.amqp.deliveries import deliver_frame

CALL: Final = Properties(
    content_type="application/json",
    headers={"CC": ["leveret.reply.x"], "metadata": {"who": "me"}, "deadline": 1_700_000_000_000},
    correlation_id="1f",
    reply_to="leveret.reply.x",
    expiration="5000",
    type="call",
    app_id="me",
)
BOUNCED: Final = Properties(
    correlation_id="1f",
    type="call",
    headers={"x-death": [{"reason": "expired", "count": 1, "queue": "q"}]},
)
FULL: Final = Properties(
    content_type="text/plain",
    content_encoding="gzip",
    delivery_mode=2,
    priority=3,
    message_id="m",
    timestamp=1_700_000_000,
    type="result",
    user_id="guest",
    cluster_id="c",
)
ARRAY: Final = msgspec.msgpack.encode(["<f8", [2], "C", 0])
BODIES: Final = (
    *(b'{"n":30}', b'{"value":[1,"a",2.5]}', b"30", b"true", b"null", b"", b'"red"'),
    *(b'{"value":{"value":1,"branches":[{}]}}', b'{"type":"Cat","lives":9}', b'["dog","rex"]'),
    *(b'"2024-02-29T12:00:00Z"', b'"PT1.5S"', b'"1.50"', b'{"x":1}', b"NaN", b'{"n":3}'),
    msgspec.msgpack.encode({"value": [1, "a", {"b": b"c"}, 2.5, None]}),
    msgspec.msgpack.encode({"value": {"when": msgspec.msgpack.Ext(1, b"x")}}),
    bytes(laid_out(msgspec.msgpack.encode(msgspec.msgpack.Ext(1, ARRAY)), [[bytes(16)]])),
    b"[" * 2000,
    b"\x91" * 2000,
    b'{"a":' * 500,
)

_METHODS: Final = (
    methods.Connection.Start(
        server_properties={"product": "x", "capabilities": {"a": True}}, mechanisms="PLAIN"
    ),
    methods.Connection.Tune(channel_max=10, frame_max=4096, heartbeat=1),
    methods.Connection.Close(reply_code=320, reply_text="bye"),
    methods.Connection.Blocked(reason="low on memory"),
    methods.Channel.Close(reply_code=404, reply_text="no", class_id=50, method_id=10),
    methods.Channel.Flow(active=True),
    methods.Exchange.Declare(exchange="e", exchange_type="direct", arguments={"a": 1}),
    methods.Queue.Declare(queue="q", durable=True, arguments={"x-max-length": 5}),
    methods.Queue.DeclareOk(queue="q", message_count=1, consumer_count=2),
    methods.Queue.Bind(queue="q", exchange="e", routing_key="k", arguments={"a": "b"}),
    methods.Basic.Consume(queue="q", consumer_tag="1.1", arguments={"x-priority": 1}),
    methods.Basic.Cancel(consumer_tag="1.1"),
    methods.Basic.Qos(prefetch_count=10),
    methods.Confirm.Select(),
)


def _streams() -> list[bytes]:
    messages = [
        start + frames.content_frames(1, encode_properties(properties), body, 4096)
        for start in (
            deliver_frame(1, "1.1", 7, False, "leveret", "shop.buy"),
            frames.publish_prefix(1, "leveret", "shop.buy", mandatory=True),
            frames.method_frame(
                1,
                methods.Basic.Return(reply_code=312, reply_text="NO", exchange="", routing_key="q"),
            ),
        )
        for properties, body in ((CALL, b'{"n":30}'), (FULL, b""), (BOUNCED, b"x" * 300))
    ]
    other = [frames.method_frame(i % 2, method) for i, method in enumerate(_METHODS)]
    settled = frames.ack(1, 3) + frames.nack(1, 4) + frames.HEARTBEAT
    two = messages[0].replace(b"\x00\x01\x00", b"\x00\x02\x00", 1)
    cut = struct.pack(">BHI", 2, 1, 14) + struct.pack(">HHQ", 60, 0, 5000) + b"\x00\x00\xce"
    return [*messages, *other, settled, b"".join(messages) + settled, two, messages[0][:40] + cut]


def _tables() -> list[bytes]:
    values = {
        "text": "a",
        "number": 5,
        "long": 2**40,
        "yes": True,
        "none": None,
        "list": [1, "a", {"b": [2]}],
        "table": {"x": {"y": {"z": 1}}},
        "float": 1.5,
        "raw": bytearray(b"x"),
    }
    deep = b"\x01aF\x00\x00\x00\x00"
    for _ in range(30):
        deep = b"\x01aF" + struct.pack(">I", len(deep)) + deep
    others = b"\x01aD\x02\x00\x00\x00\x05\x01bT" + struct.pack(">q", -1) + b"\x01cx\0\0\0\1z"
    return [*(encode_table(table)[4:] for table in (values, BOUNCED.headers or {})), deep, others]


def _packed() -> list[bytes]:
    packed = [encode_properties(properties) for properties in (CALL, FULL, BOUNCED)]
    return [bytes((len(one) & 0xFF,)) + one + two for one in packed for two in packed]


def _codec_bodies() -> list[bytes]:
    numbers = range(0, len(CODECS), max(1, len(CODECS) // len(RESULTS)))
    return [
        bytes((number & 0xFF, number >> 8)) + body
        for number in numbers
        for body in (*BODIES[:12], msgspec.msgpack.encode({"value": 1}))
    ]


def _failures() -> list[bytes]:
    errors = [
        Busy("too much"),
        DeadlineExceeded("late", where="queue"),
        RemoteError("oh", type_name="KeyError", data={"a": 1}, remote_traceback="line 1"),
        Loaded(number=2, names=frozenset({"a"}), raw=b"x", more=[1]),
        Strict(sku="A-1", left=0),
    ]
    rest = (
        b'{"code":"LOADED","message":"m","data":{"even":{"n":3},"color":"green","number":"4"}}',
        b'{"code":"LOADED","message":"m","data":{"tree":{"branches":[{}]},"took":"P1D"}}',
        b'{"code":"SOLD_OUT","message":"m","executed":"no","data":{"sku":1,"left":"2"}}',
        b'{"code":"DEADLINE_EXCEEDED","message":"m","where":"handler"}',
    )
    return [*map(encode_failure, errors), *rest]


def _urls() -> list[bytes]:
    def written(kind: int, parts: tuple[str, str, str], at: int, rest: str) -> bytes:
        pieces = b"".join(bytes((len(part),)) + part.encode() for part in parts)
        return bytes((kind,)) + pieces + bytes((at,)) + rest.encode()

    return [
        written(0, ("guest", "", ""), 0, "host:5672/vhost?heartbeat=30"),
        written(1, ("me", "%40", "%2F"), 0, "[::1]:5671,two/%2F?verify=verify_none&cafile=/x"),
        written(0, ("me", "a/", "#b?"), 1, "host/"),
        written(5, ("amqp://", "", ""), 0, "host?connection_timeout=1000"),
        written(2, ("u", "", ""), 2, "a:b@c:d/e/f?g=h&i"),
    ]


def _requests() -> list[bytes]:
    """As `whole.World.request` reads them: routing, reply_to, types, expiration, headers, id."""
    return [
        bytes((key, 0, content_type, 2, 1, 0, 1, 8, 0, 0, 1, 0x90, 0, 0, 0, 0, 0)) + body
        for key in range(5)
        for content_type in range(3)
        for body in (b'{"extra":5}', b'{"even":{"n":2},"sku":"a"}', b'{"text":"x"}', b"x", b"\x80")
    ]


def _replies() -> list[bytes]:
    """As `whole.World.reply` reads them."""
    bodies = (b'{"value":3}', b'{"branches":[{}]}', b"\x81\xa5value\x03", *_failures())
    table = encode_table(BOUNCED.headers or {})[4:]
    start = bytes((0, 0, 0))
    bounced = start + bytes((2, 0, 1, len(table))) + table + bytes((0, 0, 0))
    plain = [
        start + bytes((kind, 0, 0, 0, 0, len(body) & 0xFF)) + body
        for kind in (0, 1, 3, 4)
        for body in bodies
    ]
    return [bounced, *plain]


SEEDS: Final[dict[str, list[bytes]]] = {
    "client_stream": [b"\x05" + stream for stream in _streams()],
    "broker_stream": [b"\x05" + stream for stream in _streams()],
    "properties": _packed(),
    "table": _tables(),
    "method": [frames.method_frame(1, method)[7:-1] for method in _METHODS],
    "codec": _codec_bodies(),
    "untyped": [
        bytes((len(kind),)) + kind + body
        for kind in (b"application/json; charset=utf-8", b"text/plain", b"application/x-msgpack")
        for body in BODIES
    ],
    "failure": _failures(),
    "url": _urls(),
    "server": _requests(),
    "client": _replies(),
}
"""By the names of the checks."""
