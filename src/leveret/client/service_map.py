"""The map of services: who calls whom, how often, and how many calls fail. Pure.

Servers count calls by the name of the caller's connection. A server has its connection's name, too.
So if a server has the name of a caller, the calls are from the services of that server. Otherwise
they are from a program that serves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, field

from leveret.client.totals import method_of
from leveret.observe import OK
from leveret.wire.stats import ServerStats

__all__ = ["UNNAMED", "Affected", "Edge", "Node", "ServiceMap", "Traffic", "service_map"]

UNNAMED: Final = "(unnamed)"
"""The name for callers without one."""


class Traffic(Struct, eq=False, kw_only=True):
    """The number of calls along one edge, or to one node."""

    handled: int = 0
    """How many ended since their servers began."""
    failed: int = 0
    """How many of those ended with an error, of any code."""
    per_second: float | None = None
    """How many ended per second lately; None unless somebody looked twice."""
    failed_per_second: float | None = None
    """How many of those ended with an error."""

    def add(self, handled: int, failed: int) -> None:
        """Add calls that were counted since a server's start."""
        self.handled += handled
        self.failed += failed

    def add_rate(self, handled: int, failed: int, seconds: float) -> None:
        """Add calls that were counted lately, within this number of seconds."""
        if seconds > 0:
            self.per_second = (self.per_second or 0.0) + handled / seconds
            self.failed_per_second = (self.failed_per_second or 0.0) + failed / seconds


class Node(Struct, eq=False, kw_only=True):
    """A service, or a program that calls services and serves none."""

    name: str
    """The service's name, or the name that the program gives itself."""
    is_service: bool
    """Whether it is a service."""
    servers: int = 0
    """How many of its servers answered."""
    traffic: Traffic = field(default_factory=Traffic)
    """All calls of its methods, each counted once."""


class Edge(Struct, eq=False, kw_only=True):
    """The calls of one caller to one service."""

    caller: str
    """The name of a node."""
    service: str
    """The service that is called."""
    shared: bool = False
    """Whether some of the calls may be from another service of the caller's process; such calls
    count for each of them."""
    traffic: Traffic = field(default_factory=Traffic)
    """All of the calls."""
    methods: dict[str, Traffic] = field(default_factory=dict)
    """The calls by method, as "service.method"."""


class Affected(Struct, frozen=True, kw_only=True):
    """A caller that depends on a service, directly or through others."""

    name: str
    """Its name."""
    is_service: bool
    """Whether it is a service."""
    path: tuple[str, ...]
    """The shortest path from it to the service, with both ends."""


class ServiceMap(Struct, eq=False, frozen=True, kw_only=True):
    """Who calls whom, by the names of nodes and callers."""

    nodes: dict[str, Node]
    """All services and programs."""
    edges: list[Edge]
    """All pairs of a caller and the service that it calls."""

    def impact(self, service: str) -> list[Affected]:
        """Who calls a service, directly or through others; the nearest first.

        :raises KeyError: if there is no such service or program.
        """
        callers: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            callers[edge.service].append(edge.caller)
        paths: dict[str, tuple[str, ...]] = {self.nodes[service].name: (service,)}
        ring = [service]
        while ring:
            reached = []
            for called in ring:
                for caller in callers[called]:
                    if caller not in paths:
                        paths[caller] = (caller, *paths[called])
                        reached.append(caller)
            ring = reached
        return [
            Affected(name=name, is_service=self.nodes[name].is_service, path=path)
            for name, path in paths.items()
            if name != service
        ]


def service_map(
    servers: Iterable[ServerStats], lately: Iterable[ServerStats] | None = None
) -> ServiceMap:
    """Make the map from what servers say of their callers.

    :param lately: what `between` makes of two looks at the servers, for the rates.
    """
    drawing = _Drawing(servers)
    for server in lately or ():
        drawing.add_rates(server)
    return drawing.map()


class _Drawing:
    def __init__(self, servers: Iterable[ServerStats]) -> None:
        known = list(servers)
        self._served: dict[str, set[str]] = defaultdict(set)
        """The services of all servers with this name."""
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str], Edge] = {}
        for server in known:
            self._served[server.name].update(server.services)
            for service in server.services:
                self._service(service).servers += 1
        for server in known:
            for traffic, handled, failed in self._counted(server):
                traffic.add(handled, failed)

    def add_rates(self, server: ServerStats) -> None:
        """Add what a server counted lately; the rates become 0 if it counted nothing."""
        for service in server.services:
            for traffic in self._of_service(service):
                traffic.add_rate(0, 0, server.uptime)
        for traffic, handled, failed in self._counted(server):
            traffic.add_rate(handled, failed, server.uptime)

    def _counted(self, server: ServerStats) -> Iterator[tuple[Traffic, int, int]]:
        """Add how many calls ended and failed, to each of these totals."""
        for queue, stats in server.methods.items():
            method = method_of(queue, stats)
            ended = sum(stats.handled.values())
            node = self._service(method.partition(".")[0])
            yield node.traffic, ended, ended - stats.handled.get(OK, 0)
            for caller, counts in stats.callers.items():
                for traffic in self._ways(caller, method):
                    yield traffic, counts.handled, counts.failed

    def _of_service(self, service: str) -> Iterator[Traffic]:
        """All totals in which the calls of a service count."""
        yield self._service(service).traffic
        for edge in self._edges.values():
            if edge.service == service:
                yield edge.traffic
                yield from edge.methods.values()

    def _ways(self, caller: str, method: str) -> Iterator[Traffic]:
        """All totals in which the calls of a caller to a method count."""
        service = method.partition(".")[0]
        sources = sorted(self._served.get(caller, ())) if caller else []
        for name in sources or [self._program(caller or UNNAMED)]:
            edge = self._edges.get((name, service))
            if edge is None:
                edge = self._edges[name, service] = Edge(caller=name, service=service)
            edge.shared |= len(sources) > 1
            yield edge.traffic
            yield edge.methods.setdefault(method, Traffic())

    def _service(self, name: str) -> Node:
        return self._nodes.setdefault(name, Node(name=name, is_service=True))

    def _program(self, name: str) -> str:
        """The name of a program's node, different from any service's name."""
        there = self._nodes.get(name)
        if there is not None and there.is_service:
            name = f"{name} (program)"
        return self._nodes.setdefault(name, Node(name=name, is_service=False)).name

    def map(self) -> ServiceMap:
        return ServiceMap(
            nodes={name: self._nodes[name] for name in sorted(self._nodes)},
            edges=[self._edges[pair] for pair in sorted(self._edges)],
        )
