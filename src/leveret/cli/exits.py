"""The exit codes of the command line: one per kind of failure, so that scripts can tell them apart.

Whether a retry is safe is not in the code but in the error: in `executed`, which `--json` prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from leveret.cli.targets import TargetError
from leveret.errors import (
    AMQPError,
    Busy,
    CallError,
    Cancelled,
    CircuitOpen,
    ConnectionClosed,
    ConnectionLost,
    ContractError,
    DeadlineExceeded,
    InvalidArgument,
    InvalidURL,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    TopologyError,
    Unauthenticated,
    Unimplemented,
)

DONE: Final = 0
USAGE: Final = 2
CUT_SHORT: Final = 8
"""A server had to cancel calls in its drain; their callers got `Cancelled`."""
INCOMPLETE: Final = 7
"""Some servers did not answer in time, so that what is shown is not all."""
UNREACHABLE: Final = 9
"""No broker can be reached."""
CANNOT_LISTEN: Final = 14
UNEXPECTED: Final = 70
"""EX_SOFTWARE of sysexits(3)."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""
TERMINATED: Final = 143
"""128 + SIGTERM."""

EXIT_CODES: Final[dict[int, str]] = {
    DONE: "done (a server: drained within its grace)",
    1: "the handler failed: RemoteError, a declared error, InvalidResult (the demo: something went"
    " otherwise than it tells; diff: the new contract breaks what the old one allows)",
    USAGE: "wrong usage, or InvalidURL",
    3: "InvalidArgument",
    4: "Unimplemented",
    5: "NoServer, CircuitOpen",
    6: "Busy",
    INCOMPLETE: "DeadlineExceeded; or not all servers answered who were asked about themselves",
    8: "Cancelled, MaybeExecuted, StreamBroken (a server: calls had to be cancelled to stop)",
    UNREACHABLE: "ConnectionLost",
    10: "PermissionDenied, Unauthenticated",
    11: "a service that cannot be loaded or served: no such module, ContractError",
    12: "TopologyError",
    13: "another end of AMQP",
    CANNOT_LISTEN: "it cannot listen: the port is in use, or the host is another's",
    UNEXPECTED: "unexpected: a service's start raised, or did not end when told to; the output"
    " cannot be written, as on a full disk; or a bug",
    INTERRUPTED: "Ctrl-C",
    TERMINATED: "SIGTERM (a server drains)",
}
"""The meaning of each code."""

_TABLE: Final[tuple[tuple[int, tuple[type[Exception], ...]], ...]] = (
    (USAGE, (InvalidURL,)),
    (3, (InvalidArgument,)),
    (4, (Unimplemented,)),
    (5, (NoServer, CircuitOpen)),
    (6, (Busy,)),
    (INCOMPLETE, (DeadlineExceeded,)),
    (8, (Cancelled, MaybeExecuted)),
    (UNREACHABLE, (ConnectionLost, ConnectionClosed)),
    (10, (PermissionDenied, Unauthenticated)),
    (11, (ContractError, TargetError)),
    (12, (TopologyError,)),
    (13, (AMQPError,)),
    (1, (CallError,)),
)
"""An error has the code of the first row with a class of it."""


def exit_code(error: BaseException) -> int:
    """The exit code for an error."""
    return next((code for code, kinds in _TABLE if isinstance(error, kinds)), UNEXPECTED)


def codes_help(codes: Iterable[int]) -> str:
    """The end of a command's --help: the exit codes that it can have."""
    return "Exit codes:\n" + ";\n".join(f"{code:>3}  {EXIT_CODES[code]}" for code in codes)
