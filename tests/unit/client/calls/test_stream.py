"""What a client has of one stream: items in order, the end, and who is told of credit."""

from __future__ import annotations

import asyncio
from math import inf

from leveret.client.calls.stream import Stream
from leveret.errors import StreamBroken
from leveret.streaming import Credit
from leveret.wire.message import Reply
from leveret.wire.stream_messages import Closing, Credited, End, Item, Sign

ERROR = Reply(is_error=True, content_type=None, body=b"{}", body_size=2, metadata={"a": "b"})


def a_stream(*, items: int = 4, size: int = 100) -> Stream:
    return Stream(asyncio.get_running_loop(), items=items, size=size, until=inf)


def item(n: int, size: int = 1) -> Item:
    return Item("feed.s1", n, b"1", size, None)


async def test_items_wait_in_order_until_they_are_taken() -> None:
    stream, told = a_stream(), []
    stream.tell = lambda: told.append(stream.half.credit(1.0))
    for n in (1, 2, 2, 1, 3):
        stream.take(item(n))
    assert [waiting.n for waiting in stream.items] == [1, 2, 3]
    assert not stream.half.took(stream.items.popleft().body_size)
    assert stream.half.took(stream.items.popleft().body_size)
    stream.tell()
    assert told == [Credit(got=3, upto=6, size=102)]


async def test_a_consumer_wakes_for_an_item_and_for_the_end() -> None:
    stream = a_stream()
    waiting = asyncio.ensure_future(stream.wait())
    await asyncio.sleep(0)
    assert stream.is_awaited
    stream.take(item(1))
    await waiting
    assert not stream.is_awaited
    stream.items.clear()
    waiting = asyncio.ensure_future(stream.wait())
    await asyncio.sleep(0)
    stream.take(End(server="feed.s1", n=1, moved=True, metadata={"a": "b"}))
    await waiting
    assert (stream.is_over, stream.done(), stream.moved) == (True, True, True)
    assert (stream.wants_credit, stream.metadata, stream.exception()) == (True, {"a": "b"}, None)


async def test_what_tells_of_lost_items_asks_for_them() -> None:
    for ahead in (item(2), End(server="s", n=1, moved=False), Sign(server="s", n=1)):
        stream = a_stream()
        stream.take(ahead)
        assert (stream.wants_credit, stream.is_over, len(stream.items)) == (True, False, 0)
        assert stream.half.credit(1.0).again
    stream = a_stream()
    stream.take(Sign(server="s", n=0))
    assert not stream.wants_credit


async def test_an_error_ends_a_stream_once_all_items_before_it_came() -> None:
    stream = a_stream()
    stream.take(Closing(server="s", n=1, reply=ERROR))
    assert not stream.is_over
    stream.take(item(1))
    stream.take(Closing(server="s", n=1, reply=ERROR))
    assert (stream.is_over, stream.error, stream.metadata) == (True, ERROR, {"a": "b"})


async def test_an_error_of_a_server_that_has_lost_count_ends_a_stream_as_well() -> None:
    stream = a_stream()
    stream.take(item(1))
    stream.take(Closing(server="s", n=0, reply=ERROR))
    assert (stream.is_over, stream.error) == (True, ERROR)


async def test_credit_from_a_server_is_for_uploads_alone() -> None:
    stream = a_stream()
    stream.take(Credited(server="s", credit=Credit(got=0, upto=1, size=1)))
    assert (stream.wants_credit, stream.is_over) == (False, False)


async def test_it_takes_the_error_that_its_call_ends_with() -> None:
    stream = a_stream()
    assert not stream.done()
    broken = StreamBroken("x")
    stream.set_exception(broken)
    assert stream.done()
    assert stream.exception() is broken
    answered = a_stream()
    answered.set_result(ERROR)
    assert (answered.done(), answered.exception(), answered.error) == (True, None, ERROR)
