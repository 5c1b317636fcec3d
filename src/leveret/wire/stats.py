"""What servers tell of themselves to those who look from outside.

They say who they are, how their queues stand, and which calls they have (docs/protocol.md, section
Control). All are JSON objects. A reader passes over members that it does not know, and takes a
missing one for the default that stands here: so new ones may come, and older servers leave some
out.
"""

from __future__ import annotations

from functools import cache
from typing import Final, TypeVar

import msgspec
from msgspec import Struct, field

MOST_CALLS: Final = 1_000
"""How many calls an answer to "calls" has at most, the oldest first."""


class Process(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The process of a server."""

    host: str = ""
    """The name of its machine."""
    pid: int = 0
    """Its number there."""
    python: str = ""
    """The version of Python."""
    leveret: str = ""
    """The version of Leveret."""


class HistogramStats(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long something took, how often. The buckets are those of `ServerStats.bounds`."""

    counts: list[int] = []
    """How many durations fell into each bucket; the last one has all that is longer than any
    bound."""
    seconds: float = 0.0
    """All of them together."""


NO_TIMES: Final = HistogramStats()
"""That of nothing at all; it is not sent."""


class CallerStats(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The calls of one caller."""

    handled: int = 0
    """How many ended."""
    failed: int = 0
    """How many of those ended with an error, whatever its code."""


class ErrorStats(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error that a call ended with."""

    code: str = ""
    """Its code."""
    message: str = ""
    """What it says, cut to 500 characters."""
    call: str = ""
    """The id of the call."""
    at: float = 0.0
    """When, in seconds since 1970."""
    trace: str = ""
    """The id of the trace that the call belongs to; "" if its caller named none."""


class QueueStats(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one queue of a server stands, and what became of its requests since the server began."""

    method: str = ""
    """Which method it serves, as "service.method"."""
    finished: int
    """The requests that were answered."""
    failed: int
    """Those of them whose handler raised an error that its contract does not declare."""
    running: int
    """The calls that have a place."""
    concurrency: int
    """How many may have one at a time now."""
    adapts: bool = False
    """Whether that number follows the load."""
    waiting: int = 0
    """The calls that wait for a place."""
    handled: dict[str, int] = {}
    """How many calls ended at this server, by the code of their error, "OK" without one."""
    handed_back: int = 0
    """How many requests went to another server, or back to the broker."""
    redelivered: int = 0
    """How many came that were delivered before, to this server or another one."""
    handler: HistogramStats = NO_TIMES
    """How long calls had a place, but for those that stream."""
    queue: HistogramStats = NO_TIMES
    """How long they were on their way, in the queue, and waiting for a place."""
    bytes_in: int = 0
    """Bytes of arguments."""
    bytes_out: int = 0
    """Bytes of replies, with the frames around them, and of the items of streams."""
    callers: dict[str, CallerStats] = {}
    """By the names that callers give themselves, a hundred at most; the others are "_others"."""
    last_error: ErrorStats | None = None
    """The last error; None if there was none."""


class RunningCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that a server has at this moment."""

    id: str = ""
    """The call id, "" if it has none."""
    method: str = ""
    """Its method, as "service.method"."""
    state: str = ""
    """Where it is: "waiting" for a place, "running", ...; the states of docs/architecture.md."""
    caller: str = ""
    """The name that its caller gave itself."""
    user: str = ""
    """The broker's user whose call it is."""
    age: float = 0.0
    """Seconds since it came to this server."""
    left: float | None = None
    """Seconds until its deadline; None if it has none."""
    redelivered: bool = False
    """Whether the broker delivered its request before."""
    fraction: float | None = None
    """How much is done, as its handler last said; None if it did not say."""
    text: str = ""
    """What is being done, as its handler last said."""
    trace: str = ""
    """The id of the trace that it belongs to; "" if its caller named none."""


# -- as it is read ---------------------------------------------------------------------------------


class ServerIdentity(Struct, frozen=True, kw_only=True):
    """Who a server is: its answer to "ping", and what all other answers have as well."""

    instance: str = ""
    """The server's name for itself, which no other has: eight hexadecimal digits."""
    name: str = ""
    """The name that people gave it."""
    services: list[str] = []
    """What it serves."""
    versions: dict[str, str] = {}
    """The versions of those services that have one."""
    hashes: dict[str, str] = {}
    """By service, a hash of its contract: servers with the same hash agree."""
    metadata: dict[str, dict[str, str]] = {}
    """By service, what its class says of itself."""
    queues: dict[str, str] = {}
    """By service, the name of a queue that each of its servers consumes."""
    started: float = 0.0
    """When it started, in seconds since 1970."""
    process: Process = Process()
    """Where it runs."""


class ServerStats(ServerIdentity, frozen=True, kw_only=True):
    """How a server stands: its answer to "stats"."""

    uptime: float = 0.0
    """Seconds since its start."""
    bounds: list[float] = []
    """The upper bounds of the buckets of all histograms, in seconds."""
    methods: dict[str, QueueStats] = {}
    """How each queue that it serves stands, by the name of the queue."""


class ServerCalls(ServerIdentity, frozen=True, kw_only=True):
    """Which calls a server has: its answer to "calls"."""

    calls: list[RunningCall] = []
    """The calls, the oldest first."""
    total: int = 0
    """How many it has; `calls` has up to a thousand."""
    refused: bool = False
    """Whether it does not tell this user of the broker."""


class ServerStopped(ServerIdentity, frozen=True, kw_only=True):
    """A server's answer to "stop"."""

    stopped: list[str] = field(default_factory=list)
    """The ids of the calls that it had, and has cancelled."""
    refused: bool = False
    """Whether it does not do so for this user of the broker."""


class ServerDraining(ServerIdentity, frozen=True, kw_only=True):
    """A server's answer to "drain"."""

    draining: bool = False
    """Whether it drains now."""
    refused: bool = False
    """Whether it does not do so for this user of the broker."""


A = TypeVar("A", bound=ServerIdentity)

_decoder: Final = cache(msgspec.json.Decoder)


def read_as(kind: type[A], body: bytes) -> A:
    """What a server answered.

    :raises ValueError: if it cannot be read.
    """
    try:
        answer = _decoder(kind).decode(body)
    except RecursionError as error:
        raise ValueError("an answer with too much inside of each other") from error
    assert isinstance(answer, kind)
    return answer
