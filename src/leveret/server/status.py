"""Answers the questions about a server itself."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import socket
import time
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from itertools import islice
from math import inf
from typing import Any, TypedDict

from msgspec import Struct

from leveret.contract import ServiceSpec, fingerprint, service_schema
from leveret.observe import BOUNDS, Histogram, ServerCounters
from leveret.server.calls.life import ServerCall
from leveret.version import __version__
from leveret.wire.server_answers import Calls, Contracts, Draining, Info, Ping, Stats, Stopped
from leveret.wire.stats import (
    MOST_CALLS,
    NO_TIMES,
    CallerStats,
    ErrorStats,
    HistogramStats,
    Process,
    QueueStats,
    RunningCall,
)
from leveret.wire.trace_ids import trace_id_of

log = logging.getLogger("leveret.server")


class QueueStatus(Struct, frozen=True, kw_only=True):
    """The state of one queue of a server."""

    queue: str
    """Its name."""
    method: str
    """The method that it serves, as "service.method"."""
    finished: int
    """How many of its requests were answered."""
    failed: int
    """How many of those failed with an exception that the contract does not declare."""
    running: int
    """How many of its calls have a place."""
    waiting: int
    """How many wait for a place."""
    concurrency: int
    """How many calls of its method may run at a time now."""
    adapts: bool
    """Whether that number follows the load."""
    counters: ServerCounters
    """The counters of its requests."""


class _Identity(TypedDict):
    """The fields that all answers have."""

    instance: str
    name: str
    services: list[str]
    calls_for_all: bool
    versions: dict[str, str]
    hashes: dict[str, str]
    metadata: dict[str, dict[str, str]]
    queues: dict[str, str]
    started: float
    process: Process


class Status:
    """Answers who a server is, what it serves, and what it has counted.

    :param instance: the server's name for itself, which no other has.
    :param name: its name for people.
    :param queues: gives the state of each queue.
    :param calls: the calls that are here.
    :param clock: a clock in seconds that never jumps.
    :param starts: whether it takes started calls.
    """

    def __init__(
        self,
        instance: str,
        name: str,
        services: Iterable[ServiceSpec],
        queues: Callable[[], Iterable[QueueStatus]],
        calls: Callable[[], Iterable[ServerCall]],
        clock: Callable[[], float],
        starts: Callable[[], bool] = lambda: False,
    ) -> None:
        self._instance = instance
        self._name = name
        self._services = tuple(services)
        self._queues = queues
        self._calls = calls
        self._clock = clock
        self._starts = starts
        self._started = clock()
        self._started_at = time.time()
        self._process = Process(
            host=socket.gethostname(),
            pid=os.getpid(),
            python=platform.python_version(),
            leveret=__version__,
        )

    @cached_property
    def _schemas(self) -> dict[str, dict[str, Any]]:
        """What it serves. It is made on the first question, as that takes some milliseconds."""
        return {spec.name: _schema_of(spec) for spec in self._services}

    def ping(self) -> Ping:
        """The server's identity."""
        return Ping(**self._identity())

    def info(self) -> Info:
        """What it serves."""
        return Info(
            **self._identity(),
            schemas=self._schemas,
            starts=self._starts(),
        )

    def contracts(self) -> Contracts:
        """The hashes of its contracts."""
        return Contracts(**self._identity(), contracts=self._fingerprints)

    def no_calls(self) -> Calls:
        """The answer for those who may not see its calls."""
        return Calls(**self._identity(), calls=[], total=0, refused=True)

    def calls(self) -> Calls:
        """The calls that it has."""
        now, calls = self._clock(), sorted(self._calls(), key=lambda call: call.arrived)
        return Calls(
            **self._identity(),
            calls=[_running(call, now) for call in islice(calls, MOST_CALLS)],
            total=len(calls),
        )

    def stopped(self, call_ids: Iterable[str], *, refused: bool = False) -> Stopped:
        """Which calls were here that were to be cancelled.

        :param refused: whether the asker may not cancel any.
        """
        stopped = sorted(map(_printable, call_ids))
        return Stopped(**self._identity(), stopped=stopped, refused=refused)

    def draining(self, *, refused: bool = False) -> Draining:
        """The answer to those who want it to drain.

        :param refused: whether the asker may not have it drain.
        """
        return Draining(**self._identity(), draining=not refused, refused=refused)

    def stats(self) -> Stats:
        """Its statistics."""
        return Stats(
            **self._identity(),
            uptime=self._clock() - self._started,
            bounds=list(BOUNDS),
            methods={status.queue: _stats_of(status) for status in self._queues()},
        )

    def schemas(self) -> dict[str, dict[str, Any]]:
        """What it serves: the description of each method that JSON Schema can describe, by key."""
        return {key: it for spec in self._services for key, it in _methods_of(spec).items()}

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {key: it for spec in self._services for key, it in _fingerprints_of(spec).items()}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """By service, a hash of the hashes of its methods."""
        return {
            spec.name: _hash(f"{key} {it}" for key, it in self._of(spec).items())
            for spec in self._services
        }

    def _of(self, spec: ServiceSpec) -> dict[str, str]:
        keys = sorted(method.key for method in spec.methods.values())
        return {key: self._fingerprints[key] for key in keys if key in self._fingerprints}

    def _identity(self) -> _Identity:
        return _Identity(
            instance=self._instance,
            name=self._name,
            services=[spec.name for spec in self._services],
            calls_for_all=True,
            versions={spec.name: spec.version for spec in self._services if spec.version},
            hashes=self._hashes,
            metadata={spec.name: dict(spec.metadata) for spec in self._services if spec.metadata},
            queues={spec.name: queue for spec in self._services for queue in _first_queue(spec)},
            started=self._started_at,
            process=self._process,
        )


@lru_cache(maxsize=128)
def _schema_of(spec: ServiceSpec) -> dict[str, Any]:
    """The description of a service, made once for all servers of a process."""
    return service_schema(spec)


def _methods_of(spec: ServiceSpec) -> dict[str, dict[str, Any]]:
    """The description of each method of a service, by key; none if it has no JSON Schema."""
    try:
        methods = _schema_of(spec)["methods"]
    except TypeError as error:
        log.debug("%s cannot be described: %s", spec.name, error)
        return {}
    return {method["key"]: method for method in methods.values()}


@lru_cache(maxsize=128)
def _fingerprints_of(spec: ServiceSpec) -> dict[str, str]:
    """The hash of each method of a service, by key."""
    return {key: fingerprint(method) for key, method in _methods_of(spec).items()}


def _first_queue(spec: ServiceSpec) -> list[str]:
    return [method.queue_name for method in spec.methods.values()][:1]


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _stats_of(status: QueueStatus) -> QueueStats:
    counters = status.counters
    error = counters.last_error
    return QueueStats(
        method=status.method,
        finished=status.finished,
        failed=status.failed,
        running=status.running,
        concurrency=status.concurrency,
        adapts=status.adapts,
        waiting=status.waiting,
        handled={_printable(code): count for code, count in counters.handled.items()},
        handed_back=counters.handed_back,
        redelivered=counters.redelivered,
        handler=_histogram(counters.handler),
        queue=_histogram(counters.queue),
        bytes_in=counters.bytes_in,
        bytes_out=counters.bytes_out,
        callers={
            _printable(name): CallerStats(handled=counts.handled, failed=counts.failed)
            for name, counts in counters.callers.by_name.items()
        },
        last_error=None
        if error is None
        else ErrorStats(
            code=_printable(error.code),
            message=_printable(error.message),
            call=_printable(error.call_id),
            at=error.at,
            trace=error.trace_id,
        ),
    )


def _printable(text: str) -> str:
    """A stranger's text in a form that can be sent: lone surrogates become "?"."""
    return text.encode("utf-8", "replace").decode()


def _histogram(histogram: Histogram) -> HistogramStats:
    if not histogram.count:
        return NO_TIMES
    return HistogramStats(counts=list(histogram.counts), seconds=histogram.total)


def _running(call: ServerCall, now: float) -> RunningCall:
    progress = None if call.context is None else call.context.last_progress
    return RunningCall(
        id=_printable(call.id),
        method=call.method,
        state=call.state.value,
        caller=_printable(call.incoming.caller),
        user=_printable(call.user),
        age=now - call.arrived,
        left=None if call.ends == inf else call.ends - now,
        redelivered=call.incoming.redelivered,
        fraction=None if progress is None else progress.fraction,
        text="" if progress is None else progress.text,
        trace=trace_id_of(call.incoming.metadata),
    )
