"""The faults: each strikes at its time, harms something by chance, and is mended within seconds."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from leveret.amqp import methods
from leveret.broker.model.arguments import Overflow, read_options
from leveret.broker.node import Node
from tests.simulation.network import Network, Refusal, Wire
from tests.simulation.once import SharedRecords
from tests.simulation.plan import Plan, PlannedFault
from tests.simulation.programs import BrokerProgram, ClientProgram, OperatorProgram, ServerProgram
from tests.simulation.world import Process, World

T = TypeVar("T")

_HANDLES: Final = 40
"""Callbacks that a process which is to be killed still runs, at most."""
_WRITES: Final = 8
"""Writes after which a connection at work is cut, at most."""
_UNDER_WAY: Final = 0.002
"""Seconds after the last one of them at which it is, at most: it has arrived, or an answer has."""
_CLOCK: Final = 0.4
"""Seconds by which a clock is ahead or behind at most."""
_UNBOUNDED: Final = ("leveret.work.again", "leveret.quorum.again")
"""The queues of calls that must have a result: a full queue would refuse them."""

_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "results": ("feed.count", "feed.resumed"),
    "uploads": ("talk.check", "talk.echo"),
    "pipe": ("stages.again", "stages.more", "stages.once", "stages.keyed"),
    "ask": ("crowd.tell", "crowd.act"),
    "nested": ("front.once", "front.again"),
    "kept": ("notes.once", "notes.again", "notes.once.failed", "notes.again.failed"),
}
"""Methods that are served because of what clients do beside calls."""


class Battlefield(Protocol):
    """What there is to harm, and who puts up new programs."""

    world: World
    network: Network
    broker: BrokerProgram
    servers: list[ServerProgram]
    clients: list[ClientProgram]
    operator: OperatorProgram
    store: SharedRecords

    def start_server(self) -> None:
        """Start one more."""
        ...

    def replace_client(self, client: ClientProgram) -> None:
        """Start a new one in its place."""
        ...


class Faults:
    """Strikes, and mends.

    :param plan: the run: what is served.
    :param over: when the last fault is to be mended, in seconds of the world.
    """

    def __init__(self, field: Battlefield, plan: Plan, over: float) -> None:
        self.struck = 0
        """How many there were."""
        self._field = field
        self._over = over
        self._bounded = tuple(
            f"leveret.{kind.__name__.lower()}.{method}"
            for kind in plan.kinds
            for method in ("again", "once")
        )
        self._queues = self._bounded + tuple(
            f"leveret.{method}" for verb in plan.verbs for method in _METHODS.get(verb, ())
        )
        self._mending: list[Callable[[], None]] = []

    def strike(self, planned: PlannedFault) -> None:
        """Cause one."""
        self.struck += 1
        world = self._field.world
        dice = random.Random(planned.seed)
        what = getattr(self, planned.kind)(dice)
        world.trace.note(world.now, "fault", f"{planned.number} {planned.kind} {what}")

    def mend_all(self) -> None:
        """Mend what is not mended yet."""
        mending, self._mending = self._mending, []
        for mend in mending:
            mend()

    def _after(self, seconds: float, mend: Callable[[], None]) -> None:
        """Mend something after a while, at the latest when all faults are over; once."""

        def now() -> None:
            if mend in self._mending:
                self._mending.remove(mend)
                mend()

        self._mending.append(mend)
        world = self._field.world
        world.at(min(world.now + seconds, max(self._over, world.now)), now)

    # -- on the network -----------------------------------------------------------------------

    def _wires(self, dice: random.Random) -> list[Wire]:
        """A connection; seldom all of them."""
        wires = list(self._field.network.wires.values())
        if not wires:
            return []
        return wires if dice.random() < 0.05 else [dice.choice(wires)]

    def cut(self, dice: random.Random) -> object:
        clean = dice.random() < 0.3
        wires = self._wires(dice)
        if dice.random() < 0.5:
            for wire in wires:
                wire.cut(clean=clean)
            return [wire.number for wire in wires]
        # Most steps of a protocol take a moment: few of them meet a cut at any time.
        writes = dice.randint(1, _WRITES)
        for wire in wires:
            wire.cut_at_work(writes, dice.uniform(0.0, _UNDER_WAY), clean=clean)
        self._after(1.0, _each(_spare, wires))
        return [wire.number for wire in wires], writes

    def cut_all_of_one(self, dice: random.Random) -> object:
        """Each new connection of a process breaks soon, for a while."""
        field = self._field
        process = dice.choice(self._processes())
        for n in range(dice.randint(1, 5)):
            field.world.at(field.world.now + n * dice.uniform(0.0, 0.2), self._cut_of, process)
        return process.name

    def _cut_of(self, process: Process) -> None:
        for wire in tuple(self._field.network.wires.values()):
            if wire.client.process is process:
                wire.cut(clean=False)

    def half_open(self, dice: random.Random) -> object:
        wires = self._wires(dice)
        which = dice.choice(("client", "server", "both"))
        for wire in wires:
            if which != "server":
                wire.swallow(wire.client)
            if which != "client":
                wire.swallow(wire.server)
        return [wire.number for wire in wires], which

    def stall(self, dice: random.Random) -> object:
        wires = self._wires(dice)
        both = dice.random() < 0.4
        first = dice.randint(0, 1)
        ends = [end for wire in wires for end in (wire.ends if both else (wire.ends[first],))]
        for end in ends:
            end.stall(True)
        # What is not answered for long is seldom answered then: the connection breaks.
        breaks = dice.random() < 0.3
        mend = _each(_cut, wires) if breaks else _each(lambda end: end.stall(False), ends)
        self._after(dice.uniform(0.01, 1.5), mend)
        return [end.name for end in ends], breaks

    def delay(self, dice: random.Random) -> object:
        wires = self._wires(dice)
        for wire in wires:
            wire.delay = dice.choice((0.001, 0.01, 0.05, 0.2))
        self._after(dice.uniform(0.2, 1.5), _each(_undelay, wires))
        return [wire.number for wire in wires]

    def throttle(self, dice: random.Random) -> object:
        wires = self._wires(dice)
        rate = dice.choice((5_000, 50_000, 500_000))
        for wire in wires:
            wire.rate = rate
        self._after(dice.uniform(0.2, 1.5), _each(_unthrottle, wires))
        return [wire.number for wire in wires], rate

    def refuse(self, dice: random.Random) -> object:
        network = self._field.network
        ways: Sequence[Refusal] = ("refuse", "silence")
        network.refusal = dice.choice(ways)
        for wire in self._wires(dice):
            wire.cut(clean=False)

        def take() -> None:
            network.refusal = None

        self._after(dice.uniform(0.1, 1.0), take)
        return network.refusal

    # -- on processes -------------------------------------------------------------------------

    def _processes(self) -> list[Process]:
        field = self._field
        processes = [server.process for server in field.servers]
        return processes + [client.process for client in field.clients]

    def kill_server(self, dice: random.Random) -> object:
        server = dice.choice(self._field.servers)
        server.process.kill(dice.randint(0, _HANDLES))
        self._field.servers.remove(server)
        self._after(dice.uniform(0.05, 1.0), self._replacer(server))
        return server.name

    def kill_all_servers(self, dice: random.Random) -> object:
        servers, self._field.servers[:] = list(self._field.servers), []
        handles = dice.randint(0, _HANDLES)
        pause = dice.uniform(0.05, 2.0)
        for server in servers:
            server.process.kill(handles)
            self._after(pause, self._replacer(server))
        return [server.name for server in servers]

    def _replacer(self, server: ServerProgram) -> Callable[[], None]:
        """Start a server in place of one that is dead by then."""

        def replace() -> None:
            server.process.kill()
            self._field.start_server()

        return replace

    def kill_client(self, dice: random.Random) -> object:
        client = dice.choice(self._field.clients)
        if not client.process.alive:
            return "none"
        client.process.kill(dice.randint(0, _HANDLES))

        def replace() -> None:
            client.process.kill()
            if client in self._field.clients:  # else it was killed, and replaced, twice
                self._field.replace_client(client)

        self._after(dice.uniform(0.05, 1.0), replace)
        return client.name

    def pause(self, dice: random.Random) -> object:
        process = dice.choice((*self._processes(), self._field.broker.process))
        seconds = dice.choice((0.01, 0.05, 0.2, 0.5, 1.5)) * dice.uniform(0.5, 1.5)
        process.pause(seconds, suspended=dice.random() < 0.3)
        return process.name, seconds

    def clock(self, dice: random.Random) -> object:
        process = dice.choice(self._processes())
        process.wall_error = dice.uniform(-_CLOCK, _CLOCK)

        def set_right() -> None:
            process.wall_error = 0.0

        self._after(dice.uniform(0.5, 5.0), set_right)
        return process.name, process.wall_error

    def drain(self, dice: random.Random) -> object:
        field = self._field
        server = dice.choice(field.servers)
        field.servers.remove(server)
        if dice.random() < 0.5:
            field.start_server()
            field.world.at(field.world.now + dice.uniform(0.0, 0.5), server.stop)
        else:
            server.stop()
            self._after(dice.uniform(0.0, 0.5), field.start_server)
        return server.name

    def rolling_restart(self, dice: random.Random) -> object:
        field = self._field
        servers = list(field.servers)
        for n, server in enumerate(servers):
            self._after(n * dice.uniform(0.1, 0.5), self._restarter(server))
        return [server.name for server in servers]

    def _restarter(self, server: ServerProgram) -> Callable[[], None]:
        def restart() -> None:
            if server in self._field.servers:
                self._field.servers.remove(server)
                self._field.start_server()
                server.stop()

        return restart

    # -- on the broker ------------------------------------------------------------------------

    def kill_broker(self, dice: random.Random) -> object:
        broker = self._field.broker
        if not broker.process.alive:
            return "it is away already"
        before = broker.broker.node if dice.random() < 0.7 else None
        process = broker.process
        process.kill(dice.randint(0, _HANDLES))
        self._after(dice.uniform(0.05, 1.5), lambda: self._start_broker(process, before))
        return "durable things stay" if before is not None else "all is lost"

    def _start_broker(self, ended: Process, before: Node | None) -> None:
        """Start it in place of a process that is dead by then, unless another fault has."""
        broker = self._field.broker
        if broker.process is ended:
            ended.kill()
            broker.start(before)

    def stop_broker(self, dice: random.Random) -> object:
        broker = self._field.broker
        if not broker.process.alive:
            return "it is away already"
        node = broker.broker.node
        process = broker.process
        process.call(lambda: process.loop.create_task(broker.stop()))
        self._after(dice.uniform(1.2, 2.0), lambda: self._start_broker(process, node))
        return ""

    def block(self, dice: random.Random) -> object:
        broker = self._field.broker
        process, it = broker.process, broker.broker
        process.call(it.block_publishers)
        self._after(dice.uniform(0.1, 1.5), lambda: process.call(it.unblock_publishers))
        return ""

    def close_connections(self, dice: random.Random) -> object:
        it = self._field.broker.broker
        self._field.broker.process.call(lambda: it.close_connections("the operator said so"))
        return ""

    def delete_queue(self, dice: random.Random) -> object:
        queue = dice.choice(self._queues)
        self._field.operator.operate(methods.Queue.Delete(queue=queue))
        return queue

    def delete_reply_queue(self, dice: random.Random) -> object:
        client = dice.choice(self._field.clients)
        if client.rabbit is None or not client.process.alive:
            return "none"
        queue = client.rabbit.calls.reply_queue.name
        self._field.operator.operate(methods.Queue.Delete(queue=queue))
        return queue

    def delete_exchange(self, dice: random.Random) -> object:
        exchange = dice.choice(("leveret", "leveret.control"))
        self._field.operator.operate(methods.Exchange.Delete(exchange=exchange))
        return exchange

    def delete_binding(self, dice: random.Random) -> object:
        queue = dice.choice(self._queues)
        key = queue.removeprefix("leveret.")
        self._field.operator.operate(
            methods.Queue.Unbind(queue=queue, exchange="leveret", routing_key=key)
        )
        return queue

    def set_policy(self, dice: random.Random) -> object:
        """A bound on a queue that its servers know nothing of."""
        broker = self._field.broker
        process = broker.process
        name = dice.choice([queue for queue in self._bounded if queue not in _UNBOUNDED])
        length = dice.randint(0, 5)
        overflow = dice.choice((Overflow.REJECT_PUBLISH, Overflow.DROP_HEAD))

        def limit() -> None:
            queue = broker.broker.node.vhosts["/"].queues.get(name)
            if queue is not None:
                # Of a classic queue its own argument counts, and not the policy.
                own = read_options(queue.arguments)
                way = own.overflow if "x-overflow" in queue.arguments else overflow
                queue.set_options(replace(own, max_length=length, overflow=way))

        def lift() -> None:
            queue = broker.broker.node.vhosts["/"].queues.get(name)
            if queue is not None:
                queue.set_options(read_options(queue.arguments))

        process.call(limit)
        self._after(dice.uniform(0.2, 1.5), lambda: broker.process.call(lift))
        return name, length, overflow.value

    # -- on the store -------------------------------------------------------------------------

    def lose_store(self, dice: random.Random) -> object:
        store = self._field.store
        store.away = True

        def back() -> None:
            store.away = False

        self._after(dice.uniform(0.1, 1.5), back)
        return ""


def _each(mend: Callable[[T], None], harmed: Sequence[T]) -> Callable[[], None]:
    def mend_each() -> None:
        for one in harmed:
            mend(one)

    return mend_each


def _cut(wire: Wire) -> None:
    wire.cut(clean=False)


def _spare(wire: Wire) -> None:
    wire.writes_left = 0


def _undelay(wire: Wire) -> None:
    wire.delay = 0.0


def _unthrottle(wire: Wire) -> None:
    wire.rate = None
