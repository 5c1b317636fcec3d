"""Streams whose handlers run in worker processes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leveret import Item, Rabbit, RemoteError, Service, current_call, method
from leveret.server.server import Server
from leveret.server.streams.stream import ServerStream
from tests.behaviour.patience import until


class Crunching(Service):
    """Does in its process what its caller says; one method, as each has processes of its own."""

    @method(executor="process", concurrency=1)
    def crunch(self, what: str, numbers: Iterator[int], noted_in: str = "") -> Iterator[int]:
        assert current_call().method == "crunching.crunch"
        try:
            for number in numbers if what == "double" else range(1000):
                yield Item(2 * number, cursor=str(number))
                if what == "die":
                    os._exit(3)
        finally:
            if noted_in:
                Path(noted_in).write_text(str(os.getpid()))


async def given(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


async def into(received: list[int], items: AsyncIterator[int]) -> None:
    async for item in items:
        received.append(item)  # noqa: PERF401 - also those before an error


def waits(server: Server) -> bool:
    """Whether the handler has given more than its caller takes."""
    stream = server.calls()[0].stream
    assert isinstance(stream, ServerStream)
    return stream._waker is not None


async def test_streams_come_from_processes_and_go_to_them(
    host: Rabbit, client: Rabbit, tmp_path: Path
) -> None:
    crunch = client.remote(Crunching).with_options(timeout=60).crunch
    note = tmp_path / "closed"
    nothing: Any = given(0)
    async with host.serving(Crunching()) as server:
        assert [i async for i in crunch("count", nothing)] == list(range(0, 2000, 2))
        async for i in crunch("count", nothing, noted_in=str(note)):
            if i == 4:
                # While it makes an item, its process would be killed.
                await until(partial(waits, server), "it waits for its caller")
                break
        await until(note.exists, "the handler is closed in its process")
        await until(lambda: not server.calls(), "its place is free")
        numbers: Any = given(100)
        assert [i async for i in crunch("double", numbers)] == list(range(0, 200, 2))
        received: list[int] = []
        with pytest.raises(RemoteError, match="the worker process died") as caught:
            await into(received, crunch("die", nothing))
        assert (received, caught.value.received) == ([0], 1)
