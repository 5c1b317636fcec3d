"""Calls that a client sends again: with the same key, and not where they might run twice."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

import leveret
from leveret import CallError, ChannelClosed, NoServer, Rabbit, Reconnect, Retry, Service, method
from leveret.once import MemoryOnce
from leveret.testing import FaultProxy
from leveret.transport.channel import Channel
from tests.behaviour.patience import until
from tests.behaviour.users import PASSWORD, Users
from tests.brokers import Broker

SOON = Reconnect(first=0.01, most=0.05)


class Shared(MemoryOnce):
    """As a store is that all servers see."""

    shared = True


class Till(Service):
    """Notes what runs; `pay` waits until it is let."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.opened = asyncio.Event()

    @method(once=True, timeout=30)
    async def pay(self, order: str) -> str:
        self.ran.append(order)
        await self.opened.wait()
        return order


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(rabbitmq_url) as made:
        yield made


async def sent_and_unconfirmed(proxy: FaultProxy, rabbit: Rabbit, till: Till) -> asyncio.Task[str]:
    """A call that runs, whose client cannot know of it."""
    proxy.stall("to_client")
    call = asyncio.create_task(rabbit.remote(Till).pay("tea"))
    await until(lambda: till.ran == ["tea"], "it runs")
    return call


async def test_a_call_has_the_same_key_when_its_reply_queue_is_another(
    proxy: FaultProxy, host: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = Till()
    async with (
        host.serving(till, once=Shared()),
        leveret.connect(proxy.url, reconnect=SOON) as rabbit,
    ):
        call = await sent_and_unconfirmed(proxy, rabbit, till)
        before = rabbit.calls.reply_queue.name
        look = Channel.look_at_queue

        async def look_from_afar(channel: Channel, name: str) -> object:
            if name == before:
                raise ChannelClosed(404, "home node of durable queue is down or inaccessible")
            return await look(channel, name)

        monkeypatch.setattr(Channel, "look_at_queue", look_from_afar)
        proxy.cut()
        proxy.resume()
        await until(
            lambda: any(call.doubtful for call in rabbit.calls.table.by_id.values()),
            "it is sent again",
        )
        till.opened.set()
        assert await call == "tea"
        assert rabbit.calls.reply_queue.name != before
    assert till.ran == ["tea"]


async def test_a_call_with_a_key_is_not_sent_again_as_another_user(
    broker: Broker, proxy: FaultProxy, host: Rabbit
) -> None:
    """Whose keys are others: it would run twice."""
    users, till = Users(broker), Till()
    names = [f"user-{secrets.token_hex(4)}" for _ in range(2)]
    for name in names:
        users.add(name)
    bare = urlsplit(proxy.url)._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
    now = [names[0]]
    async with (
        host.serving(till, once=Shared()),
        leveret.connect(bare, credentials=lambda: (now[0], PASSWORD), reconnect=SOON) as rabbit,
    ):
        call = await sent_and_unconfirmed(proxy, rabbit, till)
        now[0] = names[1]
        proxy.cut()
        proxy.resume()
        with pytest.raises(CallError, match="another user's now") as caught:
            await call
        assert caught.value.executed == "maybe"
        till.opened.set()
        assert await rabbit.remote(Till).pay("milk") == "milk"
    assert till.ran == ["tea", "milk"]


async def test_a_retry_after_a_call_that_did_not_run_is_run(client: Rabbit, host: Rabbit) -> None:
    """A server that knows of one key only would else have to take it for one that may have."""
    till = Till()
    till.opened.set()
    async with host.serving(Till()):
        pass
    with pytest.raises(NoServer) as caught:
        await client.remote(Till).pay("early")
    assert caught.value.executed == "no"
    patient = Retry(attempts=50, backoff=0.1, budget=50)
    call = asyncio.create_task(client.remote(Till).with_options(retry=patient).pay("tea"))
    await until(lambda: client.calls.sent >= 3, "it is tried again")
    async with host.serving(till):
        assert await call == "tea"
    assert till.ran == ["tea"]
