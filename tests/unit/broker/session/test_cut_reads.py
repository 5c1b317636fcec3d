"""What a client says is understood the same wherever the reads of its bytes are cut."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.codes import PROTOCOL_HEADER
from tests.unit.broker.world import Client, new_node, start_ok

LIMITS: Any = {"max_message_size": 40}


def said(method: Any, channel: int = 1) -> bytes:
    return frames.method_frame(channel, method)


def publish(body: bytes = b"m", key: str = "q", exchange: str = "", parts: int = 1) -> bytes:
    """basic.publish, its header, and its body in so many frames."""
    head = struct.pack(">HHQH", 60, 0, len(body), 0)
    size = max(1, len(body) // parts)
    sent = frames.publish_prefix(1, exchange, key) + frame(2, head)
    for start in range(0, len(body), size):
        sent += frame(3, body[start : start + size])
    return sent


def frame(kind: int, payload: bytes, end: bytes = b"\xce", channel: int = 1) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


DECLARE = said(methods.Queue.Declare(queue="q"))
MISSING = said(methods.Queue.Declare(queue="no", passive=True))
COUNT = said(methods.Queue.Declare(queue="q", passive=True))
GET = said(methods.Basic.Get(queue="q", no_ack=True))
CLOSE = said(methods.Channel.Close(reply_code=200, reply_text=""))
CLOSE_OK = said(methods.Channel.CloseOk())
OPEN = said(methods.Channel.Open())
GOODBYE_OK = said(methods.Connection.CloseOk(), 0)

SCRIPTS = {
    "a publish on a channel that is being closed": (
        DECLARE + MISSING + publish() + GET + CLOSE_OK + OPEN + COUNT
    ),
    "a publish that is refused and one after it": (
        DECLARE + publish(exchange="no", parts=3, body=b"abc") + publish() + CLOSE_OK + OPEN + COUNT
    ),
    "a publish that is too large": (
        DECLARE + publish(b"x" * 50, parts=3) + publish() + CLOSE_OK + OPEN + publish() + GET
    ),
    "both sides close": MISSING + publish() + CLOSE + CLOSE_OK + OPEN + DECLARE + publish() + GET,
    "a channel is closed and opened again": (
        DECLARE + publish() + CLOSE + OPEN + publish(b"ab", parts=2) + COUNT + GET + GET
    ),
    "an empty message": DECLARE + publish(b"") + GET,
    "a publish after what costs the connection": (
        DECLARE + said(methods.Basic.Qos(), 7) + publish() + GET + GOODBYE_OK
    ),
    "a publish after the client's goodbye": (
        DECLARE + said(methods.Connection.Close(reply_code=200, reply_text=""), 0) + publish()
    ),
    "work before what is no AMQP": (
        DECLARE + publish() + GET + frame(1, b"\0\x3c\0\x0a", b"\0") + publish() + GOODBYE_OK
    ),
    "work before a frame that is not due": (
        DECLARE + publish() + GET + frame(3, b"a body") + publish() + GOODBYE_OK
    ),
}


def opened() -> Client:
    return Client.opened(new_node(**LIMITS))


def outcome(client: Client, parts: list[bytes]) -> tuple[bytes, bool, int]:
    """What the broker says, whether it hangs up, and what waits in the queue at the end."""
    answered = b""
    for part in parts:
        client.send_bytes(part)
        answered += client.heard()
    queue = client.node.vhosts["/"].queues.get("q")
    return answered, client.socket.closed, queue.ready if queue is not None else -1


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """All ways to cut it in two, and octet by octet."""
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
    yield [bytes((octet,)) for octet in data]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_it_makes_no_difference_where_a_read_ends(script: bytes) -> None:
    whole = outcome(opened(), [script])
    for parts in cuts(script):
        assert outcome(opened(), parts) == whole, f"after {len(parts[0])} octets"


def test_a_channel_that_is_being_closed_takes_no_part_of_a_message_amiss() -> None:
    client = opened()
    client.send_bytes(MISSING + frames.publish_prefix(1, "", "q"))
    client.send_bytes(publish()[len(frames.publish_prefix(1, "", "q")) :] + CLOSE_OK + OPEN)
    names = [event.method.name for event in client.received()]  # type: ignore[union-attr]
    assert names == ["channel.close", "channel.open-ok"]


def test_all_that_came_before_broken_bytes_is_done() -> None:
    client = opened()
    client.send_bytes(SCRIPTS["work before what is no AMQP"])
    names = [event.method.name for event in client.received()]  # type: ignore[union-attr]
    assert names == ["queue.declare-ok", "basic.get-ok", "connection.close"]
    assert client.socket.closed


def test_a_handshake_may_be_said_in_one_breath_with_all_that_follows() -> None:
    """The larger frames count from tune-ok on, also where it came in the same read."""
    breath = PROTOCOL_HEADER + said(start_ok(), 0)
    breath += said(methods.Connection.TuneOk(channel_max=2047, frame_max=131_072, heartbeat=0), 0)
    breath += said(methods.Connection.Open(virtual_host="/"), 0) + OPEN + DECLARE
    breath += publish(b"x" * 9000) + GET
    whole = outcome(Client(new_node()), [breath])
    assert whole[0].endswith(b"x" * 9000 + b"\xce")
    for place in range(1, len(breath) - 8900):
        assert outcome(Client(new_node()), [breath[:place], breath[place:]]) == whole
