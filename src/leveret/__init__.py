"""Leveret: typed RPC over RabbitMQ.

Public are the names in `__all__` of this module and of others: `leveret.once` has the stores of
idempotency keys, `leveret.blocking` is Leveret without asyncio, `leveret.metrics` has what
Prometheus asks for, `leveret.tracing` what OpenTelemetry is told, `leveret.console` the
console to mount, `leveret.testing` what tests need, `leveret.broker` the embedded broker,
`leveret.contrib.asgi` what web apps of ASGI need, and `leveret.contrib.django` the connection of a
Django project, with `leveret.contrib.django.testing`.
The package `pytest_leveret` is the pytest plugin. All other modules are inner: they may change in
any release, and their names with them.
"""

from msgspec import Meta

from leveret.annotations import Hook
from leveret.client.caller import Caller
from leveret.client.discovered import DiscoveredService
from leveret.client.middleware import CallNext as ClientCallNext
from leveret.client.middleware import Middleware as ClientMiddleware
from leveret.client.middleware import OutgoingCall
from leveret.client.plain import PlainRemote
from leveret.client.policy.breaker import Breaker
from leveret.client.streams.remote_stream import RemoteStream
from leveret.client.survey import Pong, StatsSurvey, Survey
from leveret.client.totals import MethodTotals
from leveret.client.verbs.answers import Answers
from leveret.client.verbs.handle import CallHandle, CallStatus
from leveret.contract import (
    Adaptive,
    Hedge,
    Item,
    Progress,
    Retry,
    Service,
    method,
    service_schema,
)
from leveret.errors import (
    AMQPError,
    Busy,
    CallError,
    Cancelled,
    ChannelClosed,
    CircuitOpen,
    Code,
    ConnectionClosed,
    ConnectionLost,
    ContractError,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    InvalidResult,
    InvalidURL,
    LeveretError,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    ProtocolError,
    RemoteError,
    StreamBroken,
    TopologyError,
    Unauthenticated,
    Unimplemented,
    http_status,
)
from leveret.rabbit import Rabbit, Serving, connect, run
from leveret.server.access import Allow
from leveret.server.call_end import CallEnd
from leveret.server.handlers.execution import CallNext as ServerCallNext
from leveret.server.handlers.execution import Middleware as ServerMiddleware
from leveret.server.server import Server
from leveret.transport.credentials import Credentials
from leveret.transport.link import ConnectionEvent, State
from leveret.transport.reconnect import Reconnect
from leveret.version import __version__ as __version__
from leveret.wire.context import CurrentCall, current_call
from leveret.wire.plain_queue import PlainQueue
from leveret.wire.stats import QueueStats, RunningCall, ServerCalls, ServerIdentity, ServerStats

__all__ = [
    "AMQPError",
    "Adaptive",
    "Allow",
    "Answers",
    "Breaker",
    "Busy",
    "CallEnd",
    "CallError",
    "CallHandle",
    "CallStatus",
    "Caller",
    "Cancelled",
    "ChannelClosed",
    "CircuitOpen",
    "ClientCallNext",
    "ClientMiddleware",
    "Code",
    "ConnectionClosed",
    "ConnectionEvent",
    "ConnectionLost",
    "ContractError",
    "Credentials",
    "CurrentCall",
    "DeadlineExceeded",
    "DeclaredError",
    "DiscoveredService",
    "Hedge",
    "Hook",
    "InvalidArgument",
    "InvalidResult",
    "InvalidURL",
    "Item",
    "LeveretError",
    "MaybeExecuted",
    "Meta",
    "MethodTotals",
    "NoServer",
    "OutgoingCall",
    "PermissionDenied",
    "PlainQueue",
    "PlainRemote",
    "Pong",
    "Progress",
    "ProtocolError",
    "QueueStats",
    "Rabbit",
    "Reconnect",
    "RemoteError",
    "RemoteStream",
    "Retry",
    "RunningCall",
    "Server",
    "ServerCallNext",
    "ServerCalls",
    "ServerIdentity",
    "ServerMiddleware",
    "ServerStats",
    "Service",
    "Serving",
    "State",
    "StatsSurvey",
    "StreamBroken",
    "Survey",
    "TopologyError",
    "Unauthenticated",
    "Unimplemented",
    "connect",
    "current_call",
    "http_status",
    "method",
    "run",
    "service_schema",
]
