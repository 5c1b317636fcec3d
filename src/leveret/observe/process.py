"""All clients and servers of this process, and what those have counted that are gone.

A figure may never fall while its process lives: Prometheus takes that for a new process. So the
counters of a client or server outlive it here. Each is known by a weak reference, and its counters,
which are plain records, by a strong one; once it is gone, they are added to a sum and let go.

Only who makes a client or a server comes by here, no call does.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol
from weakref import ref

from msgspec import Struct

from leveret.observe.client_counters import ClientMethods
from leveret.observe.server_counters import ServerCounters
from leveret.observe.snapshot import Snapshot

ServedQueues = tuple[tuple[str, ServerCounters], ...]
"""The queues of a server: the method of each, as "service.method", and what is counted of it."""


class ConnectionCounters(Struct, eq=False, kw_only=True):
    """What is counted of the connections of one client."""

    reconnects: int = 0
    """How often one was opened again that had broken."""
    late_replies: int = 0
    """How many replies came for which no call waited."""


class Load(Protocol):
    """How one queue of a server stands."""

    @property
    def method(self) -> str:
        """The method that it serves, as "service.method"."""
        ...

    @property
    def running(self) -> int:
        """How many of its calls have a place."""
        ...

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        ...

    @property
    def concurrency(self) -> int:
        """How many calls of its method may have one at a time now."""
        ...


class Serves(Protocol):
    """A server, as far as it is counted here."""

    def loads(self) -> Iterable[Load]:
        """How its queues stand; nothing, once it has ended."""
        ...


class _Server(Struct, eq=False, kw_only=True):
    """A server, and what is counted of it."""

    server: ref[Serves]
    """It, while it lives."""
    queues: ServedQueues
    """Its queues."""

    def add_to(self, sums: Snapshot) -> None:
        """Add what is counted, and how it stands if it still lives."""
        for method, counters in self.queues:
            sums.served_of(method).count(counters)
        server = self.server()
        if server is None:
            return
        limits: dict[str, int] = {}
        for load in server.loads():
            served = sums.served_of(load.method)
            served.running += load.running
            served.waiting += load.waiting
            limits[load.method] = load.concurrency  # several queues of a method share its places
        for method, limit in limits.items():
            sums.served_of(method).concurrency += limit


class _Client(Struct, eq=False, kw_only=True):
    """A client, and what is counted of it."""

    client: ref[object]
    """It, while it lives."""
    methods: ClientMethods
    """Its calls."""
    connections: ConnectionCounters
    """Its connections."""

    def add_to(self, sums: Snapshot) -> None:
        """Add what is counted, and how many calls are in flight if it still lives."""
        lives = self.client() is not None
        for method, counters in self.methods.by_method.copy().items():
            called = sums.called_of(method)
            called.count(counters)
            if lives:
                called.in_flight += counters.in_flight
        sums.reconnects += self.connections.reconnects
        sums.late_replies += self.connections.late_replies


class ProcessCounters:
    """What the clients and servers of one process count."""

    def __init__(self) -> None:
        self._counting: dict[ref[Serves] | ref[object], _Server | _Client] = {}
        self._gone: deque[ref[Serves] | ref[object]] = deque()
        """Those that are gone, and not in `_ended` yet. Who is told that an object is gone may be
        in the middle of anything, so it does no more than this."""
        self._ended = Snapshot()
        self._lock = threading.Lock()

    def add_server(self, server: Serves, queues: ServedQueues) -> None:
        """Count a server, which begins to serve."""
        key = ref(server, self._gone.append)
        self._add(key, _Server(server=key, queues=queues))

    def add_client(
        self, client: object, methods: ClientMethods, connections: ConnectionCounters
    ) -> None:
        """Count a client."""
        key = ref(client, self._gone.append)
        self._add(key, _Client(client=key, methods=methods, connections=connections))

    def snapshot(self) -> Snapshot:
        """What all have counted until now. Any thread may ask."""
        found = Snapshot()
        with self._lock:
            self._fold()
            found.add(self._ended)
            for one in self._counting.values():
                one.add_to(found)
        return found

    def _add(self, key: ref[Serves] | ref[object], one: _Server | _Client) -> None:
        with self._lock:
            self._fold()
            self._counting[key] = one

    def _fold(self) -> None:
        while self._gone:
            one = self._counting.pop(self._gone.popleft(), None)
            if one is not None:
                one.add_to(self._ended)

    def forget(self) -> None:
        """Begin anew, in a process that was forked: what its parent has is the parent's."""
        self._counting, self._ended = {}, Snapshot()
        self._gone.clear()
        self._lock = threading.Lock()  # a thread of the parent may have held it


PROCESS: Final = ProcessCounters()
"""Those of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS.forget)
