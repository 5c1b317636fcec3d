"""Calls with an idempotency key: run once, whatever becomes of client, servers and connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import leveret
from leveret import (
    Busy,
    ContractError,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    InvalidURL,
    MaybeExecuted,
    Rabbit,
    RemoteError,
    Retry,
    Service,
    current_call,
    method,
)
from leveret.once import MemoryOnce, OnceUnavailable, Outcome
from tests.behaviour.crashing import crash
from tests.behaviour.patience import at_once, until
from tests.behaviour.raw import RawPeer


class SoldOut(DeclaredError):
    """None is left."""

    sku: str


class Shop(Service):
    """Counts what it does; `pay` waits until it is let."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.opened = asyncio.Event()

    @method(timeout=30, raises=[SoldOut])
    async def order(self, sku: str) -> int:
        self.done.append(sku)
        if sku == "gone":
            raise SoldOut(sku)
        if sku == "broken":
            raise ZeroDivisionError(sku)
        current_call().reply_metadata["sku"] = sku
        return len(self.done)

    @method(timeout=30, once=True)
    async def pay(self, sku: str) -> str:
        self.started.put_nowait(sku)
        await self.opened.wait()
        self.done.append(sku)
        return sku

    @method(timeout=30, once=True, retry=Retry(attempts=3, backoff=0.01))
    async def ship(self, sku: str) -> int:
        self.done.append(sku)
        if len(self.done) == 1:
            raise Busy("not now")
        return len(self.done)

    @method(timeout=30, idempotent=True)
    async def count(self, sku: str) -> int:
        self.done.append(sku)
        return len(self.done)


class Shared(MemoryOnce):
    """A store that two servers in one process share, as they would one in Redis."""

    shared = True

    async def close(self) -> None:
        """Not yet: the other server still uses it."""


async def test_a_repeated_call_with_the_same_key_gets_the_recorded_result(
    client: Rabbit, host: Rabbit
) -> None:
    shop = Shop()
    async with host.serving(shop):
        sent: dict[str, str] = {}
        remote = client.remote(Shop).with_options(idempotency_key="order 17")
        assert await remote.order("tea") == 1
        assert await remote.with_options(reply_metadata=sent).order("tea") == 1
        assert sent == {"sku": "tea"}
        assert await client.remote(Shop).order("tea") == 2
        other = client.remote(Shop).with_options(idempotency_key="order 18")
        assert await other.order("tea") == 3
    assert shop.done == ["tea"] * 3


async def test_a_client_that_comes_back_after_a_crash_gets_the_result_of_its_first_call(
    host: Rabbit, rabbitmq_url: str
) -> None:
    shop = Shop()
    async with host.serving(shop):
        for _ in range(2):
            async with leveret.connect(rabbitmq_url) as client:
                remote = client.remote(Shop).with_options(idempotency_key="order 17")
                assert await remote.order("tea") == 1


@pytest.mark.parametrize("begun", [False, True], ids=["recorded", "running"])
async def test_the_same_key_with_other_arguments_is_refused(
    client: Rabbit, host: Rabbit, begun: bool
) -> None:
    shop = Shop()
    async with host.serving(shop):
        remote = client.remote(Shop).with_options(idempotency_key="order 17")
        first = asyncio.create_task(remote.pay("tea"))
        await shop.started.get()
        if not begun:
            shop.opened.set()
            assert await first == "tea"
        with pytest.raises(InvalidArgument, match="other arguments") as caught:
            await remote.pay("milk")
        assert caught.value.executed == "no"
        shop.opened.set()
        assert await first == "tea"
        again = client.with_options(idempotency_key="order 17", content_type="application/msgpack")
        assert await again.call("shop.pay", sku="tea") == "tea"
    assert shop.done == ["tea"]


async def test_a_record_without_a_hash_answers_whatever_the_arguments_are(
    client: Rabbit, host: Rabbit
) -> None:
    class Before(MemoryOnce):
        async def begin(self, key: str, *, owner: str, **options: Any) -> Outcome:
            return await super().begin(key, owner=".".join(owner.split(".")[:2]), **options)

        async def finish(self, key: str, *, owner: str, **options: Any) -> bool:
            return await super().finish(key, owner=".".join(owner.split(".")[:2]), **options)

    shop = Shop()
    async with host.serving(shop, once=Before()):
        remote = client.remote(Shop).with_options(idempotency_key="order 17")
        assert await remote.order("tea") == await remote.order("milk") == 1


async def test_an_abandoned_key_is_not_taken_over_for_other_arguments(
    client: Rabbit, mortal_host: Rabbit, other_host: Rabbit
) -> None:
    store = Shared()
    async with other_host.serving(Shop(), once=store):
        remote = client.remote(Shop).with_options(idempotency_key="k")
        assert await remote.count("tea") == 1
        (key,) = store._done
        del store._done[key]
        await store.begin(key, owner="gone.0." + "0" * 64, lease=1e-9, keep=60)
        with pytest.raises(InvalidArgument, match="other arguments"):
            await remote.count("tea")


async def test_errors_are_recorded_too(client: Rabbit, host: Rabbit) -> None:
    shop = Shop()
    async with host.serving(shop):
        for _ in range(2):
            remote = client.remote(Shop).with_options(idempotency_key="a")
            with pytest.raises(SoldOut) as caught:
                await remote.order("gone")
            assert caught.value.sku == "gone"
            remote = client.remote(Shop).with_options(idempotency_key="b")
            with pytest.raises(RemoteError, match="broken"):
                await remote.order("broken")
    assert shop.done == ["gone", "broken"]


async def test_a_key_that_was_refused_before_the_handler_ran_is_free_again(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Shop()):
        with pytest.raises(InvalidArgument):
            await client.with_options(idempotency_key="a").call("shop.order", sku=1)
        remote = client.remote(Shop).with_options(idempotency_key="a")
        assert await remote.order("tea") == 1


async def test_the_same_key_at_two_servers_at_once_runs_once(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    store = Shared()
    one, two = Shop(), Shop()
    async with (
        host.serving(one, once=store, concurrency=1),
        other_host.serving(two, once=store, concurrency=1),
    ):
        remote = client.remote(Shop).with_options(idempotency_key="a")
        calls = [asyncio.create_task(remote.pay("tea")) for _ in range(2)]
        await until(lambda: one.started.qsize() + two.started.qsize() == 1, "one runs")
        one.opened.set()
        two.opened.set()
        assert await asyncio.gather(*calls) == ["tea", "tea"]
    assert one.done + two.done == ["tea"]


async def test_an_unconfirmed_call_with_a_key_is_sent_again_and_runs_once(
    client: Rabbit, host: Rabbit
) -> None:
    shop = Shop()
    shop.opened.set()
    store = Shared()
    async with host.serving(shop, once=store):
        assert await client.remote(Shop).pay("warm") == "warm"
        call = asyncio.create_task(client.remote(Shop).pay("tea"))
        await asyncio.sleep(0)
        crash(client)
        assert await call == "tea"
    assert shop.done == ["warm", "tea"]


async def test_a_resent_call_is_not_run_where_the_store_cannot_know_of_the_first(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    shop = Shop()
    async with host.serving(shop):
        await raw.listen()
        headers = {"idempotency-key": "a", "resent": True}
        raw.request("shop.order", b'{"sku":"tea"}', headers=headers)
        failure = await raw.failure()
    assert (failure["code"], failure.get("executed", "maybe")) == ("ABORTED", "maybe")
    assert "not run again" in failure["message"]
    assert shop.done == []


async def test_a_call_with_a_key_moves_to_another_server_where_the_store_is_shared(
    client: Rabbit, mortal_host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    store = Shared()
    shop = Shop()
    async with other_host.serving(Shop()):
        pass
    taken = await raw.take("leveret.shop.order")
    remote = client.remote(Shop).with_options(idempotency_key="a", wait_for_server=True)
    call = asyncio.create_task(remote.order("tea"))
    await taken.get()
    async with other_host.serving(shop, once=store):
        raw.crash()  # it had not begun: the store knows nothing of the key
        assert await call == 1


async def test_a_call_that_its_server_began_and_did_not_end_may_have_run(
    client: Rabbit, mortal_host: Rabbit, other_host: Rabbit
) -> None:
    store = Shared()
    one, two = Shop(), Shop()
    remote = client.remote(Shop).with_options(timeout=1, wait_for_server=True)
    async with mortal_host.serving(one, once=store, grace=0):
        call = asyncio.create_task(remote.pay("tea"))
        await one.started.get()
        async with other_host.serving(two, once=store):
            crash(mortal_host)
            with pytest.raises((MaybeExecuted, TimeoutError)) as caught:
                await call
    assert getattr(caught.value, "executed", "") != "no"
    assert two.done == []


async def test_all_attempts_of_a_retried_call_have_one_key(client: Rabbit, host: Rabbit) -> None:
    shop = Shop()
    async with host.serving(shop):
        with pytest.raises(Busy, match="not now") as caught:
            await client.remote(Shop).ship("tea")
        assert caught.value.attempts > 1
    assert shop.done == ["tea"]  # the others were answered from the record


async def test_no_call_with_a_key_runs_while_the_store_is_out_of_reach(
    client: Rabbit, host: Rabbit
) -> None:
    class Gone(MemoryOnce):
        async def begin(self, key: str, **_: object) -> Outcome:
            raise OnceUnavailable("the store cannot be reached")

    shop = Shop()
    async with host.serving(shop, once=Gone()):
        with pytest.raises(Busy, match="cannot be used") as caught:
            await client.remote(Shop).with_options(idempotency_key="a").order("tea")
        assert (caught.value.executed, caught.value.retry_after) == ("no", 1.0)
        assert await client.remote(Shop).order("tea") == 1
    assert shop.done == ["tea"]


@pytest.mark.parametrize("key", ["", "x" * 256, 7, "\ud800"])
async def test_a_key_that_cannot_be_is_refused(client: Rabbit, key: str) -> None:
    with pytest.raises(InvalidArgument, match="idempotency_key must be text"):
        client.remote(Shop).with_options(idempotency_key=key)


@pytest.mark.usefixtures("patient_clients")
async def test_a_call_that_waits_for_anothers_run_ends_at_its_deadline_and_blocks_nobody(
    client: Rabbit, host: Rabbit
) -> None:
    shop = Shop()
    async with host.serving(shop):
        remote = client.remote(Shop).with_options(idempotency_key="a")
        runs = asyncio.create_task(remote.pay("tea"))
        await shop.started.get()
        async with at_once():
            waiting = [
                asyncio.create_task(remote.with_options(timeout=1 + n / 100).pay("tea"))
                for n in range(20)
            ]
            for call in waiting:
                with pytest.raises(DeadlineExceeded) as caught:
                    await call
                assert (caught.value.where, caught.value.executed) == ("queue", "maybe")
            shop.opened.set()
            assert await runs == "tea"
    assert shop.done == ["tea"]


async def test_a_store_can_be_named_by_its_url(client: Rabbit, host: Rabbit) -> None:
    shop = Shop()
    async with host.serving(shop, once="memory"):
        named = client.remote(Shop).with_options(idempotency_key="1")
        assert [await named.order("carrot"), await named.order("carrot")] == [1, 1]
    assert shop.done == ["carrot"]


@pytest.mark.parametrize(
    ("once", "error"),
    [
        ("mongodb://host", InvalidURL),
        (5, ContractError),
        (MemoryOnce, ContractError),
        (object(), ContractError),
    ],
)
async def test_what_is_no_store_is_refused_before_anything_is_served(
    host: Rabbit, once: Any, error: type[leveret.LeveretError]
) -> None:
    with pytest.raises(error, match=r"a store of (idempotency keys|leveret\.once)"):
        async with host.serving(Shop(), once=once):
            pass
