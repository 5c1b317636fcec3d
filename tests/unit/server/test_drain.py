"""The sequence of a drain, on a real connection, with handlers that the test holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from leveret import Service, method
from leveret.amqp import methods
from leveret.amqp.frames import method_frame
from leveret.contract import spec_of
from leveret.once import MemoryOnce
from leveret.server.calls.kept_replies import KeptReplies
from leveret.server.calls.life import Life, Stop
from leveret.server.calls.table import CallTable, EarlyCancels
from leveret.server.drain import Drain
from leveret.server.handlers.execution import Executor
from leveret.server.method.shared import Shared
from leveret.server.method_server import MethodServer
from leveret.server.streams.registry import Streams
from leveret.server.subscription import Subscription
from leveret.transport.link import Link
from leveret.wire.native.dialect import NativeServer
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.unit.server.calls.making import NOBODY


async def _nothing_to_wait_for() -> None:
    """No failed request is being kept."""


class Desk(Service):
    """Works until it is let go; some work does not let itself be cancelled."""

    def __init__(self) -> None:
        self.began = 0
        self.stubborn = False
        self.go = asyncio.Event()

    @method(concurrency=1)
    async def work(self) -> int:
        self.began += 1
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
        return self.began


class Announcer:
    watching = False

    def watch(self) -> None:
        self.watching = True


class Scene:
    """A server of one method, without what is not needed for a drain."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.desk = Desk()
        self.spec = spec_of(self.desk).methods["work"]
        self.table = CallTable()
        self.method = MethodServer(
            self.spec,
            Executor(self.desk, self.spec, 1),
            Shared(
                life=Life(time.monotonic),
                table=self.table,
                kept=KeptReplies(time.monotonic),
                streams=Streams(asyncio.get_running_loop(), lambda _call: None, time.monotonic),
                early_cancels=EarlyCancels(time.monotonic),
                announcer=Announcer(),
                once=MemoryOnce(),
                instance="b47af560",
                user_of=lambda request, _own_user: request.user,
                reply_elsewhere=lambda _frames: None,
                publish_next=NOBODY.publish,
                publish_confirmed=lambda *_: None,
                keep_failed=lambda *_: None,
                failed_kept=_nothing_to_wait_for,
                max_message_size=1000,
                send_tracebacks=False,
            ),
            adaptive=False,
            guard=None,
            loop=link.loop,
        )
        self.queue = Subscription(
            self.spec,
            NativeServer(),
            self.method,
            remembers=True,
            publish_confirmed=lambda *_: None,
            ready=_at_once,
            announce=_at_once,
            restore=link.restore,
            deleted=link.restore,
        )
        self.method.serve_queue(self.queue)
        self.drain = Drain(
            link,
            [(self.queue, self.method)],
            self.table,
            cancel_running=self._cancel_running,
            abandon_running=self._abandon_running,
            clock=time.monotonic,
        )

    def _cancel_running(self) -> None:
        for call in self.table.all():
            self.method.stop(call, Stop.DRAIN)

    def _abandon_running(self) -> None:
        for call in self.table.all():
            self.method.abandon(call)

    async def serve(self, raw: RawPeer, requests: int = 1) -> None:
        """Attach, and take some requests, of which one runs."""
        await self.queue.attach(self.link.connection)
        for n in range(requests):
            raw.request(self.spec.key, b"{}", correlation_id=str(n), expiration="30000")
        await until(lambda: self.desk.began == 1, "the first runs")

    def start(self, grace: float = 30) -> asyncio.Task[None]:
        return asyncio.create_task(self.drain.run(grace, ()))


async def _at_once() -> None:
    pass


@pytest.fixture
async def scene(link: Link) -> AsyncIterator[Scene]:
    made = Scene(link)
    yield made
    made.desk.go.set()
    await until(lambda: not made.table, "no handler runs any more")
    made.method.close()
    await link.release(made.queue)
    await made.queue.close()


async def test_what_runs_ends_and_what_waits_goes_to_another_server(
    scene: Scene, raw: RawPeer
) -> None:
    await scene.serve(raw, requests=2)
    draining = scene.start()
    assert (await raw.reply()).properties.type == "accepted"
    await until(lambda: scene.method.draining, "it drains")
    other = await raw.take(scene.spec.queue_name)
    assert (await other.get()).properties.correlation_id == "1"
    assert not draining.done()
    scene.desk.go.set()
    await draining
    assert (await raw.reply()).properties.type == "result"
    assert await raw.consumers(scene.spec.queue_name) == 1  # the other one
    assert scene.desk.began == 1


async def test_after_the_grace_handlers_are_cancelled(
    scene: Scene, raw: RawPeer, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.serve(raw)
    async with at_once():
        await scene.drain.run(0.01, ())
    told = f"cancelling what still runs after the grace: {scene.spec.key} (call 0)"
    assert told in caplog.messages
    assert (await raw.reply()).properties.type == "accepted"
    assert (await raw.failure())["code"] == "CANCELLED"


async def test_a_drain_can_be_cut_short(scene: Scene, raw: RawPeer) -> None:
    await scene.serve(raw)
    draining = scene.start()
    await raw.reply()
    scene.drain.cut_short()
    async with at_once():
        await draining
    assert (await raw.failure())["code"] == "CANCELLED"


async def test_a_handler_that_refuses_to_end_holds_nothing_up(scene: Scene, raw: RawPeer) -> None:
    scene.desk.stubborn = True
    await scene.serve(raw)
    async with at_once():
        await scene.drain.run(0, ())
    await raw.reply()
    assert (await raw.failure())["code"] == "CANCELLED"
    assert not scene.table


async def test_a_broker_that_reads_again_as_a_drain_begins_leaves_no_consumer(
    scene: Scene, raw: RawPeer
) -> None:
    await scene.serve(raw)
    connection = scene.link.connection
    connection.data_received(method_frame(0, methods.Connection.Blocked(reason="low on memory")))
    draining = scene.start()
    await asyncio.sleep(0)
    connection.data_received(method_frame(0, methods.Connection.Unblocked()))
    async with at_once():
        await draining
    await until_found(lambda: raw.consumers(scene.spec.queue_name), 0, "it takes no more")


async def test_without_a_connection_a_drain_ends_at_once(scene: Scene, raw: RawPeer) -> None:
    await scene.serve(raw)
    await scene.link.close()
    async with at_once():
        await scene.start()
    assert not scene.table


async def test_a_broker_that_takes_no_publishes_cuts_a_drain_short(
    scene: Scene, raw: RawPeer
) -> None:
    await scene.serve(raw)
    draining = scene.start()
    await raw.reply()
    connection = scene.link.connection
    connection.blocked = "the test says so"
    for tell in tuple(connection.on_blocked):
        tell(connection.blocked)
    scene.drain.cut_short()
    async with at_once():
        await draining
    connection.blocked = ""
    assert not scene.table


async def test_a_queue_that_is_being_declared_again_is_waited_for(
    scene: Scene, raw: RawPeer
) -> None:
    await scene.serve(raw)
    scene.desk.go.set()
    declared = asyncio.Event()
    declaring = asyncio.create_task(_wait(declared))
    draining = asyncio.create_task(scene.drain.run(30, {declaring}))
    await asyncio.sleep(0)
    assert not scene.method.draining
    declared.set()
    async with at_once():
        await draining
    assert scene.method.draining


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
