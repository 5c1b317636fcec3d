"""A run: puts up the system, makes the calls, lets the faults strike, and judges."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from leveret import CallError, Service
from tests.faults.judgement import BROKEN, Call, Judge, Verdict
from tests.simulation.aftermath import Aftermath
from tests.simulation.asking import Asked, Crowd
from tests.simulation.deeds import Deed, Here
from tests.simulation.faults import Faults
from tests.simulation.invariants import at_any_time, at_rest
from tests.simulation.keeping import Kept, Notes
from tests.simulation.ledger import Ledger, watched
from tests.simulation.nesting import Front, Nested
from tests.simulation.network import Network
from tests.simulation.once import SharedRecords
from tests.simulation.outliving import OneWay, Started
from tests.simulation.pipes import Piped, Stages
from tests.simulation.plan import Plan, PlannedCall, PlannedDeed, PlannedFault
from tests.simulation.programs import (
    BrokerProgram,
    ClientProgram,
    OperatorProgram,
    ServerProgram,
)
from tests.simulation.stand_ins import buried, in_place
from tests.simulation.streams import Feed, Results, Talk, Uploads
from tests.simulation.trace import Trace
from tests.simulation.work import MemoryDiary
from tests.simulation.world import Process, Stuck, World

_LATEST: Final = 1.0
"""Seconds after the last deadline at which no handler begins any more."""
_LOOK: Final = 0.1
"""Seconds between two looks at what must hold at any time."""
_SETTLED: Final = 65.0
"""Seconds in which nothing is left. Requests whose callers are dead expire in 50 s at most; servers
give up a stream whose caller says nothing 30 s after its last item; and the key of a started call
whose server died is free after 60 s."""
_AFTERMATH_EVERY: Final = 4
"""One of so many runs ends with the aftermath, which takes as long as some hundred calls. Of runs
with many calls, it is one of twice as many."""
_MANY: Final = 500
"""Calls of a run above which its aftermath is rarer."""
_CLOCKS: Final = 0.9
"""Seconds by which a handler may begin late because clocks differ: twice what one may err."""


class _Mistakes(logging.Handler):
    """Takes what Leveret itself calls a mistake of its own."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "please report it" in text or (record.exc_info and "failed" in text):
            who = "?" if self._world.current is None else self._world.current.name
            error = "" if not record.exc_info else repr(record.exc_info[1])
            self._world.complain(who, f"{text} {error}")


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    verdict: Verdict
    digest: str
    """The check sum of all that happened."""
    seconds: float
    """How long it was, on its own clock."""
    broken: list[str] = field(default_factory=list)
    """Invariants that did not hold."""
    cpu: float = 0.0
    """Seconds that it took the processor."""

    @property
    def kept(self) -> bool:
        """Whether all promises were."""
        return self.verdict.kept and not self.broken

    @property
    def kinds(self) -> frozenset[str]:
        """Which kinds of promises were broken."""
        verdict = self.verdict
        kinds = {name for name in BROKEN if getattr(verdict, name)}
        return frozenset(kinds | ({"broken"} if self.broken else set()))


_DEEDS: Final[Mapping[str, Callable[[PlannedDeed, Here], Deed]]] = {
    "results": Results,
    "uploads": Uploads,
    "one_way": OneWay,
    "started": Started,
    "pipe": Piped,
    "ask": Asked,
    "nested": Nested,
    "kept": Kept,
}
"""By their verbs."""
_SERVICES: Final[Mapping[str, type[Feed | Talk | Stages | Crowd | Front | Notes]]] = {
    "results": Feed,
    "uploads": Talk,
    "pipe": Stages,
    "ask": Crowd,
    "nested": Front,
    "kept": Notes,
}
"""What else is served, by the verbs that need it."""


class System:
    """A broker, clients and servers in a world."""

    def __init__(self, plan: Plan, trace: Trace) -> None:
        self.plan = plan
        self.world = World(plan.seed, trace)
        self.network = Network(self.world, plan.seed)
        self.diary = MemoryDiary(lambda: self.world.now)
        self.store = SharedRecords(lambda: self.world.now, self.world.random)
        self.ledger = Ledger(self.world)
        self.calls: list[Call] = []
        self.deeds: list[Deed] = []
        self.processes: dict[str, Process] = {}
        """Those of servers and clients, by their names, also the dead."""
        self.servers: list[ServerProgram] = []
        self.clients: list[ClientProgram] = []
        self.all_servers: list[ServerProgram] = []
        self._client_of: dict[str, Process] = {}
        self._started = 0
        self._left = len(plan.calls) + len(plan.deeds)
        self.broker = BrokerProgram(self.world, self.network)
        self.operator = OperatorProgram(self.world, self.network)
        self.faults = Faults(self, plan, 0.0)

    def run(self) -> Outcome:
        """From the first connection to the last."""
        world = self.world
        broken: list[str] = []
        self.broker.start()
        for _ in range(self.plan.servers):
            self.start_server()
        for _ in range(self.plan.clients):
            self.clients.append(self._new_client())
        try:
            world.run(self._is_up)
            start = world.now
            over = start + self.plan.span
            self.faults = Faults(self, self.plan, over)
            for planned in self.plan.calls:
                world.at(start + planned.at, self._make, planned)
            for deed in self.plan.deeds:
                world.at(start + deed.at, self._do, deed)
            for fault in self.plan.faults:
                world.at(start + fault.at, self._strike, fault)
            world.at(over, self.faults.mend_all)
            self._look()
            world.run(lambda: world.now >= over and not self._left)
            self._wait(_LATEST)
            self.fetch(self.deeds)
            broken += self._settled()
            if not broken and self.plan.seed % self._aftermath_every == 1:
                broken += self._aftermath()
        except Stuck as error:
            broken.append(str(error))
        verdict = self._judge(ended_early=bool(broken))
        if not broken:
            try:
                broken += self._close()
            except Stuck as error:
                broken.append(f"while all was closed: {error}")
        broken += world.complaints
        return Outcome(verdict, world.trace.digest(), world.now, broken)

    @property
    def _aftermath_every(self) -> int:
        return _AFTERMATH_EVERY if len(self.plan.calls) <= _MANY else 2 * _AFTERMATH_EVERY

    def _is_up(self) -> bool:
        return all(server.serves for server in self.servers) and all(
            client.rabbit is not None for client in self.clients
        )

    def _look(self) -> None:
        """See whether what must hold at any time does, again and again.

        :raises Stuck: if it does not: a run may never end in which that happened.
        """
        for broken in at_any_time(self):
            self.world.complain("invariant", broken)
        if self.world.complaints:
            raise Stuck("the run ends here, as what must hold at any time does not")
        self.world.at(self.world.now + _LOOK, self._look)

    def _settled(self) -> list[str]:
        """Wait until nothing is left of the calls. Returns what is left all the same.

        A message may be on its way between a server and the broker, where nobody sees it: so twice.
        """
        end = self.world.now + _SETTLED
        rests = False
        while True:
            left = list(at_rest(self))
            if (not left and rests) or self.world.now >= end:
                return left
            rests = not left
            self._wait(_LOOK)  # not at each event: to look takes long

    def _wait(self, seconds: float) -> None:
        world = self.world
        end = world.now + seconds
        world.at(end, lambda: None)
        world.run(lambda: world.now >= end)

    def _strike(self, fault: PlannedFault) -> None:
        if self.servers or ("server" not in fault.kind and "drain" not in fault.kind):
            self.faults.strike(fault)

    # -- programs ----------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start one more server."""
        self._started += 1
        name = f"server-{self._started}"
        services: list[Service] = [kind(self.diary, name) for kind in self.plan.kinds]
        services += [_SERVICES[v](self.diary, name) for v in self.plan.verbs if v in _SERVICES]
        server = ServerProgram(self.world, self.network, name, services, self.store)
        self.servers.append(server)
        self.all_servers.append(server)
        self.processes[name] = server.process

    def _new_client(self) -> ClientProgram:
        self._started += 1
        name = f"client-{self._started}"
        client = ClientProgram(self.world, self.network, name, self._ended, self._done)
        self.processes[name] = client.process
        return client

    def replace_client(self, client: ClientProgram) -> None:
        """Start a new client in its place, which makes the calls that it has not begun."""
        at = self.clients.index(client)
        new = self.clients[at] = self._new_client()
        for call, how in client.calls:
            if call.began:
                call.cancelled = True  # nobody waits for it any more
                self._ended(call)
            else:
                self._give(new, call, how)
        for deed in client.deeds:
            if deed.at.began:
                deed.at.left = True
                self._done(deed)
            else:
                new.do(deed)

    # -- calls -------------------------------------------------------------------------------

    def _make(self, planned: PlannedCall) -> None:
        how = f"{planned.service.__name__} {dict(planned.options)} {planned.conduct}".strip()
        call = Call(planned.key, planned.idempotent, planned.timeout, planned.kept, how, began=0.0)
        self.calls.append(call)
        self._give(self.clients[planned.client], call, planned)

    def make(self, planned: PlannedCall) -> Call:
        """Make a call of the aftermath."""
        self._left += 1
        call = Call(planned.key, planned.idempotent, planned.timeout, False, "", began=0.0)
        self._give(self.clients[planned.client], call, planned)
        return call

    def _aftermath(self) -> list[str]:
        return list(
            Aftermath(self, self.plan.kinds, random.Random(f"{self.plan.seed} aftermath")).broken()
        )

    def _give(self, client: ClientProgram, call: Call, planned: PlannedCall) -> None:
        self._client_of[call.key] = client.process
        client.make(call, planned)

    def _ended(self, call: Call) -> None:
        self._left -= 1
        self.world.trace.note(self.world.now, "call", str(call))

    # -- what else is done -------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds on the world's clock."""
        return self.world.now

    def _do(self, planned: PlannedDeed) -> None:
        deed = _DEEDS[planned.verb](planned, self)
        self.deeds.append(deed)
        self.clients[planned.client].do(deed)

    def do(self, planned: PlannedDeed) -> Deed:
        """Do something in the aftermath."""
        self._left += 1
        deed = _DEEDS[planned.verb](planned, self)
        self.clients[planned.client].do(deed)
        return deed

    def _done(self, deed: Deed) -> None:
        self._left -= 1
        self.world.trace.note(self.world.now, "deed", str(deed))

    def fetch(self, deeds: Iterable[Deed]) -> None:
        """Have the outcomes of started calls told to a client, now that all is mended.

        Those who started some of them with other arguments, and live, are told theirs.
        """
        waiting = [deed for deed in deeds if isinstance(deed, Started)]
        left = len(waiting)

        def ended(_: object) -> None:
            nonlocal left
            left -= 1

        def begin(client: ClientProgram, fetching: Coroutine[Any, Any, None]) -> None:
            client.process.loop.create_task(fetching).add_done_callback(ended)

        living = {client.name: client for client in self.clients}
        for call in waiting:
            client = self.clients[0]
            client.process.call(begin, client, client.fetch(call))
            starter = living.get(call.client)
            if starter is not None and call.other_handle is not None:
                left += 1
                fetching = starter.fetch_other(call, call.other_handle)
                starter.process.call(begin, starter, fetching)
        self.world.run(lambda: not left)

    def was_dropped(self, key: str, since: float) -> bool:
        """Whether the broker forgot a request since then because it was told to."""
        return self.broker.lost_at > since or self.ledger.dropped_at.get(key, -1.0) > since

    def is_kept(self, key: str) -> bool:
        """Whether a server has had the broker keep a failed request."""
        return key in self.ledger.kept

    def paused(self, name: str, start: float, end: float) -> float:
        """The seconds of a span in which this process stood still."""
        process = self.processes.get(name)
        return 0.0 if process is None else sum(it.within(start, end) for it in process.pauses)

    def killed_at(self, name: str) -> float:
        """When this process was killed; infinity if it was not."""
        return self.processes[name].killed_at

    # -- the judgement -----------------------------------------------------------------------

    def _judge(self, *, ended_early: bool) -> Verdict:
        judge = Judge(
            self._paused,
            begins_late=_CLOCKS,
            killed_at=lambda call: self._client_of[call.key].killed_at,
        )
        calls = [call for call in self.calls if call.ended] if ended_early else self.calls
        verdict = judge.verdict(calls, self.diary.entries, self.faults.struck)
        for deed in self.deeds:
            setattr(verdict, deed.counted, getattr(verdict, deed.counted) + 1)
            verdict.results += deed.at.error is None and not deed.at.left
            if deed.at.ended or deed.at.left or not ended_early:
                _judge(deed, verdict)
        return verdict

    def _paused(self, call: Call, start: float, end: float) -> float:
        """The seconds of a span in which its client or a server of it stood still."""
        entry = self.diary.entries.get(call.key)
        names = set(entry.servers) if entry is not None else set()
        processes = [self.processes[name] for name in names]
        processes.append(self._client_of[call.key])
        return sum(
            pause.within(call.began if pause.suspended else start, end)
            for process in processes
            for pause in process.pauses
        )

    def _close(self) -> list[str]:
        """Close everything, and see that nothing is left. Returns what is."""
        for client in self.clients:
            client.stop()
        self.world.run(lambda: all(client.ended for client in self.clients))
        for server in self.servers:
            server.stop()
        living = [server for server in self.all_servers if server.process.alive]
        self.world.run(lambda: all(server.ended or not server.process.alive for server in living))
        self._wait(0.5)
        return [
            f"{process.name} has a task without an owner: {task.get_coro()}"
            for process in self.processes.values()
            if process.alive
            for task in process.loop.unfinished()
        ]


def _judge(deed: Deed, verdict: Verdict) -> None:
    for name, broken in deed.broken():
        setattr(verdict, name, getattr(verdict, name) + 1)
        verdict.complaints.append(f"{name}: {deed}: {broken}")
    verdict.allowed.update(deed.allowed())
    error = deed.at.error
    if error is not None:
        told = f" {error.executed}" if isinstance(error, CallError) else ""
        verdict.errors[f"{deed.planned.verb} {type(error).__name__}{told}"] += 1


def run(plan: Plan, file: TextIO | None = None, *, collects: bool = True) -> Outcome:
    """Run a plan, in a world of its own.

    :param collects: whether to look for what goes wrong in finalizers of what refers to itself.
    """
    with buried(collects=collects) as others:
        outcome = _run(plan, Trace(file))
    outcome.broken += others
    return outcome


def _run(plan: Plan, trace: Trace) -> Outcome:
    system = System(plan, trace)
    log = logging.getLogger("leveret")
    handler = _Mistakes(system.world)
    log.addHandler(handler)
    try:
        with in_place(system.world, plan.seed), watched(system.ledger):
            return system.run()
    finally:
        log.removeHandler(handler)
