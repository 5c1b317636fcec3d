"""Tests of handlers that stream: how they are asked for items, and closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from leveret.server.handlers.streaming import (
    Uploaded,
    UploadedOffTheLoop,
    stream_off_the_loop,
    stream_on_loop,
)
from leveret.server.handlers.threads import ThreadPool


class Call:
    """A call that takes so many items, and then stops or waits."""

    def __init__(self, most: int = 100, upload: tuple[Any, ...] = ()) -> None:
        self.sent: list[Any] = []
        self._most = most
        self._upload = iter(upload)

    async def send(self, item: Any) -> None:
        self.sent.append(item)
        if len(self.sent) >= self._most:
            raise asyncio.CancelledError

    async def uploaded(self) -> Any:
        item = next(self._upload, None)
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, BaseException):
            raise item
        return item


closed: list[Any] = []


async def on_loop() -> AsyncIterator[int]:
    try:
        for i in range(5):
            yield i
    finally:
        closed.append(asyncio.current_task())


async def test_a_handler_on_the_loop_is_closed_in_its_own_task() -> None:
    closed.clear()
    call = Call()
    await stream_on_loop(on_loop(), call)
    assert call.sent == [0, 1, 2, 3, 4]
    with pytest.raises(asyncio.CancelledError):
        await stream_on_loop(on_loop(), Call(2))
    assert closed == [asyncio.current_task()] * 2

    class Plain:
        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

    await stream_on_loop(Plain(), call)


async def test_a_handler_off_the_loop_is_closed_in_a_thread() -> None:
    here = threading.get_ident()
    threads = ThreadPool(1, "test")

    async def run(step: Any) -> Any:
        return await threads.run(step, lambda: None)

    def numbers() -> Iterator[int]:
        try:
            for i in range(5):
                assert threading.get_ident() != here
                yield i
        finally:
            closed.append(threading.get_ident() == here)

    closed.clear()
    call = Call()
    await stream_off_the_loop(numbers, call, run)
    await stream_off_the_loop(lambda: iter([7]), call, run)
    assert call.sent == [0, 1, 2, 3, 4, 7]
    with pytest.raises(asyncio.CancelledError):
        await stream_off_the_loop(numbers, Call(2), run)
    assert closed == [False, False]
    threads.close()


async def test_a_thread_that_makes_an_item_is_waited_for_before_it_is_closed() -> None:
    threads, asked, go_on = ThreadPool(1, "test"), threading.Event(), threading.Event()
    closed.clear()

    def slow() -> Iterator[int]:
        try:
            asked.set()
            go_on.wait()
            yield 1
        finally:
            closed.append("closed")

    streaming = asyncio.create_task(
        stream_off_the_loop(slow, Call(), lambda step: threads.run(step, lambda: None))
    )
    await asyncio.to_thread(asked.wait)
    streaming.cancel()
    await asyncio.sleep(0)
    assert closed == []
    go_on.set()
    await asyncio.wait([streaming])
    assert streaming.cancelled()
    assert closed == ["closed"]
    threads.close()


async def test_uploads_are_iterated_on_the_loop_and_off_it() -> None:
    assert [item async for item in Uploaded(Call(upload=(1, 2)))] == [1, 2]
    loop = asyncio.get_running_loop()
    items = await asyncio.to_thread(list, UploadedOffTheLoop(Call(upload=(1, 2)), loop))
    assert items == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        await asyncio.to_thread(
            list, UploadedOffTheLoop(Call(upload=(1, ValueError("broken"))), loop)
        )

    def take() -> str:
        try:
            list(UploadedOffTheLoop(Call(upload=(asyncio.CancelledError(),)), loop))
        except asyncio.CancelledError:
            return "cancelled"
        return ""

    assert await asyncio.to_thread(take) == "cancelled"
