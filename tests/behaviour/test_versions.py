"""Clients and servers of different versions of a contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
