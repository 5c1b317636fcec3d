"""The random faults of `make chaos`: on the network, on the broker, on servers and their store."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from leveret import ChannelClosed, Rabbit
from leveret.amqp import methods
from leveret.testing import Corrupt, Cut, FaultProxy, after_frame, inside_frame
from leveret.testing.faults.actions import Directions, Gone
from leveret.testing.faults.moments import Direction
from tests.behaviour.raw import RawPeer
from tests.faults.programs import Programs
from tests.once.servers import RedisServer
from tests.rabbitmq.broker import RabbitMQ

_GONE: Final[tuple[Gone, ...]] = ("broker", "client", "network")
_ONE_WAY: Final[tuple[Direction, ...]] = ("to_broker", "to_client")
_WAYS: Final[tuple[Directions, ...]] = (*_ONE_WAY, "both")
_QUEUES: Final = (
    *(
        f"leveret.{service}.{method}"
        for service in ("work", "keyed", "threaded")
        for method in ("again", "once")
    ),
    *(f"leveret.stages.{stage}" for stage in ("one", "two", "two_once", "three")),
)
"""Those that may be lost. With a queue of started calls or of one-way requests those are lost."""

Fault = Callable[[], Coroutine[Any, Any, None]]
Weights = dict[Fault, int]
"""How likely each is."""


class Battlefield(Protocol):
    """What there is to harm."""

    broker: RabbitMQ
    proxies: list[FaultProxy]
    programs: Programs
    clients: list[Rabbit]
    store: RedisServer


class ChaosFaults:
    """Causes one fault after the other, and mends it within seconds.

    :param dice: decides everything; the same seed makes the same choices.
    """

    def __init__(self, field: Battlefield, dice: random.Random) -> None:
        self._field = field
        self._dice = dice
        self.on_the_network: Weights = {
            self.cut: 8,
            self.cut_at_a_frame: 12,
            self.half_open: 3,
            self.stall: 6,
            self.stall_for_good: 1,
            self.corrupt: 4,
            self.delay: 4,
            self.throttle: 3,
            self.refuse: 3,
        }
        self.on_machines: Weights = {
            self.close_connections: 2,
            self.delete_queue: 2,
            self.delete_reply_queue: 1,
            self.delete_exchange: 2,
            self.delete_binding: 1,
            self.block: 2,
            self.kill_server: 4,
            self.kill_all_servers: 1,
            self.freeze_server: 2,
            self.restart_server: 3,
            self.rolling_restart: 2,
            self.kill_broker: 1,
            self.stop_broker: 1,
            self.kill_store: 1,
            self.freeze_store: 1,
        }

    def next(self, weights: Weights) -> tuple[str, Fault]:
        """One of them, by chance, and what it is called."""
        [fault] = self._dice.choices(list(weights), list(weights.values()))
        return fault.__name__.replace("_", " "), fault

    # -- on the network -----------------------------------------------------------------------

    @property
    def _proxy(self) -> FaultProxy:
        return self._dice.choice(self._field.proxies)

    async def cut(self) -> None:
        self._proxy.cut(clean=self._dice.random() < 0.3)

    async def cut_at_a_frame(self) -> None:
        moment = after_frame(self._dice.randint(1, 60), self._dice.choice(_ONE_WAY))
        rule = self._proxy.when(moment, Cut())
        await self._a_while(0.5, 1)
        rule.remove()

    async def half_open(self) -> None:
        self._proxy.half_open(self._dice.choice(_GONE))

    async def stall(self) -> None:
        proxy = self._proxy
        proxy.stall(self._dice.choice(_WAYS))
        await self._a_while(0.1, 1.5)
        proxy.resume()

    async def stall_for_good(self) -> None:
        for connection in self._field.proxies[0].connections:
            connection.stall(self._dice.choice(_WAYS))

    async def corrupt(self) -> None:
        # The type of a frame: what a check sum would find, TLS for instance, is found here.
        moment = inside_frame(self._dice.randint(1, 60), 0, self._dice.choice(_ONE_WAY))
        rule = self._proxy.when(moment, Corrupt(replace=0x7F))
        await self._a_while(0.5, 1)
        rule.remove()

    async def delay(self) -> None:
        proxy = self._proxy
        proxy.delay(0.05, jitter=0.15, direction=self._dice.choice(_WAYS))
        await self._a_while(0.5, 1.5)
        proxy.delay(0)

    async def throttle(self) -> None:
        proxy = self._proxy
        proxy.throttle(self._dice.randint(50_000, 500_000))
        await self._a_while(0.5, 1.5)
        proxy.throttle(None)

    async def refuse(self) -> None:
        proxy = self._proxy
        proxy.refuse(self._dice.choice(("refuse", "hang_up", "silence")))
        proxy.cut()
        await self._a_while(0.2, 1)
        proxy.accept()
        proxy.cut()  # those that were met with silence

    # -- by operators -------------------------------------------------------------------------

    async def close_connections(self) -> None:
        await asyncio.to_thread(self._field.broker.close_connections, "chaos")

    async def delete_queue(self) -> None:
        await self._delete(self._dice.choice(_QUEUES))

    async def delete_reply_queue(self) -> None:
        await self._delete(self._dice.choice(self._field.clients).calls.reply_queue.name)

    async def delete_exchange(self) -> None:
        exchange = self._dice.choice(("leveret", "leveret.control"))
        await self._operate(methods.Exchange.Delete(exchange=exchange))

    async def delete_binding(self) -> None:
        queue = self._dice.choice(_QUEUES)
        key = queue.removeprefix("leveret.")
        await self._operate(methods.Queue.Unbind(queue=queue, exchange="leveret", routing_key=key))

    async def _delete(self, queue: str) -> None:
        await self._operate(methods.Queue.Delete(queue=queue))

    async def _operate(self, method: methods.AMQPMethod) -> None:
        peer = await RawPeer.open(self._field.broker.url)
        try:
            await peer.channel.call(method)
        except ChannelClosed:
            pass  # what it was to harm is not there: the fault before it is not mended yet
        await peer.close()

    async def block(self) -> None:
        await asyncio.to_thread(self._field.broker.block_publishers)
        await self._a_while(0.3, 1.5)
        await asyncio.to_thread(self._field.broker.unblock_publishers)

    # -- on servers ---------------------------------------------------------------------------

    async def kill_server(self) -> None:
        programs = self._field.programs
        await programs.kill(self._dice.choice(programs.running))
        await programs.start()

    async def kill_all_servers(self) -> None:
        programs = self._field.programs
        number = len(programs.running)
        await asyncio.gather(*map(programs.kill, tuple(programs.running)))
        await programs.start(number)

    async def freeze_server(self) -> None:
        program = self._dice.choice(self._field.programs.running)
        os.kill(program.pid, signal.SIGSTOP)
        await self._a_while(0.3, 1.5)
        os.kill(program.pid, signal.SIGCONT)

    async def restart_server(self) -> None:
        programs = self._field.programs
        await programs.end(self._dice.choice(programs.running))
        await programs.start()

    async def rolling_restart(self) -> None:
        await self._field.programs.restart_each()

    # -- on the broker ------------------------------------------------------------------------

    async def kill_broker(self) -> None:
        await asyncio.to_thread(self._field.broker.kill)
        await asyncio.to_thread(self._field.broker.start)

    async def stop_broker(self) -> None:
        await asyncio.to_thread(self._field.broker.restart)

    # -- on the store of idempotency keys -----------------------------------------------------

    async def kill_store(self) -> None:
        await asyncio.to_thread(self._field.store.kill)
        await self._a_while(0.1, 1)
        await asyncio.to_thread(self._field.store.start)

    async def freeze_store(self) -> None:
        self._field.store.freeze()
        await self._a_while(0.1, 1)
        self._field.store.thaw()

    async def _a_while(self, least: float, most: float) -> None:
        await asyncio.sleep(self._dice.uniform(least, most))
