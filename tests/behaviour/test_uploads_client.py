"""The client's half of an upload and of a dialogue, against a server that a test plays itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

import leveret
from leveret import OutgoingCall, Rabbit, Service
from leveret.backoff import Backoff
from leveret.client.calls import streams
from leveret.client.streams import going_on, method
from tests.behaviour.patience import at_once, until
from tests.behaviour.scripted_streams import ScriptedServer, scripted_server


class Feed(Service, name="feed"):
    """What the scripted server pretends to be."""

    @leveret.method
    async def watch(self, a: int, items: AsyncIterator[int]) -> int:
        """Takes items, gives a number."""
        raise NotImplementedError


class Chat(Service, name="feed"):
    """The same with a dialogue."""

    @leveret.method
    def watch(self, items: AsyncIterator[int]) -> AsyncIterator[int]:
        """Takes items, gives items."""
        raise NotImplementedError


async def plain_source() -> AsyncIterator[int]:
    """One item."""
    yield 1


async def made(contract: type, remote: Any, source: AsyncIterator[int]) -> Any:
    """What comes of a call of `Feed` or of `Chat`."""
    if contract is Feed:
        return await remote.watch(7, source)
    return [item async for item in remote.watch(source)]


@pytest.fixture
async def server(rabbitmq_url: str) -> AsyncIterator[ScriptedServer]:
    async with scripted_server(rabbitmq_url) as scripted:
        await scripted.take_uploads()
        yield scripted


async def test_an_upload_waits_for_credit_and_is_sent_in_order_with_its_end(
    client: Rabbit, server: ScriptedServer
) -> None:
    drawn: list[int] = []

    async def source() -> AsyncIterator[int]:
        for number in range(1, 6):
            drawn.append(number)
            yield number

    summing = asyncio.ensure_future(client.remote(Feed).watch(7, source()))
    request = await server.request()
    headers = request.properties.headers or {}
    assert (request.body, headers["uploads"], "credit" in headers) == (b'{"a":7}', True, False)
    assert drawn == []
    server.give(request, got=0, upto=2)
    assert [await server.uploaded() for _ in range(2)] == [("item", 1, b"1"), ("item", 2, b"2")]
    server.give(request, got=1, upto=10, again=True)  # the second was lost
    assert await server.uploaded("item") == ("item", 2, b"2")
    got = [await server.uploaded() for _ in range(4)]
    assert got == [("item", 3, b"3"), ("item", 4, b"4"), ("item", 5, b"5"), ("end", 5, b"")]
    server.give(request, got=6, upto=10)
    server.answer(request, b"15")
    assert await summing == 15
    assert client.in_flight == 0


@pytest.mark.parametrize("contract", [Feed, Chat])
async def test_an_upload_can_wait_for_the_first_server_of_its_method(
    client: Rabbit, rabbitmq_url: str, contract: type[Feed | Chat]
) -> None:
    """Its source is begun once, when that server takes it."""
    waiting: Any = client.remote(contract).with_options(wait_for_server=True)
    call = asyncio.ensure_future(made(contract, waiting, plain_source()))
    await until(lambda: client.calls.sent > 2, "it was sent more than twice")
    async with scripted_server(rabbitmq_url) as server:
        await server.take_uploads()
        request = await server.request()
        server.give(request, got=0, upto=9)
        assert [await server.uploaded() for _ in range(2)] == [("item", 1, b"1"), ("end", 1, b"")]
        if contract is Feed:
            server.answer(request, b"15")
            assert await call == 15
        else:
            server.items(request, 1)
            server.end(request, 1)
            assert await call == [10]
    await until(lambda: client.in_flight == 0, "no call is left")


@pytest.mark.parametrize("contract", [Feed, Chat])
async def test_an_upload_that_no_server_takes_in_time_leaves_its_source_as_it_was(
    client: Rabbit, contract: type[Feed | Chat], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (method, going_on):  # once more, shortly before the deadline
        monkeypatch.setattr(module, "PAUSES", Backoff(first=1000, most=1000, jitter=0))
    source = plain_source()
    waiting: Any = client.remote(contract).with_options(wait_for_server=True, timeout=0.5)
    with pytest.raises(leveret.DeadlineExceeded, match="no server came up in time") as caught:
        await made(contract, waiting, source)
    assert (caught.value.executed, caught.value.where) == ("no", "queue")
    assert client.calls.sent >= 2
    at_once = client.remote(Feed)
    with pytest.raises(leveret.Unimplemented):
        await at_once.watch(7, source)
    assert [number async for number in source] == [1]


@pytest.mark.parametrize("source", [lambda: [1, 2], lambda: iter((1, 2)), lambda: range(1, 3)])
async def test_plain_iterables_are_uploaded_as_well(
    client: Rabbit, server: ScriptedServer, source: Callable[[], Any]
) -> None:
    summing = asyncio.ensure_future(client.remote(Feed).watch(a=7, items=source()))
    request = await server.request()
    server.give(request, got=0, upto=9)
    assert [(await server.uploaded())[0] for _ in range(3)] == ["item", "item", "end"]
    server.answer(request, b"3")
    assert await summing == 3


async def test_a_source_that_fails_cancels_the_call_and_its_caller_gets_the_exception(
    client: Rabbit, server: ScriptedServer
) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise ZeroDivisionError("of the source")

    summing = asyncio.ensure_future(client.remote(Feed).watch(7, source()))
    request = await server.request()
    server.give(request, got=0, upto=9)
    with pytest.raises(ZeroDivisionError, match="of the source"):
        await summing
    assert (await server.control("cancel")).routing_key == server.name

    bad: Any = ["x"]
    summing = asyncio.ensure_future(client.remote(Feed).watch(7, bad))
    server.give(await server.request(), got=0, upto=9)
    with pytest.raises(leveret.InvalidArgument, match="item 1 of the upload"):
        await summing
    with pytest.raises(leveret.InvalidArgument, match="give it an iterator"):
        await client.remote(Feed).watch(7)  # type: ignore[call-arg]


async def test_a_source_that_is_cancelled_ends_the_call_and_does_not_cancel_its_caller(
    client: Rabbit, server: ScriptedServer
) -> None:
    drawn = asyncio.get_running_loop().create_future()

    async def source() -> AsyncIterator[int]:
        yield await drawn

    summing = asyncio.ensure_future(client.remote(Feed).watch(7, source()))
    server.give(await server.request(), got=0, upto=9)
    drawn.cancel()
    async with at_once():
        with pytest.raises(leveret.Cancelled, match="source of the upload was cancelled") as caught:
            await summing
    assert caught.value.executed == "yes"
    assert (await server.control("cancel")).routing_key == server.name


@pytest.mark.parametrize("how", ["iterator", "list"])
async def test_middleware_that_tries_again_uploads_all_items_or_none(
    rabbitmq_url: str, server: ScriptedServer, how: str
) -> None:
    """What was drawn of an iterator is gone: the handler would take the rest for all of it."""

    async def tries_again(call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        with suppress(leveret.PermissionDenied):
            return await call_next(call)
        return await call_next(call)

    async with leveret.connect(rabbitmq_url, middleware=[tries_again]) as client:
        numbers: Any = [1, 2]
        source = iter(numbers) if how == "iterator" else numbers
        summing = asyncio.ensure_future(client.remote(Feed).watch(7, source))
        server.fail(await server.request(), 0, "PERMISSION_DENIED")  # before anything is drawn
        request = await server.request()
        server.give(request, got=0, upto=9)
        for number in (1, 2):
            assert (await server.uploaded())[1] == number
        server.answer(request, b"3")
        assert await summing == 3

        source = iter(numbers) if how == "iterator" else numbers
        summing = asyncio.ensure_future(client.remote(Feed).watch(7, source))
        request = await server.request()
        server.give(request, got=0, upto=1)
        while (await server.uploaded())[0] != "item":
            pass  # the end of the upload before
        server.fail(request, 0, "PERMISSION_DENIED")
        if how == "iterator":
            with pytest.raises(RuntimeError, match="another attempt has drawn the items"):
                await summing
            return
        request = await server.request()
        server.give(request, got=0, upto=9)
        server.answer(request, b"3")
        assert await summing == 3


async def test_a_result_before_the_end_stops_the_sender_and_closes_the_source(
    client: Rabbit, server: ScriptedServer
) -> None:
    closed: list[bool] = []

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    summing = asyncio.ensure_future(client.remote(Feed).watch(7, source()))
    request = await server.request()
    server.give(request, got=0, upto=2)
    await server.uploaded()
    server.answer(request, b"9")
    assert await summing == 9
    assert closed == [True]


async def test_a_caller_that_is_cancelled_takes_its_upload_along(
    client: Rabbit, server: ScriptedServer
) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    summing = asyncio.ensure_future(client.remote(Feed).watch(7, source()))
    request = await server.request()
    server.give(request, got=0, upto=2)
    await server.uploaded()
    summing.cancel()
    await asyncio.wait((summing,))
    assert summing.cancelled()
    assert (await server.control("cancel")).routing_key == server.name


async def test_an_upload_goes_on_after_the_client_has_reconnected(
    client: Rabbit, server: ScriptedServer
) -> None:
    numbers: Any = [1, 2, 3]
    summing = asyncio.ensure_future(client.remote(Feed).watch(7, numbers))
    request = await server.request()
    server.give(request, got=0, upto=1)
    assert await server.uploaded() == ("item", 1, b"1")
    client.calls.connection.abort("the test cuts it")
    assert await server.uploaded() == ("item", 1, b"1")
    server.give(request, got=1, upto=9)
    while (came := await server.uploaded())[1:] != (2, b"2"):
        assert came[1] == 1
    server.answer(request, b"6")
    assert await summing == 6


async def test_a_dialogue_sends_and_takes_at_the_same_time(
    client: Rabbit, server: ScriptedServer
) -> None:
    asked: asyncio.Queue[int] = asyncio.Queue()

    async def source() -> AsyncIterator[int]:
        while True:
            yield await asked.get()

    answers = client.remote(Chat).watch(source())
    asked.put_nowait(5)
    first = asyncio.ensure_future(anext(answers))
    request = await server.request()
    server.give(request, got=0, upto=9)
    assert await server.uploaded() == ("item", 1, b"5")
    server.items(request, 1)
    assert await first == 10
    asked.put_nowait(6)
    assert await server.uploaded() == ("item", 2, b"6")
    server.end(request, 1)
    with pytest.raises(StopAsyncIteration):
        await anext(answers)


async def test_a_server_that_is_gone_breaks_an_upload(
    client: Rabbit, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "AWAY_FOR", 0.3)
    async with scripted_server(rabbitmq_url) as dying:
        await dying.take_uploads()
        summing = asyncio.ensure_future(client.remote(Feed).watch(7, _endless()))
        request = await dying.request()
        dying.give(request, got=0, upto=1)
        await dying.uploaded()
        await dying.stop_listening()
    with pytest.raises(leveret.StreamBroken, match="is gone") as caught:
        await summing
    assert caught.value.executed == "maybe"
    await until(lambda: client.in_flight == 0, "the call has ended")


async def _endless() -> AsyncIterator[int]:
    while True:
        yield 1
