"""Leveret: typed RPC over RabbitMQ."""

from msgspec import Meta

from leveret.client.breaker import Breaker
from leveret.client.options import Middleware as ClientMiddleware
from leveret.client.options import OutgoingCall
from leveret.contract import Adaptive, Hedge, Retry, Service, method, service_schema
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
    TopologyError,
    Unauthenticated,
    Unimplemented,
)
from leveret.rabbit import Rabbit, connect, run
from leveret.server.access import Allow
from leveret.server.execution import Middleware as ServerMiddleware
from leveret.transport.credentials import Credentials
from leveret.transport.link import ConnectionEvent, Reconnect, State
from leveret.wire.context import CurrentCall, current_call

__all__ = [
    "AMQPError",
    "Adaptive",
    "Allow",
    "Breaker",
    "Busy",
    "CallError",
    "Cancelled",
    "ChannelClosed",
    "CircuitOpen",
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
    "Hedge",
    "InvalidArgument",
    "InvalidResult",
    "InvalidURL",
    "LeveretError",
    "MaybeExecuted",
    "Meta",
    "NoServer",
    "OutgoingCall",
    "PermissionDenied",
    "ProtocolError",
    "Rabbit",
    "Reconnect",
    "RemoteError",
    "Retry",
    "ServerMiddleware",
    "Service",
    "State",
    "TopologyError",
    "Unauthenticated",
    "Unimplemented",
    "connect",
    "current_call",
    "method",
    "run",
    "service_schema",
]

__version__ = "0.1.0"
"""The one place where it stands: pyproject.toml reads it here."""
