"""Items of an upload are drawn as fast as they may be sent, and their source is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from leveret.body_parts import Body
from leveret.client.calls.upload import Upload
from leveret.client.streams.sending import is_source, send_items
from leveret.errors import InvalidArgument
from leveret.streaming import Credit


class Port:
    """What was sent."""

    largest = 10

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, bytes]] = []
        self.is_full = asyncio.Event()
        self.upload = Upload(self, lambda _server: self)
        self.upload.begin("feed.s1")

    def pack(self, kind: str, number: int, body: Body = b"") -> bytes:
        self.sent.append((kind, number, bytes(body)))
        if self.upload.half.number:
            self.is_full.set()
        return b""

    def send(self, frames: bytes, /) -> None:
        assert frames == b""

    def give(self, upto: int) -> None:
        self.upload.credited(Credit(got=0, upto=upto, size=10_000))

    async def writable(self) -> None:
        await asyncio.sleep(0)

    def sending(self, source: Any) -> asyncio.Task[None]:
        return asyncio.ensure_future(send_items(source, self.upload, _encode, self.writable))


def _encode(item: int) -> bytes:
    return b"%d" % item


async def test_all_items_and_the_end_are_sent() -> None:
    port = Port()
    port.give(100)
    await port.sending(range(70))
    assert len(port.sent) == 71
    assert port.sent[69:] == [("item", 70, b"69"), ("end", 70, b"")]


async def test_a_call_that_ends_first_closes_the_source() -> None:
    port, closed = Port(), []

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    sending = port.sending(source())
    port.give(2)
    await port.is_full.wait()
    port.upload.stop()
    await sending
    assert (closed, len(port.sent)) == ([True], 2)


async def test_a_call_that_no_server_takes_leaves_the_source_as_it_was() -> None:
    port = Port()
    source = iter([1])
    port.upload.stop()
    await port.sending(source)
    assert (list(source), port.sent) == ([1], [])


async def test_a_call_that_ends_while_its_source_is_silent_closes_it() -> None:
    port, closed = Port(), []
    waits = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        try:
            waits.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            closed.append(True)

    sending = port.upload.sending = port.sending(source())
    port.give(2)
    await waits.wait()
    port.upload.stop()
    await asyncio.wait([sending])
    assert (closed, port.sent) == ([True], [])


async def test_a_plain_generator_is_closed_and_no_other_iterable_is() -> None:
    port, closed = Port(), []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    class File:
        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

        def close(self) -> None:
            raise AssertionError("it is its owner's")

    numbers = source()
    port.give(2)
    sending = port.sending(numbers)
    await port.is_full.wait()
    port.upload.stop()
    await sending
    assert closed == [True]
    port = Port()
    port.give(9)
    await port.sending(File())
    assert len(port.sent) == 3


async def test_a_call_that_ends_while_the_socket_is_full_sends_nothing_more() -> None:
    port = Port()
    port.give(2)

    async def full() -> None:
        port.upload.stop()

    await send_items([1], port.upload, _encode, full)
    assert port.sent == []


async def test_an_item_that_does_not_fit_is_named() -> None:
    port = Port()
    port.give(2)
    with pytest.raises(InvalidArgument, match="item 2 of the upload: "):
        await port.sending([1, "x"])
    with pytest.raises(InvalidArgument, match="item 2 of the upload takes 11 bytes, more") as large:
        await port.sending([10**10])
    assert large.value.executed == "yes"


def test_what_can_be_uploaded() -> None:
    assert all(map(is_source, ([], (), iter(()), range(3), {1}, (n for n in (1,)))))
    assert not any(map(is_source, ("text", b"bytes", 7, None)))
