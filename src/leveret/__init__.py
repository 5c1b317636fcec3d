"""Leveret: typed RPC over RabbitMQ."""

from msgspec import Meta

from leveret.client.options import Middleware as ClientMiddleware
from leveret.client.options import OutgoingCall
from leveret.contract import Service, method, service_schema
from leveret.errors import (
    AMQPError,
    Busy,
    CallError,
    Cancelled,
    ChannelClosed,
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
from leveret.server.execution import Middleware as ServerMiddleware
from leveret.wire.current import CurrentCall, current_call

__all__ = [
    "AMQPError",
    "Busy",
    "CallError",
    "Cancelled",
    "ChannelClosed",
    "ClientMiddleware",
    "Code",
    "ConnectionClosed",
    "ConnectionLost",
    "ContractError",
    "CurrentCall",
    "DeadlineExceeded",
    "DeclaredError",
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
    "RemoteError",
    "ServerMiddleware",
    "Service",
    "TopologyError",
    "Unauthenticated",
    "Unimplemented",
    "connect",
    "current_call",
    "method",
    "run",
    "service_schema",
]
