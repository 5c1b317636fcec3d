"""What servers and clients count of their calls: the one source of all statistics. Pure.

`stats` on the wire, Prometheus, OpenTelemetry, the console and `leveret top` read it. Who runs a
call counts it, at the place where it ends.
"""

from leveret.observe.callers import OTHERS, CallerCounts, Callers
from leveret.observe.client_counters import OTHER, ClientCounters, ClientMethods
from leveret.observe.histogram import BOUNDS, Exemplar, Histogram
from leveret.observe.process import PROCESS, ConnectionCounters, ServedQueues
from leveret.observe.server_counters import OK, LastError, ServerCounters
from leveret.observe.snapshot import Called, Served, Snapshot, total
from leveret.observe.uncounted import BATCH

__all__ = [
    "BATCH",
    "BOUNDS",
    "OK",
    "OTHER",
    "OTHERS",
    "PROCESS",
    "Called",
    "CallerCounts",
    "Callers",
    "ClientCounters",
    "ClientMethods",
    "ConnectionCounters",
    "Exemplar",
    "Histogram",
    "LastError",
    "Served",
    "ServedQueues",
    "ServerCounters",
    "Snapshot",
    "total",
]
