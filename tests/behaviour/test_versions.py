"""Clients and servers of different versions of a contract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import leveret
from leveret import InvalidArgument, OutgoingCall, Rabbit, Service, method


class Old(Service, name="search"):
    """The first version."""

    @method
    async def find(self, words: str, limit: int = 10) -> list[str]:
        return [words, f"limit {limit}"]


class New(Service, name="search"):
    """The next one: it has a parameter more, and another default."""

    @method
    async def find(self, words: str, limit: int = 20, *, fuzzy: bool = False) -> list[str]:
        return [words, f"limit {limit}", f"fuzzy {fuzzy}"]


@pytest.mark.parametrize("content_type", ["application/json", "application/msgpack"])
async def test_a_client_with_a_parameter_more_calls_an_old_server(
    rabbitmq_url: str, host: Rabbit, content_type: str
) -> None:
    seen: list[dict[str, Any]] = []

    async def note(call: OutgoingCall, call_next: Callable[[OutgoingCall], Awaitable[Any]]) -> Any:
        seen.append(dict(call.arguments))
        return await call_next(call)

    async with (
        host.serving(Old()),
        leveret.connect(rabbitmq_url, middleware=[note]) as noted,
        leveret.connect(rabbitmq_url) as client,
    ):
        for rabbit in (client, noted):
            find = rabbit.remote(New).with_options(content_type=content_type).find
            assert await find("hare") == ["hare", "limit 10"]  # the server's default
            assert await find("hare", 20) == ["hare", "limit 20"]  # the caller's own word
            with pytest.raises(InvalidArgument, match="unknown field `fuzzy`"):
                await find("hare", fuzzy=False)
    assert seen == [
        {"words": "hare"},
        {"words": "hare", "limit": 20},
        {"words": "hare", "fuzzy": False},
    ]


async def test_an_old_client_calls_a_server_with_a_parameter_more(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(New()):
        assert await client.remote(Old).find("hare") == ["hare", "limit 20", "fuzzy False"]


class Counts(Service):
    @method
    async def on_the_loop(self, numbers: AsyncIterator[int]) -> list[int]:
        return [number async for number in numbers]

    @method
    def in_a_thread(self, numbers: Iterator[int]) -> list[int]:
        return list(numbers)

    @method
    async def both_ways(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number


class OldCounts(Service, name="counts"):
    """The same, when numbers could be text."""

    @method
    @abstractmethod
    async def on_the_loop(self, numbers: AsyncIterator[int | str]) -> list[int]: ...

    @method
    @abstractmethod
    async def in_a_thread(self, numbers: AsyncIterator[int | str]) -> list[int]: ...

    @method
    @abstractmethod
    def both_ways(self, numbers: AsyncIterator[int | str]) -> AsyncIterator[int]: ...


@pytest.mark.parametrize("items", [("one",), (1, "two", 3), ("one", 2)])
async def test_an_uploaded_item_that_does_not_fit_is_never_passed_over(
    client: Rabbit, host: Rabbit, items: tuple[int | str, ...]
) -> None:
    async def upload() -> AsyncIterator[int | str]:
        for item in items:
            yield item

    counts = client.remote(OldCounts)
    number = 1 + [type(item) for item in items].index(str)
    refused = pytest.raises(InvalidArgument, match=f"item {number} of the upload: Expected `int`")
    async with host.serving(Counts()):
        with refused:
            await counts.on_the_loop(upload())
        with refused:
            await counts.in_a_thread(upload())
        with refused:
            _ = [item async for item in counts.both_ways(upload())]
