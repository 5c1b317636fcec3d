"""Makes of one poll after the other what the console shows: rates, shares and quantiles. Pure.

Servers count since they began. So what happened between two polls is the difference of what each
server said, and the last minute is the sum of some differences. A poll may bring 100,000 queues, of
which most have not changed: only those that have are summed anew.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from leveret.client.totals import MethodTotals, method_of
from leveret.console.figures import Tick, quantile, tick_of, together
from leveret.console.rows import InstanceRow, MethodRow, ServiceRow, View
from leveret.console.service_rows import service_row
from leveret.observe import OK, Histogram
from leveret.wire.stats import QueueStats, ServerStats

__all__ = ["Board"]

WINDOW: Final = 60.0
"""Seconds that rates, shares and quantiles are of."""
POLLS: Final = 60
"""How many polls a sparkline has."""
GONE_FOR: Final = 60.0
"""Seconds for which an instance is shown that answers no more, and a method that no server has any
more while its service is served."""
FORGOTTEN_AFTER: Final = 900.0
"""Seconds for which a service is shown that nobody serves any more."""


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
        self._silent: set[str] = set()
        """Services of which some servers did not answer, or perhaps did not."""
        self._looks: deque[tuple[float, Mapping[str, MethodTotals]]] = deque(maxlen=2)

    def take(
        self,
        servers: Iterable[ServerStats],
        missing: Mapping[str, int],
        uncounted: Collection[str] = (),
        *,
        now: float | None = None,
    ) -> View:
        """Take what all servers said at one moment.

        :param missing: by service, how many did not answer.
        :param uncounted: the services of which the broker did not say how many servers there are.
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
        self._be_silent({*missing, *uncounted})
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
            services=self._service_rows(rows, missing, set(uncounted), now),
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
        tick = tick_of(self._number, previous, stats)
        if tick is None:
            return
        if method.ticks and method.ticks[-1].poll == self._number:
            tick = together(tick, method.ticks.pop())
        method.ticks.append(tick)

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

    def _be_silent(self, services: set[str]) -> None:
        """Take services for silent: they have servers that did not answer, as far as is known."""
        if changed := services ^ self._silent:
            self._silent = services
            for method in self._methods.values():
                if method.key.partition(".")[0] in changed:
                    method.is_changed = True

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
            is_silent = method.key.partition(".")[0] in self._silent
            for (instance, _), stats in method.parts.items():
                row = self._instances.get(instance)
                if row is not None and not row.is_gone:
                    here.add(instance)
                    total.add(stats)
                elif row is not None and is_silent:  # it may be there, and too busy to answer
                    total.add(replace(stats, running=0, waiting=0, concurrency=0))
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
        self,
        rows: Mapping[str, MethodRow],
        missing: Mapping[str, int],
        uncounted: set[str],
        now: float,
    ) -> dict[str, ServiceRow]:
        live: dict[str, list[ServerStats]] = {}
        for row in self._instances.values():
            if not row.is_gone:
                for service in row.stats.services:
                    live.setdefault(service, []).append(row.stats)
                    self._served[service] = now
        for service in (*missing, *uncounted):
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
            service: service_row(
                service,
                live.get(service, []),
                missing.get(service, 0),
                methods.get(service, []),
                is_counted=service not in uncounted,
            )
            for service in sorted(self._served)
        }
