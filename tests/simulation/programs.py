"""The programs of a simulated system: its broker, its servers and its clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import leveret
from leveret import CallError, CallHandle, LeveretError, Rabbit, Reconnect, Service
from leveret.amqp import methods
from leveret.broker.embedded import EmbeddedBroker
from leveret.broker.node import Node
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from tests.faults.judgement import Call
from tests.simulation.deeds import Deed
from tests.simulation.disk import restore
from tests.simulation.nesting import Front
from tests.simulation.network import Network
from tests.simulation.once import SharedRecords, SimulatedOnce
from tests.simulation.outliving import Started
from tests.simulation.plan import PlannedCall
from tests.simulation.work import Work, answer_to
from tests.simulation.world import Process, World

HOST: Final = "10.0.0.1"
PORT: Final = 5672
URL: Final = f"amqp://guest:guest@{HOST}:{PORT}/?heartbeat=2"
"""Heartbeats that notice a broker which vanished within the deadlines of the calls."""
_SOON: Final = Reconnect(first=0.05, most=0.5)
_HUNG: Final = 60.0
"""Seconds after its deadline at which a call is waited for no longer."""
_GRACE: Final = 5.0
"""Seconds that running calls get in a drain."""


class BrokerProgram:
    """The broker: one process after the other at one address, and what they keep."""

    def __init__(self, world: World, network: Network) -> None:
        self.process: Process
        self.broker: EmbeddedBroker
        self._world = world
        self._network = network
        self._starts = 0
        self.lost_at = -1.0
        """When it lost all that it had last."""

    def start(self, before: Node | None = None) -> None:
        """Start it.

        :param before: whose durable things it has; None for none.
        """
        self._starts += 1
        if before is None:
            self.lost_at = self._world.now
        process = Process(self._world, f"broker-{self._starts}", self._network.of, booted=-1.0)
        self.process = process
        self.broker = broker = EmbeddedBroker(HOST, PORT)

        async def main() -> None:
            await broker.start()
            if before is not None:
                restore(before, broker.node)

        process.start(main(), "broker")

    async def stop(self) -> None:
        """Tell its clients, and end. To be run in its process."""
        await self.broker.close()


class ServerProgram:
    """A server, and the supervisor that starts it again where it does not come up."""

    def __init__(
        self,
        world: World,
        network: Network,
        name: str,
        services: Sequence[Service],
        store: SharedRecords,
    ) -> None:
        self.name = name
        self.serves = False
        """Whether it has started, and does not drain."""
        self.ended = False
        """Whether it has drained and closed its connection."""
        self.server: leveret.Server | None = None
        self.process = Process(world, name, network.of)
        self._services = services
        self._store = store
        self._stopped = False
        self._stop: asyncio.Event
        self.main = self.process.start(self._run(), "serve")

    @property
    def runs(self) -> bool:
        """Whether it is neither dead nor told to stop."""
        return self.process.alive and not self._stopped

    def stop(self) -> None:
        """Tell it to drain, as SIGTERM does."""
        self._stopped = True
        self.process.call(self._end)

    def _end(self) -> None:
        self._stop.set()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        while not self._stop.is_set():
            try:
                await self._serve()
            except LeveretError:
                await asyncio.sleep(0.2)  # as a supervisor would
        self.ended = True

    async def _serve(self) -> None:
        async with leveret.connect(
            URL, name=self.name, reconnect=_SOON, wait_for_broker=60
        ) as rabbit:
            for service in self._services:
                if isinstance(service, Front):
                    service.rabbit = rabbit
            self.server = server = await rabbit.serving(
                *self._services, grace=_GRACE, once=SimulatedOnce(self._store), blocked_after=None
            )
            self.serves = True
            await self._stop.wait()
            self.serves = False
            await server.close()


class ClientProgram:
    """A client and its callers."""

    def __init__(
        self,
        world: World,
        network: Network,
        name: str,
        ended: Callable[[Call], None],
        done: Callable[[Deed], None],
    ) -> None:
        self.name = name
        self.process = Process(world, name, network.of)
        self.rabbit: Rabbit | None = None
        self.ended = False
        self.calls: list[tuple[Call, PlannedCall]] = []
        """The calls that it was given, and that have not ended."""
        self.deeds: list[Deed] = []
        """What else it was given to do, and has not done."""
        self._world = world
        self._on_end = ended
        self._on_done = done
        self._remotes: dict[object, Work] = {}
        self._stop: asyncio.Event
        self._connected: asyncio.Event
        self.main = self.process.start(self._run(), "client")

    def _end(self) -> None:
        self._stop.set()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        self._connected = asyncio.Event()
        while not self._stop.is_set():
            try:
                async with leveret.connect(
                    URL, name=self.name, reconnect=_SOON, wait_for_broker=60
                ) as rabbit:
                    self.rabbit = rabbit
                    self._connected.set()
                    await self._stop.wait()
            except LeveretError:
                await asyncio.sleep(0.2)
        self.ended = True

    def stop(self) -> None:
        """Tell it to close its connection."""
        self.process.call(self._end)

    def make(self, call: Call, how: PlannedCall) -> None:
        """Make a call, as soon as it is connected."""
        self.calls.append((call, how))
        self.process.call(self._begin, call, how)

    def _begin(self, call: Call, how: PlannedCall) -> None:
        task: Any = self.process.loop.create_task(self._make(call, how))
        if how.give_up is not None:
            self.process.loop.call_later(how.give_up, task.cancel)

    async def _make(self, call: Call, how: PlannedCall) -> None:
        now = self._world
        try:
            await self._connected.wait()
            remote = self._remote(how)
            method = remote.again if how.idempotent else remote.once
            call.began = now.now
            async with asyncio.timeout(call.timeout + _HUNG):
                result = await method(how.key, how.seconds, "x" * how.padding, how.conduct)
            call.right = result == answer_to(how.key, how.conduct)
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        except SystemExit as error:
            call.error = error
        except Exception as error:
            call.error = error
            if not isinstance(error, CallError):
                self._world.complain(self.name, f"call {how.key} ended with {error!r}")
        finally:
            call.ended = now.now
            call.overdue = True  # the world's clock tells
            self.calls.remove((call, how))
            self._on_end(call)

    def do(self, deed: Deed) -> None:
        """Do something else, as soon as it is connected."""
        self.deeds.append(deed)
        deed.client = self.name
        self.process.call(lambda: self.process.loop.create_task(self._do(deed)))

    async def _do(self, deed: Deed) -> None:
        try:
            await self._connected.wait()
            assert self.rabbit is not None
            await deed.run(self.rabbit)
        finally:
            self.deeds.remove(deed)
            self._on_done(deed)

    async def fetch(self, call: Started) -> None:
        """Get the outcome of a started call."""
        await self._connected.wait()
        assert self.rabbit is not None
        await call.fetch(self.rabbit)

    async def fetch_other(self, call: Started, handle: CallHandle[str]) -> None:
        """Get the outcome of its start with other arguments, which was made here."""
        await self._connected.wait()
        await call.fetch_other(handle)

    def _remote(self, how: PlannedCall) -> Work:
        """Kept, as users keep theirs."""
        key = (how.service, how.timeout, *sorted(how.options.items(), key=str))
        remote = self._remotes.get(key)
        if remote is None:
            assert self.rabbit is not None
            remote = self.rabbit.remote(how.service).with_options(
                timeout=how.timeout, **how.options
            )
            self._remotes[key] = remote
        return remote


class OperatorProgram:
    """Somebody who deletes things on the broker."""

    def __init__(self, world: World, network: Network) -> None:
        self.process = Process(world, "operator", network.of)

    def operate(self, method: methods.AMQPMethod) -> None:
        """Have the broker do this."""
        self.process.call(lambda: self.process.loop.create_task(self._operate(method)))

    async def _operate(self, method: methods.AMQPMethod) -> None:
        try:
            connection = await open_connection(
                parse_url(URL), name="operator", max_message_size=1024
            )
        except LeveretError:
            return  # another fault is faster
        try:
            channel = await connection.open_channel()
            await channel.call(method)
        except LeveretError:
            pass  # what it was to harm is not there, or the connection broke
        finally:
            await connection.close()
