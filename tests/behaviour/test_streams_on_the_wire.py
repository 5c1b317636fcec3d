"""What a server of streams says on the wire, to a caller that a test plays message by message."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leveret import (
    CallEnd,
    CurrentCall,
    Item,
    Rabbit,
    ServerCallNext,
    Service,
    current_call,
    method,
)
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.server.server import Server
from leveret.streaming.credit import WINDOW_BYTES, WINDOW_ITEMS
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer


class Feed(Service, name="feed"):
    def __init__(self) -> None:
        self.closed = 0

    @method(timeout=30)
    async def watch(self, n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                yield Item(i, cursor=f"{current_call().cursor}/{i}") if i == 1 else i
        finally:
            self.closed += 1

    @method(timeout=30)
    async def texts(self) -> AsyncIterator[str]:
        for size in (1500, 1500, 1500, 5000, 1):
            yield "x" * size

    @method(timeout=30)
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])


def ask(raw: RawPeer, key: str = "feed.watch", body: bytes = b'{"n":5}', **headers: Any) -> None:
    if "size" in headers:
        headers["credit-bytes"] = headers.pop("size")
    raw.request(key, body, headers=headers, expiration="30000")


Message = tuple[str | None, dict[str, Any], bytes]
"""The type, the headers and the body of a message."""

SAID_AGAIN = {"accepted", "progress", "credit"}
"""What a server says whenever it was silent for a while, as it is after a second here or there."""


async def heard(raw: RawPeer, *also: str) -> Message:
    """The next message, but for those that may come at any time.

    :param also: those of these that are wanted.
    """
    while True:
        delivery: Delivery = await raw.reply()
        properties = delivery.properties
        assert properties.correlation_id == "raw-1"
        if properties.type not in SAID_AGAIN - set(also):
            return properties.type, properties.headers or {}, delivery.body or b""


async def credited(raw: RawPeer, got: int, *, again: bool = False) -> dict[str, Any]:
    """The next credit that says so."""
    while True:
        kind, headers, _ = await heard(raw, "credit")
        assert kind == "credit"
        if headers["got"] == got and headers.get("again", False) == again:
            return headers


def say(raw: RawPeer, server: Server, word: str, **headers: Any) -> None:
    properties = Properties(
        type=word, correlation_id="raw-1", reply_to=raw.reply_queue, headers=headers
    )
    raw.channel.publish("leveret.control", f"feed.{server.instance}", properties, b"")


async def test_a_server_sends_what_it_may_and_keeps_it_until_it_is_acknowledged(
    host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    feed = Feed()
    async with host.serving(feed) as server:
        ask(raw, credit=2, cursor="at", size=1000)
        assert await heard(raw) == ("item", {"n": 1}, b"0")
        assert await heard(raw) == ("item", {"n": 2, "cursor": "at/1"}, b"1")
        waits = await heard(raw, "progress")
        assert waits == ("progress", {"n": 2}, b"")
        say(raw, server, "credit", got=1, upto=3, bytes=1000, again=True)
        assert await heard(raw) == ("item", {"n": 2, "cursor": "at/1"}, b"1")
        assert await heard(raw) == ("item", {"n": 3}, b"2")
        say(raw, server, "credit", got=3, upto=9, bytes=1000)
        assert [await heard(raw) for _ in range(3)] == [
            ("item", {"n": 4}, b"3"),
            ("item", {"n": 5}, b"4"),
            ("end", {"n": 5}, b""),
        ]
        assert await heard(raw) == ("end", {"n": 5}, b"")  # as nobody says that it has it
        say(raw, server, "credit", got=6, upto=9, bytes=1000)
        say(raw, server, "credit", got=6, upto=9, bytes=1000)
        told = await raw.reply()
        while told.properties.type in {"end", *SAID_AGAIN}:
            told = await raw.reply()
        assert told.properties.type == "error"
        assert b"ABORTED" in (told.body or b"")  # it is not there any more
        assert told.properties.reply_to is None  # nobody is to acknowledge that
        assert feed.closed == 1


async def test_no_message_of_several_items_is_larger_than_its_caller_takes(
    host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Feed()):
        ask(raw, key="feed.texts", body=b"{}", credit=64, size=100_000, packed=4096)
        found = [await heard(raw) for _ in range(5)]
        assert [(kind, headers["n"], len(body)) for kind, headers, body in found] == [
            ("items", 1, 12 + 2 * 1502),
            ("item", 3, 1502),  # with the next one it would be too large
            ("item", 4, 5002),
            ("item", 5, 3),
            ("end", 5, 0),
        ]


async def test_small_items_that_are_given_at_once_leave_in_one_message_where_the_caller_takes_such(
    host: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Feed()) as server:
        ask(raw, credit=64, size=1000, packed=4096)
        packed = "items", {"n": 3}, b"\0\0\0\3" + 3 * b"\0\0\0\1" + b"234"
        assert [await heard(raw) for _ in range(4)] == [
            ("item", {"n": 1}, b"0"),  # it would be packed with the next one, which has a cursor
            ("item", {"n": 2, "cursor": "/1"}, b"1"),
            packed,
            ("end", {"n": 5}, b""),
        ]
        say(raw, server, "credit", got=4, upto=9, bytes=1000, again=True)
        assert await heard(raw) == packed
        assert await heard(raw) == ("end", {"n": 5}, b"")
        say(raw, server, "credit", got=6, upto=9, bytes=1000)


async def test_a_size_holds_back_what_comes_after_it(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    async with host.serving(Feed()) as server:
        ask(raw, credit=64, size=1)
        assert (await heard(raw))[:2] == ("item", {"n": 1})
        assert (await heard(raw, "progress"))[:2] == ("progress", {"n": 1})
        say(raw, server, "cancel")
        kind, headers, body = await heard(raw)
        assert (kind, headers, b"CANCELLED" in body) == ("error", {"n": 1}, True)


async def test_a_stream_ends_when_all_of_it_has_to_be_over(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    feed = Feed()
    async with host.serving(feed):
        ask(raw, credit=1, size=1000, total=int((time.time() + 0.1) * 1000))
        assert (await heard(raw))[:2] == ("item", {"n": 1})
        kind, headers, body = await heard(raw)
        assert (kind, headers, b"DEADLINE_EXCEEDED" in body) == ("error", {"n": 1}, True)
        await until(lambda: feed.closed == 1, "the handler is closed")


async def test_a_caller_whose_queue_is_gone_is_given_up_at_once(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    feed = Feed()
    async with host.serving(feed) as server:
        ask(raw, credit=2, size=1000)
        assert (await heard(raw))[0] == "item"
        raw.crash()
        await until(lambda: feed.closed == 1 and not server.calls(), "the handler is closed")


async def test_an_upload_comes_to_a_queue_of_the_instance(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()

    def give(kind: str, number: int, body: bytes = b"") -> None:
        properties = Properties(
            type=kind, correlation_id="raw-1", reply_to=raw.reply_queue, headers={"n": number}
        )
        raw.channel.publish("leveret", f"feed.total@{server.instance}", properties, body)

    async with host.serving(Feed()) as server:
        ask(raw, "feed.total", b"{}", uploads=True)
        credit = await credited(raw, 0)
        assert (credit["upto"], credit["bytes"]) == (WINDOW_ITEMS, WINDOW_BYTES)
        give("item", 1, b"10")
        give("item", 3, b"30")
        await credited(raw, 1, again=True)
        give("item", 2, b"20")
        give("item", 2, b"20")
        give("item", 3, b"30")
        give("end", 3)
        await credited(raw, 4)
        assert await heard(raw) == ("result", {}, b"60")


async def test_the_end_of_a_stream_is_told_once_and_counted(host: Rabbit, raw: RawPeer) -> None:
    ends: list[CallEnd] = []

    class Noting:
        async def __call__(self, call: CurrentCall, call_next: ServerCallNext) -> object:
            return await call_next(call)

        def call_ended(self, _call: CurrentCall, end: CallEnd) -> None:
            ends.append(end)

    await raw.listen()
    async with host.serving(Feed(), middleware=[Noting()]) as server:
        ask(raw, credit=64, size=1000)
        while (await heard(raw))[0] != "end":
            pass
        await until(lambda: len(ends) == 1, "its end is told")
        (queue,) = [queue for queue in server.subscriptions if queue.spec.name == "watch"]
        assert queue.source is not None
        assert (queue.source.finished, queue.source.failed) == (1, 0)
    assert (ends[0].outcome, ends[0].reply_size) == ("done", 5)


async def test_a_request_that_comes_twice_has_one_stream(host: Rabbit, raw: RawPeer) -> None:
    await raw.listen()
    feed = Feed()
    async with host.serving(feed) as server:
        ask(raw, credit=1, size=1000)
        assert (await heard(raw))[:2] == ("item", {"n": 1})
        ask(raw, credit=1, size=1000)
        assert (await heard(raw, "progress"))[:2] == ("progress", {"n": 1})
        say(raw, server, "credit", got=1, upto=9, bytes=1000)
        numbers = [(await heard(raw))[1]["n"] for _ in range(5)]
        assert numbers == [2, 3, 4, 5, 5]


@pytest.mark.parametrize("headers", [{}, {"credit": 0}, {"uploads": True}])
async def test_a_request_that_takes_no_stream_is_refused(
    host: Rabbit, raw: RawPeer, headers: dict[str, Any]
) -> None:
    await raw.listen()
    async with host.serving(Feed()):
        ask(raw, **headers)
        kind, found, body = await heard(raw)
        assert (kind, found, b"INVALID_ARGUMENT" in body) == ("error", {}, True)
