"""Streams over connections that break, on either side: every item once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import leveret
from leveret import Item, Rabbit, Service, current_call, method
from leveret.client.calls import streams
from tests.behaviour.patience import PATIENCE, until

ITEMS = 400


@pytest.fixture(autouse=True)
def servers_may_be_away_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that reconnects on a busy machine is not given up."""
    monkeypatch.setattr(streams, "AWAY_FOR", PATIENCE)


class Feed(Service, name="cut_feed"):
    """Counts, adds up, and answers."""

    def __init__(self) -> None:
        self.closed = 0

    @method
    async def count(self, to: int) -> AsyncIterator[int]:
        """The numbers below `to`."""
        try:
            for number in range(to):
                yield number
        finally:
            self.closed += 1

    @method
    async def total(self, numbers: AsyncIterator[int]) -> list[int]:
        """What was uploaded."""
        return [number async for number in numbers]

    @method
    async def double(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        """Twice each number."""
        async for number in numbers:
            yield 2 * number


def cut(rabbit: Rabbit) -> None:
    """Break the connection that this one has now."""
    connection = rabbit.calls.link.connection
    if connection.closed is None:
        connection.abort("the test cuts it")


async def take_all(stream: AsyncIterator[int], got: list[int]) -> None:
    """Append the items of a stream as they come."""
    async for number in stream:
        got.append(number)  # noqa: PERF401 - it may fail in between


async def numbers(cutting: Rabbit) -> AsyncIterator[int]:
    """Numbers whose source breaks a connection now and then."""
    for number in range(ITEMS):
        if number == 200:
            cut(cutting)
        yield number


@pytest.mark.parametrize("side", ["client", "server"])
async def test_every_item_comes_once_and_in_order_whichever_connection_breaks(
    client: Rabbit, host: Rabbit, side: str
) -> None:
    service = Feed()
    cutting = client if side == "client" else host
    async with host.serving(service):
        feed = client.remote(Feed)
        got: list[int] = []
        async for number in feed.count(ITEMS):
            got.append(number)
            if number == 200:
                cut(cutting)
        assert got == list(range(ITEMS))
        assert await feed.total(numbers(cutting)) == list(range(ITEMS))
        doubled = [number async for number in feed.double(numbers(cutting))]
        assert doubled == [2 * number for number in range(ITEMS)]
        assert service.closed == 1
        await until(lambda: client.in_flight == 0, "all calls have ended")


async def test_a_client_that_is_gone_has_its_handler_closed(
    host: Rabbit, rabbitmq_url: str
) -> None:
    service = Feed()
    async with host.serving(service):
        async with leveret.connect(rabbitmq_url) as leaving:
            stream = leaving.remote(Feed).count(10**9)
            assert await anext(stream) == 0
        await until(lambda: service.closed == 1, "the handler was closed")
        got = [0]
        with pytest.raises(leveret.StreamBroken) as caught:
            await take_all(stream, got)
        assert got == list(range(caught.value.received))


async def test_two_slow_ends_of_a_dialogue_do_not_wait_for_each_other(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Feed()):

        async def source() -> AsyncIterator[int]:
            for number in range(200):
                await asyncio.sleep(0)
                yield number

        doubled = []
        async for number in client.remote(Feed).double(source()):
            await asyncio.sleep(0)
            doubled.append(number)
        assert doubled == [2 * number for number in range(200)]


class Tail(Service, name="cut_tail"):
    """Goes on where it is told to."""

    @method(resume=True)
    async def follow(self) -> AsyncIterator[int]:
        """All numbers from 0 on."""
        number = int(current_call().cursor or 0)
        while True:
            yield Item(number, cursor=str(number + 1))
            number += 1


async def test_a_stream_goes_on_at_another_server_when_its_own_drains(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    first = await host.serving(Tail())
    tail = client.remote(Tail).follow()
    got = [await anext(tail) for _ in range(100)]
    async with other_host.serving(Tail()):
        await first.close()
        got += [await anext(tail) for _ in range(200)]
        assert got == list(range(300))
        host_again = await host.serving(Tail())
        await tail.aclose()  # type: ignore[attr-defined]
        await host_again.close()


async def test_a_stream_without_the_class_goes_on_elsewhere_only_if_it_was_discovered(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    first = await host.serving(Tail())
    tail = (await client.discover("cut_tail")).follow()
    by_name = client.stream("cut_tail.follow")
    got = [await anext(tail) for _ in range(3)]
    assert await anext(by_name) == 0
    async with other_host.serving(Tail()):
        await first.close()
        while got[-1] < 1000:
            got.append(await anext(tail))
        await tail.aclose()
        with pytest.raises(leveret.StreamBroken):
            await take_all(by_name, [])
    assert got == list(range(1001))


async def test_a_stream_that_cannot_go_on_elsewhere_says_how_many_items_came(
    client: Rabbit, host: Rabbit
) -> None:
    server = await host.serving(Feed(), grace=0.2)
    counting = client.remote(Feed).count(10**9)
    got = [await anext(counting) for _ in range(10)]
    await server.close()
    with pytest.raises(leveret.CallError) as caught:
        await take_all(counting, got)
    assert got == list(range(len(got)))
    assert caught.value.received == len(got)
    assert caught.value.executed != "no"
