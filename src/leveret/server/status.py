"""What a server says of itself to those who ask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from msgspec import UNSET, Struct

from leveret.contract import ServiceSpec, fingerprint, service_schema
from leveret.wire.control import Contracts, Info, MethodStats, Ping, Stats

log = logging.getLogger("leveret.server")


class QueueStatus(Struct, frozen=True, kw_only=True):
    """How one queue of a server stands."""

    queue: str
    """Its name."""
    finished: int
    """How many of its requests were answered."""
    failed: int
    """How many of those had a handler that raised what its contract does not declare."""
    running: int
    """How many of its calls have a place."""
    waiting: int
    """How many wait for one."""
    concurrency: int
    """How many calls of its method may run at a time now."""
    adapts: bool
    """Whether that number follows the load."""


class Status:
    """Answers who a server is, what it serves, and how it stands.

    :param instance: the server's name for itself, which no other has.
    :param name: the name that people gave it.
    :param queues: how each queue stands at this moment.
    :param clock: seconds that go on steadily.
    :param starts: whether it takes started calls.
    """

    def __init__(
        self,
        instance: str,
        name: str,
        services: Iterable[ServiceSpec],
        queues: Callable[[], Iterable[QueueStatus]],
        clock: Callable[[], float],
        starts: Callable[[], bool] = lambda: False,
    ) -> None:
        self._instance = instance
        self._name = name
        self._services = tuple(services)
        self._queues = queues
        self._clock = clock
        self._starts = starts
        self._started = clock()

    def ping(self) -> Ping:
        """Who it is."""
        return Ping(
            instance=self._instance, name=self._name, services=self._names(), calls_for_all=True
        )

    def info(self) -> Info:
        """What it serves."""
        return Info(
            instance=self._instance,
            name=self._name,
            services=self._names(),
            schemas={spec.name: service_schema(spec) for spec in self._services},
            starts=self._starts(),
        )

    def contracts(self) -> Contracts:
        """The hashes of its contracts."""
        return Contracts(
            instance=self._instance,
            name=self._name,
            services=self._names(),
            contracts=self._fingerprints,
        )

    def schemas(self) -> dict[str, dict[str, Any]]:
        """What it serves: the description of each method that JSON Schema can describe, by key."""
        found: dict[str, dict[str, Any]] = {}
        for spec in self._services:
            try:
                methods = service_schema(spec)["methods"]
            except TypeError as error:
                log.debug("%s cannot be described: %s", spec.name, error)
            else:
                found.update({method["key"]: method for method in methods.values()})
        return found

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {key: fingerprint(method) for key, method in self.schemas().items()}

    def stats(self) -> Stats:
        """How it stands."""
        return Stats(
            instance=self._instance,
            name=self._name,
            services=self._names(),
            uptime=self._clock() - self._started,
            methods={
                status.queue: MethodStats(
                    finished=status.finished,
                    failed=status.failed,
                    running=status.running,
                    concurrency=status.concurrency,
                    waiting=status.waiting if status.adapts else UNSET,
                )
                for status in self._queues()
            },
        )

    def _names(self) -> list[str]:
        return [spec.name for spec in self._services]
