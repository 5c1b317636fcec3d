"""What must hold at every moment of a run, and what must be left when all calls have ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from leveret.client.calls.client import Client
from leveret.client.calls.life import State as StateOfCall
from leveret.server.calls.life import WITH_TASK, State
from leveret.server.server import Server
from leveret.server.streams.stream import ServerStream
from leveret.streaming.credit import WINDOW_ITEMS
from leveret.wire.native.failed import FAILED_SUFFIX
from tests.simulation.deeds import Deed
from tests.simulation.network import Network
from tests.simulation.programs import BrokerProgram, ClientProgram, ServerProgram
from tests.simulation.streams import Uploads
from tests.simulation.work import NARROW, MemoryDiary
from tests.simulation.world import Process, World

OUTLIVES: Final = 0.2
"""Seconds after its deadline at which a client must have forgotten a call."""
_BUFFER: Final = 2 * 1024 * 1024 + 262_144
"""Bytes that may wait for a socket: the bound, and the largest message of a run."""


class Watched(Protocol):
    """What is looked at."""

    world: World
    network: Network
    broker: BrokerProgram
    clients: list[ClientProgram]
    all_servers: list[ServerProgram]
    diary: MemoryDiary
    deeds: list[Deed]


def at_any_time(system: Watched) -> Iterator[str]:
    """What does not hold now, in words."""
    for client in system.clients:
        if client.process.alive and client.rabbit is not None:
            for broken in _of_client(client.rabbit.calls, client.process):
                yield f"{client.name}: {broken}"
    for program in system.all_servers:
        if program.process.alive and program.server is not None:
            for broken in of_calls(program.server):
                yield f"{program.name}: {broken}"
    yield from _of_reply_queues(system.broker)
    yield from _of_buffers(system.network)


def _of_reply_queues(broker: BrokerProgram) -> Iterator[str]:
    for vhost in broker.broker.node.vhosts.values():
        for queue in vhost.queues.values():
            if _is_reply(queue.name) and queue.consumers.count > 1:
                yield f"{queue.consumers.count} consumers share the replies of one client"


def _of_buffers(network: Network) -> Iterator[str]:
    for wire in network.wires.values():
        for end in wire.ends:
            size = end.get_write_buffer_size()
            if size > _BUFFER and not end.lost:
                yield f"{end.name}: {size} bytes wait for the socket"


def _of_client(client: Client, process: Process) -> Iterator[str]:
    table = client.table
    streaming = sum(call.state is StateOfCall.STREAMING for call in table.by_id.values())
    if not len(table.by_id) - streaming <= table.deadlines <= len(table.by_id):
        yield f"{table.deadlines} deadlines for {len(table.by_id)} calls, {streaming} stream"
    for _, stream in client._streams._begun.values():
        if len(stream.items) > WINDOW_ITEMS:
            yield f"{len(stream.items)} items of a stream wait, and its window is {WINDOW_ITEMS}"
    now = process.clock()
    paused = max((pause.till for pause in process.pauses), default=0.0)
    if process.world.now < paused + OUTLIVES:
        return
    for call in table.by_id.values():
        late = now - call.started - call.timeout
        if late > OUTLIVES and call.state is not StateOfCall.STREAMING:
            yield f"call {call.id} of {call.method} is there {late:.3f} s after its deadline"


def of_calls(server: Server) -> Iterator[str]:
    """What does not hold of the calls of one server, in words."""
    calls = server.calls()
    for call in calls:
        # A started call that is refused stays until the store has noted why.
        if call.state is State.ENDED and call.incoming.started is None:
            yield f"{call.method} (call {call.id}) is kept though it has ended"
        stream = call.stream
        if isinstance(stream, ServerStream) and stream.results.kept > WINDOW_ITEMS + 1:
            yield f"{stream.results.kept} items are kept, and the window is {WINDOW_ITEMS}"
    taken = Counter(call.method for call in calls if call.state in WITH_TASK)
    for method, count in taken.items():
        if method.startswith("narrow.") and count > NARROW:
            yield f"{count} calls of {method} have places, and there are {NARROW}"


def at_rest(system: Watched) -> Iterator[str]:
    """What is left though all calls have ended, in words."""
    yield from at_any_time(system)
    for client in system.clients:
        if client.rabbit is not None and client.rabbit.in_flight:
            yield f"{client.name}: {client.rabbit.in_flight} calls are in flight"
        if client.rabbit is not None and len(client.rabbit.calls._streams):
            yield f"{client.name}: {len(client.rabbit.calls._streams)} streams are looked after"
    for program in system.all_servers:
        if program.process.alive and program.server is not None:
            for left in _of_server(program.server):
                yield f"{program.name}: {left}"
    yield from _of_handlers(system)
    yield from _of_deeds(system)
    yield from _of_broker(system)


def _of_broker(system: Watched) -> Iterator[str]:
    for vhost in system.broker.broker.node.vhosts.values():
        for queue in vhost.queues.values():
            if not queue.name.startswith("leveret.") or _is_reply(queue.name):
                continue
            if queue.ready and not queue.name.endswith(FAILED_SUFFIX):
                yield f"the broker: {queue.ready} messages wait in {queue.name}"
            # A server that is cut off may have them, without either side knowing that it is.
            unacked = sum(consumer.unacked for consumer in queue.consumers.all())
            if unacked:
                yield f"the broker: {unacked} messages of {queue.name} are not acknowledged"


def _of_handlers(system: Watched) -> Iterator[str]:
    alive = {program.name for program in system.all_servers if program.process.alive}
    for (key, server), count in system.diary.running.items():
        if count and server in alive:
            yield f"{server}: {count} handlers of {key} are at work"


def _of_deeds(system: Watched) -> Iterator[str]:
    alive = {program.name for program in system.clients if program.process.alive}
    for deed in system.deeds:
        if isinstance(deed, Uploads) and deed.sources_open and deed.client in alive:
            yield f"{deed.client}: a source is not closed: {deed}"


def _of_server(server: Server) -> Iterable[str]:
    for call in server.calls():
        yield f"{call.method} (call {call.id}) is {call.state.value!r}"
    if len(server._streams):
        yield f"{len(server._streams)} streams are looked after"


def _is_reply(name: str) -> bool:
    return name.startswith("leveret.reply.")
