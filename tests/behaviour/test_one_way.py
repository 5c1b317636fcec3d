"""One-way requests: confirmed by the broker, run by a server, answered by nobody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

import leveret
from leveret import (
    Busy,
    CallEnd,
    ConnectionLost,
    CurrentCall,
    DeadlineExceeded,
    InvalidArgument,
    Rabbit,
    Reconnect,
    ServerCallNext,
    Service,
    Unimplemented,
    current_call,
    method,
)
from leveret.client.middleware import CallNext, OutgoingCall
from leveret.once import MemoryOnce, OnceUnavailable, Outcome
from leveret.testing import FaultProxy
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer

SOON = Reconnect(first=0.01, most=0.05)


class Audit(Service):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    @method(one_way=True, timeout=30)
    async def record(self, event: str) -> None:
        self.noted.append(event)

    @method(one_way=True, timeout=30, idempotent=True)
    async def repeat(self, event: str) -> None:
        self.noted.append(event)

    @method(timeout=30, priority_levels=3)
    async def count(self, event: str) -> int:
        self.noted.append(f"{event} of {current_call().metadata.get('by', 'nobody')}")
        return len(self.noted)

    @method(one_way=True, timeout=30, max_length=1)
    async def rare(self, event: str) -> None:
        self.noted.append(event)


class Ledger(Service):
    """Books things once."""

    def __init__(self) -> None:
        self.booked: list[str] = []

    @method(one_way=True, once=True, idempotent=True, timeout=0.2)
    async def book(self, what: str) -> None:
        self.booked.append(what)


class Narrow(Service):
    """Takes one event at a time, and few may wait."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.noted: list[str] = []
        self._hangs = hangs

    @method(one_way=True, idempotent=True, concurrency=1, max_length=2, timeout=60)
    async def note(self, event: str) -> None:
        self.noted.append(event)
        if self._hangs:
            await asyncio.Event().wait()


class Ends:
    """Middleware that is told how calls end."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    async def __call__(self, call: CurrentCall, call_next: ServerCallNext) -> Any:
        return await call_next(call)

    def call_ended(self, call: CurrentCall, end: CallEnd) -> None:
        self.told[end.outcome] += 1


class Failing(MemoryOnce):
    """A store that is out of reach for a while."""

    failures = 0

    @property
    def shared(self) -> bool:
        return True

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        if self.failures:
            self.failures -= 1
            raise OnceUnavailable.because("the store", "it is away")
        return await super().begin(key, owner=owner, lease=lease, keep=keep, takeover=takeover)


@pytest.fixture
async def queues(host: Rabbit) -> None:
    """The queues of `Audit` are there, and no server is."""
    async with host.serving(Audit()):
        pass


@pytest.fixture
async def proxy(broker_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(broker_url) as made:
        yield made


async def test_a_one_way_request_waits_for_a_server_and_its_sender_does_not(
    client: Rabbit, host: Rabbit, queues: None
) -> None:
    remote = client.remote(Audit)
    await remote.record("a")
    with_metadata = remote.with_options(metadata={"by": "me"})
    await client.send(with_metadata.count)(event="b")
    audit = Audit()
    async with host.serving(audit):
        await until(lambda: sorted(audit.noted) == ["a", "b of me"], "both have run")
        assert await remote.count("c") == 3  # a call is a call all the same
    assert client.late_replies == 0


async def test_a_one_way_request_is_persistent_and_has_no_address_for_replies(
    client: Rabbit, queues: None, raw: RawPeer
) -> None:
    remote = client.remote(Audit).with_options(priority=2)
    await client.send(remote.count)("a")
    taken = await raw.take("leveret.audit.count")
    properties = (await taken.get()).properties
    assert properties.delivery_mode == 2
    assert properties.reply_to is None
    assert properties.expiration is None
    assert not properties.headers
    assert properties.priority == 2
    assert properties.type == "call"
    assert properties.content_type == "application/json"
    assert len(properties.correlation_id or "") == 16
    await client.send(remote.with_options(expires_in=60, metadata={"by": "me"}).count)("b")
    properties = (await taken.get()).properties
    assert properties.expiration == "60000"
    # What the connection's `with_options` was given holds before what the remote's was.
    expiring = client.with_options(priority=1).with_options(expires_in=5, metadata=None)
    await expiring.send(remote.with_options(metadata={"by": "me"}).count)("c")
    properties = (await taken.get()).properties
    assert (properties.expiration, properties.priority) == ("5000", 1)
    assert sorted(properties.headers or ()) == ["deadline", "metadata"]


async def test_who_sends_learns_that_there_is_no_such_method_or_no_place(
    client: Rabbit, queues: None
) -> None:
    class Nowhere(Service):
        @method(one_way=True)
        async def go(self) -> None: ...

    with pytest.raises(Unimplemented, match="NO_ROUTE") as unknown:
        await client.remote(Nowhere).go()
    assert unknown.value.executed == "no"
    await client.remote(Audit).rare("a")
    with pytest.raises(Busy) as full:
        await client.remote(Audit).rare("b")
    assert full.value.executed == "no"


async def test_only_a_method_of_a_remote_can_be_sent(client: Rabbit) -> None:
    with pytest.raises(InvalidArgument, match=r"rabbit.send\(rabbit.remote\(Service\).method\)"):
        client.send(Audit().record)
    caller = client.with_options(timeout=3)
    with pytest.raises(InvalidArgument, match="event"):
        await caller.send(client.remote(Audit).count)(5)  # type: ignore[arg-type]


async def test_middleware_is_around_what_is_sent(broker_url: str, queues: None) -> None:
    seen: list[str] = []

    async def note(call: OutgoingCall, call_next: CallNext) -> object:
        seen.append(call.method)
        return await call_next(call)

    async with leveret.connect(broker_url, middleware=[note]) as rabbit:
        await rabbit.remote(Audit).record("a")
        await rabbit.send(rabbit.remote(Audit).count)("b")
    assert seen == ["audit.record", "audit.count"]


async def test_a_connection_that_breaks_before_the_confirm_is_told_or_the_request_goes_again(
    proxy: FaultProxy, host: Rabbit, queues: None
) -> None:
    async with leveret.connect(proxy.url, reconnect=SOON) as rabbit:
        remote = rabbit.remote(Audit)
        await remote.record("before")
        proxy.stall("to_client")
        lost = asyncio.create_task(remote.record("lost"))
        again = asyncio.create_task(remote.repeat("again"))
        await until(lambda: rabbit.in_flight == 2, "both are sent")
        proxy.cut()
        proxy.resume()
        with pytest.raises(ConnectionLost) as caught:
            await lost
        assert caught.value.executed == "maybe"
        await again
    audit = Audit()
    async with host.serving(audit):
        await until(lambda: {"before", "again"} <= set(audit.noted), "those that are known to wait")


async def test_who_is_not_told_in_time_learns_that_it_may_have_been_sent(
    proxy: FaultProxy, queues: None
) -> None:
    async with leveret.connect(proxy.url, reconnect=SOON) as rabbit:
        remote = rabbit.remote(Audit)
        await remote.record("before")
        proxy.stall("to_client")
        with pytest.raises(DeadlineExceeded, match="not even confirmed") as late:
            await remote.with_options(timeout=0.2).record("a")
        assert late.value.executed == "maybe"
        proxy.resume()


async def test_a_request_with_a_key_waits_for_the_store_and_for_a_server_that_died_with_its_key(
    client: Rabbit, host: Rabbit
) -> None:
    """Its sender would never hear that it did not run."""
    ledger, store = Ledger(), Failing()
    store.failures = 1
    async with host.serving(ledger, once=store):
        remote = client.remote(Ledger)
        await client.send(remote.book)("a")
        await until(lambda: bool(store._done), "the store is there again")
        (key,) = store._done
        del store._done[key]
        other = key.rpartition(" ")[0] + " b"
        await store.begin(other, owner="gone.0", lease=0.5, keep=60)
        await client.send(remote.with_options(idempotency_key="b").book)("b")
        await until(lambda: ledger.booked == ["a", "b"], "the claim of the dead server has ended")


async def test_no_request_of_a_server_that_died_is_lost_where_its_queue_is_full(
    client: Rabbit, mortal_host: Rabbit, other_host: Rabbit
) -> None:
    """The next server would count that it was delivered before, and its copy finds no place."""
    one, two = Narrow(hangs=True), Narrow()
    remote = client.remote(Narrow)
    sent: list[str] = []

    async def fill() -> None:
        for number in range(100):
            await client.send(remote.note)(str(number))
            sent.append(str(number))

    async with mortal_host.serving(one, grace=0):
        with pytest.raises(Busy):
            await fill()
        await until(lambda: bool(one.noted), "the first one runs")
        crash(mortal_host)
        ends = Ends()
        async with other_host.serving(two, middleware=[ends]) as server:
            await until(lambda: set(two.noted) == set(sent), "all of them have run")
            await until(lambda: ends.told["done"] == len(two.noted), "their ends are told")
            # Who did not go elsewhere in the end was never said to have gone.
            (queue,) = server.queues()
            assert ends.told["handed back"] == queue.counters.handed_back
