"""One request queue on a real connection: what comes out of it, and how it comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from leveret.errors import ConnectionLost, TopologyError
from leveret.server.calls.life import ServerCall, Source
from leveret.server.outbox import Unsent
from leveret.server.subscription import Subscription
from leveret.transport.link import Link
from leveret.wire.message import CallKey, Incoming
from leveret.wire.native.dialect import NativeServer
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer
from tests.unit.server.calls.making import SPEC

QUEUE = SPEC.queue_name


class Method:
    """What takes the requests: it writes down what it is given."""

    def __init__(self) -> None:
        self.wanted = 10
        self.taken: list[tuple[str, bool]] = []
        self.requests: list[Incoming] = []
        self.sources: list[Source] = []
        self.lost: list[list[Unsent]] = []

    def prefetch(self) -> int:
        return self.wanted

    def take(self, request: Incoming, source: Source, *, old: bool) -> None:
        self.requests.append(request)
        self.taken.append((request.call_id, old))

    def caller_gone(self, key: CallKey) -> None:
        pass

    def sent(self, call: ServerCall) -> None:
        pass

    def attached(self, source: Source) -> None:
        self.sources.append(source)

    def too_large(self, source: Source, size: int, most: int) -> None:
        pass

    def channel_lost(self, source: Source, unsent: list[Unsent]) -> None:
        self.lost.append(unsent)


class Scene:
    """One subscription, its method, and what it asked its server for."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.method = Method()
        self.can_ask = asyncio.Event()
        self.can_ask.set()
        self.restored = 0
        self.deleted = 0
        self.announced: list[bool] = []
        self.queue = Subscription(
            SPEC,
            NativeServer(),
            self.method,
            remembers=True,
            publish_confirmed=lambda *_: None,
            ready=self.can_ask.wait,
            announce=self._announce,
            restore=self._restore,
            deleted=self._deleted,
        )

    async def _announce(self) -> None:
        self.announced.append(self.queue.consumes)

    def _restore(self, queue: Subscription) -> None:
        self.restored += 1
        self.link.restore(queue)

    def _deleted(self, queue: Subscription) -> None:
        self.deleted += 1

    def answer(self, request: Incoming) -> bool:
        """Send the result of a request, and acknowledge it."""
        source = self.method.sources[-1]
        call = ServerCall(method=SPEC.key, incoming=request, source=source)
        return source.answers.finish(
            call, source.answers.packer.result(request, b"null", "application/json")
        )

    async def close(self) -> None:
        await self.link.release(self.queue)
        await self.queue.close()


@pytest.fixture
async def scene(link: Link) -> AsyncIterator[Scene]:
    made = Scene(link)
    yield made
    await made.close()


async def test_a_request_is_taken_and_its_reply_goes_back(scene: Scene, raw: RawPeer) -> None:
    assert not scene.queue.is_open
    await scene.queue.attach(scene.link.connection)
    assert (scene.queue.is_open, scene.queue.queue) == (True, QUEUE)
    assert str(scene.queue) == f"the queue {QUEUE}"
    raw.request(SPEC.key, b"{}", correlation_id="1")
    await until(lambda: scene.method.taken == [("1", False)], "it is taken")
    assert list(scene.queue.outbox.unsettled) == [1]
    scene.answer(scene.method.requests[0])
    assert (await raw.reply()).properties.correlation_id == "1"
    await raw.flushed()
    assert not scene.queue.outbox.unsettled


async def test_what_waited_before_the_server_came_is_old(scene: Scene, raw: RawPeer) -> None:
    await scene.queue.prepare(scene.link.connection)
    for n in range(3):
        raw.request(SPEC.key, b"{}", correlation_id=str(n))
    await raw.flushed()
    scene.method.wanted = 2  # one of them comes later than the others
    await scene.queue.start()
    raw.request(SPEC.key, b"{}", correlation_id="new")
    await until(lambda: len(scene.method.taken) == 2, "two are taken")
    scene.answer(scene.method.requests[0])
    scene.answer(scene.method.requests[1])
    await until(lambda: len(scene.method.taken) == 4, "all are taken")
    assert scene.method.taken == [("0", True), ("1", True), ("2", True), ("new", False)]


async def test_other_servers_are_told_before_it_takes_anything(scene: Scene) -> None:
    await scene.queue.attach(scene.link.connection)
    assert scene.announced == [False]
    assert scene.queue.consumes
    await scene.queue.change_prefetch(2)
    assert scene.announced == [False]
    scene.link.abort("the test cuts it")
    await until(lambda: len(scene.method.sources) == 2, "it is attached again")
    assert len(scene.announced) >= 2
    assert not any(scene.announced)


async def test_it_takes_nothing_until_callers_can_be_asked(scene: Scene, raw: RawPeer) -> None:
    scene.can_ask.clear()
    attaching = asyncio.create_task(scene.queue.attach(scene.link.connection))
    await raw.flushed()
    assert not await raw.exists(QUEUE)
    scene.can_ask.set()
    await attaching
    assert await raw.consumers(QUEUE) == 1


async def test_another_prefetch_leaves_no_gap_and_one_consumer(scene: Scene, raw: RawPeer) -> None:
    scene.method.wanted = 1
    await scene.queue.attach(scene.link.connection)
    for n in range(3):
        raw.request(SPEC.key, b"{}", correlation_id=str(n))
    await until(lambda: len(scene.method.taken) == 1, "one is taken")
    changing = asyncio.create_task(scene.queue.change_prefetch(2))
    await asyncio.sleep(0)
    assert scene.queue.changing
    await changing
    assert not scene.queue.changing
    await until(lambda: len(scene.method.taken) >= 2, "more are taken")
    assert await raw.consumers(QUEUE) == 1
    assert scene.deleted == 0


async def test_a_break_begins_the_time_of_its_consumer_anew_and_another_prefetch_does_not(
    scene: Scene, raw: RawPeer
) -> None:
    queue = scene.queue
    assert queue.consumed_for() == 0
    before = time.monotonic()
    await queue.attach(scene.link.connection)
    attached = time.monotonic()
    await queue.change_prefetch(2)
    assert time.monotonic() - before >= queue.consumed_for() >= 0
    since = time.monotonic() - queue.consumed_for()
    assert since <= attached
    scene.link.abort("the test cuts it")
    assert queue.consumed_for() == 0
    cut = time.monotonic()
    await until(lambda: len(scene.method.sources) == 2, "it is attached again")
    assert 0 <= queue.consumed_for() <= time.monotonic() - cut
    again = time.monotonic()
    await raw.delete(QUEUE)
    await until(lambda: scene.deleted == 1, "it is told so")
    assert queue.consumed_for() == 0
    await queue.declare_again()
    await queue.start()
    assert 0 <= queue.consumed_for() <= time.monotonic() - again


async def test_a_prefetch_that_cannot_be_changed_costs_nothing(scene: Scene) -> None:
    await scene.queue.attach(scene.link.connection)
    changing = asyncio.create_task(scene.queue.change_prefetch(2))
    await asyncio.sleep(0)
    scene.link.abort("the test cuts it")
    await changing
    assert not scene.queue.changing
    await until(lambda: len(scene.method.sources) == 2, "it is attached again")


async def test_it_comes_back_on_another_connection(scene: Scene, raw: RawPeer) -> None:
    await scene.queue.attach(scene.link.connection)
    first = scene.queue.outbox
    scene.link.abort("the test cuts it")
    assert (scene.restored, scene.method.lost) == (1, [[]])
    await until(lambda: len(scene.method.sources) == 2, "it is attached again")
    assert scene.method.sources[0] is scene.method.sources[1]
    assert scene.queue.source is not None
    assert scene.queue.source.answers is scene.queue.outbox is not first
    raw.request(SPEC.key, b"{}", correlation_id="1")
    await until(lambda: scene.method.taken == [("1", False)], "it serves")


async def test_replies_that_the_socket_did_not_take_are_handed_over(
    scene: Scene, raw: RawPeer
) -> None:
    await scene.queue.attach(scene.link.connection)
    raw.request(SPEC.key, b"{}", correlation_id="1")
    await until(lambda: bool(scene.method.requests), "it is taken")
    scene.link.connection.pause_writing()  # as asyncio does
    assert not scene.answer(scene.method.requests[0])
    scene.link.abort("the test cuts it")
    ((unsent,),) = scene.method.lost
    assert unsent.call is not None
    assert unsent.call.id == "1"


async def test_a_deleted_queue_is_declared_and_served_again(scene: Scene, raw: RawPeer) -> None:
    await scene.queue.attach(scene.link.connection)
    await raw.delete(QUEUE)
    await until(lambda: scene.deleted == 1, "it is told so")
    await scene.queue.declare_again()
    await scene.queue.start()
    raw.request(SPEC.key, b"{}", correlation_id="1")
    await until(lambda: scene.method.taken == [("1", False)], "it serves")
    assert scene.restored == 0  # the replies went on over the same channel


async def test_a_channel_that_is_given_up_is_replaced(scene: Scene) -> None:
    await scene.queue.attach(scene.link.connection)
    scene.queue.abandon(ConnectionLost("the test gives it up"))
    await until(lambda: len(scene.method.sources) == 2, "it is attached again")
    assert scene.restored == 1
    assert scene.link.connection.closed is None


async def test_a_queue_with_other_options_is_an_error_and_leaves_no_channel(
    scene: Scene, raw: RawPeer
) -> None:
    await raw.declare(QUEUE, x_max_length=1)
    with pytest.raises(TopologyError, match="x-max-length|other"):
        await scene.queue.attach(scene.link.connection)
    assert not scene.queue.is_open
    channel = await scene.link.connection.open_channel()
    assert channel.number == scene.queue.channel.number
    assert scene.restored == 0


async def test_a_drain_takes_no_more_and_has_the_replies_confirmed(
    scene: Scene, raw: RawPeer
) -> None:
    await scene.queue.attach(scene.link.connection)
    raw.request(SPEC.key, b"{}", correlation_id="1")
    await until(lambda: bool(scene.method.requests), "it is taken")
    await scene.queue.select_confirms()
    await scene.queue.cancel()
    assert await raw.consumers(QUEUE) == 0
    scene.answer(scene.method.requests[0])
    await scene.queue.outbox.confirmed()
    assert (await raw.reply()).properties.correlation_id == "1"


async def test_after_close_nothing_is_restored(scene: Scene, raw: RawPeer) -> None:
    await scene.close()  # it never was attached
    await scene.queue.attach(scene.link.connection)
    await scene.close()
    assert (scene.queue.is_open, scene.restored) == (False, 0)
    assert await raw.consumers(QUEUE) == 0
