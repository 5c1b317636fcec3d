"""What the console shows: rates, shares and quantiles, made of one poll after the other. Pure.

Servers count since they began. So what happened between two polls is the difference of what each
server said, and the last minute is the sum of some differences. A poll may bring 100,000 queues, of
which most have not changed: only those that have are summed anew.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct, field

from leveret.client.totals import MethodTotals, method_of
from leveret.observe import OK, Histogram
from leveret.wire.stats import QueueStats, ServerStats

__all__ = ["Board", "InstanceRow", "MethodRow", "ServiceRow", "View", "quantile"]

WINDOW: Final = 60.0
"""Seconds that rates, shares and quantiles are of."""
POLLS: Final = 60
"""How many polls a sparkline has."""
GONE_FOR: Final = 60.0
"""Seconds for which an instance is shown that answers no more, and a method that no server has any
more while its service is served."""
FORGOTTEN_AFTER: Final = 900.0
"""Seconds for which a service is shown that nobody serves any more."""


class Tick(Struct, frozen=True, kw_only=True):
    """What became of a method between two polls."""

    poll: int
    """The number of the later one."""
    calls: int
    """How many calls ended."""
    failed: int
    """How many of those with an error."""
    handler: Sequence[int]
    """Their handler times, by bucket."""
    queue: Sequence[int]
    """Their times in queues, by bucket."""


class MethodRow(Struct, frozen=True, kw_only=True):
    """One method, as it is shown."""

    key: str
    """It, as "service.method"."""
    total: MethodTotals
    """All that its servers have counted."""
    calls: int = 0
    """How many calls ended in the window."""
    failed: int = 0
    """How many of those with an error."""
    rate: float = 0.0
    """Calls per second in the window."""
    p50: float | None = None
    """Seconds of handler time that half of the calls did not exceed; None without calls."""
    p95: float | None = None
    """That 95 % did not exceed."""
    queue: float | None = None
    """Seconds in queues that 95 % did not exceed."""
    spark: tuple[float, ...] = ()
    """Calls per second, poll by poll."""
    of_window: bool = False
    """Whether the quantiles are of the window; else they are of all calls since the start."""
    handlers: Histogram = field(default_factory=Histogram)
    """The handler times that the quantiles are of."""
    queues: Histogram = field(default_factory=Histogram)
    """The times in queues, likewise."""

    @property
    def service(self) -> str:
        """Its service."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """Its name in the service."""
        return self.key.partition(".")[2]

    @property
    def share(self) -> float:
        """The share of the window's calls that failed."""
        return self.failed / self.calls if self.calls else 0.0

    @property
    def worst(self) -> tuple[float, ...]:
        """What the worst method has most of."""
        return (not self.total.servers, self.share, self.queue or 0.0, self.p95 or 0.0, self.rate)


class ServiceRow(Struct, frozen=True, kw_only=True):
    """One service, as it is shown."""

    name: str
    """Its name."""
    instances: int
    """How many servers of it answered."""
    missing: int
    """How many did not, by the broker's count."""
    methods: int
    """How many methods it has."""
    versions: tuple[str, ...]
    """The versions of its servers."""
    contracts: int
    """How many different contracts its servers have."""
    calls: int = 0
    """As in `MethodRow`, like the following."""
    failed: int = 0
    rate: float = 0.0
    p50: float | None = None
    p95: float | None = None
    queue: float | None = None
    running: int = 0
    waiting: int = 0
    spark: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """The share of the window's calls that failed."""
        return self.failed / self.calls if self.calls else 0.0

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with it, the worst first."""
        found: list[str] = []
        if not self.instances:
            found.append("no server")
        if self.contracts > 1:
            found.append("contracts differ")
        if self.missing:
            found.append(f"{self.missing} did not answer")
        return tuple(found)

    @property
    def worst(self) -> tuple[float, ...]:
        """What the worst service has most of."""
        trouble = 3 * (not self.instances) + 2 * (self.contracts > 1) + bool(self.missing)
        return (trouble, self.share, self.queue or 0.0, self.p95 or 0.0, self.rate)


class InstanceRow(Struct, frozen=True, kw_only=True):
    """One server, as it is shown."""

    stats: ServerStats
    """What it said last."""
    seen: float
    """When that was, in seconds since 1970."""
    is_gone: bool
    """Whether it did not answer the last time."""
    running: int = 0
    """How many calls have a place."""
    waiting: int = 0
    """How many wait for one."""
    ended: int = 0
    """How many have ended since it began."""
    failed: int = 0
    """How many of those with an error."""


class View(Struct, frozen=True, kw_only=True):
    """All that was known after one poll."""

    number: int = 0
    """Which poll; 0 before the first."""
    at: float = 0.0
    """When, in seconds since 1970."""
    services: dict[str, ServiceRow] = field(default_factory=dict)
    """By name."""
    methods: dict[str, MethodRow] = field(default_factory=dict)
    """By "service.method"."""
    instances: dict[str, InstanceRow] = field(default_factory=dict)
    """By instance."""
    earlier: tuple[float, Mapping[str, MethodTotals]] = (0.0, {})
    """The sums of a while before, and when: for rates of what is not counted here."""

    def of_service(self, name: str) -> list[MethodRow]:
        """Its methods."""
        return [row for row in self.methods.values() if row.service == name]

    def serving(self, name: str) -> list[InstanceRow]:
        """Its servers."""
        return [row for row in self.instances.values() if name in row.stats.services]


class _Method:
    """What is kept of one method between polls."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.parts: dict[tuple[str, str], QueueStats] = {}
        """By instance and queue, what was said last."""
        self.ticks: deque[Tick] = deque(maxlen=POLLS)
        self.row = MethodRow(key=key, total=MethodTotals(method=key))
        self.is_changed = True
        self.served = 0.0
        """When a server had it last, in seconds since 1970."""


class Board:
    """Takes polls, and makes of each what the pages show."""

    def __init__(self) -> None:
        self._methods: dict[str, _Method] = {}
        self._instances: dict[str, InstanceRow] = {}
        self._polls: deque[tuple[int, float]] = deque(maxlen=POLLS)
        self._number = 0
        self._served: dict[str, float] = {}
        self._looks: deque[tuple[float, Mapping[str, MethodTotals]]] = deque(maxlen=2)

    def take(
        self,
        servers: Iterable[ServerStats],
        missing: Mapping[str, int],
        *,
        now: float | None = None,
    ) -> View:
        """Take what all servers said at one moment.

        :param missing: by service, how many did not answer.
        """
        now = time.time() if now is None else now
        before = self._polls[-1][1] if self._polls else None
        self._number += 1
        self._polls.append((self._number, now))
        answered: set[str] = set()
        for server in servers:
            answered.add(server.instance)
            self._take_server(server, now, before)
        self._drop_gone(answered, now)
        self._forget_methods(answered, now)
        for method in self._methods.values():
            method.row = self._method_row(method, now)
            method.is_changed = False
        rows = {key: self._methods[key].row for key in sorted(self._methods)}
        if not self._looks or now - self._looks[-1][0] >= WINDOW / 2:
            self._looks.append((now, {key: row.total for key, row in rows.items()}))
        return View(
            number=self._number,
            at=now,
            services=self._service_rows(rows, missing, now),
            methods=rows,
            instances=dict(self._instances),
            earlier=self._looks[0],
        )

    def _take_server(self, server: ServerStats, now: float, before: float | None) -> None:
        known = self._instances.get(server.instance)
        # Of a server that is new to the console nobody knows when its calls were, but of one that
        # began after the last poll.
        is_new = before is not None and server.uptime <= now - before
        if known is not None and known.is_gone:
            self._mark(server)
        sums = [0, 0, 0, 0]
        for queue, stats in server.methods.items():
            key = method_of(queue, stats)
            method = self._methods.get(key)
            if method is None:
                method = self._methods[key] = _Method(key)
            method.served = now
            ended = sum(stats.handled.values())
            for index, number in enumerate(
                (stats.running, stats.waiting, ended, ended - stats.handled.get(OK, 0))
            ):
                sums[index] += number
            part = server.instance, queue
            previous = method.parts.get(part)
            if previous == stats:
                continue
            method.parts[part] = stats
            method.is_changed = True
            if previous is not None or known is not None or is_new:
                self._add_tick(method, previous, stats)
        self._instances[server.instance] = InstanceRow(
            stats=server,
            seen=now,
            is_gone=False,
            **dict(zip(("running", "waiting", "ended", "failed"), sums, strict=True)),
        )

    def _add_tick(self, method: _Method, previous: QueueStats | None, stats: QueueStats) -> None:
        had = previous or QueueStats(finished=0, failed=0, running=0, concurrency=0)
        calls = sum(stats.handled.values()) - sum(had.handled.values())
        if calls <= 0:
            return
        good = stats.handled.get(OK, 0) - had.handled.get(OK, 0)
        handler = _difference(stats.handler.counts, had.handler.counts)
        queue = _difference(stats.queue.counts, had.queue.counts)
        failed = max(calls - good, 0)
        if method.ticks and method.ticks[-1].poll == self._number:
            last = method.ticks.pop()
            calls, failed = calls + last.calls, failed + last.failed
            handler, queue = _sum(handler, last.handler), _sum(queue, last.queue)
        method.ticks.append(
            Tick(poll=self._number, calls=calls, failed=failed, handler=handler, queue=queue)
        )

    def _drop_gone(self, answered: set[str], now: float) -> None:
        for instance, row in list(self._instances.items()):
            if instance in answered:
                continue
            is_over = now - row.seen > GONE_FOR
            if is_over:
                del self._instances[instance]
            elif not row.is_gone:
                self._instances[instance] = InstanceRow(
                    stats=row.stats, seen=row.seen, is_gone=True, ended=row.ended, failed=row.failed
                )
            if is_over or not row.is_gone:
                self._mark(row.stats, forget=is_over)

    def _forget_methods(self, answered: set[str], now: float) -> None:
        """Forget what no server has any more; a service without servers keeps its methods."""
        live = {name for one in answered for name in self._instances[one].stats.services}
        for key, method in list(self._methods.items()):
            service = key.partition(".")[0]
            is_with_service = service in self._served and service not in live
            if now - method.served > GONE_FOR and not is_with_service:
                del self._methods[key]

    def _mark(self, server: ServerStats, *, forget: bool = False) -> None:
        """Have the methods of a server summed anew.

        What a server said is kept for as long as it may come back: else all its calls would seem to
        have happened at that moment.
        """
        for queue, stats in server.methods.items():
            method = self._methods.get(method_of(queue, stats))
            if method is not None:
                method.is_changed = True
                if forget:
                    method.parts.pop((server.instance, queue), None)

    def _method_row(self, method: _Method, now: float) -> MethodRow:
        if not method.is_changed and not method.ticks and method.row.spark:
            return method.row
        total = method.row.total
        if method.is_changed:
            total = MethodTotals(method=method.key)
            here: set[str] = set()
            for (instance, _), stats in method.parts.items():
                row = self._instances.get(instance)
                if row is not None and not row.is_gone:
                    here.add(instance)
                    total.add(stats)
            total.servers = len(here)
        first, seconds = self._window(now)
        while method.ticks and method.ticks[0].poll < self._polls[0][0]:
            method.ticks.popleft()
        ticks = [tick for tick in method.ticks if tick.poll > first]
        calls = sum(tick.calls for tick in ticks)
        handlers, queues = Histogram(), Histogram()
        for tick in ticks:
            handlers.add(tick.handler, 0.0)
            queues.add(tick.queue, 0.0)
        if not calls:
            handlers, queues = total.handler, total.queue
        return MethodRow(
            key=method.key,
            total=total,
            calls=calls,
            failed=sum(tick.failed for tick in ticks),
            rate=calls / seconds if seconds else 0.0,
            p50=quantile(handlers, 0.5),
            p95=quantile(handlers, 0.95),
            queue=quantile(queues, 0.95),
            spark=self._spark(method.ticks),
            of_window=calls > 0,
            handlers=handlers,
            queues=queues,
        )

    def _window(self, now: float) -> tuple[int, float]:
        """The poll that the window begins at, and the seconds since."""
        for number, at in self._polls:
            if now - at <= WINDOW:
                return number, now - at
        return self._number, 0.0

    def _spark(self, ticks: Iterable[Tick]) -> tuple[float, ...]:
        by_poll = {tick.poll: tick.calls for tick in ticks}
        return tuple(
            by_poll.get(number, 0) / max(at - before, 0.001)
            for (_, before), (number, at) in pairwise(self._polls)
        )

    def _service_rows(
        self, rows: Mapping[str, MethodRow], missing: Mapping[str, int], now: float
    ) -> dict[str, ServiceRow]:
        live: dict[str, list[ServerStats]] = {}
        for row in self._instances.values():
            if not row.is_gone:
                for service in row.stats.services:
                    live.setdefault(service, []).append(row.stats)
                    self._served[service] = now
        for service in missing:
            self._served[service] = now
        for service, at in list(self._served.items()):
            if now - at > FORGOTTEN_AFTER:
                del self._served[service]
                for key in [key for key in self._methods if key.partition(".")[0] == service]:
                    del self._methods[key]
        methods: dict[str, list[MethodRow]] = {}
        for method in rows.values():
            methods.setdefault(method.service, []).append(method)
        return {
            service: _service_row(
                service, live.get(service, []), missing.get(service, 0), methods.get(service, [])
            )
            for service in sorted(self._served)
        }


def _service_row(
    name: str, servers: Sequence[ServerStats], missing: int, methods: Sequence[MethodRow]
) -> ServiceRow:
    handlers, queues = Histogram(), Histogram()
    has_window = any(method.of_window for method in methods)
    for method in methods:
        if method.of_window is has_window:
            handlers.add(method.handlers.counts, 0.0)
            queues.add(method.queues.counts, 0.0)
    longest = max((len(method.spark) for method in methods), default=0)
    sparks = [(0.0,) * (longest - len(method.spark)) + method.spark for method in methods]
    return ServiceRow(
        name=name,
        instances=len(servers),
        missing=missing,
        methods=len(methods),
        versions=tuple(sorted({server.versions.get(name, "") for server in servers} - {""})),
        contracts=len({server.hashes.get(name, "") for server in servers}),
        calls=sum(method.calls for method in methods),
        failed=sum(method.failed for method in methods),
        rate=sum(method.rate for method in methods),
        p50=quantile(handlers, 0.5),
        p95=quantile(handlers, 0.95),
        queue=quantile(queues, 0.95),
        running=sum(method.total.running for method in methods),
        waiting=sum(method.total.waiting for method in methods),
        spark=tuple(sum(point) for point in zip(*sparks, strict=True)),
    )


def quantile(histogram: Histogram, share: float) -> float | None:
    """Seconds that this share of calls did not exceed; None without calls."""
    return histogram.quantile(share) if histogram.count else None


def _difference(counts: Sequence[int], before: Sequence[int]) -> list[int]:
    if len(before) != len(counts):
        return list(counts)
    return [now - then for now, then in zip(counts, before, strict=True)]


def _sum(counts: Sequence[int], others: Sequence[int]) -> list[int]:
    if len(others) != len(counts):
        return list(counts or others)
    return [one + other for one, other in zip(counts, others, strict=True)]
