"""Situations in which `executed` could easily be wrong, each brought about by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

import leveret
from leveret import Busy, CallError, DeadlineExceeded, NoServer, Service, method
from leveret.once import MemoryOnce, OnceUnavailable, Outcome
from leveret.testing import FaultProxy, Stall, before_frame
from leveret.wire.failures import ERROR_CONTENT_TYPE, encode_failure
from tests.behaviour.crashing import crash
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.scene import SOON, Load
from tests.faults.work import Work

QUEUE = "leveret.work.again"


@pytest.fixture
async def raw(broker_url: str) -> AsyncIterator[RawPeer]:
    """A server that does what the test wants."""
    peer = await RawPeer.open(broker_url)
    yield peer
    await peer.close()


class Away(MemoryOnce):
    """A store that does not answer."""

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        raise OnceUnavailable("the store cannot be reached")


class Till(Service):
    """Calls with keys."""

    @method(once=True)
    async def pay(self) -> None: ...

    @method(once=True, idempotent=True)
    async def again(self) -> None: ...


@pytest.fixture
async def keyed_queue(broker_url: str) -> str:
    """The queue of the second of them, without any server."""
    async with leveret.connect(broker_url) as rabbit, rabbit.serving(Till()):
        return "leveret.till.again"


@pytest.fixture
async def queue(broker_url: str, diary: Diary) -> str:
    """The request queue, without any server."""
    async with leveret.connect(broker_url) as rabbit, rabbit.serving(Work(diary)):
        return QUEUE


async def test_what_is_said_of_the_second_copy_of_a_request_is_not_said_of_the_first(
    broker_url: str, raw: RawPeer, queue: str
) -> None:
    """The first copy may have run, on a server of which nothing is heard any more."""
    taken = await raw.take(queue)
    async with leveret.connect(broker_url) as client:
        remote = client.remote(Work).with_options(timeout=10)
        call = asyncio.create_task(remote.again("key", 0.0, "", 0))
        await taken.get()
        second = await taken.get()
        late = encode_failure(DeadlineExceeded("it came too late", where="queue"))
        raw.answer(second, late, type="error", content_type=ERROR_CONTENT_TYPE)
        with pytest.raises(CallError) as caught:
            await call
    assert caught.value.executed == "maybe"


async def test_a_request_that_comes_again_too_late_may_have_run_before(
    broker_url: str, raw: RawPeer, queue: str, diary: Diary
) -> None:
    mortal = await RawPeer.open(broker_url)
    taken = await mortal.take(queue)
    await raw.listen()
    body = msgspec.json.encode({"key": "key", "seconds": 0.0, "padding": "", "reply": 0})
    deadline = int(time.time() * 1000) - 1000
    raw.request("work.again", body, headers={"deadline": deadline}, expiration="60000")
    await taken.get()
    mortal.crash()
    async with leveret.connect(broker_url) as rabbit, rabbit.serving(Work(diary)):
        failure = await raw.failure()
    assert failure.get("executed", "maybe") == "maybe", failure


async def test_a_keyed_request_that_comes_again_may_have_run_though_the_store_is_away(
    broker_url: str, raw: RawPeer, keyed_queue: str
) -> None:
    """Before it died, its first server may have run it, while it could still use the store."""
    mortal = await RawPeer.open(broker_url)
    taken = await mortal.take(keyed_queue)
    await raw.listen()
    raw.request("till.again", b"{}", expiration="60000")
    await taken.get()
    mortal.crash()
    async with (
        leveret.connect(broker_url) as rabbit,
        rabbit.serving(Till(), once=Away()),
    ):
        question = await raw.reply()
        assert question.properties.type == "claim"
        raw.control(question.properties.reply_to or "", "go", correlation_id="raw-1")
        failure = await raw.failure()
    assert failure["code"] == "RESOURCE_EXHAUSTED"
    assert failure.get("executed", "maybe") == "maybe", failure


async def test_a_server_that_lost_its_connection_does_not_say_that_nobody_ran_what_it_refused(
    broker_url: str, raw: RawPeer, queue: str, diary: Diary
) -> None:
    """Its refusal and its acknowledgement were lost: another server has the request by now."""
    await raw.listen()
    refused = asyncio.Event()
    async with FaultProxy(broker_url) as proxy:

        def refuse(_call: object) -> bool:
            proxy.stall("to_broker")
            refused.set()
            return False

        async with (
            leveret.connect(proxy.url, reconnect=SOON) as host,
            host.serving(Work(diary), allow=refuse),
        ):
            raw.request("work.again", b"{}", expiration="60000")
            await refused.wait()
            taken = await raw.take(queue)
            proxy.cut()
            proxy.resume()
            assert (await taken.get()).redelivered
            await until_found(lambda: raw.consumers(queue), 2, "it is back")
            raw.ask("work", "raw-1")
            failure = await raw.failure()
    assert failure["code"] == "PERMISSION_DENIED"
    assert failure.get("executed", "maybe") == "maybe", failure


async def test_an_old_request_that_comes_again_may_have_run_though_nobody_waits_for_it(
    broker_url: str, raw: RawPeer, keyed_queue: str
) -> None:
    """Whoever hears that may have sent it again, and wait for another copy of it."""
    mortal = await RawPeer.open(broker_url)
    taken = await mortal.take("leveret.till.pay")
    await raw.listen()
    raw.request("till.pay", b"{}", expiration="60000")
    await taken.get()
    mortal.crash()
    await until_found(lambda: raw.waiting("leveret.till.pay"), 1, "the broker has it back")
    async with leveret.connect(broker_url) as rabbit, rabbit.serving(Till()):
        assert (await raw.reply()).properties.type == "claim"
        failure = await raw.failure()  # once nobody has answered
    assert failure["code"] == "CANCELLED"
    assert failure.get("executed", "maybe") == "maybe", failure


async def test_a_request_that_comes_again_has_no_effect_if_nobody_says_that_it_still_waits(
    broker_url: str, raw: RawPeer
) -> None:
    """A server had it and lost it before it knew that its caller had given up."""
    async with leveret.connect(broker_url) as rabbit, rabbit.serving(Till()):
        await raw.listen()
        raw.request("till.pay", b"{}", expiration="60000", headers={"attempt": 1})
        assert (await raw.reply()).properties.type == "claim"
        failure = await raw.failure()
    assert failure["code"] == "CANCELLED"
    assert failure.get("executed", "maybe") == "maybe", failure


async def test_what_a_full_queue_drops_may_have_run_on_a_server_that_died(
    broker_url: str, raw: RawPeer
) -> None:
    """A policy bounds the queue: what comes back from a dead server is the oldest, and goes."""
    queue = "leveret.work.once"
    await raw.declare(queue, x_max_length=1, x_dead_letter_exchange="")
    mortal = await RawPeer.open(broker_url)
    taken = await mortal.take(queue)
    async with leveret.connect(broker_url) as client:
        await raw.channel.bind_queue(queue, "leveret", "work.once")
        remote = client.remote(Work).with_options(timeout=20, wait_for_server=True)
        before = asyncio.create_task(remote.once("before", 0.0, "", 0))
        request = await taken.get()
        mortal.answer(request, b'"before"')
        mortal.acknowledge(request)
        assert await before == "before"
        call = asyncio.create_task(remote.once("key", 0.0, "", 0))
        await taken.get()
        mortal.crash()
        await until_found(lambda: raw.waiting(queue), 1, "the broker has it back")
        raw.request("work.once", b"{}")
        with pytest.raises(Busy) as caught:
            await call
    assert caught.value.executed == "maybe"


async def test_what_expires_in_the_queue_of_busy_servers_that_die_may_have_run(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    """A request that died with its server goes back into the queue, where it looks untouched."""
    async with (
        leveret.connect(broker_url, reconnect=SOON) as client,
        leveret.connect(broker_url, reconnect=SOON) as host,
        host.serving(Work(diary), concurrency=4),
        Load(oracle, client, callers=60, timeout=0.7, seconds=0.2, pause=0, kept=False) as load,
    ):
        for n in range(6):
            dying = Diary(diary.path, f"mortal-{n}")
            async with (
                leveret.connect(broker_url, reconnect=False) as mortal,
                mortal.serving(Work(dying), concurrency=4, grace=0),
            ):
                await load.ended(60)
                oracle.faults += 1
                crash(mortal)
            dying.close()
    await oracle.fair()


async def test_what_expires_may_have_run_if_another_server_came_for_one_that_lost_it(
    broker_url: str, raw: RawPeer, queue: str
) -> None:
    """There are as many servers as before, and requests wait as before."""
    mortal, other = await RawPeer.open(broker_url), await RawPeer.open(broker_url)
    taken = await mortal.take(queue, prefetch=1)
    for n in range(3):
        raw.request("work.again", b"{}", correlation_id=f"before-{n}")
    request = await taken.get()
    async with at_once(), leveret.connect(broker_url) as client:
        remote = client.remote(Work).with_options(timeout=0.6)
        call = asyncio.create_task(remote.again("key", 0.0, "", 0))
        await until_found(lambda: raw.waiting(queue), 3, "it waits behind others")
        for _ in range(3):
            mortal.acknowledge(request)
            request = await taken.get()
        raw.request("work.again", b"{}", correlation_id="after")
        await (await other.take(queue, prefetch=1)).get()
        mortal.crash()
        with pytest.raises(DeadlineExceeded) as caught:
            await call
    assert (caught.value.where, caught.value.executed) == ("queue", "maybe")
    await other.close()


async def test_an_accepted_call_whose_server_and_reply_were_lost_is_sent_again(
    broker_url: str, raw: RawPeer, queue: str, diary: Diary
) -> None:
    """Its server said that it runs, and answered into a socket that was dead already."""
    taken = await raw.take(queue)
    async with leveret.connect(broker_url) as client:
        remote = client.remote(Work).with_options(timeout=20)
        call = asyncio.create_task(remote.again("key", 0.0, "", 0))
        request = await taken.get()
        raw.answer(request, b"", type="accepted")
        await until(lambda: client.calls.at_servers == 1, "it is accepted")
        raw.acknowledge(request)
        await raw.connection.close()
        async with leveret.connect(broker_url) as host, host.serving(Work(diary)):
            assert await call == "key"


async def test_what_was_given_up_while_a_server_was_starting_does_not_run(
    broker_url: str, queue: str, oracle: Oracle, diary: Diary
) -> None:
    """It came after the server had counted what waits, and before it began to consume."""
    async with (
        FaultProxy(broker_url) as proxy,
        leveret.connect(broker_url) as client,
        leveret.connect(proxy.url) as host,
    ):
        consumes_requests = before_frame(2, "to_broker", kind="basic.consume")  # 1: from control
        counted = proxy.when(consumes_requests, Stall("to_broker"))
        opened = asyncio.Event()

        async def serve() -> None:
            async with host.serving(Work(diary)):
                await opened.wait()

        serving = asyncio.create_task(serve())
        await counted.fired.wait()
        call = await oracle.call(client, idempotent=False, timeout=10)
        assert isinstance(call.error, NoServer), call
        assert call.error.executed == "no", call
        proxy.resume()
        assert (await oracle.call(client, idempotent=False, timeout=10, kept=True)).error is None
        opened.set()
        await serving
    await oracle.fair()
