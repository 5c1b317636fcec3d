"""A `FaultProxy` between Leveret and a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Literal

import pika
import pytest

import leveret
from leveret import Service, method
from leveret.testing import (
    Broker,
    Cut,
    FaultConnection,
    FaultProxy,
    Frame,
    after_frame,
    before_frame,
    inside_frame,
)


class Echo(Service):
    @method(timeout=30)
    async def echo(self, text: str) -> str:
        return text


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[FaultProxy]:
    """In front of clients; the server of `Echo` is on the other side of it."""
    async with (
        leveret.connect(broker.url) as rabbit,
        rabbit.serving(Echo()),
        FaultProxy(broker.url) as proxy,
    ):
        yield proxy


async def test_calls_go_through_it_and_their_frames_are_counted(proxy: FaultProxy) -> None:
    async with leveret.connect(proxy.url) as rabbit:
        echo = rabbit.remote(Echo)
        assert await echo.echo("warm") == "warm"
        before = proxy.to_broker.frames, proxy.to_client.bytes
        large = "x" * 1_000_000
        assert await echo.echo(large) == large
        assert proxy.to_broker.frames >= before[0] + 3  # method, header, body
        assert proxy.to_client.bytes > before[1] + len(large)
        (connection,) = proxy.connections
    await connection.wait_closed()


async def test_rules_find_the_frames_of_a_call(proxy: FaultProxy) -> None:
    seen: list[str] = []

    def on_other_channels(frame: Frame) -> bool:
        return frame.channel > 0 and frame.kind == "basic.ack"

    async with leveret.connect(proxy.url) as rabbit:
        echo = rabbit.remote(Echo)
        assert await echo.echo("warm") == "warm"
        rules = [
            proxy.when(
                before_frame(1, "to_broker", kind="basic.publish"), lambda _: seen.append("request")
            ),
            proxy.when(
                after_frame(1, "to_client", kind="basic.deliver"), lambda _: seen.append("reply")
            ),
            proxy.when(after_frame(1, "to_client", kind=on_other_channels)),
        ]
        assert await echo.echo("here") == "here"
        for rule in rules:
            await rule.fired.wait()
        assert seen == ["request", "reply"]


async def test_a_call_waits_while_the_line_is_stalled(proxy: FaultProxy) -> None:
    async with leveret.connect(proxy.url) as rabbit:
        echo = rabbit.remote(Echo)
        assert await echo.echo("warm") == "warm"
        stalled = proxy.when(
            before_frame(1, "to_client", kind="basic.deliver"), lambda it: it.stall("to_client")
        )
        call = asyncio.create_task(echo.echo("late"))
        await stalled.fired.wait()
        assert not call.done()
        proxy.resume()
        assert await call == "late"


@pytest.mark.parametrize("where", ["before", "inside", "after"])
@pytest.mark.parametrize("n", [1, 2, 3])
async def test_a_call_is_cut_at_each_of_its_frames(
    proxy: FaultProxy, n: int, where: Literal["before", "inside", "after"]
) -> None:
    moment = {
        "before": before_frame(n, "to_broker"),
        "inside": inside_frame(n, 9, "to_broker"),
        "after": after_frame(n, "to_broker"),
    }[where]
    async with leveret.connect(proxy.url) as rabbit:
        echo = rabbit.remote(Echo)
        assert await echo.echo("warm") == "warm"
        (connection,) = proxy.connections
        before = proxy.to_broker.frames
        at_the_cut: list[int] = []

        def look(_: FaultConnection) -> None:
            at_the_cut.append(proxy.to_broker.frames - before)

        rule = proxy.when(moment, look, Cut())
        call = asyncio.create_task(echo.echo("cut"))
        await rule.fired.wait()
        await connection.wait_closed()
        assert at_the_cut == [n if where == "after" else n - 1]
        call.cancel()
        with suppress(leveret.LeveretError, asyncio.CancelledError):
            await call


async def test_clients_that_block_go_through_it_from_a_thread(proxy: FaultProxy) -> None:
    def publish_and_get() -> bytes:
        with pika.BlockingConnection(pika.URLParameters(proxy.url)) as connection:
            channel = connection.channel()
            channel.queue_declare("q")
            channel.basic_publish("", "q", b"there and back")
            _, _, body = channel.basic_get("q", auto_ack=True)
            assert body is not None
            return bytes(body)

    assert await asyncio.to_thread(publish_and_get) == b"there and back"
    assert proxy.to_client.frames > 0


async def test_a_client_meets_a_cut_in_the_handshake(proxy: FaultProxy) -> None:
    tuned = proxy.when(before_frame(1, "to_client", kind="connection.tune"), Cut())
    connecting = asyncio.create_task(connect_once(proxy.url))
    await tuned.fired.wait()
    connecting.cancel()
    with suppress(leveret.LeveretError, asyncio.CancelledError):
        await connecting
    assert tuned.connection is not None
    await tuned.connection.wait_closed()


async def connect_once(url: str) -> None:
    async with leveret.connect(url):
        pass
