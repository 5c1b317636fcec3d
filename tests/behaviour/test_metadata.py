"""What travels beside arguments and result, and what `current_call()` tells a handler."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import leveret
from leveret import (
    CurrentCall,
    InvalidArgument,
    InvalidResult,
    Rabbit,
    Service,
    current_call,
    method,
)
from tests.behaviour.raw import RawPeer


class Mirror(Service):
    """Notes what `current_call()` says, on the loop and in a thread."""

    def __init__(self) -> None:
        self.seen: list[tuple[CurrentCall, dict[str, Any]]] = []
        self.reply: Any = {}

    def _look(self) -> str:
        call = current_call()
        self.seen.append(
            (
                call,
                {
                    "thread": threading.current_thread(),
                    "remaining": call.remaining(),
                    "until": call.deadline - time.time(),
                },
            )
        )
        call.reply_metadata.update(self.reply)
        return call.id

    @method(timeout=7)
    async def on_the_loop(self) -> str:
        return self._look()

    @method(timeout=7)
    def in_a_thread(self) -> str:
        return self._look()

    @method
    async def fail(self) -> None:
        self._look()
        raise ValueError("no")


METHODS = ("on_the_loop", "in_a_thread")


@pytest.mark.parametrize("name", METHODS)
async def test_a_handler_sees_what_the_call_is(rabbitmq_url: str, host: Rabbit, name: str) -> None:
    mirror = Mirror()
    async with host.serving(mirror), leveret.connect(rabbitmq_url, name="till 3") as rabbit:
        remote = rabbit.remote(Mirror).with_options(metadata={"user": "ada", "ü": "✓"})
        call_id = await getattr(remote, name)()
    call, seen = mirror.seen[0]
    assert call.id == call_id
    assert call.method == f"mirror.{name}"
    assert call.caller == "till 3"
    assert call.metadata == {"user": "ada", "ü": "✓"}
    assert 0 < seen["remaining"] <= 7
    assert 0 < seen["until"] <= 7
    assert call.redelivered is False
    assert (seen["thread"] is threading.main_thread()) == (name == "on_the_loop")


async def test_a_caller_without_a_name_or_metadata_has_none(client: Rabbit, host: Rabbit) -> None:
    mirror = Mirror()
    async with host.serving(mirror):
        await client.remote(Mirror).on_the_loop()
    assert (mirror.seen[0][0].caller, mirror.seen[0][0].metadata) == ("", {})


async def test_each_call_has_an_id_of_its_own(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Mirror()):
        remote = client.remote(Mirror)
        ids = await asyncio.gather(*(remote.on_the_loop() for _ in range(50)))
    assert len(set(ids)) == 50


@pytest.mark.parametrize("name", METHODS)
async def test_reply_metadata_comes_back_with_the_result(
    client: Rabbit, host: Rabbit, name: str
) -> None:
    mirror = Mirror()
    mirror.reply = {"took": "3 ms", "ü": "✓"}
    got: dict[str, str] = {"from": "before"}
    async with host.serving(mirror):
        await getattr(client.remote(Mirror).with_options(reply_metadata=got), name)()
    assert got == {"from": "before", "took": "3 ms", "ü": "✓"}


async def test_reply_metadata_comes_back_with_an_error(client: Rabbit, host: Rabbit) -> None:
    mirror = Mirror()
    mirror.reply = {"retry": "never"}
    got: dict[str, str] = {}
    async with host.serving(mirror):
        with pytest.raises(leveret.RemoteError):
            await client.remote(Mirror).with_options(reply_metadata=got).fail()
    assert got == {"retry": "never"}


async def test_metadata_travels_with_calls_by_name(client: Rabbit, host: Rabbit) -> None:
    mirror = Mirror()
    mirror.reply = {"a": "b"}
    got: dict[str, str] = {}
    async with host.serving(mirror):
        rabbit = client.with_options(metadata={"user": "bo"}, reply_metadata=got)
        await rabbit.call("mirror.on_the_loop")
    assert mirror.seen[0][0].metadata == {"user": "bo"}
    assert got == {"a": "b"}


async def test_metadata_of_strangers_that_is_no_text_is_left_out(
    host: Rabbit, raw: RawPeer
) -> None:
    mirror = Mirror()
    await raw.listen()
    async with host.serving(mirror):
        raw.request("mirror.on_the_loop", b"{}", headers={"metadata": {"a": "b", "c": 1}})
        raw.request("mirror.on_the_loop", b"{}", headers={"metadata": [1, 2]})
        for _ in range(2):
            assert (await raw.reply()).properties.type == "result"
    assert [call.metadata for call, _ in mirror.seen] == [{"a": "b"}, {}]


@pytest.mark.parametrize(
    "metadata", [{"large": "x" * 200_000}, {"n" * 200: ""}, {"a": "\ud800"}, {"\ud800": "a"}]
)
async def test_metadata_that_cannot_travel_is_refused(
    client: Rabbit, host: Rabbit, metadata: dict[str, str]
) -> None:
    async with host.serving(Mirror()):
        with pytest.raises(InvalidArgument, match="metadata"):
            await client.remote(Mirror).with_options(metadata=metadata).on_the_loop()
        assert await client.remote(Mirror).on_the_loop()  # the connection has not suffered


@pytest.mark.parametrize(
    "metadata",
    [
        {"large": "x" * 200_000},
        {"n" * 200: ""},
        {"a": "\ud800"},
        {"a": 1},
        {"a": object()},
        {1: ""},
    ],
)
async def test_reply_metadata_that_cannot_travel_is_an_invalid_result(
    client: Rabbit, host: Rabbit, metadata: Any
) -> None:
    mirror = Mirror()
    mirror.reply = metadata
    async with host.serving(mirror):
        with pytest.raises(InvalidResult, match="reply_metadata cannot be sent"):
            await client.remote(Mirror).on_the_loop()
        with pytest.raises(leveret.RemoteError, match="ValueError: no"):
            await client.remote(Mirror).fail()
        mirror.reply = {}
        assert await client.remote(Mirror).on_the_loop()


async def test_there_is_no_current_call_outside_of_a_handler(client: Rabbit) -> None:
    with pytest.raises(RuntimeError, match="inside of a handler"):
        current_call()


async def test_serving_leaves_no_current_call_behind(client: Rabbit) -> None:
    async with client.serving(Mirror()):
        await client.remote(Mirror).on_the_loop()
        with pytest.raises(RuntimeError):
            current_call()
