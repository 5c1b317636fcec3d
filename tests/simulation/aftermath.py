"""What must work once all faults are mended: everything, as if nothing had been.

Under faults a call may end in many ways that keep the promise. So a slip that shows in none of them
(a place that is never free again, a claim that is never given up) is looked for here, where only
one end is right. In this order:

1. Connections that are half open, and replies that are lost with a connection.
2. No server for a while, which callers are told.
3. Sockets that are full for a while: requests and replies wait for them, in bounded buffers. Then
   connections of servers that take requests break before the broker hears of that.
4. Calls of each kind: each has its result, or is told exactly what became of it.
5. What clients do beside calls: each stream comes to its end, each request is run once.
6. Keys of which something is known are asked for again: nothing runs twice, and other arguments
   are refused.
7. Requests of which there are two copies: `copies.py`.
8. A rolling restart under load, of which no caller notices anything.
9. Nothing to do for a while, in which no connection breaks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from leveret import InvalidArgument
from tests.faults.judgement import Call, told
from tests.simulation.asking import Asked
from tests.simulation.calm import MENDED, Calm, Mended
from tests.simulation.copies import Copies
from tests.simulation.deeds import Deed
from tests.simulation.nesting import Nested
from tests.simulation.network import End
from tests.simulation.plan import PlannedCall
from tests.simulation.streams import Results, Uploads
from tests.simulation.work import Keyed, Narrow, Work
from tests.simulation.world import Process

_FORGOTTEN: Final = 3.0
"""Seconds after which no client takes a server that it has seen for one that is there."""
_IDLE: Final = 12.0
_FULL: Final = 1.0
"""Seconds in which sockets take nothing."""
_AT_ONCE: Final = 0.004
"""Seconds in which a server has taken a request, if it can."""
_LARGE: Final = 150_000
"""Bytes of the messages that fill them."""
_CLAIM_ENDS: Final = 8.0
"""Seconds after which a server's claim of a key has ended, if it has died."""
_LONG: Final = 4400
"""Items of a long stream: more than a server ever keeps for a client that does not acknowledge."""
_MOVED: Final = 0.4
"""Seconds after which a stream has given some of its items."""
_STOOD_STILL: Final = 0.6
"""Seconds for which a server does nothing; its client waits for longer."""
_STORE_BACK: Final = 4.0
"""Seconds in which what waited for the store has run."""
_GO_ON: Final = ("one_way", "started", "pipe", "nested", "kept")
"""What no rolling restart ends: a stream may last longer than a server has to drain."""
_SOON: Final = 1.0
"""Seconds in which a handler has heard that its caller is gone."""


class Aftermath:
    """Sees whether everything works.

    :param kinds: the services that are served.
    :param dice: for what is drawn.
    """

    def __init__(self, system: Mended, kinds: Sequence[type[Work]], dice: random.Random) -> None:
        self._system = system
        self._world = system.world
        self._kinds = kinds
        self._dice = dice
        self._calm = calm = Calm(system)
        self._copies = Copies(system, calm, kinds)
        self._parts = (
            self._silence,
            self._lost_replies,
            self._no_servers,
            self._full_sockets,
            self._unheard,
            self._each_kind,
            self._deeds,
            self._keys,
            self._copies.broken,
            self._rolling_restart,
        )

    def broken(self) -> Iterator[str]:
        """What does not work, in words.

        :raises Stuck: if it does not end.
        """
        self._calm.wait(MENDED)
        for part in self._parts:
            for what in part():
                yield f"aftermath: {what}"
        wires = self._wires()
        self._calm.wait(_IDLE)
        if self._wires() != wires:
            yield "aftermath: a connection broke that had nothing to do"

    def _wires(self) -> list[int]:
        return list(self._system.network.wires)

    # -- what is tried -----------------------------------------------------------------------

    def _silence(self) -> Iterator[str]:
        """Nothing comes from the broker any more, and nobody says so."""
        for wire in tuple(self._system.network.wires.values()):
            wire.swallow(wire.client)
        self._calm.wait(MENDED)
        yield from self._calm.without_results(
            self._calm.make(self._calm.call(kind) for kind in self._kinds)
        )

    def _lost_replies(self) -> Iterator[str]:
        """Replies are on their way when a client's connection breaks; servers repeat them."""
        plain = [
            self._calm.call(kind, idempotent=False, seconds=0.3, client=0) for kind in self._kinds
        ]
        made = self._calm.make(plain)
        self._calm.wait(0.15)  # the broker has the requests
        self._cut_off(self._system.clients[0].process)
        yield from self._calm.without_results(made)

    def _cut_off(self, process: Process) -> None:
        """Lose what is on its way to a process, and its connection."""
        wires = self._calm.wires_of([process])
        for wire in wires:
            wire.client.stall(True)
        self._calm.wait(0.3)
        for wire in wires:
            wire.cut(clean=False)

    def _no_servers(self) -> Iterator[str]:
        """Who was told that no server listens is not surprised by one that starts."""
        system = self._system
        count = self._calm.stop_servers()
        self._calm.wait(_FORGOTTEN)
        made = self._calm.make(self._calm.call(kind, idempotent=False) for kind in self._kinds)
        self._calm.ended(made)
        self._calm.start_servers(count)
        self._calm.wait(MENDED)
        for call in made:
            if call.key in system.diary.entries:
                yield f"it ran after its caller was told that no server listens: {call}"

    def _full_sockets(self) -> Iterator[str]:
        """First the broker does not read what a client sends, then not what servers send.

        A call that may run twice would be sent again, as no server can say that it has it.
        """
        system = self._system
        wide = next((kind for kind in self._kinds if kind is not Narrow), None)
        if wide is None:
            return  # its queues are too short for that
        ends = self._stalled([system.clients[0].process])
        large = self._calm.call(wide, idempotent=False, padding=_LARGE, client=0)
        made = self._calm.make(replace(large, key=f"large-{n}") for n in range(22))
        yield from self._read_again(ends, made)
        ends = self._stalled([server.process for server in system.servers])
        made = self._calm.make(
            self._calm.call(wide, idempotent=False, conduct="talks") for _ in range(36)
        )
        self._calm.wait(_FULL / 4)
        # Their places are free once their replies have left, behind the others.
        if Narrow in self._kinds:
            made += self._calm.make(self._calm.call(Narrow, idempotent=False) for _ in range(4))
        yield from self._read_again(ends, made)

    def _stalled(self, processes: Sequence[Process]) -> list[End]:
        ends = [wire.server for wire in self._calm.wires_of(processes)]
        for end in ends:
            end.stall(True)
        return ends

    def _read_again(self, ends: Sequence[End], calls: Sequence[Call]) -> Iterator[str]:
        self._calm.wait(_FULL)
        for end in ends:
            end.stall(False)
        yield from self._calm.without_results(calls)

    def _unheard(self) -> Iterator[str]:
        """Servers take requests that must not wait, and are cut off before it is heard."""
        servers = [server.process for server in self._system.servers]
        self._stalled(servers)
        hurried = {"if_busy": "fail"}
        made = self._calm.make(
            self._calm.call(kind, idempotent=again, timeout=2.0, seconds=1.0, options=hurried)
            for kind in self._kinds
            for again in (True, False)
        )
        self._calm.wait(_AT_ONCE)
        for wire in self._calm.wires_of(servers):
            wire.cut(clean=False)
        self._calm.ended(made)
        self._calm.wait(MENDED)
        for call in made:
            if call.key in self._system.diary.entries:
                yield f"its handler began, and its caller could not hear of it: {call}"

    def _each_kind(self) -> Iterator[str]:
        make, new = self._system.make, self._calm.call
        for _ in range(2):  # what the first calls spoil, the second ones notice
            calls = [
                make(new(kind, idempotent=again, timeout=2.0, seconds=seconds, client=client))
                for kind in self._kinds
                for again in (True, False)
                for seconds in (0.0, 0.3)
                for client in range(1 if kind is Narrow else len(self._system.clients))
            ]
            late = [
                make(new(kind, idempotent=again, timeout=0.4, seconds=1.0))
                for kind in self._kinds
                for again in (True, False)
            ]
            gone = [make(new(kind, seconds=4.0, give_up=0.15)) for kind in self._kinds]
            yield from self._calm.without_results(calls)
            self._calm.ended(late)
            for call in late:
                if told(call) != "yes":
                    yield f"its handler was cut off, and it is not told so: {call}"
            self._calm.ended(gone)
            self._calm.wait(_SOON)
            for call in gone:
                entry = self._system.diary.entries.get(call.key)
                if entry is not None and entry.runs_now:
                    yield f"its handler works on though nobody waits for it: {call}"
            free = [make(new(kind, options={"if_busy": "fail"})) for kind in self._kinds]
            yield from self._calm.without_results(free)

    def _deeds(self) -> Iterator[str]:
        """What clients do beside calls, one kind after the other."""
        for verb in self._system.plan.verbs:
            deeds = [self._calm.deed(verb) for _ in range(4)]
            yield from self._calm.well(deeds)
            yield from self._not_all(deeds)
        if "results" in self._system.plan.verbs:
            yield from self._slow_consumer()
            yield from self._lost_items()
            yield from self._moved_streams()
        if "uploads" in self._system.plan.verbs:
            yield from self._left_upload()
        if "one_way" in self._system.plan.verbs:
            yield from self._broker_restarts()
        if "nested" in self._system.plan.verbs:
            yield from self._left_calls()
        if "ask" in self._system.plan.verbs:
            yield from self._lost_answers(self._system.clients[0].process)
            yield from self._lost_answers(self._system.servers[0].process)
            yield from self._late_answers()
        if Keyed in self._kinds:
            self._system.store.away = True
            sent = [self._calm.deed("one_way", Keyed) for _ in range(2)]
            self._calm.wait(_FULL)
            self._system.store.away = False
            self._calm.until(lambda: all(deed.at.ended for deed in sent))
            self._calm.wait(_STORE_BACK)
            yield from self._calm.well(sent)

    def _not_all(self, deeds: Sequence[Deed]) -> Iterator[str]:
        """Calls of all servers that have not reached all."""
        count = len(self._system.servers)
        for deed in deeds:
            if isinstance(deed, Asked) and deed.whom == "all" and len(deed.told) != count:
                yield f"there are {count} servers: {deed}"

    def _slow_consumer(self) -> Iterator[str]:
        """One that takes its time, while an invariant looks at its window; and one that leaves."""
        slow, leaving = self._calm.deed("results"), self._calm.deed("results")
        for deed in (slow, leaving):
            assert isinstance(deed, Results)
            deed.n, deed.pause, deed.taking, deed.padding = _LONG, 0.0, 0.002, 0
        assert isinstance(leaving, Results)
        leaving.pause, leaving.leaves_after = 0.05, 2
        yield from self._calm.well([slow, leaving])
        if leaving.entry.runs_now:
            yield f"its handler works on though its consumer has left: {leaving}"

    def _lost_items(self) -> Iterator[str]:
        """Items are on their way when a client's connection breaks; its server sends them again."""
        streams = [self._calm.deed("results") for _ in self._system.clients]
        for deed in streams:
            assert isinstance(deed, Results)
            deed.n, deed.pause, deed.taking, deed.padding = 100, 0.01, 0.0, 0
        self._calm.wait(0.3)
        self._cut_off(self._system.clients[0].process)
        yield from self._calm.well(streams)

    def _left_calls(self) -> Iterator[str]:
        """Callers leave, and what their handlers have called ends with these."""
        made = [self._calm.deed("nested") for _ in range(2)]
        for deed in made:
            assert isinstance(deed, Nested)
            deed.seconds, deed.gives_up = 4.0, 0.15
        yield from self._calm.well(made)
        for deed in made:
            assert isinstance(deed, Nested)
            if deed.entry.runs_now or deed.inner.runs_now:
                yield f"handlers work on though their caller has left: {deed}, {deed.inner}"

    def _lost_answers(self, process: Process) -> Iterator[str]:
        """Answers of all servers are on their way when a connection of one side breaks."""
        asked = [self._calm.deed("ask") for _ in self._system.clients]
        for deed in asked:
            assert isinstance(deed, Asked)
            deed.whom, deed.seconds, deed.steps = "all", 0.3, 3
        self._calm.wait(0.15)  # the servers have the requests
        self._cut_off(process)
        yield from self._calm.well(asked)
        yield from self._not_all(asked)

    def _late_answers(self) -> Iterator[str]:
        """One of the servers stands still while all are asked: its client waits for it."""
        self._system.servers[0].process.pause(_STOOD_STILL, suspended=False)
        asked = [self._calm.deed("ask") for _ in self._system.clients]
        for deed in asked:
            assert isinstance(deed, Asked)
            deed.whom, deed.seconds, deed.steps = "all", 0.0, 1
        yield from self._calm.well(asked)
        yield from self._not_all(asked)

    def _moved_streams(self) -> Iterator[str]:
        """A server is killed, then the others drain: streams that resume go on elsewhere."""
        system, calm = self._system, self._calm
        streams = [calm.deed("results") for _ in range(2 * len(system.servers))]
        for deed in streams:
            assert isinstance(deed, Results)
            deed.resumes, deed.fails = True, False
            deed.n, deed.pause, deed.taking, deed.padding = 60, 0.02, 0.0, 0
        calm.wait(_MOVED)
        killed, *others = system.servers
        system.servers.remove(killed)
        killed.process.kill()
        calm.start_servers(1)
        calm.start_servers(calm.stop_servers(others))
        yield from calm.well(streams)

    def _left_upload(self) -> Iterator[str]:
        """A consumer leaves a dialogue whose upload waits until its server takes more."""
        deed = self._calm.deed("uploads")
        assert isinstance(deed, Uploads)
        deed.is_dialogue, deed.leaves_after = True, 3
        deed.n, deed.pause, deed.taking = 700, 0.0, 0.01
        yield from self._calm.well([deed])
        if deed.sources_open:
            yield f"its source is open though nobody asks for more: {deed}"

    def _broker_restarts(self) -> Iterator[str]:
        """Requests wait for a server when the broker is killed, and are there when it is back."""
        system = self._system
        count = self._calm.stop_servers()
        sent = [self._calm.deed("one_way") for _ in range(2)]
        self._calm.until(lambda: all(deed.at.ended for deed in sent))
        broker = system.broker
        node = broker.broker.node
        broker.process.kill()
        self._calm.wait(0.3)
        broker.start(node)
        self._calm.start_servers(count)
        self._calm.wait(MENDED)
        yield from self._calm.well(sent)

    def _keys(self) -> Iterator[str]:
        """A key is asked for again: after its call was cut off, and after its server died."""
        if Keyed not in self._kinds:
            return
        system, diary = self._system, self._system.diary
        cut_off, orphan = self._keyed("cut-off"), self._keyed("orphan")
        self._calm.ended([system.make(cut_off)])
        orphaned = system.make(orphan)
        self._calm.until(lambda: orphan.key in diary.entries or bool(orphaned.ended))
        entry = diary.entries.get(orphan.key)
        for server in [s for s in system.servers if entry is not None and s.name in entry.servers]:
            system.servers.remove(server)
            server.process.kill()
            system.start_server()
        self._calm.ended([orphaned])
        self._calm.wait(_CLAIM_ENDS)
        for how in (cut_off, orphan):
            began = self._times_begun(how.key)
            again, other = system.make(how), system.make(replace(how, padding=1))
            self._calm.ended([again, other])
            if self._times_begun(how.key) != began:
                yield f"a call ran whose key was used before: {again}, {other}"
            elif told(again) == "no":
                yield f"it is told that a key was not used, which was: {again}"
            elif not isinstance(other.error, InvalidArgument):
                yield f"its arguments are others than those of the key's first call: {other}"

    def _times_begun(self, key: str) -> int:
        entry = self._system.diary.entries.get(key)
        return 0 if entry is None else len(entry.began)

    def _keyed(self, key: str) -> PlannedCall:
        return self._calm.call(
            Keyed,
            idempotent=False,
            timeout=0.5,
            seconds=1.0,
            options={"idempotency_key": key},
        )

    def _rolling_restart(self) -> Iterator[str]:
        world, system = self._world, self._system
        calls: list[Call] = []
        deeds: list[Deed] = []
        verbs = [verb for verb in system.plan.verbs if verb in _GO_ON]
        if set(self._kinds) == {Narrow}:
            verbs = []  # so much at a time does not fit into its queues

        def load() -> None:
            deeds.extend(self._calm.deed(verb) for verb in verbs)
            for kind in self._kinds:
                again = self._dice.random() < 0.5
                seconds = self._dice.choice((0.0, 0.02, 0.3))
                calls.append(system.make(self._calm.call(kind, idempotent=again, seconds=seconds)))

        begin, old = world.now, list(system.servers)
        for n in range(8 * len(old)):
            world.at(begin + 0.5 * n / 4, load)
        for n, server in enumerate(old):
            system.servers.remove(server)
            system.start_server()
            new = system.servers[-1]
            world.run(lambda new=new: new.serves)  # type: ignore[misc]
            server.stop()
            self._calm.wait(max(0.0, begin + 0.9 * (n + 1) - world.now))
        self._calm.wait(0.5)
        yield from self._calm.without_results(calls)
        yield from self._calm.well(deeds)
