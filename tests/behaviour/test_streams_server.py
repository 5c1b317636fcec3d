"""Streams of results, with a client and a server of Leveret, wherever the handler runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from itertools import chain
from typing import Any

import pytest

import leveret
from leveret import (
    CallError,
    Cancelled,
    CurrentCall,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    Item,
    Rabbit,
    RemoteError,
    Retry,
    ServerCallNext,
    Service,
    StreamBroken,
    current_call,
    method,
)
from leveret.server.calls.life import ServerCall
from leveret.streaming.credit import WINDOW_ITEMS
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer


class SoldOut(DeclaredError):
    """There are no more."""

    left: int


class Feed(Service):
    """Gives items of many kinds, and notes what becomes of its handlers."""

    def __init__(self) -> None:
        self.made = 0
        self.closed: list[str] = []
        self.threads: set[str] = set()
        self.gate = asyncio.Event()

    @method
    async def count(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            self.made += 1
            yield i

    @method
    def count_in_thread(self, n: int) -> Iterator[int]:
        try:
            for i in range(n):
                self.made += 1
                self.threads.add(threading.current_thread().name)
                assert current_call().arguments == {"n": n}
                yield i
        finally:
            self.closed.append(threading.current_thread().name)

    @method
    def passed_on(self, n: int) -> AsyncIterator[int]:
        return self.count(n)

    @method
    async def endless(self) -> AsyncIterator[int]:
        try:
            while True:
                self.made += 1
                yield self.made
        finally:
            current_call()
            self.closed.append("endless")

    @method
    async def silent(self) -> AsyncIterator[int]:
        try:
            await self.gate.wait()
            yield 1
        finally:
            self.closed.append("silent")

    @method
    async def stubborn(self) -> AsyncIterator[int]:
        while True:
            try:
                yield 1
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.closed.append("refused")

    @method(raises=[SoldOut])
    async def failing(self, n: int, how: str) -> AsyncIterator[int]:
        for i in range(n):
            yield i
        if how == "declared":
            raise SoldOut(left=n)
        if how == "misfit":
            yield "text"  # type: ignore[misc]
        raise ValueError("broken")

    @method(resume=True)
    async def ticks(self, start: int) -> AsyncIterator[int]:
        at = int(current_call().cursor or start)
        while True:
            at += 1
            yield Item(at, cursor=str(at))
            await asyncio.sleep(0)


async def test_all_items_come_in_order_wherever_the_handler_runs(
    host: Rabbit, client: Rabbit
) -> None:
    feed, remote = Feed(), client.remote(Feed)
    async with host.serving(feed):
        assert [i async for i in remote.count(300)] == list(range(300))
        assert [i async for i in remote.passed_on(3)] == [0, 1, 2]
        assert [i async for i in remote.count(0)] == []
        assert [i async for i in remote.count_in_thread(200)] == list(range(200))
        assert all("feed.count_in_thread" in name for name in feed.threads)
        both = await asyncio.gather(*(last(remote.count(100)) for _ in range(20)))
        assert both == [99] * 20


async def into(received: list[int], items: AsyncIterator[int]) -> None:
    async for item in items:
        received.append(item)  # noqa: PERF401 - also those before an error


async def last(items: AsyncIterator[int]) -> int:
    return [item async for item in items][-1]


async def test_a_consumer_that_stops_costs_one_window_and_an_early_end_closes_the_handler(
    host: Rabbit, client: Rabbit
) -> None:
    feed, remote = Feed(), client.remote(Feed)
    async with host.serving(feed):
        async for i in remote.endless():
            if i == 3:
                break
        await until(lambda: feed.closed == ["endless"], "the handler is closed")
        assert feed.made <= 2 * WINDOW_ITEMS + 1
        async for i in remote.count_in_thread(100_000):
            if i == 3:
                break
        await until(lambda: len(feed.closed) == 2, "the one in a thread is closed, in a thread")
        assert "feed.count_in_thread" in feed.closed[1]


async def test_a_consumer_that_is_cancelled_closes_the_handler(
    host: Rabbit, client: Rabbit
) -> None:
    feed = Feed()
    async with host.serving(feed) as server:
        taking = asyncio.create_task(last(client.remote(Feed).endless()))
        await until(lambda: feed.made > 200, "it streams")
        taking.cancel()
        await asyncio.wait([taking])
        await until(lambda: feed.closed == ["endless"], "the handler is closed")
        await until(lambda: not server.calls(), "its place is free")


@pytest.mark.parametrize("how", ["declared", "raised", "misfit"])
async def test_an_error_comes_after_all_items(
    host: Rabbit, client: Rabbit, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[int] = []
    kinds = {"declared": SoldOut, "raised": RemoteError, "misfit": InvalidResult}
    async with host.serving(Feed()):
        with pytest.raises(kinds[how]) as caught:
            await into(received, client.remote(Feed).failing(5, how))
    assert isinstance(caught.value, CallError)
    assert caught.value.executed == "yes"
    assert received == [0, 1, 2, 3, 4]
    assert caught.value.received == 5
    if how == "misfit":
        assert "does not fit its annotation" in str(caught.value)
    assert (how == "declared") == (not [r for r in caplog.records if r.levelno >= logging.ERROR])


async def test_the_deadline_holds_until_the_first_item(host: Rabbit, client: Rabbit) -> None:
    feed, remote = Feed(), client.remote(Feed)
    async with host.serving(feed):
        with pytest.raises(DeadlineExceeded):
            async for _ in remote.with_options(timeout=0.3).silent():
                pass
        await until(lambda: feed.closed == ["silent"], "the handler is cancelled")


async def test_a_caller_that_takes_one_result_is_refused(
    host: Rabbit, client: Rabbit, raw: RawPeer
) -> None:
    await raw.listen()
    async with host.serving(Feed()):
        with pytest.raises(InvalidArgument, match=r"^feed.count: it streams its results") as caught:
            await client.call("feed.count", n=3)
        assert caught.value.executed == "no"


class Crowd(Service):
    """Takes each upload in several tasks, or threads."""

    @method
    async def on_loop(self, items: AsyncIterator[int]) -> list[int]:
        async def take() -> list[int]:
            return [item async for item in items]

        taken = await asyncio.gather(*(take() for _ in range(3)))
        return sorted(chain.from_iterable(taken))

    @method
    def in_threads(self, items: Iterator[int]) -> list[int]:
        with ThreadPoolExecutor(3) as threads:
            return sorted(chain.from_iterable(threads.map(list, [items] * 3)))


async def test_several_tasks_or_threads_of_a_handler_share_an_upload(
    host: Rabbit, client: Rabbit
) -> None:
    crowd = client.remote(Crowd)
    async with host.serving(Crowd()):
        for method_of_it in (crowd.on_loop, crowd.in_threads):
            taken: Any = method_of_it(iter(range(100)))  # type: ignore[arg-type]
            assert await taken == list(range(100))


class OneResult(Service, name="versions"):
    """Neither takes nor gives a stream, as the next three do under the same name."""

    def __init__(self) -> None:
        self.ran = 0

    @method
    async def ask(self, n: int) -> int:
        self.ran += 1
        return n


class Results(Service, name="versions"):
    def __init__(self) -> None:
        self.ran = 0

    @method
    async def ask(self, n: int) -> AsyncIterator[int]:
        self.ran += 1
        yield n


class OneUpload(Service, name="versions"):
    def __init__(self) -> None:
        self.ran = 0

    @method
    async def ask(self, n: int, items: AsyncIterator[int]) -> int:
        self.ran += 1
        return sum([item async for item in items])


class Dialogue(Service, name="versions"):
    def __init__(self) -> None:
        self.ran = 0

    @method
    async def ask(self, n: int, items: AsyncIterator[int]) -> AsyncIterator[int]:
        self.ran += 1
        async for item in items:
            yield item


VERSIONS: list[type[OneResult | Results | OneUpload | Dialogue]]
VERSIONS = [OneResult, Results, OneUpload, Dialogue]


async def asked(client: Rabbit, contract: type[Any]) -> Any:
    """What comes of a call by this version of the contract."""
    remote = client.remote(contract)
    made = remote.ask(1, [2, 3]) if contract in (OneUpload, Dialogue) else remote.ask(1)
    return [item async for item in made] if contract in (Results, Dialogue) else await made


async def test_a_caller_with_other_streams_in_its_contract_is_refused_and_nothing_runs(
    host: Rabbit, client: Rabbit
) -> None:
    for served in VERSIONS:
        service = served()
        async with host.serving(service):
            for contract in VERSIONS:
                if contract is not served:
                    with pytest.raises(
                        InvalidArgument, match=r"^versions\.ask: it .*, and"
                    ) as caught:
                        await asked(client, contract)
                    assert caught.value.executed == "no"
            assert service.ran == 0
            await asked(client, served)
            assert service.ran == 1


async def test_a_call_by_name_of_a_method_with_an_upload_is_told_how_to_upload(
    host: Rabbit, client: Rabbit
) -> None:
    """Whether it gives the items as an argument, or nothing at all."""
    service = OneUpload()
    async with host.serving(service):
        for arguments in ({"n": 1, "items": [2, 3]}, {"n": 1}, {}):
            with pytest.raises(InvalidArgument, match=r"'items' item by item.*discover") as caught:
                await client.call("versions.ask", **arguments)
            assert caught.value.executed == "no"
    assert service.ran == 0


async def test_what_is_for_calls_with_one_result_is_refused_before_anything_is_sent(
    client: Rabbit,
) -> None:
    feed, sums = client.remote(Feed), client.remote(Sums)
    for options in (
        {"retry": Retry()},
        {"hedge": 0.1},
        {"idempotency_key": "k"},
        {"on_progress": print},
    ):
        for remote, name in ((feed, "count"), (sums, "sum")):
            with pytest.raises(InvalidArgument, match="is for calls that do not stream"):
                getattr(remote.with_options(**options), name)
    streams: list[Any] = [feed.count, feed.count_in_thread, sums.sum, sums.echo]
    for each in streams:
        for verb in (client.ask_all, client.send, partial(client.start, key="k")):
            with pytest.raises(
                InvalidArgument, match="is for methods that do not stream"
            ) as caught:
                verb(each)
            assert caught.value.method == each.key


async def test_a_handler_that_refuses_to_be_cancelled_is_not_asked_for_more(
    host: Rabbit, client: Rabbit
) -> None:
    feed = Feed()
    async with host.serving(feed) as server:
        async for _ in client.remote(Feed).stubborn():
            break
        await until(lambda: "refused" in feed.closed, "it refused")
        await until(lambda: not server.calls(), "it ended all the same")


async def test_middleware_sees_a_stream_once_and_its_end(host: Rabbit, client: Rabbit) -> None:
    seen: list[object] = []

    async def note(call: CurrentCall, call_next: ServerCallNext) -> object:
        seen.append(call.method)
        try:
            result = await call_next(call)
        except ValueError as error:
            seen.append(str(error))
            raise
        seen.append(result)
        return result

    async with host.serving(Feed(), middleware=[note]):
        remote = client.remote(Feed)
        assert [i async for i in remote.count(3)] == [0, 1, 2]
        assert [i async for i in remote.count_in_thread(3)] == [0, 1, 2]
        with pytest.raises(RemoteError):
            async for _ in remote.failing(1, "raised"):
                pass
    assert seen == [
        *("feed.count", None, "feed.count_in_thread", None),
        *("feed.failing", "broken"),
    ]


async def test_a_server_that_drains_moves_a_stream_that_resumes_and_ends_the_others(
    host: Rabbit, client: Rabbit
) -> None:
    remote = client.remote(Feed)
    taken: list[int] = []
    ticks = remote.with_options(wait_for_server=True).ticks(0)
    async with host.serving(Feed()):
        taking = asyncio.create_task(into(taken, ticks))
        await until(lambda: len(taken) > 10, "it streams")
    before = len(taken)
    async with host.serving(Feed()):
        await until(lambda: len(taken) > before + 100, "it goes on elsewhere")
    taking.cancel()
    await asyncio.wait([taking])
    assert taken == list(range(1, len(taken) + 1))


async def test_a_stream_that_cannot_resume_breaks_with_its_server(
    host: Rabbit, client: Rabbit
) -> None:
    feed = Feed()
    serving = host.serving(feed, grace=0.2)
    server = await serving.__aenter__()
    received: list[int] = []
    taking = asyncio.create_task(into(received, client.remote(Feed).endless()))
    await until(lambda: len(received) >= 100, "it streams")
    await server.close()
    with pytest.raises((StreamBroken, Cancelled)) as caught:
        await taking
    await serving.__aexit__(None, None, None)
    assert caught.value.received == len(received)
    assert caught.value.executed != "no"


async def test_a_server_that_dies_breaks_its_streams_but_for_those_that_resume(
    rabbitmq_url: str, host: Rabbit, client: Rabbit
) -> None:
    remote = client.remote(Feed)
    ticks: list[int] = []
    numbers: list[int] = []
    async with AsyncExitStack() as stack:
        dying = await stack.enter_async_context(leveret.connect(rabbitmq_url, reconnect=False))
        await stack.enter_async_context(dying.serving(Feed(), grace=0))
        ticking = asyncio.create_task(into(ticks, remote.ticks(0)))
        counting = asyncio.create_task(into(numbers, remote.endless()))
        await until(lambda: min(len(ticks), len(numbers)) > 100, "both stream")
        await stack.enter_async_context(host.serving(Feed()))
        crash(dying)
        with pytest.raises(StreamBroken) as caught:
            await counting
        assert (caught.value.received, caught.value.executed) == (len(numbers), "maybe")
        assert numbers == list(range(1, len(numbers) + 1))
        before = len(ticks)
        await until(lambda: len(ticks) > before + 200, "the other goes on at the other server")
        ticking.cancel()
        await asyncio.wait([ticking])
        assert ticks == list(range(1, len(ticks) + 1))


async def test_a_request_is_acknowledged_when_its_handler_begins(
    host: Rabbit, client: Rabbit
) -> None:
    feed = Feed()
    held: list[str] = []
    async with host.serving(feed) as server:

        def note(call: ServerCall, *_: object) -> None:
            held.append(call.holding.value)

        server.life.on_transition = note
        taking = asyncio.create_task(last(client.remote(Feed).silent()))

        async def holdings() -> list[str]:
            return [call.holding.value for call in server.calls()]

        await until_found(holdings, ["settled"], "it is acknowledged")
        feed.gate.set()
        assert await taking == 1


class Sums(Service):
    """Takes what its callers give item by item."""

    def __init__(self) -> None:
        self.taken = 0
        self.gate = asyncio.Event()

    @method
    async def sum(self, numbers: AsyncIterator[int], start: int = 0) -> int:
        async for number in numbers:
            self.taken += 1
            start += number
        return start

    @method
    def sum_in_thread(self, start: int, numbers: Iterator[int]) -> int:
        return start + sum(numbers)

    @method
    async def first(self, numbers: AsyncIterator[int]) -> int:
        return await anext(aiter(numbers))

    @method
    async def slow(self, numbers: AsyncIterator[int]) -> int:
        await self.gate.wait()
        return await self.sum(numbers)

    @method
    async def echo(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number

    @method
    def echo_in_thread(self, numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            yield 2 * number


async def counting(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


async def test_uploads_arrive_whole_wherever_the_handler_runs(host: Rabbit, client: Rabbit) -> None:
    sums, remote = Sums(), client.remote(Sums)
    async with host.serving(sums):
        assert await remote.sum(counting(500), start=3) == 3 + sum(range(500))
        assert await remote.sum_in_thread(5, counting(200)) == 5 + sum(range(200))  # type: ignore[arg-type]
        assert await remote.sum(counting(0)) == 0
        assert await remote.first(counting(1_000_000)) == 0
        assert [i async for i in remote.echo(counting(200))] == list(range(200))
        doubled = remote.echo_in_thread(counting(100))  # type: ignore[arg-type]
        assert [i async for i in doubled] == [2 * i for i in range(100)]


async def test_a_handler_that_stops_taking_stops_its_caller(host: Rabbit, client: Rabbit) -> None:
    sums = Sums()
    given = 0

    async def giving() -> AsyncIterator[int]:
        nonlocal given
        for i in range(1000):
            given += 1
            yield i

    async with host.serving(sums):
        summing = asyncio.create_task(client.remote(Sums).slow(giving()))
        await until(lambda: given >= WINDOW_ITEMS, "a window is given")
        assert given <= WINDOW_ITEMS + 2
        sums.gate.set()
        assert await summing == sum(range(1000))
        with pytest.raises(InvalidArgument, match=r"sums.sum: it is given 'numbers' item by item"):
            await client.call("sums.sum")
        with pytest.raises(InvalidArgument, match="item 1 of the upload"):
            await client.remote(Sums).sum(texts())  # type: ignore[arg-type]


async def texts() -> AsyncIterator[str]:
    yield "one"
