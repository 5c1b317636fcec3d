"""The names of attributes and metrics, as OpenTelemetry's conventions for RPC have them, and ours.

https://opentelemetry.io/docs/specs/semconv/rpc/, schema 1.44. Those of Leveret begin with
`leveret.`: no convention covers what only it knows.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SYSTEM: Final = "rpc.system.name"
METHOD: Final = "rpc.method"
STATUS_CODE: Final = "rpc.response.status_code"
"""Later versions of the conventions call it `rpc.status_code`."""
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

EXECUTED: Final = "leveret.executed"
"""Whether the handler ran: "yes", "no" or "maybe"."""
WHERE: Final = "leveret.where"
"""Of a call whose deadline passed: where it was."""
CALL_ID: Final = "leveret.call.id"
ATTEMPT: Final = "leveret.attempt"
"""The number of an attempt, from 1 on; of a call, how many there were."""
INSTANCE: Final = "leveret.instance"
"""The server's name for itself."""
CALLER: Final = "leveret.caller"
"""The name that the caller gave itself."""
QUEUE_SECONDS: Final = "leveret.queue.duration"
"""Seconds before the call had a place."""
REDELIVERED: Final = "leveret.redelivered"
STAGE: Final = "leveret.stage"
"""The number of a stage of a pipe."""
ITEMS: Final = "leveret.items"
"""How many items of a stream its consumer has taken."""
HANDED_BACK: Final = "leveret.handed_back"
"""True of a call whose request went to another server."""

CLIENT_DURATION: Final = "rpc.client.call.duration"
SERVER_DURATION: Final = "rpc.server.call.duration"
QUEUE_DURATION: Final = "leveret.server.queue.duration"
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""In seconds, as the conventions have them."""

OK: Final = "OK"
AT_FAULT: Final = frozenset(
    {"INTERNAL", "DEADLINE_EXCEEDED", "UNAVAILABLE", "UNIMPLEMENTED", "ABORTED"}
)
"""The codes for which the span of a server is an error. With the others the server did as it
should, and its caller asked for what cannot be."""
