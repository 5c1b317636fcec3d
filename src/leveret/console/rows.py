"""What the console shows of a method, a service and a server, after one poll. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from leveret.client.totals import MethodTotals
from leveret.observe import Histogram
from leveret.wire.stats import ServerStats

__all__ = ["InstanceRow", "MethodRow", "ServiceRow", "View"]


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
    def slowness(self) -> float:
        """Seconds that a slow call of it waits and runs: both at 95 %."""
        return (self.queue or 0.0) + (self.p95 or 0.0)

    @property
    def callers(self) -> list[str]:
        """Who has called it, those with the most calls first; "" for those without a name."""
        callers = self.total.callers
        return sorted(callers, key=lambda name: (-callers[name].handled, name))

    @property
    def worst(self) -> tuple[float, ...]:
        """What the worst method has most of."""
        return (not self.total.servers, self.share, self.slowness, self.rate)


class ServiceRow(Struct, frozen=True, kw_only=True):
    """One service, as it is shown."""

    name: str
    """Its name."""
    instances: int
    """How many servers of it answered."""
    missing: int
    """How many did not, by the broker's count."""
    is_counted: bool = True
    """Whether the broker said how many there are; else more may be missing."""
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
        if self.is_gone:
            found.append("no server")
        elif not self.instances:
            found.append("no answer")
        if self.contracts > 1:
            found.append("contracts differ")
        if self.instances and self.missing:
            found.append(f"{self.missing} did not answer")
        return tuple(found)

    @property
    def is_gone(self) -> bool:
        """Whether there is no server of it."""
        return not self.instances and not self.missing and self.is_counted

    @property
    def slowness(self) -> float:
        """Seconds that a slow call of it waits and runs: both at 95 %."""
        return (self.queue or 0.0) + (self.p95 or 0.0)

    @property
    def worst(self) -> tuple[float, ...]:
        """What the worst service has most of."""
        trouble = 3 * (not self.instances) + 2 * (self.contracts > 1) + bool(self.missing)
        return (trouble, self.share, self.slowness, self.rate)


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

    @property
    def missing(self) -> dict[str, int]:
        """By service, how many servers did not answer."""
        return {name: row.missing for name, row in self.services.items() if row.missing}

    @property
    def uncounted(self) -> list[str]:
        """The services of which the broker did not say how many servers there are."""
        return [name for name, row in self.services.items() if not row.is_counted]

    def of_service(self, name: str) -> list[MethodRow]:
        """Its methods."""
        return [row for row in self.methods.values() if row.service == name]

    def serving(self, name: str) -> list[InstanceRow]:
        """Its servers."""
        return [row for row in self.instances.values() if name in row.stats.services]
