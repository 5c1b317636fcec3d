"""The requests of next stages, on a channel of their own: what becomes of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import structs

import leveret
from leveret import Rabbit
from leveret.errors import LeveretError
from leveret.server.calls.next_requests import Fate, NextRequests
from leveret.transport.channel import Channel
from leveret.wire.message import Next, Notice, NoticeKind, Stage
from leveret.wire.native.reply import ReplyPacker
from leveret.wire.native.stages import pack_next
from tests.behaviour.patience import until
from tests.unit.server.calls.making import SPEC, request

NOTICE = ReplyPacker(1, 0, SPEC).notice(
    structs.replace(request(), stage=1), Notice(kind=NoticeKind.PASSED)
)


def following(queue: str, call_id: str = "1") -> Next:
    stage = Stage(method=f"desk.{queue}", argument="n", content_type="application/json")
    before = structs.replace(request(call_id), stage=1, then=(stage,))
    return Next(request=before, body=b"{}", seconds=5, user="", own_user="", resent=False)


@pytest.fixture
async def rabbit() -> AsyncIterator[Rabbit]:
    async with leveret.connect("embedded://next-requests") as connected:
        channel = await connected.calls.connection.open_channel()
        for queue, arguments in (
            ("there", {}),
            ("full", {"x-max-length": 0, "x-overflow": "reject-publish"}),
        ):
            await channel.declare_queue(queue, arguments=arguments)
            await channel.bind_queue(queue, "leveret", f"desk.{queue}")
        yield connected


@pytest.fixture
async def requests(rabbit: Rabbit) -> AsyncIterator[NextRequests]:
    made = NextRequests(rabbit.calls.link.connected, pack_next)
    yield made
    await made.close()


async def test_the_broker_says_what_becomes_of_each(requests: NextRequests) -> None:
    fates = await asyncio.gather(
        *(
            requests.publish(NOTICE, following(queue, str(n)))
            for n, queue in enumerate(("there", "full", "gone", "there"))
        )
    )
    assert fates == [Fate.TAKEN, Fate.REFUSED, Fate.UNROUTED, Fate.TAKEN]


def silent(requests: NextRequests) -> Channel:
    """Its channel, on which nothing is confirmed any more."""
    channel = requests._channel
    assert channel is not None
    channel.on_confirm = None
    return channel


async def test_what_is_on_a_channel_that_ends_is_unknown_and_the_next_has_another(
    rabbit: Rabbit, requests: NextRequests
) -> None:
    assert await requests.publish(NOTICE, following("there")) is Fate.TAKEN
    channel = silent(requests)
    fate = asyncio.create_task(requests.publish(NOTICE, following("there")))
    await until(lambda: len(requests._confirms) == 1, "it is published")
    channel.abandon()
    channel.end(LeveretError("the broker closed it"))
    assert await fate is Fate.UNKNOWN
    assert await requests.publish(NOTICE, following("there")) is Fate.TAKEN
    assert requests._channel is not channel


async def test_a_server_that_has_stopped_publishes_nothing(
    rabbit: Rabbit, requests: NextRequests
) -> None:
    await requests.publish(NOTICE, following("there"))
    silent(requests)
    waiting = asyncio.create_task(requests.publish(NOTICE, following("there")))
    await until(lambda: len(requests._confirms) == 1, "it is published")
    await requests.close()
    assert await waiting is Fate.UNKNOWN
    assert await requests.publish(NOTICE, following("there")) is Fate.UNSENT
