"""Streams whose connections are cut at every frame, whose servers are killed, and under load."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import pytest

import leveret
from leveret import Rabbit
from leveret.testing import Cut, FaultProxy, after_frame, before_frame
from leveret.testing.faults.moments import Direction
from tests.behaviour.patience import until
from tests.faults.scene import SOON, Link
from tests.faults.streams import Counting, StreamJudge

_DIRECTIONS: Final[tuple[Direction, ...]] = ("to_broker", "to_client")


@dataclass(slots=True, kw_only=True)
class _Scene:
    proxy: FaultProxy
    broken: Rabbit
    client: Rabbit

    async def whole(self) -> None:
        await until(lambda: self.broken.state == "connected", "it is connected again")


@asynccontextmanager
async def _scene(url: str, broken: Link) -> AsyncIterator[_Scene]:
    async with FaultProxy(url) as proxy:
        urls = {"client": url, "server": url, broken: proxy.url}
        async with (
            leveret.connect(urls["server"], reconnect=SOON) as host,
            host.serving(Counting(), grace=2),
            leveret.connect(urls["client"], reconnect=SOON) as client,
        ):
            try:
                yield _Scene(
                    proxy=proxy, broken=client if broken == "client" else host, client=client
                )
            finally:
                proxy.heal()


@pytest.mark.parametrize("kind", ["results", "upload", "dialogue"])
@pytest.mark.parametrize("direction", _DIRECTIONS)
@pytest.mark.parametrize("broken", ["client", "server"])
async def test_a_stream_whose_connection_is_cut_at_any_frame(
    broken: Link, direction: Direction, kind: str, broker_url: str, broker_kind: str
) -> None:
    judge = StreamJudge()
    stream = {"results": judge.results, "upload": judge.upload, "dialogue": judge.dialogue}[kind]
    # A dialogue has the frames of both; on RabbitMQ, which is slower, every third one has to do.
    step = 3 if (kind, broker_kind) == ("dialogue", "rabbitmq") else 1
    async with _scene(broker_url, broken) as there:
        n = missed = cuts = 0
        while missed < 2:  # then the positions lie past the stream's end
            n += step
            await there.whole()
            where = before_frame if n % 2 else after_frame
            rule = there.proxy.when(where(n, direction), Cut())
            await stream(there.client, 5, 0.001)
            missed = 0 if rule.fired.is_set() else missed + 1
            cuts += rule.fired.is_set()
            rule.remove()
    assert cuts >= 2
    assert not judge.verdict.complaints
    assert judge.verdict.whole, "some streams go on after a cut"


async def test_streams_of_all_kinds_while_both_sides_are_cut_off_now_and_then(
    broker_url: str,
) -> None:
    judge = StreamJudge()
    dice = random.Random(11)
    async with (
        FaultProxy(broker_url) as to_server,
        FaultProxy(broker_url) as to_client,
        leveret.connect(to_server.url, reconnect=SOON) as host,
        host.serving(Counting(), grace=2),
        leveret.connect(to_client.url, reconnect=SOON) as client,
    ):
        streams = [asyncio.create_task(judge.any_stream(client, dice)) for _ in range(30)]
        for proxy in (to_server, to_client) * 3:
            await asyncio.sleep(dice.uniform(0, 0.3))
            proxy.cut()
        await asyncio.gather(*streams)
    assert not judge.verdict.complaints
    assert judge.verdict.streams == 30
