"""A future is the sink of a plain call."""

from __future__ import annotations

import asyncio

from leveret.client.calls.sinks import Sink
from leveret.errors import ConnectionLost
from leveret.wire.message import Reply
from tests.unit.client.calls.making import REPLY, Heard


async def test_the_future_of_one_caller_is_a_sink() -> None:
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    sink: Sink = future
    assert not sink.done()
    sink.set_result(REPLY)
    assert sink.done()
    assert await future is REPLY


async def test_an_error_that_was_asked_for_is_not_reported_as_unseen() -> None:
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    future: asyncio.Future[Reply] = loop.create_future()
    sink: Sink = future
    error = ConnectionLost("the test ends it")
    sink.set_exception(error)
    assert sink.exception() is error
    del sink, future
    assert not told


async def test_a_sink_whose_caller_is_gone_takes_nothing_more() -> None:
    sink: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    sink.cancel()
    assert sink.done()


def test_a_sink_may_take_several_replies() -> None:
    sink: Sink = Heard(replies=2)
    sink.set_result(REPLY)
    assert not sink.done()
    sink.set_result(REPLY)
    assert sink.done()
