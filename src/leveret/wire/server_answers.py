"""What a server answers to questions about itself, and what is read of that. All of it is JSON.

docs/protocol.md, section Control, describes it. `control.py` has the questions.
"""

from __future__ import annotations

from typing import Any, Final, NotRequired, TypedDict

import msgspec
from msgspec import Struct

from leveret.wire.stats import Process, QueueStats, RunningCall

VERSION: Final = 1
"""The version of the answers of servers. It is not sent while it is 1."""


class Ping(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server's answer to "ping", as JSON."""

    instance: str
    """Eight hexadecimal digits, drawn at the server's start."""
    name: str
    """The name that the server's connection has."""
    services: list[str]
    """What it serves."""
    calls_for_all: bool = False
    """Whether it runs calls that are for all servers of a service."""
    versions: dict[str, str] = {}
    """The versions of those services that have one."""
    hashes: dict[str, str] = {}
    """By service, a hash of its contract."""
    metadata: dict[str, dict[str, str]] = {}
    """By service, what its class says of itself, where it does."""
    queues: dict[str, str] = {}
    """By service, the name of a queue that each of its servers consumes."""
    started: float = 0.0
    """When it started, in seconds since 1970."""
    process: Process = Process()
    """Where it runs."""
    version: int = VERSION
    """The version of this answer."""


class Consumes(Struct, frozen=True, kw_only=True):
    """A server's answer to "since", as JSON."""

    instance: str
    """The server's name for itself."""
    seconds: float
    """For how long it has consumed the queue without a break; 0 if it does not at this moment."""


class Info(Ping, frozen=True, kw_only=True, omit_defaults=True):
    """A server's answer to "info"."""

    schemas: dict[str, Any]
    """The JSON Schema of each service, by its name."""
    starts: bool = False
    """Whether it takes started calls: it has a store that outlives it."""


class Contracts(Ping, frozen=True, kw_only=True, omit_defaults=True):
    """A server's answer to "contracts"."""

    contracts: dict[str, str]
    """A hash of the contract of each method, by "service.method"."""


class Stats(Ping, frozen=True, kw_only=True, omit_defaults=True):
    """A server's answer to "stats"."""

    uptime: float
    """Seconds since the server's start."""
    bounds: list[float]
    """The upper bounds of the buckets of all histograms, in seconds."""
    methods: dict[str, QueueStats]
    """By the name of the queue."""


class Calls(Ping, frozen=True, kw_only=True, omit_defaults=True):
    """A server's answer to "calls"."""

    calls: list[RunningCall]
    """The calls that it has, the oldest first, up to `MOST_CALLS`."""
    total: int
    """How many it has."""
    refused: bool = False
    """Whether it does not tell this user. Then there are none here."""


class Stopped(Ping, frozen=True, kw_only=True, omit_defaults=True):
    """A server's answer to "stop"."""

    stopped: list[str]
    """The ids of the calls that it had, and has cancelled."""
    refused: bool = False
    """Whether it does not do so for this user."""


class Draining(Ping, frozen=True, kw_only=True, omit_defaults=True):
    """A server's answer to "drain"."""

    draining: bool
    """Whether it drains now."""
    refused: bool = False
    """Whether it does not do so for this user."""


# -- what is read of that by clients and other servers ------------------------------------------


class ServiceDescription(TypedDict):
    """What a server says of a service."""

    doc: NotRequired[str]
    """The documentation of its class."""
    version: NotRequired[str]
    """The version that its class tells."""
    methods: dict[str, dict[str, Any]]
    """The description of each method, by its name; anything may be in it."""


class ServerAnswer(Struct, frozen=True, kw_only=True):
    """An answer to "ping", "info" or "contracts". What was not asked for is empty."""

    instance: str = ""
    """Which server it is."""
    name: str = ""
    """What people call it."""
    services: list[str] = []
    """What it serves."""
    calls_for_all: bool = False
    """Whether it runs calls that are for all servers of a service."""
    schemas: dict[str, ServiceDescription] = {}
    """What each service is, by its name."""
    starts: bool = False
    """Whether it takes started calls."""
    contracts: dict[str, str] = {}
    """The hash of each method's contract, by "service.method"."""


_decode_answer = msgspec.json.Decoder(ServerAnswer).decode
_decode_consumes = msgspec.json.Decoder(Consumes).decode


def read_consumes(body: bytes) -> Consumes:
    """For how long a server has consumed a queue.

    :raises ValueError: if it cannot be read.
    """
    return _decode_consumes(body)


def read_answer(body: bytes) -> ServerAnswer:
    """What a server answered.

    :raises ValueError: if it cannot be read.
    """
    try:
        return _decode_answer(body)
    except RecursionError as error:
        raise ValueError("an answer with too much inside of each other") from error
