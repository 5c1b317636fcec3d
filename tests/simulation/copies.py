"""Requests with two copies, once all faults are mended: what is true of one is not of the other.

1. A client hears nothing of a call that runs, and sends it again by its next connection. A server
   refuses that copy, as its time is over.
2. A server that drains hands back what it has not begun, and the queue has no place for the copy.
3. The same, and no binding leads to the queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from leveret import DeadlineExceeded
from leveret.amqp import methods
from tests.faults.judgement import Call, told
from tests.simulation.calm import MENDED, Calm, Mended
from tests.simulation.deeds import Deed
from tests.simulation.outliving import OneWay
from tests.simulation.work import Narrow, Work

_SHORT: Final = 1.0
"""Seconds to the deadline of a call that is sent again."""
_AFTER_IT: Final = 0.03
"""Seconds after that at which servers refuse the copy: its caller still waits for what they say."""
_SLOW: Final = 0.2
"""Seconds that bytes take to and from a server that drains."""
_RUNS: Final = 0.1
"""Seconds that its handlers run."""
_DRAINS: Final = 0.35
"""Seconds after which it is told to drain: its handlers have ended, and the broker does not know of
the drain. So the broker sends it further requests, which it hands back."""
_REFILLED: Final = 0.55
"""Seconds after which the places that those had in the queue are taken by others."""
_CUT_OFF: Final = 0.75
"""Seconds after which the queue has lost its binding. The copies come later."""
_WAITING: Final = 6
"""How many requests there are of each method, two of which run."""


class Copies:
    """Sees what becomes of them.

    :param kinds: the services that are served.
    """

    def __init__(self, system: Mended, calm: Calm, kinds: Sequence[type[Work]]) -> None:
        self._system = system
        self._calm = calm
        self._kinds = kinds

    def broken(self) -> Iterator[str]:
        """What does not work, in words."""
        yield from self._sent_again()
        if Narrow in self._kinds:
            for loses_binding in (False, True):
                yield from self._handed_back(loses_binding=loses_binding)

    def _sent_again(self) -> Iterator[str]:
        system, calm = self._system, self._calm
        client = system.clients[0].process
        wires = calm.wires_of([client])
        for wire in wires:
            wire.client.stall(True)
        made = calm.make(calm.call(kind, timeout=_SHORT, client=0) for kind in self._kinds)
        over = system.world.now + _SHORT + _AFTER_IT
        calm.wait(_SHORT / 4)
        for server in system.servers:
            server.process.pause(over - system.world.now, suspended=False)
        for wire in wires:
            wire.cut(clean=False)
        calm.ended(made)
        for call in made:
            if told(call) == "no" and call.key in system.diary.entries:
                yield f"it ran, and is told that it did not: {call}"

    def _handed_back(self, *, loses_binding: bool) -> Iterator[str]:
        """A server drains while its handlers end; none of the requests that follow may be lost."""
        system, calm = self._system, self._calm
        count = 1 + calm.stop_servers(system.servers[1:])
        for wire in calm.wires_of([system.servers[0].process]):
            wire.delay = _SLOW
        began = system.world.now
        sent = [self._one_way() for _ in range(_WAITING)]
        called = self._call(_WAITING)
        self._wait_until(began + _DRAINS)
        server = system.servers[0]
        server.stop()
        self._wait_until(began + _REFILLED)
        sent += [self._one_way() for _ in range(2)]
        called += self._call(2)
        self._wait_until(began + _CUT_OFF)
        if loses_binding:
            for method in ("narrow.again", "narrow.once"):
                system.operator.operate(
                    methods.Queue.Unbind(
                        queue=f"leveret.{method}", exchange="leveret", routing_key=method
                    )
                )
        calm.until(lambda: server.ended)
        system.servers.remove(server)
        calm.start_servers(count)
        calm.ended(called)
        in_time = system.world.now + MENDED
        ran = [deed for deed in sent if isinstance(deed, OneWay)]
        calm.until(
            lambda: (
                system.world.now >= in_time
                or all(deed.entry.ended for deed in ran if deed.sent or not deed.at.ended)
            )
        )
        yield from calm.well(sent)
        for call in called:
            if isinstance(call.error, DeadlineExceeded):
                yield f"nobody had its request: {call}"

    def _wait_until(self, when: float) -> None:
        self._calm.wait(max(0.0, when - self._system.world.now))

    def _one_way(self) -> Deed:
        """A request that must run, unless the queue has no place for it."""
        deed = self._calm.deed("one_way", Narrow, calm=False)
        assert isinstance(deed, OneWay)
        deed.idempotent, deed.seconds = True, _RUNS
        return deed

    def _call(self, count: int) -> list[Call]:
        """Calls that must not run twice."""
        return self._calm.make(
            self._calm.call(
                Narrow, idempotent=False, seconds=_RUNS, options={"wait_for_server": True}
            )
            for _ in range(count)
        )
