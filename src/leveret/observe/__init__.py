"""What servers and clients count of their calls: the one source of all statistics. Pure.

`stats` on the wire, Prometheus, OpenTelemetry, the console and `leveret top` read it. Who runs a
call counts it, at the place where it ends.
"""

from leveret.observe.callers import OTHERS, CallerCounts, Callers
from leveret.observe.client_counters import ClientCounters, ClientMethods
from leveret.observe.histogram import BOUNDS, Histogram
from leveret.observe.server_counters import OK, LastError, ServerCounters

__all__ = [
    "BOUNDS",
    "OK",
    "OTHERS",
    "CallerCounts",
    "Callers",
    "ClientCounters",
    "ClientMethods",
    "Histogram",
    "LastError",
    "ServerCounters",
]
