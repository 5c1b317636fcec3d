"""The client's half of a stream, against a server that a test plays message by message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import pytest

import leveret
from leveret import OutgoingCall, Rabbit, Service
from leveret.client.calls import streams
from leveret.client.middleware import Middleware
from leveret.streaming.credit import WINDOW_BYTES, WINDOW_ITEMS
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until
from tests.behaviour.scripted_streams import ScriptedServer, scripted_server


class Feed(Service, name="feed"):
    """What the scripted server pretends to be."""

    @leveret.method
    def watch(self, a: int) -> AsyncIterator[int]:
        """Some numbers."""
        raise NotImplementedError


class ResumingFeed(Service, name="feed"):
    """The same, which goes on elsewhere."""

    @leveret.method(resume=True)
    def watch(self, a: int) -> AsyncIterator[int]:
        """Some numbers."""
        raise NotImplementedError


class RepeatableFeed(Service, name="feed"):
    """The same, of which a second run does no harm."""

    @leveret.method(idempotent=True)
    def watch(self, a: int) -> AsyncIterator[int]:
        """Some numbers."""
        raise NotImplementedError


@pytest.fixture
async def server(rabbitmq_url: str) -> AsyncIterator[ScriptedServer]:
    async with scripted_server(rabbitmq_url) as scripted:
        yield scripted


def collected(stream: AsyncIterator[Any]) -> asyncio.Task[list[Any]]:
    """A task that takes all items."""

    async def collect() -> list[Any]:
        return [item async for item in stream]

    return asyncio.create_task(collect())


async def test_items_come_in_order_and_then_the_end(client: Rabbit, server: ScriptedServer) -> None:
    taking = collected(client.remote(Feed).watch(3))
    request = await server.request()
    headers = request.properties.headers or {}
    assert (request.body, headers["credit"], headers["credit-bytes"]) == (
        b'{"a":3}',
        WINDOW_ITEMS,
        WINDOW_BYTES,
    )
    server.items(request, 1, 2, 3)
    server.end(request, 3)
    assert await taking == [10, 20, 30]
    assert (await server.credit(got=4))["upto"] >= WINDOW_ITEMS  # the end is acknowledged
    assert client.in_flight == 0


async def test_an_end_that_comes_again_is_acknowledged_though_the_call_is_forgotten(
    client: Rabbit, server: ScriptedServer
) -> None:
    taking = collected(client.remote(Feed).watch(3))
    request = await server.request()
    server.items(request, 1)
    server.end(request, 1)
    assert await taking == [10]
    await server.credit(got=2)
    server.end(request, 1)
    await server.credit(got=2)

    late = collected(client.remote(Feed).with_options(total_timeout=0.1).watch(3))
    request = await server.request()
    with pytest.raises(leveret.DeadlineExceeded):
        await late
    server.fail(request, 5, "DEADLINE_EXCEEDED")
    await server.credit(got=6)
    assert client.in_flight == 0


async def test_nothing_is_sent_before_the_first_item_is_asked_for(
    client: Rabbit, server: ScriptedServer
) -> None:
    stream = client.remote(Feed).watch(1)
    assert "not begun" in repr(stream)
    del stream
    taking = collected(client.stream("feed.watch", a=2))
    request = await server.request()
    assert request.body == b'{"a":2}'
    server.end(request, 0)
    assert await taking == []


async def test_what_was_lost_is_asked_for_and_what_comes_twice_is_dropped(
    client: Rabbit, server: ScriptedServer
) -> None:
    taking = collected(client.remote(Feed).watch(1))
    request = await server.request()
    server.items(request, 1, 3)
    assert (await server.credit(again=True))["got"] == 1
    server.items(request, 1, 2, 3, 2)
    server.end(request, 4)
    await server.credit(got=3, again=True)
    server.items(request, 4)
    server.end(request, 4)
    assert await taking == [10, 20, 30, 40]


async def test_an_error_comes_after_the_items_and_knows_how_many_came(
    client: Rabbit, server: ScriptedServer
) -> None:
    stream = client.remote(Feed).watch(1)
    first = asyncio.ensure_future(anext(stream))
    request = await server.request()
    server.items(request, 1, 2)
    server.fail(request, 2, "PERMISSION_DENIED")
    assert await first == 10
    assert await anext(stream) == 20
    with pytest.raises(leveret.PermissionDenied, match="it failed") as caught:
        await anext(stream)
    assert (caught.value.received, caught.value.executed) == (2, "yes")
    assert caught.value.call_id == request.properties.correlation_id
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@pytest.mark.parametrize("how", ["break", "raise", "cancel", "block", "aclosing"])
async def test_whoever_leaves_early_has_the_handler_cancelled(
    client: Rabbit, server: ScriptedServer, how: str
) -> None:
    feed = client.remote(Feed)
    got: list[int] = []

    async def consume() -> None:
        if how == "block":
            async with client.stream("feed.watch", a=1) as items:
                got.append(await anext(items))
        elif how == "aclosing":
            async with aclosing(client.stream("feed.watch", a=1)) as items:
                got.append(await anext(items))
        else:
            async for item in feed.watch(1):
                got.append(item)
                if how == "break":
                    break
                if how == "raise":
                    raise ZeroDivisionError

    consuming = asyncio.create_task(consume())
    request = await server.request()
    server.items(request, 1)
    if how == "cancel":
        await until(lambda: bool(got), "the first item is there")
        consuming.cancel()
    await asyncio.wait((consuming,))
    cancel = await server.control("cancel")
    assert cancel.routing_key == server.name
    assert cancel.properties.correlation_id == request.properties.correlation_id
    assert got == [10]
    await until(lambda: client.in_flight == 0, "the call has ended")
    if how == "raise":
        assert isinstance(consuming.exception(), ZeroDivisionError)


async def test_credit_follows_what_the_consumer_takes(
    client: Rabbit, server: ScriptedServer
) -> None:
    stream = client.remote(Feed).watch(1)
    first = asyncio.ensure_future(anext(stream))
    request = await server.request()
    server.items(request, *range(1, WINDOW_ITEMS + 1))
    assert await first == 10
    for _ in range(WINDOW_ITEMS // 2 - 1):
        await anext(stream)
    while (await server.credit())["upto"] < WINDOW_ITEMS // 2 + WINDOW_ITEMS:
        pass
    await stream.aclose()  # type: ignore[attr-defined]


async def test_the_items_of_a_second_server_are_refused(
    client: Rabbit, server: ScriptedServer, rabbitmq_url: str
) -> None:
    stream = client.remote(Feed).watch(1)
    first = asyncio.ensure_future(anext(stream))
    request = await server.request()
    server.items(request, 1)
    assert await first == 10
    async with scripted_server(rabbitmq_url, "s2") as other:
        other.items(request, 2, 3)
        assert (await other.control("cancel")).routing_key == "feed.s2"
    server.items(request, 2)
    server.end(request, 2)
    assert await collected(stream) == [20]


async def test_a_server_that_is_gone_breaks_the_stream(
    client: Rabbit, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "AWAY_FOR", 0.3)
    async with scripted_server(rabbitmq_url) as dying:
        taking = collected(client.remote(Feed).watch(1))
        request = await dying.request()
        dying.items(request, 1, 2)
        await until(lambda: client.calls.table.opened == 1, "it was sent")
        await dying.credit()  # the client says something each second while nothing moves
        await dying.stop_listening()
    with pytest.raises(leveret.StreamBroken, match=r"its server feed\.s1 is gone") as caught:
        await taking
    assert (caught.value.received, caught.value.executed, caught.value.code) == (
        *(2, "maybe"),
        "ABORTED",
    )


async def test_a_server_that_does_not_know_the_stream_any_more_breaks_it(
    client: Rabbit, server: ScriptedServer
) -> None:
    taking = collected(client.remote(Feed).watch(1))
    request = await server.request()
    server.items(request, 1)
    await server.credit()
    server.fail(request, 0, "ABORTED", "maybe")
    with pytest.raises(leveret.StreamBroken, match="the stream broke off: it failed") as caught:
        await taking
    assert caught.value.received == 1


async def test_a_server_that_does_not_stream_is_found_out(
    client: Rabbit, server: ScriptedServer
) -> None:
    taking = collected(client.remote(Feed).watch(1))
    server.answer(await server.request(), b"7")
    with pytest.raises(leveret.Unimplemented, match="does not stream") as caught:
        await taking
    assert caught.value.executed == "yes"


async def test_timeouts_of_a_stream(client: Rabbit, server: ScriptedServer) -> None:
    async def answer() -> None:
        while True:
            server.items(await server.request(), 1)

    answering = asyncio.create_task(answer())
    feed = client.remote(Feed)
    with pytest.raises(leveret.DeadlineExceeded, match=r"no item in 0\.1 s") as caught:
        await collected(feed.with_options(idle_timeout=0.1).watch(1))
    assert caught.value.received == 1
    assert (await server.control("cancel")).properties.correlation_id == caught.value.call_id
    with pytest.raises(leveret.DeadlineExceeded):
        await collected(feed.with_options(total_timeout=0.5).watch(1))
    answering.cancel()
    await asyncio.wait((answering,))
    with pytest.raises(leveret.DeadlineExceeded):
        await collected(feed.with_options(timeout=0.1).watch(1))


async def test_one_consumer_at_a_time_and_in_one_event_loop(
    client: Rabbit, server: ScriptedServer
) -> None:
    stream: Any = client.remote(Feed).watch(1)
    first = asyncio.ensure_future(anext(stream))
    request = await server.request()
    with pytest.raises(RuntimeError, match="another task waits"):
        await anext(stream)
    found: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(stream.__anext__())
        except RuntimeError as error:
            found.append(error)

    server.items(request, 1)
    assert await first == 10
    await asyncio.to_thread(elsewhere)
    assert "another event loop" in str(found[0])
    await stream.aclose()
    await stream.aclose()


async def test_a_stream_is_iterated_over_and_not_awaited(client: Rabbit) -> None:
    stream: Any = client.remote(Feed).watch(1)
    with pytest.raises(TypeError, match="async for"):
        await stream
    with pytest.raises(leveret.InvalidArgument):
        client.remote(Feed).with_options(idempotency_key="k").watch(1)
    with pytest.raises(leveret.InvalidArgument) as caught:
        await anext(client.remote(Feed).watch("x"))  # type: ignore[arg-type]
    assert caught.value.attempts == 0


async def test_middleware_sees_a_stream_once_and_its_end(
    rabbitmq_url: str, server: ScriptedServer
) -> None:
    seen: list[Any] = []

    async def watching(call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        seen.append((call.method, call.arguments["a"]))
        call.arguments["a"] = 5
        try:
            seen.append(await call_next(call))
        except BaseException as error:
            seen.append(type(error))
            raise
        return None

    async with leveret.connect(rabbitmq_url, middleware=[watching]) as client:
        feed = client.remote(Feed)
        taking = collected(feed.watch(1))
        request = await server.request()
        assert request.body == b'{"a":5}'
        server.items(request, 1)
        server.end(request, 1)
        assert await taking == [10]
        assert seen == [("feed.watch", 1), None]

        taking = collected(feed.watch(1))
        server.fail(await server.request(), 0, "PERMISSION_DENIED")
        with pytest.raises(leveret.PermissionDenied):
            await taking
        assert seen[3:] == [leveret.PermissionDenied]

        async def leave() -> None:
            async for _ in feed.watch(1):
                break

        leaving = asyncio.create_task(leave())
        request = await server.request()
        server.items(request, 1)
        await leaving
        await server.control("cancel")
        await until(lambda: len(seen) == 6, "the middleware saw the end")
        assert seen[5] is None


async def test_a_client_that_is_closed_cancels_its_streams_at_their_servers(
    rabbitmq_url: str, server: ScriptedServer
) -> None:
    async with leveret.connect(rabbitmq_url) as leaving:
        stream = leaving.remote(Feed).watch(1)
        taking = asyncio.ensure_future(anext(stream))
        begun = await server.request()
        server.items(begun, 1)
        assert await taking == 10
        waiting = collected(leaving.remote(Feed).watch(2))
        not_begun = await server.request()
    cancels = {
        (told.properties.correlation_id, told.routing_key)
        for told in [await server.control("cancel"), await server.control("cancel")]
    }
    assert cancels == {
        (begun.properties.correlation_id, server.name),
        (not_begun.properties.correlation_id, "feed"),
    }
    with pytest.raises(leveret.CallError, match="the client was closed"):
        await waiting
    with pytest.raises(leveret.StreamBroken, match="the client was closed"):
        await anext(stream)


@pytest.mark.usefixtures("server")
async def test_a_stream_that_is_closed_before_its_request_is_sent_is_never_sent(
    client: Rabbit,
) -> None:
    stream = client.remote(Feed).with_options(if_busy="fail").watch(1)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)  # it looks at the queue first
    await stream.aclose()  # type: ignore[attr-defined]
    with pytest.raises(leveret.Cancelled, match="the stream was closed") as caught:
        await waiting
    assert (caught.value.executed, caught.value.received) == ("no", 0)
    assert (client.calls.sent, client.in_flight) == (0, 0)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_stream_that_is_closed_while_it_waits_for_a_server_is_not_sent_again(
    client: Rabbit, rabbitmq_url: str
) -> None:
    stream = client.remote(Feed).with_options(wait_for_server=True).watch(1)
    waiting = asyncio.ensure_future(anext(stream))
    await until(lambda: client.calls.sent > 0 and client.in_flight == 0, "there is no queue")
    sent = client.calls.sent
    await stream.aclose()  # type: ignore[attr-defined]
    with pytest.raises(leveret.Cancelled, match="the stream was closed"):
        await waiting
    async with scripted_server(rabbitmq_url) as server:
        taking = collected(client.remote(Feed).watch(2))
        request = await server.request()
        assert request.body == b'{"a":2}'
        server.end(request, 0)
        assert await taking == []
    assert client.calls.sent == sent + 1


async def test_a_stream_that_is_closed_inside_its_middleware_is_never_sent(
    rabbitmq_url: str,
) -> None:
    goes_on = asyncio.Event()
    seen: list[Any] = []

    async def slow(call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        seen.append("begun")
        await goes_on.wait()
        seen.append(await call_next(call))

    async with leveret.connect(rabbitmq_url, middleware=[slow]) as client:
        stream: Any = client.remote(Feed).watch(1)
        waiting = asyncio.ensure_future(anext(stream))
        await until(lambda: seen == ["begun"], "the middleware runs")
        closing = asyncio.create_task(stream.aclose())
        with pytest.raises(leveret.Cancelled, match="the stream was closed"):
            await waiting
        goes_on.set()
        await closing
        assert seen == ["begun", None]
        assert (client.calls.sent, client.in_flight) == (0, 0)


@pytest.mark.parametrize("waits", [True, False])
async def test_middleware_that_ends_early_ends_the_stream(
    rabbitmq_url: str, server: ScriptedServer, waits: bool
) -> None:
    enough = asyncio.Event()

    async def limited(call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        going_on = asyncio.ensure_future(call_next(call))
        await enough.wait()
        going_on.cancel()
        raise TimeoutError("the middleware's own")

    async with leveret.connect(rabbitmq_url, middleware=[limited]) as client:
        stream = client.remote(Feed).watch(1)
        first = asyncio.ensure_future(anext(stream))
        server.items(await server.request(), 1)
        assert await first == 10
        if waits:
            following = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            enough.set()
        else:
            enough.set()
            await server.control("cancel")
            following = asyncio.ensure_future(anext(stream))
        with pytest.raises(TimeoutError, match="the middleware's own"):
            await following
        if waits:
            await server.control("cancel")
        await until(lambda: client.in_flight == 0, "no call is left")


async def test_middleware_that_takes_the_error_of_its_own_timeout_ends_the_stream_without_one(
    rabbitmq_url: str, server: ScriptedServer
) -> None:
    async def limited(call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await call_next(call)

    async with leveret.connect(rabbitmq_url, middleware=[limited]) as client:
        taking = collected(client.remote(Feed).watch(1))
        server.items(await server.request(), 1)
        assert await taking == [10]
        await server.control("cancel")


async def goes_on_without_the_call(_call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
    return await call_next(None)  # type: ignore[arg-type]


async def lets_an_iterator_end(_call: OutgoingCall, _call_next: leveret.ClientCallNext) -> Any:
    return await anext(no_more())


async def no_more() -> AsyncIterator[str]:
    for token in "":
        yield token


@pytest.mark.parametrize(
    ("middleware", "error"),
    [(goes_on_without_the_call, TypeError), (lets_an_iterator_end, RuntimeError)],
)
async def test_a_mistake_of_middleware_is_no_end_of_a_stream(
    rabbitmq_url: str, middleware: Middleware, error: type[Exception]
) -> None:
    async with leveret.connect(rabbitmq_url, middleware=[middleware]) as client:
        with pytest.raises(error, match=r"`call_next` takes the call|StopAsyncIteration"):
            await anext(client.remote(Feed).watch(1))


async def test_a_client_whose_connection_breaks_goes_on_with_the_same_server(
    client: Rabbit, server: ScriptedServer
) -> None:
    stream = client.remote(Feed).watch(1)
    first = asyncio.ensure_future(anext(stream))
    request = await server.request()
    server.items(request, 1)
    assert await first == 10
    client.calls.connection.abort("the test cuts it")
    taking = collected(stream)
    assert (await server.credit(again=True))["got"] == 1
    server.items(request, 2, 3)  # whether they came before or not
    server.end(request, 3)
    assert await taking == [20, 30]


async def test_a_stream_that_resumes_goes_on_after_its_last_cursor(
    client: Rabbit, server: ScriptedServer
) -> None:
    taking = collected(client.remote(ResumingFeed).watch(1))
    request = await server.request()
    assert "cursor" not in (request.properties.headers or {})
    server.items(request, 1, 2, cursor="c")
    server.end(request, 2, moved=True)
    request = await server.request()
    assert (request.properties.headers or {})["cursor"] == "c"
    server.items(request, 1, cursor="d")
    server.fail(request, 1, "ABORTED", "maybe")  # it does not know the stream any more
    request = await server.request()
    assert (request.properties.headers or {})["cursor"] == "d"
    server.items(request, 1)
    server.end(request, 1, moved=True)
    with pytest.raises(leveret.StreamBroken, match="its server stopped") as caught:
        await taking  # the last item had no cursor
    assert caught.value.received == 4


async def test_a_stream_that_no_other_server_takes_has_run_all_the_same(
    client: Rabbit, server: ScriptedServer
) -> None:
    """The last request ran nowhere, but the first one did."""
    taking = collected(client.remote(ResumingFeed).watch(1))
    request = await server.request()
    server.items(request, 1, cursor="c")
    server.end(request, 1, moved=True)
    server.fail(await server.request(), 0, "PERMISSION_DENIED", "no")
    with pytest.raises(leveret.PermissionDenied) as caught:
        await taking
    assert (caught.value.executed, caught.value.received) == ("maybe", 1)


async def test_a_stream_that_waited_is_not_sent_again_once_a_server_had_it(
    client: Rabbit, rabbitmq_url: str
) -> None:
    """It may have run, and its method neither resumes nor is idempotent."""
    taking = collected(client.remote(Feed).with_options(wait_for_server=True).watch(1))
    await until(lambda: client.calls.sent > 1, "it was sent more than once")
    async with scripted_server(rabbitmq_url) as server:
        request = await server.request()
        server.send(request, "progress", 0)  # its handler runs
        server.fail(request, 0, "ABORTED", "maybe")
        with pytest.raises(leveret.StreamBroken):
            await taking


async def test_a_stream_can_wait_for_the_first_server_of_its_method(
    client: Rabbit, rabbitmq_url: str
) -> None:
    taking = collected(client.remote(Feed).with_options(wait_for_server=True).watch(1))
    await until(lambda: client.calls.sent > 1, "it was sent more than once")
    async with scripted_server(rabbitmq_url) as server:
        request = await server.request()
        server.items(request, 1)
        server.end(request, 1)
        assert await taking == [10]


async def test_a_stream_waits_on_though_it_may_have_run_where_a_second_run_does_no_harm(
    client: Rabbit, rabbitmq_url: str
) -> None:
    remote = client.remote(RepeatableFeed).with_options(wait_for_server=True)
    taking = collected(remote.watch(1))
    while not client.calls.sent:  # noqa: ASYNC110 - no pass of the loop may go by after it
        await asyncio.sleep(0)
    crash(client)  # before the broker has said that it has no queue for the request
    await until(lambda: client.calls.sent > 1 or taking.done(), "a copy of it came back")
    async with scripted_server(rabbitmq_url) as server:
        request = await server.request()
        server.items(request, 1)
        server.end(request, 1)
        assert await taking == [10]


async def test_a_stream_that_may_have_run_before_its_queue_was_gone_says_so_to_the_end(
    client: Rabbit,
) -> None:
    remote = client.remote(RepeatableFeed).with_options(wait_for_server=True, timeout=2)
    taking = collected(remote.watch(1))
    while not client.calls.sent:  # noqa: ASYNC110 - no pass of the loop may go by after it
        await asyncio.sleep(0)
    crash(client)  # a copy of its request is sent, and comes back
    with pytest.raises(leveret.DeadlineExceeded, match="no server came up in time") as caught:
        await taking
    assert (caught.value.where, caught.value.executed) == ("queue", "maybe")
