"""What `leveret top` shows: methods by what they did lately, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from leveret.cli.tables import amount, duration, rate, table
from leveret.client.between import between
from leveret.client.survey import StatsSurvey
from leveret.client.totals import MethodTotals, totals
from leveret.observe import OK, Histogram

__all__ = [
    "KEYS",
    "Lately",
    "Sort",
    "described",
    "frame",
    "lately",
    "lines_of",
    "ordered",
    "quantile_text",
]


class Sort(StrEnum):
    """By what methods are sorted, the highest first; names from a to z."""

    FAILED = "failed"
    P95 = "p95"
    QUEUE = "queue"
    CALLS = "calls"
    RUNNING = "running"
    WAITING = "waiting"
    METHOD = "method"


KEYS: Final = {
    "f": Sort.FAILED,
    "p": Sort.P95,
    "u": Sort.QUEUE,
    "c": Sort.CALLS,
    "r": Sort.RUNNING,
    "w": Sort.WAITING,
    "m": Sort.METHOD,
}
"""The keys that sort."""

_HEADS: Final = (
    *("METHOD", ">CALLS/S", ">FAILED/S", ">RUN", ">WAIT", ">P50", ">P95", ">QUEUE P95"),
    *(">SERVERS", "FAILURES"),
)


class Lately(Struct, frozen=True, kw_only=True):
    """What the servers did between two looks."""

    methods: list[MethodTotals]
    """What was counted between them; states are those of the second one."""
    seconds: float
    """From the first to the second; 0 if nobody answered both."""
    servers: int
    """How many servers answered both."""


def lately(before: StatsSurvey, after: StatsSurvey) -> Lately:
    """What the servers did between two looks at them."""
    servers = between(before.servers, after.servers)
    spans = [server.uptime for server in servers]
    return Lately(
        methods=list(totals(servers).values()),
        seconds=sum(spans) / len(spans) if spans else 0.0,
        servers=len(servers),
    )


_ORDERS: Final[dict[Sort, Callable[[MethodTotals], float]]] = {
    Sort.FAILED: lambda one: one.failed,
    Sort.P95: lambda one: one.handler.quantile(0.95),
    Sort.QUEUE: lambda one: one.queue.quantile(0.95),
    Sort.CALLS: lambda one: one.ended,
    Sort.RUNNING: lambda one: one.running,
    Sort.WAITING: lambda one: one.waiting,
    Sort.METHOD: lambda one: 0.0,
}


def ordered(methods: Sequence[MethodTotals], sort: Sort) -> list[MethodTotals]:
    """Methods with the worst first; those that are alike by what they had to do."""
    value = _ORDERS[sort]
    if sort is Sort.METHOD:
        return sorted(methods, key=lambda one: one.method)
    return sorted(methods, key=lambda one: (-value(one), -one.ended, one.method))


def lines_of(seen: Lately, sort: Sort) -> list[str]:
    """The table of what was seen; nothing where there is no method."""
    rows = [_row(one, seen.seconds) for one in ordered(seen.methods, sort)]
    return table(_HEADS, rows) if rows else []


def frame(
    seen: Lately, sort: Sort, notes: Sequence[str], *, columns: int, rows: int, interval: float
) -> list[str]:
    """The lines of a screen of this size.

    :param notes: what is to be said besides: who did not answer, or why nobody could be asked.
    """
    ended = sum(one.ended for one in seen.methods)
    failed = sum(one.failed for one in seen.methods)
    running = sum(one.running for one in seen.methods)
    waiting = sum(one.waiting for one in seen.methods)
    keys = ", ".join(f"{key} {sort_}" for key, sort_ in KEYS.items())
    rates = f"{_per_second(ended, seen)} calls/s, {_per_second(failed, seen)} failed/s"
    states = f"{running} running, {waiting} waiting"
    heads = [
        f"{seen.servers} servers, {len(seen.methods)} methods, {rates}, {states}",
        f"every {interval:g} s, by {sort}; keys: {keys}; q quit",
        *notes,
        "",
    ]
    lines = lines_of(seen, sort)
    room = max(rows - len(heads) - 1, 2)
    if len(lines) > room:
        more = len(lines) - room + 1
        lines = [*lines[: room - 1], f"... and {more} more methods"]
    return [line[:columns] for line in (*heads, *lines)]


def described(seen: Lately, sort: Sort) -> list[dict[str, Any]]:
    """What was seen, as `--json` has it; times in seconds."""
    return [
        {
            "method": one.method,
            "calls_per_second": _rate(one.ended, seen),
            "failed_per_second": _rate(one.failed, seen),
            "handled": one.handled,
            "running": one.running,
            "waiting": one.waiting,
            "handler": {"p50": one.handler.quantile(0.5), "p95": one.handler.quantile(0.95)},
            "queue": {"p50": one.queue.quantile(0.5), "p95": one.queue.quantile(0.95)},
            "servers": one.servers,
        }
        for one in ordered(seen.methods, sort)
    ]


def _row(one: MethodTotals, seconds: float) -> tuple[str, ...]:
    codes = sorted(one.handled.items(), key=lambda pair: (-pair[1], pair[0]))
    return (
        one.method,
        rate(one.ended / seconds if seconds else None),
        rate(one.failed / seconds if seconds else None),
        str(one.running),
        str(one.waiting),
        quantile_text(one.handler, 0.5),
        quantile_text(one.handler, 0.95),
        quantile_text(one.queue, 0.95),
        str(one.servers),
        ", ".join(f"{code} {amount(count)}" for code, count in codes if code != OK),
    )


def quantile_text(times: Histogram, share: float) -> str:
    """The duration that this share did not exceed; "-" where there were none."""
    return duration(times.quantile(share)) if times.count else "-"


def _rate(count: int, seen: Lately) -> float | None:
    return count / seen.seconds if seen.seconds else None


def _per_second(count: int, seen: Lately) -> str:
    return rate(_rate(count, seen)) or "?"
