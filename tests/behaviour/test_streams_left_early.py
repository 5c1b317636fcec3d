"""Whoever ends a dialogue early, and how: both generators are closed, and nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, Unpack

import pytest

from leveret import (
    Cancelled,
    DeadlineExceeded,
    Rabbit,
    RemoteError,
    Service,
    StreamBroken,
    method,
)
from leveret.client.options import GivenOptions
from leveret.client.streams import opening
from leveret.client.streams.remote_stream import RemoteStream
from leveret.server.server import Server
from leveret.server.streams import stream
from tests.behaviour.patience import until


class OnLoop(Service, name="talking"):
    """Says what it hears. Each of these has one method, as processes take time to start."""

    @method(timeout=60)
    async def talk(self, how: str, note: str, heard: AsyncIterator[int]) -> AsyncIterator[int]:
        try:
            async for number in heard:
                yield number
                if how == "return":
                    return
                if how == "raise":
                    raise ValueError("enough")
        finally:
            noted(note)


class InThread(Service, name="talking"):
    """The same off the loop."""

    @method(timeout=60)
    def talk(self, how: str, note: str, heard: Iterator[int]) -> Iterator[int]:
        return talk(how, note, heard)


class InProcess(Service, name="talking"):
    """The same in a process."""

    @method(timeout=60, executor="process", concurrency=1)
    def talk(self, how: str, note: str, heard: Iterator[int]) -> Iterator[int]:
        return talk(how, note, heard)


def talk(how: str, note: str, heard: Iterator[int]) -> Iterator[int]:
    try:
        for number in heard:
            yield number
            if how == "return":
                return
            if how == "raise":
                raise ValueError("enough")
    finally:
        noted(note)


def noted(path: str) -> None:
    with Path(path).open("a") as notes:
        notes.write("closed\n")


PLACES: Final[dict[str, type[Service]]] = {
    "loop": OnLoop,
    "thread": InThread,
    "process": InProcess,
}


class Source:
    """What a client says, and whether that was closed.

    :param silent_after: how many numbers come before it waits for ever; None: it never does.
    """

    def __init__(self, silent_after: int | None = None) -> None:
        self.given = 0
        self.closed = 0
        self._silent_after = silent_after

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            while True:
                if self.given == self._silent_after:
                    await asyncio.Event().wait()
                self.given += 1
                yield self.given
        finally:
            self.closed += 1


class Scene:
    """Dialogues of a client with a server, one after the other."""

    def __init__(self, client: Rabbit, server: Server, folder: Path) -> None:
        self.remote = client.remote(OnLoop)
        self.source = Source()
        self._client = client
        self._server = server
        self._note = folder / "closed"
        self._tasks: set[asyncio.Task[Any]] = set()

    def talk(
        self, how: str = "", *, silent_after: int | None = None, **options: Unpack[GivenOptions]
    ) -> RemoteStream[int]:
        """A dialogue."""
        self._note.unlink(missing_ok=True)
        self.source = Source(silent_after)
        talk = self.remote.with_options(**options).talk
        items: Any = talk(how, str(self._note), aiter(self.source))
        return items  # type: ignore[no-any-return]

    async def warm_up(self) -> None:
        """The first dialogue: what it leaves open is for all."""
        assert [number async for number in self.talk("return")] == [1]
        await self.is_closed("the first one")
        self._tasks = asyncio.all_tasks()
        await self.is_forgotten()

    async def is_closed(self, what: str, *, began: bool = True) -> None:
        """Both sides have closed what they have, once.

        :param began: whether there was an item; else the handler may not have begun.
        """
        if self.source.given:
            await until(lambda: self.source.closed == 1, f"{what}: the source is closed")
        if began:
            await until(lambda: "closed" in self._noted(), f"{what}: the handler is closed")
        await until(lambda: not self._server.calls(), f"{what}: its place is free")
        assert self._noted() in ("", "closed\n"), f"{what}: the handler is closed once"

    def _noted(self) -> str:
        return self._note.read_text() if self._note.exists() else ""

    async def is_forgotten(self) -> None:
        """Nothing is left of all dialogues."""
        calls = self._client.calls
        tables = {
            "calls of the client": lambda: self._client.in_flight,
            "streams of the client": lambda: len(calls._streams),
            "deadlines of the client": lambda: calls.table.deadlines,
            "streams of the server": lambda: len(self._server._streams),
        }
        for name, size in tables.items():
            await until(lambda size=size: size() == 0, f"no {name} are left")  # type: ignore[misc]
        await until(lambda: asyncio.all_tasks() <= self._tasks, "no tasks are left")

    def handler_waits(self) -> bool:
        """Whether the handler waits: for the client to take, or for more from it."""
        streams = [call.stream for call in self._server.calls()]
        return all(
            isinstance(each, stream.ServerStream)
            and (is_awaited(each._waker) or bool(each._came._waiters))
            for each in streams
        )

    async def stop(self) -> None:
        """The server stops."""
        await self._server.close()


def is_awaited(future: asyncio.Future[None] | None) -> bool:
    return future is not None and not future.done()


@pytest.fixture(params=list(PLACES))
async def scene(
    host: Rabbit, client: Rabbit, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Scene]:
    async with host.serving(PLACES[request.param](), grace=0) as server:
        yield Scene(client, server, tmp_path)


async def breaks(items: RemoteStream[int]) -> None:
    async for _ in items:
        break


async def raises(items: RemoteStream[int]) -> None:
    async def take() -> None:
        async for number in items:
            raise ZeroDivisionError(number)

    with pytest.raises(ZeroDivisionError):
        await take()


async def leaves_the_block(items: RemoteStream[int]) -> None:
    async with items:
        await anext(items)


async def is_cancelled(items: RemoteStream[int]) -> None:
    taken: list[int] = []

    async def take() -> None:
        async for number in items:
            taken.append(number)
            if len(taken) == 2:
                await asyncio.Event().wait()

    taking = asyncio.create_task(take())
    await until(lambda: len(taken) == 2, "it takes")
    taking.cancel()
    await asyncio.wait([taking])


LEAVES: Final[dict[str, Callable[[RemoteStream[int]], Awaitable[None]]]] = {
    "break": breaks,
    "an exception": raises,
    "the end of the block": leaves_the_block,
    "a cancelled task": is_cancelled,
}


async def test_a_client_that_leaves_a_dialogue_leaves_nothing_of_it(scene: Scene) -> None:
    await scene.warm_up()
    for name, leave in LEAVES.items():
        await leave(scene.talk())
        await scene.is_closed(f"{name}, while the handler speaks")
        await leave(scene.talk(silent_after=2))
        await scene.is_closed(f"{name}, while the handler listens")
    options: list[GivenOptions] = [{"idle_timeout": 0.2}, {"total_timeout": 0.2}]
    for option in options:
        with pytest.raises(DeadlineExceeded) as caught:
            async for _ in scene.talk(silent_after=2, **option):
                pass
        await scene.is_closed(str(option), began=caught.value.received > 0)
    await scene.is_forgotten()


async def test_a_server_that_ends_a_dialogue_closes_the_source_before_its_client_looks(
    scene: Scene,
) -> None:
    await scene.warm_up()
    items = scene.talk("return", silent_after=2)
    assert await anext(items) == 1
    await scene.is_closed("return")
    with pytest.raises(StopAsyncIteration):
        await anext(items)
    items = scene.talk("raise", silent_after=2)
    assert await anext(items) == 1
    await scene.is_closed("an exception")
    with pytest.raises(RemoteError, match="enough"):
        await anext(items)

    async def look_at_each(items: RemoteStream[int]) -> None:
        async for _ in items:
            await scene.is_closed("a time-out")

    with pytest.raises(DeadlineExceeded):
        await look_at_each(scene.talk(silent_after=2, total_timeout=0.3))
    await scene.is_forgotten()
    items = scene.talk(silent_after=2)
    assert [await anext(items), await anext(items)] == [1, 2]
    await scene.stop()
    await scene.is_closed("a server that stops")
    with pytest.raises((StreamBroken, Cancelled)):
        await anext(items)


async def test_a_dialogue_with_windows_of_one_item_gets_through_however_slow_both_sides_are(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "WINDOW_ITEMS", 1)
    monkeypatch.setattr(stream, "WINDOW_ITEMS", 1)
    taken: list[int] = []
    async for number in scene.talk(silent_after=20):
        taken.append(number)
        assert scene.source.given <= number + 3  # one on each way, and one at each side
        # Both sides wait for each other: the client takes the next one only then.
        await until(scene.handler_waits, "the handler waits")
        if number == 20:
            break
    assert taken == list(range(1, 21))
    await scene.is_closed("it")
