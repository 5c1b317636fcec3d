"""What is done once all faults are mended, and waited for: calls, deeds, and who serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

from tests.faults.judgement import Call
from tests.simulation.deeds import Deed
from tests.simulation.network import Network, Wire
from tests.simulation.once import SharedRecords
from tests.simulation.plan import Plan, PlannedCall, PlannedDeed
from tests.simulation.programs import (
    BrokerProgram,
    ClientProgram,
    OperatorProgram,
    ServerProgram,
)
from tests.simulation.work import Conduct, MemoryDiary, Narrow, Work
from tests.simulation.world import Process, World

MENDED: Final = 15.0
"""Seconds in which all is as before: connections that are half open are noticed, for example."""
_PATIENT: Final = 25.0
_SOON: Final = 1.0
"""Seconds in which a handler has heard that its caller is gone."""


class Mended(Protocol):
    """The system, with nothing that harms it."""

    world: World
    network: Network
    diary: MemoryDiary
    broker: BrokerProgram
    operator: OperatorProgram
    clients: list[ClientProgram]
    servers: list[ServerProgram]
    store: SharedRecords
    plan: Plan

    def make(self, planned: PlannedCall) -> Call:
        """Make a call now."""
        ...

    def do(self, planned: PlannedDeed) -> Deed:
        """Have a client do something else now."""
        ...

    def fetch(self, deeds: Iterable[Deed]) -> None:
        """Have the outcomes of started calls told to a client."""
        ...

    def start_server(self) -> None:
        """Start one more."""
        ...


class Calm:
    """Makes calls and deeds in a system that nothing harms, and sees how they end."""

    def __init__(self, system: Mended) -> None:
        self._system = system
        self._world = system.world
        self._made = 0

    # -- calls -------------------------------------------------------------------------------

    def call(
        self,
        service: type[Work],
        *,
        idempotent: bool = True,
        timeout: float = _PATIENT,
        seconds: float = 0.0,
        padding: int = 0,
        conduct: Conduct = "",
        client: int | None = None,
        options: dict[str, Any] | None = None,
        give_up: float | None = None,
    ) -> PlannedCall:
        """A call that has not been made yet."""
        self._made += 1
        return PlannedCall(
            at=0.0,
            client=self._made % len(self._system.clients) if client is None else client,
            key=f"after-{self._made}",
            service=service,
            idempotent=idempotent,
            timeout=timeout,
            kept=True,
            seconds=seconds,
            padding=padding,
            conduct=conduct,
            options=options or {},
            give_up=give_up,
        )

    def make(self, calls: Iterable[PlannedCall]) -> list[Call]:
        """Make these calls now."""
        return [self._system.make(call) for call in calls]

    def without_results(self, calls: Sequence[Call]) -> Iterator[str]:
        """Those that end without their results, or ran more than once, in words."""
        self.ended(calls)
        for call in calls:
            entry = self._system.diary.entries.get(call.key)
            if call.error is not None or not call.right:
                yield f"it has no result: {call}, {entry}"
            elif entry is None or len(entry.began) != 1:
                yield f"it ran more than once: {call}, {entry}"

    def ended(self, calls: Sequence[Call]) -> None:
        """Wait until these calls have ended."""
        self.until(lambda: all(call.ended for call in calls))

    # -- deeds -------------------------------------------------------------------------------

    def deed(self, verb: str, kind: type[Work] | None = None, *, calm: bool = True) -> Deed:
        """Do something else now.

        :param kind: the service whose methods it uses; None for any but those with short queues.
        :param calm: whether it must end well.
        """
        self._made += 1
        plan = self._system.plan
        kinds = tuple(kind for kind in plan.kinds if kind is not Narrow)
        if kind is not None:
            kinds = (kind,)
        planned = PlannedDeed(
            at=0.0,
            client=self._made % len(self._system.clients),
            key=f"after-{verb}-{self._made}",
            verb=verb,
            kinds=kinds or plan.kinds,
            seed=f"{plan.seed} after {self._made}",
            calm=calm,
        )
        return self._system.do(planned)

    def well(self, deeds: Sequence[Deed]) -> Iterator[str]:
        """See that all end well."""
        self.until(lambda: all(deed.at.ended for deed in deeds))
        self._system.fetch(deeds)
        self.wait(_SOON)
        for deed in deeds:
            for kind, broken in deed.broken():
                yield f"{kind}: {deed}: {broken}"

    # -- servers and connections -------------------------------------------------------------

    def stop_servers(self, servers: Sequence[ServerProgram] | None = None) -> int:
        """Have servers drain, all of them by default, and wait for that. Returns how many."""
        stopped = list(self._system.servers if servers is None else servers)
        for server in stopped:
            self._system.servers.remove(server)
            server.stop()
        self.until(lambda: all(server.ended for server in stopped))
        return len(stopped)

    def start_servers(self, count: int) -> None:
        """Start so many servers, and wait until they serve."""
        for _ in range(count):
            self._system.start_server()
        self.until(lambda: all(server.serves for server in self._system.servers))

    def wires_of(self, processes: Sequence[Process]) -> list[Wire]:
        """The connections that these processes have opened."""
        wires = self._system.network.wires.values()
        return [wire for wire in wires if wire.client.process in processes]

    # -- time --------------------------------------------------------------------------------

    def until(self, holds: Callable[[], bool]) -> None:
        """Let things happen until this holds."""
        self._world.run(holds)

    def wait(self, seconds: float) -> None:
        """Let things happen for so long."""
        end = self._world.now + seconds
        self._world.at(end, lambda: None)
        self.until(lambda: self._world.now >= end)
