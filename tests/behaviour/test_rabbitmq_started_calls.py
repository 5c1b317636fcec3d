"""Started calls on a RabbitMQ: 10,000 wait on a quorum queue, and it is killed under some."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

import leveret
import leveret.once
from leveret import Rabbit, Reconnect, Service, method
from leveret.once import store_of
from leveret.testing import RabbitMQ
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer

WAITING = 10_000


class Ledger(Service):
    """Notes what it was asked to, once it is let."""

    def __init__(self) -> None:
        self.noted: list[int] = []
        self.opened = asyncio.Event()

    @method(timeout=120, queue="quorum", concurrency=1)
    async def note(self, number: int) -> int:
        self.noted.append(number)
        await self.opened.wait()
        return number


class Jotter(Ledger):
    """The same, on a classic queue."""

    @method(timeout=120, concurrency=1)
    async def note(self, number: int) -> int:
        self.noted.append(number)
        await self.opened.wait()
        return number


async def test_calls_are_told_of_and_cancelled_while_ten_thousand_wait_on_a_quorum_queue(
    host: Rabbit, client: Rabbit, raw: RawPeer, tmp_path: Path
) -> None:
    ledger = Ledger()
    remote = client.remote(Ledger)
    async with host.serving(ledger, once=f"sqlite:///{tmp_path}/once.db"):
        first = await client.start(remote.note, key="first")(-1)
        await until(lambda: ledger.noted == [-1], "the first one runs")
        for number in range(WAITING):
            started_by_hand(raw, number)
        last = await client.start(remote.note, key="last")(-2)
        cancelled = await client.start(remote.note, key="cancelled")(-3)

        async def wait() -> bool:
            return await raw.waiting("leveret.ledger.note") >= WAITING

        await until_found(wait, True, "nearly all wait in the queue")
        assert (await first.peek()).state == "running"
        assert (await last.peek()).state == "waiting"
        await cancelled.cancel()
        assert (await cancelled.peek()).state == "done"
        assert (await client.attach(remote.note, "number 9000").peek()).state == "not found"
        await raw.delete("leveret.ledger.note")
        ledger.opened.set()
        assert await first == -1


def started_by_hand(raw: RawPeer, number: int) -> None:
    """A started call whose client has not told the servers to expect it, which costs some time."""
    raw.request(
        "ledger.note",
        b'{"number":%d}' % number,
        reply_to=None,
        correlation_id=f"number {number}",
        delivery_mode=2,
        expiration="600000",
        headers={
            "idempotency-key": f"number {number}",
            "started": 600_000,
            "deadline": int(time.time() * 1000) + 600_000,
        },
    )


# The names of quorum queues on disk. RabbitMQ writes them half a second after a queue was declared
# (Ra, ra_directory: auto_save), and forgets what a queue had if it is killed before.
WRITE_NAMES = "[dets:sync(Table) || Table <- dets:all()]"


@pytest.mark.parametrize("kind", [Jotter, Ledger], ids=["classic", "quorum"])
async def test_started_calls_survive_a_killed_rabbitmq_their_client_and_their_server(
    own_rabbitmq: RabbitMQ, tmp_path: Path, kind: type[Ledger]
) -> None:
    soon = Reconnect(first=0.05, most=0.2)
    store = f"sqlite:///{tmp_path}/once.db"
    before, after = kind(), kind()
    after.opened.set()
    keys = {f"k{n}": n for n in range(6)}
    async with leveret.connect(own_rabbitmq.url, reconnect=soon) as host:
        server = await host.serving(before, once=store, grace=0.5)
        async with leveret.connect(own_rabbitmq.url) as client:
            remote = client.remote(kind)
            for number in range(4):
                await client.start(remote.note, key=f"k{number}")(number)
        await until(lambda: before.noted == [0], "the first one runs")
        await asyncio.to_thread(own_rabbitmq.evaluate, WRITE_NAMES)
        async with leveret.connect(own_rabbitmq.url, reconnect=soon) as client:
            remote = client.remote(kind).with_options(timeout=120)
            starting = [
                asyncio.create_task(client.start(remote.note, key=f"k{number}")(number))
                for number in (4, 5)
            ]
            await asyncio.to_thread(own_rabbitmq.kill)
            before.opened.set()  # its result is recorded though there is no broker
            async with store_of(store) as records:
                look = partial(is_recorded, records, f"{kind.__leveret__.name}.note guest k0")
                await until_found(look, True, "the result is recorded")
            await asyncio.to_thread(own_rabbitmq.start)
            await asyncio.gather(*starting)
        await server.close()
    async with (
        leveret.connect(own_rabbitmq.url, reconnect=soon) as host,
        host.serving(after, once=store),
        leveret.connect(own_rabbitmq.url, reconnect=soon) as client,
    ):
        remote = client.remote(kind)
        for key, number in keys.items():
            assert await client.attach(remote.note, key) == number
    assert sorted(before.noted + after.noted) == sorted(keys.values())


async def is_recorded(store: leveret.once.OnceStore, key: str) -> bool:
    return await store.wait(key, 0) is not None
