"""While the reply to a key is being recorded: deadlines, drains, and stores that fail or hang."""

from __future__ import annotations

import asyncio

import pytest

from leveret import Cancelled, DeadlineExceeded, Rabbit, Service, method
from leveret.once import MemoryOnce, Outcome, Recorded
from tests.behaviour.patience import at_once, until


class Slow(MemoryOnce):
    """Records a reply when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()
        self.asked = asyncio.Event()

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        self.asked.set()
        await self.opened.wait()
        return await super().finish(key, owner=owner, recorded=recorded, keep=keep)


class Till(Service):
    """Counts what was paid."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.patience = asyncio.Event()

    @method(once=True, timeout=30, concurrency=1)
    async def pay(self, n: int) -> int:
        self.paid.append(n)
        return n

    @method(once=True, idempotent=True, timeout=30)
    async def look(self, n: int) -> int:
        self.paid.append(n)
        await self.patience.wait()
        return n


@pytest.mark.usefixtures("patient_clients")
async def test_the_deadline_may_pass_meanwhile_and_the_reply_is_recorded_all_the_same(
    client: Rabbit, host: Rabbit
) -> None:
    till, store = Till(), Slow()
    async with host.serving(till, once=store) as server:
        keyed = client.remote(Till).with_options(idempotency_key="a")
        with pytest.raises(DeadlineExceeded) as caught:
            await keyed.with_options(timeout=1).pay(1)
        assert (caught.value.where, caught.value.executed) == ("handler", "yes")
        store.opened.set()
        await until(lambda: not server.calls(), "its place is free")
        assert await keyed.pay(1) == 1
        assert await client.remote(Till).pay(2) == 2
    assert till.paid == [1, 2]


async def test_a_drain_that_cuts_it_short_does_not_say_that_nothing_ran(
    client: Rabbit, host: Rabbit
) -> None:
    till, store = Till(), Slow()
    async with host.serving(till, once=store, grace=0) as server:
        call = asyncio.create_task(client.remote(Till).pay(1))
        await store.asked.wait()
        async with at_once():
            await server.drain(0)
            with pytest.raises(Cancelled) as caught:
                await call
        assert caught.value.executed == "maybe"
        store.opened.set()
    assert till.paid == [1]


async def test_a_store_that_fails_then_costs_the_record_and_not_the_call(
    client: Rabbit, host: Rabbit
) -> None:
    class Broken(MemoryOnce):
        async def finish(self, key: str, **_: object) -> bool:
            raise ZeroDivisionError(key)

    async with host.serving(Till(), once=Broken()) as server:
        for n in range(3):  # of which one at a time has a place
            assert await client.remote(Till).pay(n) == n
        assert not server.calls()


async def test_having_been_cut_off_is_no_record_for_an_idempotent_method(
    client: Rabbit, host: Rabbit
) -> None:
    till = Till()
    async with host.serving(till):
        keyed = client.remote(Till).with_options(idempotency_key="a")
        with pytest.raises(DeadlineExceeded):
            await keyed.with_options(timeout=1).look(1)
        till.patience.set()
        assert await keyed.look(1) == 1
    assert till.paid == [1, 1]


async def test_a_deadline_that_passes_while_a_key_is_claimed_leaves_no_claim(
    client: Rabbit, host: Rabbit
) -> None:
    class SlowToAnswer(MemoryOnce):
        def __init__(self) -> None:
            super().__init__()
            self.opened = asyncio.Event()

        async def begin(
            self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
        ) -> Outcome:
            found = await super().begin(key, owner=owner, lease=lease, keep=keep, takeover=takeover)
            await self.opened.wait()
            return found

    till, store = Till(), SlowToAnswer()
    async with host.serving(till, once=store):
        keyed = client.remote(Till).with_options(idempotency_key="a")
        with pytest.raises(DeadlineExceeded) as caught:
            await keyed.with_options(timeout=0.2).pay(1)
        assert caught.value.executed == "maybe"
        store.opened.set()
        assert await keyed.pay(1) == 1
    assert till.paid == [1]
