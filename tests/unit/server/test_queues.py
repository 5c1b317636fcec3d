"""The queues of a server on a real connection: prepared together, restored, and reported."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from leveret.errors import TopologyError
from leveret.server.calls.life import ServerCall, State
from leveret.server.queues import Queues
from leveret.server.subscription import Subscription
from leveret.transport.link import Link, Member
from leveret.wire.native.dialect import NativeServer
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer
from tests.unit.server.calls.making import SPEC, call
from tests.unit.server.test_subscription import Method as Takes


class Method(Takes):
    """A method that takes requests, and says how it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = False
        self.calls: list[ServerCall] = []
        self.slots = self
        self.limit = 7
        self.adapts = True


class Scene:
    """The only queue of a server."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.restored: list[Member] = []
        self.method = Method()
        self.queues = Queues(
            link.loop,
            {SPEC.key: self.method},
            restore=self.restored.append,
        )
        self.queue = Subscription(
            SPEC,
            NativeServer(),
            self.method,
            remembers=True,
            publish_confirmed=lambda *_: None,
            ready=_at_once,
            announce=_at_once,
            restore=self.queues.channel_ended,
            deleted=self.queues.deleted,
        )
        self.queues.subscriptions.append(self.queue)

    async def serve(self) -> None:
        for queue in await self.queues.prepare(self.link.connection):
            await queue.start()


async def _at_once() -> None:
    """Callers can be asked, and other servers told."""


@pytest.fixture
async def scene(link: Link) -> AsyncIterator[Scene]:
    made = Scene(link)
    yield made
    await made.queue.close()


async def test_a_queue_that_another_program_made_otherwise_is_an_error(
    scene: Scene, raw: RawPeer
) -> None:
    await raw.declare(SPEC.queue_name, x_max_length=1)
    with pytest.raises(TopologyError):
        await scene.queues.prepare(scene.link.connection)


async def test_a_queue_whose_channel_ends_is_restored(scene: Scene) -> None:
    scene.queues.channel_ended(scene.queue)
    assert scene.restored == [scene.queue]


async def test_a_queue_of_a_method_that_drains_is_not_restored(scene: Scene) -> None:
    scene.method.draining = True
    scene.queues.channel_ended(scene.queue)
    assert not scene.restored


async def test_a_queue_that_is_deleted_is_consumed_again(scene: Scene, raw: RawPeer) -> None:
    await scene.serve()
    assert scene.queues.without_consumer() == []
    await raw.delete(SPEC.queue_name)
    await until(lambda: bool(scene.queues.declaring), "it is declared again")
    await until(lambda: not scene.queues.declaring, "it is there")
    assert scene.queues.without_consumer() == []
    raw.request(SPEC.key, b"{}", correlation_id="1")
    await until(lambda: scene.method.taken == [("1", False)], "it is taken")


async def test_the_calls_of_a_queue_are_counted_by_what_they_wait_for(scene: Scene) -> None:
    assert scene.queues.without_consumer() == [SPEC.queue_name]
    await scene.serve()
    source = scene.queue.source
    assert source is not None
    source.finished, source.failed = 5, 1
    waits, runs, of_another = call("1"), call("2"), call("3")
    waits.source = runs.source = source
    waits.state, runs.state = State.WAITING, State.RUNNING
    scene.method.calls = [waits, runs, of_another]
    (status,) = scene.queues.statuses()
    assert (status.queue, status.method) == (SPEC.queue_name, SPEC.key)
    assert (status.finished, status.failed) == (5, 1)
    assert (status.running, status.waiting) == (1, 1)
    assert (status.concurrency, status.adapts) == (7, True)
