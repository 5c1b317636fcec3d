"""The map of services, of the sums that the console has: who calls whom, in total and lately. Pure.

The map is made of what servers say. A hundred servers with a thousand methods each say the same of
their methods a hundred times. So what they counted is put into one server's mouth, and the others
only say who they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from leveret.client.between import between
from leveret.client.service_map import ServiceMap, service_map
from leveret.client.totals import MethodTotals
from leveret.console.rows import View
from leveret.wire.stats import QueueStats, ServerStats

__all__ = ["map_of"]


def map_of(view: View) -> ServiceMap:
    """The map of what was known after a poll."""
    servers = [row.stats for row in view.instances.values() if not row.is_gone]
    known = [structs.replace(server, methods={}) for server in servers]
    earlier, before = view.earlier
    now = _said_at_once(view.at, {key: row.total for key, row in view.methods.items()})
    return service_map([*known, now], between([_said_at_once(earlier, before)], [now]))


def _said_at_once(at: float, totals: Mapping[str, MethodTotals]) -> ServerStats:
    """All sums as what one server has counted, which began at the beginning of time."""
    return ServerStats(
        uptime=at,
        services=[],
        methods={key: _as_queue(its) for key, its in totals.items()},
    )


def _as_queue(totals: MethodTotals) -> QueueStats:
    return QueueStats(
        method=totals.method,
        finished=totals.finished,
        failed=0,
        running=totals.running,
        concurrency=totals.concurrency,
        handled=totals.handled,
        callers=totals.callers,
    )
